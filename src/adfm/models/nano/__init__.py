"""The bundled `nano`: a real Qwen2.5-VL of a few million parameters; the whole chain runs anywhere in minutes."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Where the shipped model and processor lie."""
