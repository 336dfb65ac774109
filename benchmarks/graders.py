"""The same answers through our reading and through what published graders do: `python benchmarks/graders.py`.

It prints the tables and writes them into `docs/graders.md`. A test checks that they are current. Every grader of others is written
from its published behaviour (`Grader.source`). None of its code is here. Retries, models and sub-tasks without a verdict are left out.
"""
# ruff: noqa: S311

from __future__ import annotations

import difflib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader_cases import CASES, FRAME, KINDS, LIMITS, Case

from adfm.predictions import Prediction
from adfm.reasoning import read
from adfm.records import LABELS, Label, Reward
from adfm.storage import write_text

PAGE = Path(__file__).resolve().parent.parent / "docs" / "graders.md"
BEGIN, END = "<!-- generated: graders -->", "<!-- end of graders -->"

Reading = Label | None
Outcome = Literal["agrees", "unread", "guessed", "reversed"]
OUTCOMES: tuple[Outcome, ...] = ("agrees", "unread", "guessed", "reversed")

OPTIONS = {"A": "Yes.", "B": "No."}
"""The choices of the question whether there is a defect, worded as MMAD's, in the order of IAD-R1's test files."""
_LETTERS: dict[str, Label] = {"A": "anomalous", "B": "normal"}
_WORDS: dict[Label, str] = {"anomalous": "yes", "normal": "no"}


# --- how each reads ---------------------------------------------------------------------------------------------------


def adfm_reading(text: str) -> Reading:
    """Our reading, for every protocol of ours: the verdict of the one answer block."""
    return read(text, FRAME).verdict


def mmad_letter(text: str) -> str:
    """MMAD: the last capital A to E on its own, else the letter of the closest option, however far, else the text.

    With options at hand something is always closest, so the last branch is never reached with them.
    """
    letters: list[str] = re.findall(r"\b[A-E]\b", text)
    if letters:
        return letters[-1]
    closest = difflib.get_close_matches(text, OPTIONS.values(), n=1, cutoff=0.0)
    return next((letter for letter, option in OPTIONS.items() if option in closest), text)


def anomalyr1_letter(text: str) -> str:
    """AnomalyR1: in the last answer tags the first capital A to E anywhere, else an option contained in them, else X."""
    start, end = text.rfind("<answer>"), text.rfind("</answer>")
    answer = text[start + len("<answer>") : end].strip() if 0 <= start < end else ""
    letter = re.search("[A-E]", answer)
    if letter:
        return letter[0]
    return next((letter for letter, option in OPTIONS.items() if option.lower() in answer.lower()), "X")


def iad_r1_letter(text: str) -> str:
    """IAD-R1's evaluation: the option that equals, is contained in or contains the first answer tags; else E.

    Tags around several lines are not found; both sides in lower case, options without their full stop.
    """
    answer = _one_line_answer(text)
    if answer is None:
        return "E"
    options = {letter: option.lower().strip(".") for letter, option in OPTIONS.items()}
    equal = (letter for letter, option in options.items() if answer == option)
    alike = (letter for letter, option in options.items() if answer in option or option in answer)
    return next(equal, next(alike, "E"))


def iad_r1_reward(text: str, truth: str) -> float:
    """The verdict's part of IAD-R1's accuracy reward: 1 where the first answer tags hold exactly yes, or no, as the truth does."""
    return float(truth in ("yes", "no") and _one_line_answer(text) == truth)


def vlm_r1_reward(text: str, truth: str) -> float:
    """VLM-R1's yes-or-no reward: 1 where the first `yes` or `no` anywhere, also inside words, is the truth's.

    Looked for in the first answer tags, else in the whole text; where neither side has one they count as equal.
    """
    tagged = re.search("<answer>(.*?)</answer>", text.lower(), re.DOTALL)
    return float(_first_yes_no(tagged[1] if tagged else text.lower()) == _first_yes_no(truth.lower()))


def anomalib_reading(text: str) -> Reading:
    """Anomalib's VlmAd: anomalous where the answer's first character is a capital Y, normal otherwise."""
    return "anomalous" if text.startswith("Y") else "normal"


def _one_line_answer(text: str) -> str | None:
    """What the first answer tags on one line hold, in lower case."""
    found = re.search("<answer>(.*?)</answer>", text)
    return found[1].strip().lower() if found else None


def _first_yes_no(text: str) -> str:
    found = re.search("yes|no", text)
    return found[0] if found else ""


def _lettered(letter_of: Callable[[str], str]) -> Callable[[str], Reading]:
    """The verdict of a letter; letters without an option and raw text are none."""
    return lambda text: _LETTERS.get(letter_of(text))


