"""The folder layout: an OK folder and an NG folder by their common names; NG may hold one folder per defect type."""

from __future__ import annotations

from pathlib import Path

from adfm.data.layouts import tree
from adfm.data.layouts.walk import recognised

NAME = "folder"
SHAPE = "OK/ and NG/ (or good, normal, pass / bad, nok, defect, anomaly, fail), masks in masks/ or ground_truth/"
TERMS: str | None = None


def recognise(root: Path) -> str | None:
    """Say why a folder holds OK and NG folders, or None."""
    places = [place for _, place in tree.classes(root) if place.split is None]
    if {place.label for place in places} != {"normal", "anomalous"}:
        return None
    return recognised((place.category or root.resolve().name for place in places), "an OK folder and an NG folder")


read = tree.read
