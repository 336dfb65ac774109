"""Two evaluations of the same parts side by side: paired differences, McNemar's test, a table; no model and no printing.

Left out: a correction for the number of metrics, so one clear difference among many may be chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adfm.calibration.decision import READ_VERDICT, Threshold
from adfm.errors import DataError
from adfm.evaluation.bootstrap import RESAMPLES
from adfm.evaluation.definitions import METRICS
from adfm.evaluation.metrics import build_table, values_of
from adfm.evaluation.repeats import aligned, paired_difference, truth_of
from adfm.numbers import metric_row
from adfm.ownership import owned_folder
from adfm.predictions import PREDICTIONS, Prediction
from adfm.storage import write_json, write_text

COMPARISON = "compare.json"
TABLE = "table.md"


def find_predictions(path: Path) -> Path:
    """Return the `predictions.jsonl` that a user means: the file, the one in a folder, or the only one below it.

    Raises:
        DataError: there is none, or more than one.
    """
    if path.is_file():
        return path
    if (path / PREDICTIONS).is_file():
        return path / PREDICTIONS
    files = sorted(path.rglob(PREDICTIONS)) if path.is_dir() else []
    if len(files) == 1:
        return files[0]
    if not files:
        raise DataError(f"{path}: holds no {PREDICTIONS}; give the --out folder of an `adfm eval`")
    names = ", ".join(str(file.parent.relative_to(path)) for file in files[:4])
    raise DataError(f"{path}: holds {len(files)} evaluations ({names}); give one of these folders")


def in_common(a: Sequence[Prediction], b: Sequence[Prediction]) -> tuple[list[Prediction], list[Prediction]]:
    """Return the predictions of both runs on the parts that both hold with the same truth.

    Raises:
        DataError: there is no such part.
    """
    first, second = ({p.id: p for p in run} for run in (a, b))
    shared = sorted(k for k in first.keys() & second.keys() if truth_of(first[k]) == truth_of(second[k]))
    if not shared:
        raise DataError("the two runs have no part in common; evaluate both on the same manifest and split")
    return [first[key] for key in shared], [second[key] for key in shared]


def compare(
    a: Sequence[Prediction],
    b: Sequence[Prediction],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    threshold: Threshold = READ_VERDICT,
) -> dict[str, Any]:
    """Return every metric of both runs with the paired difference b - a, and McNemar's test, ready for JSON.

    Raises:
        DataError: the runs do not hold the same ids with the same truth; says how many differ.
    """
    ours, theirs = aligned(a, b)
    tables = [build_table(run, threshold) for run in (ours, theirs)]
    values = [values_of(table) for table in tables]
    differences = paired_difference(ours, theirs, seed=seed, resamples=resamples, threshold=threshold)
    units = min(int(table.units.max()) + 1 for table in tables)
    metrics = {}
    for name, metric in METRICS.items():
        low, middle, high = differences.get(name, (None, None, None))
        trend = None if low is None or high is None else metric.trend(low, high)
        compared = {"difference": middle, "low": low, "high": high, "trend": trend}
        metrics[name] = {"a": values[0][name], "b": values[1][name], **compared}
    return {
        "n": len(ours),
        "n_normal": sum(not p.anomalous for p in ours),
        "n_anomalous": sum(p.anomalous for p in ours),
        "threshold": threshold.value,
        "metrics": metrics,
        "mcnemar": mcnemar(ours, theirs),
        "bootstrap": {"resamples": resamples, "seed": seed, "units": units, "clustered": units < len(ours)},
        "definitions": {metric.name: metric.definition for metric in METRICS.values()},
    }


def mcnemar(a: Sequence[Prediction], b: Sequence[Prediction]) -> dict[str, float]:
    """Return McNemar's exact test (binomial, two-sided) on whether each verdict is right, runs in the same order.

    `both`, `only_a`, `only_b` and `neither` count the parts by which run is right; `p` is that of equally good runs. An
    unread answer is not right. Parts count as independent: where parts share a group, p is too small.
    """
    from scipy.stats import binomtest  # a slow import, only needed here

    right = [(p.correct, q.correct) for p, q in zip(a, b, strict=True)]
    only_a, only_b = right.count((True, False)), right.count((False, True))
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    both, neither = right.count((True, True)), right.count((False, False))
    return {"both": both, "only_a": only_a, "only_b": only_b, "neither": neither, "p": p}


def table_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return rows (metric, a, b, b - a with its interval, trend) of the metrics that at least one run defines."""
    rows = []
    for name, cell in result["metrics"].items():
        if cell["a"] is not None or cell["b"] is not None:
            bounds = (cell["low"], cell["difference"], cell["high"])
            rows.append(
                [*metric_row(name, [{"value": cell["a"]}, {"value": cell["b"]}], [bounds]), cell["trend"] or ""]
            )
    return rows


def summary_lines(result: dict[str, Any]) -> list[str]:
    """Return what the page says around its table, as plain sentences."""
    test, drawn = result["mcnemar"], result["bootstrap"]
    what = f"{drawn['units']} groups of parts" if drawn["clustered"] else "parts"
    lines = [
        f"{result['n']} parts, {result['n_normal']} normal and {result['n_anomalous']} anomalous; differences are b - a "
        f"with 95 % intervals of a paired bootstrap of {what} ({drawn['resamples']} resamples, seed {drawn['seed']})",
        f"verdict right: both {test['both']}, only a {test['only_a']}, only b {test['only_b']}, neither "
        f"{test['neither']}; McNemar's exact p = {test['p']:.3g}",
    ]
    if drawn["clustered"]:
        lines.append("parts of one group are not independent, so p is too small; the intervals allow for it")
    return lines


def markdown(result: dict[str, Any]) -> str:
    """Return the comparison as a Markdown page; a folder's name cannot become markup."""
    names = []
    for key in ("a", "b"):
        if key in result:
            name = " ".join(str(result[key]).split())
            names.append(f"**{key}**: " + "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in name))
    head = ["| metric | a | b | b - a [95 %] | b is |", "|---|---|---|---|---|"]
    rows = [f"| {' | '.join(row)} |" for row in table_rows(result)]
    return "\n\n".join([*names, *summary_lines(result), "\n".join([*head, *rows])]) + "\n"


def write_comparison(result: dict[str, Any], out: Path) -> None:
    """Write `compare.json` and `table.md` to a folder.

    Raises:
        UserError: it holds something else.
    """
    with owned_folder(out, "a comparison"):
        write_json(out / COMPARISON, result)
        write_text(out / TABLE, markdown(result))