def _paid(reward: Callable[[str, str], float]) -> Callable[[str], Reading]:
    """What a reward takes an answer for: the truth under which it pays, None where that is neither or both."""

    def reading(text: str) -> Reading:
        paying = [label for label in LABELS if reward(text, _WORDS[label])]
        return paying[0] if len(paying) == 1 else None

    return reading


@dataclass(frozen=True)
class Grader:
    """A way of reading answers: text to verdict or None, and what the page says of it."""

    name: str
    reading: Callable[[str], Reading]
    source: str
    """The file and the name in it; repositories of others with the version that was read."""
    rule: str
    unread: str
    """What becomes of an answer of which nothing is read."""


OURS = Grader(
    "adfm",
    adfm_reading,
    "`src/adfm/reasoning/parse.py`: `read`",
    "the JSON verdict of the one answer block",
    "counted as wrong",
)
MMAD = Grader(
    "MMAD",
    _lettered(mmad_letter),
    "jam-cc/MMAD 3cf2b9b, `evaluation/examples/GPT4/gpt4v.py`: `parse_answer`",
    "the last capital A to E on its own, else the closest option, however far",
    "the raw text is stored and left out of the score, as is the answer after it",
)
ANOMALY_R1 = Grader(
    "AnomalyR1",
    _lettered(anomalyr1_letter),
    "chaoyuhao/AnomalyR1 e2e6a72, `eval/thinkad_query.py`: `extract_answer_letter`",
    "in the last answer tags the first capital A to E, also inside words, else an option contained in them",
    "becomes X, which MMAD's summary leaves out",
)
IAD_R1 = Grader(
    "IAD-R1, evaluation",
    _lettered(iad_r1_letter),
    "Yanhui-Lee/IAD-R1 625b936, `scripts/Inference/IAD-R1-Inference/vLLM_Qwen_detect_format.py`: `get_ans`",
    "the option that equals, is part of, or holds the content of the first answer tags",
    "becomes E, which counts as wrong",
)
IAD_R1_REWARD = Grader(
    "IAD-R1, reward",
    _paid(iad_r1_reward),
    "Yanhui-Lee/IAD-R1 625b936, `train/stage_rl/reward.py`: `accuracy_reward`, its verdict",
    "exactly yes or no in the first answer tags",
    "earns 0",
)
VLM_R1 = Grader(
    "VLM-R1, reward",
    _paid(vlm_r1_reward),
    "om-ai-lab/VLM-R1 e0e622f, `src/open-r1-multimodal/src/open_r1/grpo_jsonl.py`: `yes_no_reward`",
    "the first `yes` or `no`, also inside words, in the first answer tags or else anywhere",
    "earns 0, or 1 where the truth has no yes or no either",
)
ANOMALIB = Grader(
    "anomalib, VlmAd",
    anomalib_reading,
    "open-edge-platform/anomalib c739906, `src/anomalib/models/image/vlm_ad/lightning_model.py`: `validation_step`",
    "anomalous where the first character is Y, normal otherwise",
    "cannot happen",
)
GRADERS = (OURS, MMAD, ANOMALY_R1, IAD_R1, IAD_R1_REWARD, VLM_R1, ANOMALIB)


def outcome(reading: Reading, meaning: Reading) -> Outcome:
    """Compare a reading with what the writer meant. Nothing read where nothing was meant agrees."""
    if reading == meaning:
        return "agrees"
    if reading is None:
        return "unread"
    return "guessed" if meaning is None else "reversed"


def outcomes(grader: Grader, cases: Sequence[Case] = CASES) -> dict[str, Outcome]:
    """The outcome of every case, by its name."""
    return {case.name: outcome(grader.reading(case.text), case.meaning) for case in cases}


# --- how each counts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """A score and what it was taken over."""

    share: float
    """Of the counted answers, how many are right."""
    counted: int
    ignored: int
    """Answers with a verdict that the score leaves out."""


def simulated(
    count: int = 8366, failing: float = 0.1, skill: float = 0.8, seed: int = 0
) -> list[tuple[Label, Reading]]:
    """Truth and reading of `count` parts: a share of answers is unreadable, of the others `skill` are right."""
    rng = random.Random(seed)
    return [_simulated_part(rng, failing, skill) for _ in range(count)]


def _simulated_part(rng: random.Random, failing: float, skill: float) -> tuple[Label, Reading]:
    truth, other = rng.sample(LABELS, 2)
    said = truth if rng.random() < skill else other
    return truth, None if rng.random() < failing else said


