"""Numbers and foreign text made fit to be read on the page; markup and escaping are the template's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from adfm.evaluation import Metric

MAX_TEXT = 2000  # characters of one model text on the page
THIN = "\u202f"  # narrow no-break space, before a per cent sign
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def plain(text: object, limit: int = MAX_TEXT) -> str:
    """Return text without control characters and without marks that turn its direction, at most `limit` characters."""
    clean = _UNSEEN.sub("\ufffd", str(text).replace("\r\n", "\n"))
    return clean if len(clean) <= limit else clean[:limit] + f" … ({len(clean) - limit} characters more)"


def number(value: float | None, metric: Metric) -> str:
    """Return a metric's value as it is read: per cent, an index of three digits, or a count."""
    if value is None:
        return "–"
    return _bare(value, metric) + (f"{THIN}%" if metric.unit == "share" else "")


def span(low: float | None, high: float | None, metric: Metric) -> str:
    """Return an interval without units, e.g. `48.1 to 55.0`."""
    if low is None or high is None:
        return ""
    return f"{_bare(low, metric)} to {_bare(high, metric)}"


def change(value: float, metric: Metric) -> str:
    """Return a signed difference: points for shares."""
    text = _bare(value, metric)
    return text if text.startswith("\u2212") or not text.strip("0.") else f"+{text}"


def _bare(value: float, metric: Metric) -> str:
    digits, factor = {"share": (1, 100), "index": (3, 1), "count": (2, 1)}[metric.unit]
    text = f"{abs(value * factor):.{digits}f}"
    return f"\u2212{text}" if value < 0 and text.strip("0.") else text


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, text) for every leaf of nested settings."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{path}.")
            continue
        if value is None or isinstance(value, bool):
            text = {None: "–", True: "yes", False: "no"}[value]
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        yield plain(path, 200), plain(text)
