"""The rewards as verl, EasyR1 and ms-swift call them: their signatures, our numbers, no torch."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import pytest
from mutations import corpus

from adfm.errors import ConfigError, DataError
from adfm.geometry import Box, Frame
from adfm.reasoning import canonical, read
from adfm.records import Reward, Sample
from adfm.rewards import RewardSettings, Weights, easyr1, ms_swift, reward, verl
from adfm.rewards.truth import Truth, truth_text

FRAME = Frame.thousand(100, 80)
BAD = Sample("a", "a.png", 100, 80, "anomalous", "cap", "scratch", None, (Box(10, 10, 30, 30),), "train", "0")
UNPLACED = replace(BAD, boxes=None)
GIVEN: dict[str, Any] = {"preset": "set_iou", "alpha": 0.25, "format": 0.5, "grounding": 2.0}
SETTINGS = RewardSettings(preset="set_iou", alpha=0.25, weights=Weights(format=0.5, grounding=2))


def rated(seed: int) -> list[tuple[str, str, Reward]]:
    """Answers, their truths, and what our own reward says of them."""
    found = []
    for sample, frame, text in corpus(600, seed=seed):
        known = sample if sample.anomalous else replace(sample, defect=None)
        found.append((text, truth_text(Truth(known, frame)), reward(read(text, frame), known, SETTINGS)))
    return found


def truth(sample: Sample) -> str:
    return truth_text(Truth(sample, FRAME))


def test_verl_calls_by_these_names() -> None:
    names = list(inspect.signature(verl.compute_score).parameters)
    assert names[:4] == ["data_source", "solution_str", "ground_truth", "extra_info"]
    assert inspect.signature(verl.compute_score).parameters["extra_info"].default is None


def test_verl_gets_our_numbers() -> None:
    for text, known, earned in rated(seed=1):
        extra = {"num_turns": 2, "rollout_reward_scores": {}}  # what verl itself puts in
        scores = verl.compute_score(
            data_source="adfm/cap", solution_str=text, ground_truth=known, extra_info=extra, **GIVEN
        )
        assert scores == {
            "score": earned.total,
            "format": earned.format,
            "verdict": earned.verdict,
            "grounding": earned.grounding or 0.0,
            "grounded": 0.0 if earned.grounding is None else 1.0,
        }


@pytest.mark.parametrize("sample", [BAD, UNPLACED, replace(BAD, label="normal", defect=None, boxes=())])
@pytest.mark.parametrize("text", ["", canonical(BAD, FRAME)])
def test_verl_and_easyr1_get_the_same_finite_keys_for_every_answer(sample: Sample, text: str) -> None:
    # Both average each key over a batch: a missing key or a null would stop them.
    scores = verl.compute_score("adfm/cap", text, truth(sample))
    (row,) = easyr1.compute_score([{"response": text, "response_length": 1, "ground_truth": truth(sample)}])
    assert set(scores) == {"score", "format", "verdict", "grounding", "grounded"}
    assert set(row) == {"overall", "format", "accuracy", "grounding", "grounded"}
    assert all(type(value) is float and math.isfinite(value) for value in (*scores.values(), *row.values()))


def test_easyr1_gets_our_numbers() -> None:
    assert easyr1.REWARD_TYPE == "batch" and easyr1.REWARD_NAME
    assert next(iter(inspect.signature(easyr1.compute_score).parameters)) == "reward_inputs"
    cases = rated(seed=2)
    inputs = [{"response": text, "response_length": 3, "ground_truth": known} for text, known, _ in cases]
    rows = easyr1.compute_score(inputs, **GIVEN)
    assert [(row["overall"], row["format"], row["accuracy"]) for row in rows] == [
        (earned.total, earned.format, earned.verdict) for *_, earned in cases
    ]


def test_ms_swift_gets_our_numbers() -> None:
    cases = rated(seed=3)
    texts, known = [text for text, _, _ in cases], [each for _, each, _ in cases]
    columns = {"truth": known, "messages": [[]] * len(cases), "trainer_state": object()}
    values = {
        name: kind(args=object())(texts, **columns)
        for name, kind in ms_swift.REWARDS.items()
        if name != "adfm_grounding"
    }
    assert values == {
        "adfm_format": [earned.format for *_, earned in cases],
        "adfm_verdict": [earned.verdict for *_, earned in cases],
        "adfm_grounding_set_iou": [earned.grounding for *_, earned in cases],
    }
    paper = ms_swift.REWARDS["adfm_grounding"]()([canonical(BAD, FRAME)], truth=[truth(BAD)])
    assert paper == [pytest.approx(1.5, abs=0.1)]
    assert len({kind.__name__ for kind in ms_swift.REWARDS.values()}) == len(ms_swift.REWARDS)  # its log's names


def test_ms_swift_gets_none_where_grounding_does_not_apply() -> None:
    assert ms_swift.REWARDS["adfm_grounding"]()(["x", "x"], truth=[truth(UNPLACED), truth(BAD)]) == [None, 0.0]


def test_ms_swift_gets_no_rewards_where_an_answer_has_no_truth() -> None:
    with pytest.raises(ValueError, match="zip"):
        ms_swift.REWARDS["adfm_verdict"]()(["x", "y"], truth=[truth(BAD)])


def test_a_wrong_setting_and_a_wrong_truth_are_one_line() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'weight'"):
        verl.compute_score("", "x", truth(BAD), weight=1)
    with pytest.raises(ConfigError, match="'alpha'"):
        easyr1.compute_score([], alpha=-1)
    with pytest.raises(DataError, match="export the data set again"):
        ms_swift.REWARDS["adfm_verdict"]()(["x"], truth=["normal"])


BLOCKED = ("torch", "transformers", "trl", "datasets", "pyarrow")
HOOK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""
USE = """
from adfm.rewards import easyr1, ms_swift, verl
from adfm.rewards.truth import Truth, truth_text
from adfm.geometry import Box, Frame
from adfm.reasoning import canonical
from adfm.records import Sample
boxes = (Box(1, 1, 9, 9), Box(20, 1, 29, 9), Box(40, 1, 49, 9))
sample = Sample("a", "a.png", 100, 80, "anomalous", "cap", "x", None, boxes, "train", "0")
frame = Frame.original(100, 80)
known, text = truth_text(Truth(sample, frame)), canonical(sample, frame)
print(verl.compute_score("", text, known)["score"], easyr1.compute_score(
    [{"response": text, "ground_truth": known}])[0]["overall"], ms_swift.REWARDS["adfm_grounding"]()([text], truth=[known])[0])
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False)


def test_the_rewards_need_no_torch() -> None:
    done = run(HOOK + USE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3.5", "3.5", "1.5"]


@pytest.mark.parametrize("name", ["torch", "transformers"])
def test_the_hook_does_block(name: str) -> None:
    assert f"blocked: {name}" in run(f"{HOOK}\nimport {name}").stderr
