"""The MMAD benchmark (Jiang et al., ICLR 2025, arXiv 2410.09453): its questions, prompts, readings, scorings, split."""
