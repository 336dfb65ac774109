"""adfm: a vision-language model as an industrial inspector (AD-FM, arXiv 2508.04175)."""

__version__ = "0.1.0"
