"""Answers of inspection models and what each writer plainly meant; the graders that read them are in `graders.py`.

The question is always whether the part has a defect, and in multiple choice `A. Yes.` and `B. No.`. Every answer was written for
this comparison, many of them to be hard to read, so their number says nothing about how often a model writes so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adfm.geometry import Box, Frame
from adfm.reasoning import PIXELS, canonical, prompt
from adfm.records import Label, Sample

Kind = Literal["ours", "letter", "yes_no", "prose", "nothing"]

KINDS: dict[Kind, str] = {
    "ours": "our blocks",
    "letter": "letters",
    "yes_no": "yes or no",
    "prose": "prose",
    "nothing": "nothing meant",
}

FRAME = Frame.original(640, 480)
"""The image that every answer is about, in pixels."""


@dataclass(frozen=True)
class Case:
    """One answer: the form it is written in, what shows in tables, the text, and its meaning (None: no verdict)."""

    kind: Kind
    name: str
    text: str
    meaning: Label | None


def _sample(label: Label) -> Sample:
    boxes = (Box(40, 60, 120, 100),) if label == "anomalous" else ()
    return Sample("s", "s.png", FRAME.width, FRAME.height, label, "bottle", "crack", None, boxes, "test", "0")


_NORMAL = '{"verdict": "normal", "regions": []}'
_CRACK = '{"bbox_2d": [40, 60, 120, 100], "label": "crack"}'
_ANOMALOUS = f'{{"verdict": "anomalous", "regions": [{_CRACK}]}}'


def _answer(examined: str, decided: str) -> str:
    return f"<locate>[{_CRACK}]</locate>\n<examine>1: {examined}</examine>\n<answer>{decided}</answer>"


def _thought(thinking: str, answer: str) -> str:
    return f"<think>{thinking}</think><answer>{answer}</answer>"


_OURS: tuple[tuple[str, str, Label], ...] = (
    ("canonical, normal", canonical(_sample("normal"), FRAME), "normal"),
    ("canonical, anomalous", canonical(_sample("anomalous"), FRAME), "anomalous"),
    ("a harmless candidate", _answer("A printed mark, not a defect", _NORMAL), "normal"),
    ("examined as 'not anomalous'", _answer("not anomalous, only a reflection", _NORMAL), "normal"),
    (
        "a label with letters and 'no'",
        _answer("E is missing", _ANOMALOUS.replace("crack", "no E in LABEL")),
        "anomalous",
    ),
    ("spread over lines", _answer("deep", _ANOMALOUS.replace(", ", ",\n  ")), "anomalous"),
    ("answer block alone", f"<answer>{_NORMAL}</answer>", "normal"),
    ("chatter around it", f"Here you are.\n{_answer('deep', _ANOMALOUS)}\nAsk me anything.", "anomalous"),
    ("located list broken", f"<locate>[{_CRACK[:9]}</locate><answer>{_ANOMALOUS}</answer>", "anomalous"),
    ("corners swapped", _answer("deep", _ANOMALOUS.replace("40, 60, 120, 100", "120, 100, 40, 60")), "anomalous"),
    ("code fence inside the block", _answer("clean", f"```json\n{_NORMAL}\n```"), "normal"),
    ("single quotes", _answer("deep", _ANOMALOUS.replace('"', "'")), "anomalous"),
    ("capital in the verdict", _answer("clean", _NORMAL.replace("normal", "Normal")), "normal"),
    ("cut off after the verdict", _answer("deep", _ANOMALOUS)[:-40], "anomalous"),
)

_LETTER: tuple[tuple[str, str, Label], ...] = (
    ("A", "A", "anomalous"),
    ("B.", "B.", "normal"),
    ("lower case b", "b", "normal"),
    ("Answer: A.", "Answer: A.", "anomalous"),
    ("letter and option", "B. No.", "normal"),
    ("A and why", "A. The rim is broken.", "anomalous"),
    ("B in answer tags", _thought("The rim is even and clean.", "B"), "normal"),
    ("A, with B in the thinking", _thought("Option B can be ruled out.", "A"), "anomalous"),
    ("B, then a sentence with A", "B. A part of this kind has such marks by design.", "normal"),
    ("B, because A would show", "The answer is B, because with A the outline would be broken.", "normal"),
    ("a word before B in the tags", "<answer>Correct option: B</answer>", "normal"),
    ("a sentence before B in the tags", "<answer>All edges are clean: B</answer>", "normal"),
)

_YES_NO: tuple[tuple[str, str, Label], ...] = (
    ("YES with a reason", "YES: The image has a crack on the rim.", "anomalous"),
    ("NO with a reason", "NO: The surface is even.", "normal"),
    ("no, alone", "no", "normal"),
    ("a space before Yes", " Yes, there is a dent.", "anomalous"),
    ("Answer: yes", "Answer: yes", "anomalous"),
    ("No in answer tags", _thought("The surface is even.", "No"), "normal"),
    (
        "Yes with place and type",
        "<think>Look.</think><location>top left</location><type>crack</type><answer>Yes</answer>",
        "anomalous",
    ),
    ("lines inside the tags", _thought("Something is broken.", "\nYes\n"), "anomalous"),
    ("Yes and why in the tags", "<answer>Yes, an abnormal stain</answer>", "anomalous"),
    ("No defects in the tags", "<answer>No defects</answer>", "normal"),
    ("the word anomalous in the tags", "<answer>Anomalous</answer>", "anomalous"),
    ("the word abnormal in the tags", "<answer>abnormal</answer>", "anomalous"),
    ("the word defective in the tags", "<answer>defective</answer>", "anomalous"),
    ("the word normal in the tags", "<answer>Normal</answer>", "normal"),
    ("anomaly present: yes", "anomaly present: yes", "anomalous"),
    ("no doubt, yes", "No doubt about it: yes, the rim is broken.", "anomalous"),
)

_PROSE: tuple[tuple[str, str, Label], ...] = (
    ("is normal", "The part is normal.", "normal"),
    ("there is no defect", "There is no defect on this part.", "normal"),
    ("cannot find any defect", "I cannot find any defect; the part is fine.", "normal"),
    ("not free of defects", "It is not free of defects.", "anomalous"),
    ("scratched", "The surface is scratched near the rim.", "anomalous"),
    ("A crack", "A crack runs across the rim.", "anomalous"),
    ("A flawless bottle", "A flawless bottle.", "normal"),
    ("eyes of the hook", "The eyes of the hook are intact, so the part passes.", "normal"),
    ("German, good", "Kein Fehler zu sehen, das Teil ist in Ordnung.", "normal"),
    ("German, bad", "Das Teil hat einen Kratzer.", "anomalous"),
    ("Spanish, bad", "No está bien: hay una grieta.", "anomalous"),
    ("Chinese, good", "该零件没有缺陷。", "normal"),
    ("Chinese, bad", "表面有划痕，不合格。", "anomalous"),
)

_NOTHING: tuple[tuple[str, str], ...] = (
    ("empty", ""),
    ("white space", " \n"),
    ("empty answer tags", "<think></think><answer></answer>"),
    ("refusal", "I'm sorry, but I can't assist with that."),
    ("no picture seen", "I cannot see any image. Please upload the picture."),
    ("too dark", "It may or may not be anomalous; the picture is too dark."),
    ("unknown", "<answer>unknown</answer>"),
    ("blurred", "<answer>Blurred picture</answer>"),
    ("both at once", "Yes and no."),
    ("both letters", "The answer is A or B."),
    ("our prompt, copied", prompt(category="bottle", frame_hint=PIXELS)),
    ("the choices, copied", "Is there any defect in the object?\nA. Yes.\nB. No."),
    ("cut off while thinking", "<think>The upper edge of the part looks"),
    ("cut off before the verdict", _answer("deep", _ANOMALOUS).partition("anomalous")[0]),
    ("two blocks, opposite verdicts", f"<answer>{_NORMAL}</answer>\n<answer>{_ANOMALOUS}</answer>"),
    ("one block, opposite verdicts", '<answer>{"verdict": "normal", "verdict": "anomalous", "regions": []}</answer>'),
    ("verdict null", '<answer>{"verdict": null, "regions": []}</answer>'),
)

CASES: tuple[Case, ...] = (
    *(Case("ours", *each) for each in _OURS),
    *(Case("letter", *each) for each in _LETTER),
    *(Case("yes_no", *each) for each in _YES_NO),
    *(Case("prose", *each) for each in _PROSE),
    *(Case("nothing", *each, None) for each in _NOTHING),
)

LIMITS: tuple[Case, ...] = (
    Case("nothing", "our block, quoted", f"You want <answer>{_NORMAL}</answer>, but I see no picture.", None),
    Case("ours", "our block, then taken back", f"<answer>{_NORMAL}</answer> Wrong: the rim is broken.", "anomalous"),
    Case(
        "nothing",
        "normal, and yet a defect listed",
        f"<answer>{_ANOMALOUS.replace('anomalous', 'normal')}</answer>",
        None,
    ),
)
"""Answers whose block is in our form and does not say what the writer meant; no reading of the form can see that."""
