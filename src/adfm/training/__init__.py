"""Samples and a model folder in, a better model folder out: nano's build, SFT, GRPO and the repairs of their engine."""
