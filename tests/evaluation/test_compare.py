"""Two evaluations compared: paired by id, McNemar's exact test, parts of one group drawn together, refusals in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adfm.cli.main import main
from adfm.errors import DataError
from adfm.evaluation import METRICS, compare, evaluate, paired_difference
from adfm.evaluation.bootstrap import replicates, unit_strata
from adfm.evaluation.compare import find_predictions, in_common, markdown, mcnemar
from adfm.predictions import Prediction, prediction_json
from adfm.storage import write_jsonl

Make = Callable[..., Prediction]
Many = Callable[..., list[Prediction]]


def written(folder: Path, predictions: Sequence[Prediction]) -> Path:
    folder.mkdir(parents=True)
    write_jsonl(folder / "predictions.jsonl", map(prediction_json, predictions))
    return folder


def worse(predictions: Sequence[Prediction], count: int) -> list[Prediction]:
    """The same run with the first `count` right verdicts turned around."""
    wrong = {p.id for p in [p for p in predictions if p.correct][:count]}
    turned = {"normal": "anomalous", "anomalous": "normal"}
    return [replace(p, verdict=turned[p.label]) if p.id in wrong else p for p in predictions]  # type: ignore[arg-type]


def exact_p(only_a: int, only_b: int) -> float:
    """Both tails of a fair coin, by counting."""
    n = only_a + only_b
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
    return min(1.0, 2 * tail)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (3, 9), (7, 7), (12, 2), (0, 20)])
def test_mcnemar_counts_both_tails(one: Make, only_a: int, only_b: int) -> None:
    right, wrong, unread = one(), one(verdict="normal"), one(verdict=None)
    pairs = [(right, wrong)] * only_a + [(unread, right)] * only_b + [(right, right)] * 5 + [(wrong, unread)] * 2
    found = mcnemar([a for a, _ in pairs], [b for _, b in pairs])
    assert (found["both"], found["only_a"], found["only_b"], found["neither"]) == (5, only_a, only_b, 2)
    assert found["p"] == pytest.approx(exact_p(only_a, only_b), abs=1e-12)


def test_a_comparison_is_complete_json_and_blind_to_order(many: Many) -> None:
    a = many(120)
    b = worse(a, 40)
    result = compare(a, b[::-1], resamples=100)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result["metrics"]) == list(METRICS)
    assert result["metrics"]["accuracy"]["trend"] == "worse"
    assert result["metrics"]["false_positive_rate"]["trend"] == "worse"
    assert compare(b, a, resamples=100)["metrics"]["accuracy"]["trend"] == "better"
    same = compare(a, a, resamples=100)["metrics"]
    assert {cell["trend"] for name, cell in same.items() if name != "f1_max_threshold"} == {"unclear"}
    assert result["metrics"]["f1_max_threshold"]["trend"] is None


def test_undefined_metrics_have_no_difference(one: Make) -> None:
    cell = compare([one()], [one()], resamples=10)["metrics"]["auroc"]
    assert cell == {"a": None, "b": None, "difference": None, "low": None, "high": None, "trend": None}


def test_parts_that_differ_are_refused_with_their_number_or_left_out(many: Many) -> None:
    a = many(30)
    b = [replace(a[5], label="normal" if a[5].anomalous else "anomalous", boxes=()), *a[6:], replace(a[0], id="new")]
    with pytest.raises(DataError, match=r"5 only in the first, 1 only in the second, 1 with another truth"):
        compare(a, b)
    ours, theirs = in_common(a, b)
    assert [p.id for p in ours] == [p.id for p in theirs] == [p.id for p in a[6:]]
    with pytest.raises(DataError, match="no part in common"):
        in_common(a, [replace(p, id=f"x{p.id}") for p in a])


# Groups


def tiled(many: Many, copies: int) -> list[Prediction]:
    """Every part `copies` times, as if its tiles were all judged alike: no more information than one of each."""
    return [replace(p, id=f"{p.id}-{n}", group=p.id) for p in many(60) for n in range(copies)]


def width(cell: dict[str, Any]) -> float:
    return float(cell["high"] - cell["low"])


def test_equal_parts_of_a_group_do_not_narrow_an_interval(many: Many) -> None:
    single = evaluate(many(60), resamples=400)["metrics"]
    grouped = evaluate(tiled(many, 5), resamples=400)
    loose = evaluate([replace(p, group=None) for p in tiled(many, 5)], resamples=400)
    assert grouped["bootstrap"]["units"] == 60 and loose["bootstrap"]["units"] == 300
    for name in ("accuracy", "auroc", "box_ap@0.3", "region_overlap"):
        assert width(grouped["metrics"][name]) == pytest.approx(width(single[name]), rel=0.2)
        assert width(loose["metrics"][name]) < 0.7 * width(single[name])  # the control: alone they would


def test_a_comparison_draws_groups_even_if_one_file_has_none(many: Many) -> None:
    a = tiled(many, 4)
    b = worse(a, 60)
    bare = [replace(p, group=None) for p in b]
    both, one_sided = compare(a, b, resamples=200), compare(a, bare, resamples=200)
    assert both["bootstrap"]["clustered"] and both["bootstrap"]["units"] == 60
    assert one_sided["metrics"] == both["metrics"] == compare(a, b, resamples=200)["metrics"]
    alone = compare([replace(p, group=None) for p in a], bare, resamples=200)
    assert not alone["bootstrap"]["clustered"]
    assert alone["metrics"]["accuracy"]["low"] != both["metrics"]["accuracy"]["low"]


def test_groups_are_drawn_whole_and_within_their_stratum() -> None:
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 0])
    units = np.array([0, 0, 1, 1, 2, 2, 3, 4])
    assert unit_strata(labels, units).tolist() == [1, 2, 3, 1, 1]
    drawn = replicates(lambda weights: {str(i): weights[:, i] for i in range(8)}, labels, units, resamples=300, seed=0)
    assert (drawn["0"] == drawn["1"]).all() and (drawn["4"] == drawn["5"]).all()
    assert (drawn["0"] + drawn["6"] + drawn["7"] == 3).all()  # three groups of normal parts only
    assert (drawn["2"] == 1).all() and (drawn["4"] == 1).all()  # alone in their strata
    assert len(np.unique(drawn["0"])) > 1


def test_an_exact_interval_counts_groups(one: Make) -> None:
    tiles = [one(id=str(i), group=f"board {i % 3}") for i in range(30)]
    low = evaluate(tiles, resamples=10)["metrics"]["recall"]["low"]
    assert low == pytest.approx(0.025 ** (1 / 3))
    loose = evaluate([replace(p, group=None) for p in tiles], resamples=10)["metrics"]["recall"]["low"]
    assert loose == pytest.approx(0.025 ** (1 / 30))


def test_paired_difference_agrees_with_the_comparison(many: Many) -> None:
    a = many(50)
    b = worse(a, 9)
    cells = compare(a, b, resamples=50)["metrics"]
    for name, (low, mid, high) in paired_difference(a, b, resamples=50).items():
        assert (cells[name]["low"], cells[name]["difference"], cells[name]["high"]) == (low, mid, high)


# The command


def test_the_command_writes_and_prints(many: Many, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = many(40)
    one_run, other = written(tmp_path / "a", a), written(tmp_path / "b" / "eval", worse(a, 8))
    words = ["eval", "--compare", str(one_run), str(other.parent)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "McNemar's exact p" in shown and "balanced_accuracy" in shown and "40 parts" in shown
    table = (tmp_path / "out" / "table.md").read_text()
    stored = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert table == markdown(stored) and table.count("\n| ") > 20
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == stored


def test_the_command_refuses_in_one_line(many: Many, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = written(tmp_path / "a", many(20)), written(tmp_path / "b", many(17))
    both = ["eval", "--compare", str(a), str(b)]
    for words, said in (
        (both, "3 only in the first"),
        (["eval", "--compare", str(a), str(tmp_path / "none")], "holds no predictions.jsonl"),
        (["eval", "--compare", str(a), str(tmp_path)], "holds 2 evaluations"),
        (["eval", "--out", str(tmp_path / "x")], "--data and --out are required"),
        ([*both, "--threshold", "2"], "must be from 0 to 1"),
    ):
        assert main(words) == 2
        message = capsys.readouterr().err
        assert said in message and message.count("\n") == 1
    assert main([*both, "--common"]) == 0
    assert "17 parts" in capsys.readouterr().out


def test_a_folders_name_is_no_markup(many: Many) -> None:
    result = {"a": "x|y\n# *z*", "b": "b", **compare(many(20), many(20), resamples=10)}
    assert "x\\|y # \\*z\\*" in markdown(result)


def test_find_predictions(many: Many, tmp_path: Path) -> None:
    folder = written(tmp_path / "run" / "eval", many(3))
    file = folder / "predictions.jsonl"
    assert find_predictions(file) == find_predictions(folder) == find_predictions(tmp_path / "run") == file