def adfm_count(parts: Sequence[tuple[Label, Reading]]) -> Count:
    """As `adfm eval` counts: every part, and an unread verdict is wrong."""
    right = [prediction(truth, reading).correct for truth, reading in parts]
    return Count(sum(right) / len(right), len(right), 0)


def prediction(label: Label, verdict: Reading, name: str = "part") -> Prediction:
    """A line of `predictions.jsonl` of which only the verdict and the truth matter."""
    nothing = Reward(0.0, 0.0, None, 0.0)
    return Prediction(
        *(name, label, "part", None, "part.png", FRAME.width, FRAME.height, None, verdict, None),
        *((), None, "", "", FRAME.name, False, (), nothing),
    )


def mmad_count(parts: Sequence[tuple[Label, Reading]]) -> Count:
    """As MMAD's summary counts: what is no letter is taken out of the list that is being walked, so the next is passed over."""
    kept, ignored, walked = [], 0, iter(parts)
    for truth, reading in walked:
        if reading is None:
            _, passed_over = next(walked, (None, None))
            ignored += passed_over is not None
        else:
            kept.append(truth == reading)
    return Count(sum(kept) / len(kept), len(kept), ignored)


# --- tables -----------------------------------------------------------------------------------------------------------


def tables() -> str:
    """Everything between the markers of `docs/graders.md`."""
    titled = (
        ("The graders", grader_table()),
        (f"All {len(CASES)} answers", outcome_table()),
        ("Agreement by the form of the answer", form_table()),
        ("Every answer that was guessed or reversed", fault_table()),
        ("A block in our form that is not meant", limit_table()),
        ("Counting", count_table()),
    )
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in titled)


def grader_table() -> str:
    """What each grader reads, what it does without it, and where that is published."""
    rows = [(g.name, g.rule, g.unread, g.source) for g in GRADERS]
    return _table(("grader", "what it reads", "what it cannot read", "published in"), rows, align="---")


def outcome_table() -> str:
    """How many answers have which outcome, a row per grader."""
    counts = {grader.name: Counter(outcomes(grader).values()) for grader in GRADERS}
    return _table(("grader", *OUTCOMES), [(name, *(counted[o] for o in OUTCOMES)) for name, counted in counts.items()])


def form_table() -> str:
    """How many answers of each form agree, a row per grader."""
    members = {kind: [case for case in CASES if case.kind == kind] for kind in KINDS}
    head = ("grader", *(f"{KINDS[kind]} ({len(cases)})" for kind, cases in members.items()))
    rows = [(g.name, *(_agreeing(g, cases) for cases in members.values())) for g in GRADERS]
    return _table(head, rows)


def _agreeing(grader: Grader, cases: Sequence[Case]) -> int:
    return Counter(outcomes(grader, cases).values())["agrees"]


def fault_table() -> str:
    """Which answers were guessed and which reversed, a row per grader that has any."""
    rows = [(g.name, _names(g, "guessed"), _names(g, "reversed")) for g in GRADERS]
    return _table(("grader", "guessed", "reversed"), rows, align="---")


def _names(grader: Grader, wanted: Outcome) -> str:
    return "; ".join(name for name, found in outcomes(grader).items() if found == wanted) or "-"


def limit_table() -> str:
    """What each grader reads of the answers whose form misleads, a row per answer."""
    rows = [(c.name, _shown(c.meaning), *(_shown(g.reading(c.text)) for g in GRADERS)) for c in LIMITS]
    return _table(("answer", "meant", *(g.name for g in GRADERS)), rows, align="---")


def _shown(reading: Reading) -> str:
    return reading or "-"


def count_table() -> str:
    """What either way of counting makes of the same simulated parts."""
    parts = simulated()
    rows = [
        (name, f"{count.share:.1%}", count.counted, count.ignored)
        for name, count in (("`adfm eval`", adfm_count(parts)), ("MMAD's summary", mmad_count(parts)))
    ]
    return _table(("counted as", "right", "answers counted", "read answers left out"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]], align: str = "---:") -> str:
    names = list(head)
    lines = [names, ["---"] + [align] * (len(names) - 1), *(map(str, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_tables(page: str, content: str) -> str:
    """Return the page with the text between its markers replaced.

    Raises:
        ValueError: the page does not hold the two markers exactly once, in order.
    """
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{content}\n{END}{tail}"


def main() -> None:
    """Print the tables and write them into the page."""
    print(tables())
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8"), tables()))


if __name__ == "__main__":
    main()
