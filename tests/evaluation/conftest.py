"""Made-up predictions: the fixtures `one` and `many`."""

from made_predictions import many, one

__all__ = ["many", "one"]
