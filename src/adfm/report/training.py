"""Which curves of a training's journal are shown, and in which order."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from adfm.report.charts import Chart, Series, make_chart, points_of
from adfm.report.inputs import ReportInputs
from adfm.report.text import plain

_MAIN = (
    ("Total reward", "reward/total"),
    ("Verdict reward", "reward/verdict"),
    ("Grounding reward", "reward/grounding"),
    ("Format reward", "reward/format"),
    ("Groups without advantage (share)", "zero_advantage_share"),
    ("False-positive rate on normal parts", "false_positive_rate"),
    ("Box count error", "box_count_error"),
    ("Missed anomalous parts (share)", "miss_rate"),
    ("Unread answers (share)", "unread_rate"),
)
_FURTHER = (
    ("Spread of the total reward", "reward_std/total"),
    ("Spread of the grounding reward", "reward_std/grounding"),
    ("Answer length (tokens)", "completion_length"),
    ("Answers cut at the limit (share)", "truncated_rate"),
    ("Entropy", "entropy"),
    ("Loss", "loss"),
    ("Gradient norm", "grad_norm"),
    ("Learning rate", "learning_rate"),
    ("Seconds per step", "seconds"),
)
_LOCATED = (  # one chart a training; a dead focus reward shows here
    ("none", "located/normal_0"),
    ("one", "located/normal_1"),
    ("two or more", "located/normal_2plus"),
)


class Curves(NamedTuple):
    """The charts of the training section: `main` always in view, `further` folded."""

    main: tuple[Chart, ...]
    further: tuple[Chart, ...]


def training_curves(inputs: ReportInputs) -> Curves:
    """Lay out a chart for every quantity that some journal holds, all trainings in one chart."""
    main = [_over_arms(inputs, title, key) for title, key in _MAIN]
    located = []
    for name, rows in inputs.journals.items():
        arm = f" – {plain(name, 80)}" if len(inputs.journals) > 1 else ""
        series = [Series(label, 4 + tone, points_of(rows, key)) for tone, (label, key) in enumerate(_LOCATED)]
        located.append(make_chart(f"Places located on normal parts{arm}", series))
    main[5:5] = located  # beside the false-positive rate, which it explains
    further = [_over_arms(inputs, title, key) for title, key in _FURTHER]
    return Curves(tuple(chart for chart in main if chart), tuple(chart for chart in further if chart))


def tones(inputs: ReportInputs) -> dict[str, int]:
    """One colour for each training; one named like an evaluated run shares that run's colour."""
    known = {run.name.lower(): tone for tone, run in enumerate(inputs.runs)}
    taken = {known[name.lower()] for name in inputs.journals if name.lower() in known}
    free = (tone for tone in count(1) if tone not in taken)
    return {name: known[name.lower()] if name.lower() in known else next(free) for name in inputs.journals}


def _over_arms(inputs: ReportInputs, title: str, key: str) -> Chart | None:
    tone = tones(inputs)
    return make_chart(
        title, [Series(plain(n, 80), tone[n], points_of(rows, key)) for n, rows in inputs.journals.items()]
    )
