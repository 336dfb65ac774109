"""Whole chains of the stages below: the demo on synthetic parts, and the adaptation of any model to a real set."""
