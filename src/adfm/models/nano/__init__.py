"""The bundled `nano`: a real Qwen2.5-VL of a few million parameters, with which the whole chain runs anywhere in minutes."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the shipped model and processor."""
