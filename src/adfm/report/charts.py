"""Line charts as geometry: ticks, smoothed lines and raw points in SVG units; the template draws and colours them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeGuard

WIDTH, HEIGHT = 440, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 30
MAX_POINTS = 300  # per curve: more cannot be distinguished and would swell the page

Points = list[tuple[float, float]]


class Series(NamedTuple):
    """A named line; `tone` picks its colour."""

    name: str
    tone: int
    points: Points


class Tick(NamedTuple):
    """A mark on an axis: its place in SVG units and its text."""

    at: float
    text: str


class Curve(NamedTuple):
    """A drawn series: SVG path data of the raw points and of the smoothed line, and its last smoothed value."""

    name: str
    tone: int
    dots: str
    line: str
    last: str


class Chart(NamedTuple):
    """A chart ready to be drawn in a `WIDTH` x `HEIGHT` box."""

    title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]


class Axis(NamedTuple):
    """A linear scale from `low`..`high` to SVG units `start`..`end`, with a mark every `step`."""

    low: float
    high: float
    step: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Place a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> tuple[Tick, ...]:
        """Marks at whole multiples of the step."""
        count = round((self.high - self.low) / self.step)
        values = (self.low + number * self.step for number in range(count + 1))
        return tuple(Tick(round(self.at(v), 1), f"{0 if abs(v) < self.step / 2 else v:.6g}") for v in values)


def points_of(rows: Iterable[Mapping[str, Any]], key: str) -> Points:
    """Return (step, value) of a journal, by rising step; a step logged again after a resume keeps its last value."""
    pairs = ((row.get("step"), row.get(key)) for row in rows)
    values = {float(step): float(value) for step, value in pairs if _finite(step) and _finite(value)}
    return sorted(values.items())


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def make_chart(title: str, series: Sequence[Series]) -> Chart | None:
    """Lay out a chart of several series; None where no series has a point."""
    drawn = [one for one in series if one.points]
    if not drawn:
        return None
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    horizontal = nice_axis(min(xs), max(xs), 6, LEFT, WIDTH - RIGHT, whole=True)
    zero = 0 < min(ys) < 0.6 * max(ys)  # zero is shown where all values are above it and it costs little room
    vertical = nice_axis(0.0 if zero else min(ys), max(ys), 4, HEIGHT - BOTTOM, TOP)
    curves = []
    for name, tone, points in drawn:
        means = smooth([y for _, y in points], len(points) // 25)
        stride = max(1, math.ceil(len(points) / MAX_POINTS))
        places = [*range(0, len(points), stride)]
        dots = [(horizontal.at(points[n][0]), vertical.at(points[n][1])) for n in places]
        ends = places if places[-1] == len(points) - 1 else [*places, len(points) - 1]
        line = [(horizontal.at(points[n][0]), vertical.at(means[n])) for n in ends]
        curves.append(
            Curve(
                name,
                tone,
                dots="".join(f"M{x:.1f} {y:.1f}h0" for x, y in dots),  # with round caps a line of no length is a dot
                line="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line),
                last=f"{means[-1]:.3g}",
            )
        )
    return Chart(title, horizontal.ticks(), vertical.ticks(), tuple(curves))


def nice_axis(low: float, high: float, marks: int, start: float, end: float, *, whole: bool = False) -> Axis:
    """Widen a range to whole steps of 1, 2, 2.5 or 5 times a power of ten, about `marks` of them.

    A range of one value reaches to zero (zero itself: to one); with `whole` every step is a whole number.
    """
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = (0.0, 1.0) if abs(high) < 1e-12 else (min(low, 0.0), max(high, 0.0))
    rough = max((high - low) / marks, 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10, 20)
    step = next((power * factor for factor in factors if power * factor >= rough * 0.999), power * 20)
    return Axis(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step, start, end)


def smooth(values: Sequence[float], reach: int) -> list[float]:
    """Centred moving mean over up to `2 * reach + 1` values, fewer at the ends."""
    sums = [0.0, *accumulate(values)]
    spans = [(max(0, place - reach), min(len(values), place + reach + 1)) for place in range(len(values))]
    return [(sums[end] - sums[start]) / (end - start) for start, end in spans]
