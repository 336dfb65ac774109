"""The MMAD benchmark (ICLR 2025): its questions, prompts, two readings of an answer, two scorings, and the model loop."""
