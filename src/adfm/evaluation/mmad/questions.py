"""`mmad.json` and `domain_knowledge.json` as published, read strictly: pictures with their multiple-choice questions.

Paths must stay below the data root. Left out: the masks, which no question needs, and the pictures themselves.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from adfm.errors import DataError
from adfm.records import Label

QUESTIONS = "mmad.json"
KNOWLEDGE = "domain_knowledge.json"
MAX_BYTES = 256 << 20
LETTERS = "ABCDEFGH"
TASKS = (
    "Anomaly Detection",
    "Defect Classification",
    "Defect Localization",
    "Defect Description",
    "Defect Analysis",
    "Object Classification",
    "Object Analysis",
)
DETECTION = TASKS[0]
_FOLDED = {"Object Structure": "Object Analysis", "Object Details": "Object Analysis"}
_KNOWLEDGE_KEY = {"DS-MVTec": "MVTec"}
DENOMINATORS: Mapping[str, tuple[int, ...]] = {
    "DS-MVTec": (1691, 1205, 1193, 1213, 1205, 464, 1367),
    "MVTec-LOCO": (1565, 982, 982, 974, 954, 544, 1623),
    "VisA": (2141, 1190, 1197, 1190, 1163, 935, 2806),
    "GoodsAD": (2900, 1311, 1506, 1333, 1460, 1211, 3367),
}
"""Questions of the published benchmark by data set, in the order of `TASKS`; 39,672 in all."""
DETECTION_SIDES: Mapping[str, tuple[int, int]] = {
    "DS-MVTec": (1226, 465),
    "MVTec-LOCO": (992, 573),
    "VisA": (1198, 943),
    "GoodsAD": (1631, 1269),
}
"""Of which Anomaly Detection questions on abnormal and on normal pictures."""
TOTAL = sum(map(sum, DENOMINATORS.values()))


@dataclass(frozen=True)
class Question:
    """One question about one picture; `options` are lettered A, B, ... in the file's order, `answer` is such a letter."""

    image: str
    number: int
    kind: str
    text: str
    options: tuple[str, ...]
    answer: str

    @property
    def id(self) -> str:
        """The picture and the question's number on it, from 1."""
        return f"{self.image}#{self.number}"

    @property
    def letters(self) -> str:
        """The letters of the options."""
        return LETTERS[: len(self.options)]

    @property
    def task(self) -> str:
        """The sub-task; two published kinds count as Object Analysis."""
        return _FOLDED.get(self.kind, self.kind)

    @property
    def dataset(self) -> str:
        """The data set: the first part of the picture's path."""
        return self.image.split("/")[0]

    @property
    def label(self) -> Label:
        """Normal if a folder of the path is called `good`."""
        return label_of(self.image)


@dataclass(frozen=True)
class Entry:
    """One picture of the benchmark: its questions and the normal pictures that may be shown with it, best first."""

    image: str
    mask: str | None
    random_templates: tuple[str, ...]
    similar_templates: tuple[str, ...]
    questions: tuple[Question, ...]

    @property
    def category(self) -> tuple[str, str]:
        """The data set and the object: the first two parts of the path."""
        parts = self.image.split("/")
        return parts[0], parts[1]

    @property
    def label(self) -> Label:
        """Normal if a folder of the path is called `good`."""
        return label_of(self.image)


class Benchmark(NamedTuple):
    """The entries in the file's order, and what a user should know about the file."""

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    @property
    def questions(self) -> tuple[Question, ...]:
        """All questions, in the file's order."""
        return tuple(question for entry in self.entries for question in entry.questions)


def label_of(image: str) -> Label:
    """Return a picture's label by its folders."""
    return "normal" if "good" in PurePosixPath(image).parts[:-1] else "anomalous"


def read_benchmark(root: Path) -> Benchmark:
    """Read `mmad.json` in a folder.

    Raises:
        DataError: missing, too large, or an entry that breaks the published form; the message names the entry.
    """
    file = root / QUESTIONS
    content, doubled = _read(file)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{file}: must be a JSON object of pictures and hold at least one")
    notes = [f"{file.name} holds {doubled} keys twice; the last counts, as in the published reader"] if doubled else []
    return Benchmark(tuple(_entry(f"{file}: '{image}'", image, row) for image, row in content.items()), tuple(notes))


def read_knowledge(root: Path) -> dict[tuple[str, str], str]:
    """Read `domain_knowledge.json`: all texts of an object joined by newlines, by (data set as in its file, object).

    Raises:
        DataError: missing, too large, or not data set -> object -> name -> text.
    """
    file = root / KNOWLEDGE
    content, _ = _read(file)
    found: dict[tuple[str, str], str] = {}
    for dataset, objects in _object(file, content).items():
        for name, texts in _object(f"{file}: '{dataset}'", objects).items():
            values = list(_object(f"{file}: '{dataset}' '{name}'", texts).values())
            if not all(isinstance(text, str) for text in values):
                raise DataError(f"{file}: '{dataset}' '{name}': every value must be a text")
            found[dataset, name] = "\n".join(values)
    return found


def knowledge_of(knowledge: Mapping[tuple[str, str], str], entry: Entry) -> str | None:
    """Return the texts about an entry's object, None if there are none."""
    dataset, name = entry.category
    return knowledge.get((_KNOWLEDGE_KEY.get(dataset, dataset), name))


def counts(questions: tuple[Question, ...]) -> Counter[tuple[str, str]]:
    """Return the number of questions by (data set, sub-task)."""
    return Counter((question.dataset, question.task) for question in questions)


def differences(questions: tuple[Question, ...]) -> list[str]:
    """Return one line per count that is not the published benchmark's; none for the full set."""
    sides = Counter((each.dataset, each.label) for each in questions if each.task == DETECTION)
    found = {f"{dataset}, {task}": n for (dataset, task), n in counts(questions).items()}
    found |= {f"{dataset}, {DETECTION} on {label} pictures": n for (dataset, label), n in sides.items()}
    published = dict(_published())
    return [
        f"{cell}: {found.get(cell, 0)} of {published.get(cell, 0)}"
        for cell in [*published, *(cell for cell in found if cell not in published)]
        if found.get(cell, 0) != published.get(cell, 0)
    ]


def _published() -> Iterator[tuple[str, int]]:
    for dataset, numbers in DENOMINATORS.items():
        yield from ((f"{dataset}, {task}", number) for task, number in zip(TASKS, numbers, strict=True))
        abnormal, normal = DETECTION_SIDES[dataset]
        yield f"{dataset}, {DETECTION} on anomalous pictures", abnormal
        yield f"{dataset}, {DETECTION} on normal pictures", normal


def _read(file: Path) -> tuple[Any, int]:
    """Return a JSON document and how many keys stand twice in one object."""
    doubled = 0

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        found = dict(pairs)
        doubled += len(pairs) - len(found)
        return found

    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{file}: is over {MAX_BYTES >> 20} MiB; this is not the published file")
        return json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=collect), doubled
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}); --data must be the folder that holds it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not valid JSON ({error})") from error


def _entry(where: str, image: str, row: Any) -> Entry:
    row = _object(where, row)
    if row.get("image_path", image) != image:
        raise DataError(f"{where}: 'image_path' is another picture")
    if _path(where, image).count("/") < 2:
        raise DataError(f"{where}: a picture's path must be DATASET/OBJECT/.../NAME")
    # The published reader takes the first key of that beginning, so a renamed conversation still counts.
    talk = next((row[key] for key in row if key.startswith("conversation")), [])
    if not isinstance(talk, list):
        raise DataError(f"{where}: the conversation must be a list")
    mask = row.get("mask_path") or None
    return Entry(
        image,
        None if mask is None else _path(where, mask),
        _paths(where, row.get("random_templates")),
        _paths(where, row.get("similar_templates")),
        tuple(_question(f"{where}, question {number}", image, number, each) for number, each in enumerate(talk, 1)),
    )


def _question(where: str, image: str, number: int, row: Any) -> Question:
    row = _object(where, row)
    texts = {key: row.get(key) for key in ("Question", "Answer", "type")}
    for key, value in texts.items():
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: '{key}' must be a text")
    options = _object(f"{where}: 'Options'", row.get("Options"))
    if not 2 <= len(options) <= len(LETTERS) or not all(isinstance(text, str) for text in options.values()):
        raise DataError(f"{where}: 'Options' must hold 2 to {len(LETTERS)} texts")
    if texts["Answer"] not in options:
        raise DataError(f"{where}: the answer '{texts['Answer']}' is none of the options")
    if _FOLDED.get(str(texts["type"]), texts["type"]) not in TASKS:
        raise DataError(f"{where}: the type '{texts['type']}' is none of MMAD's")
    letter = LETTERS[list(options).index(str(texts["Answer"]))]
    return Question(image, number, str(texts["type"]), str(texts["Question"]), tuple(options.values()), letter)


def _object(where: object, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: must be a JSON object")
    return value


def _paths(where: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise DataError(f"{where}: templates must be a list of paths")
    return tuple(_path(where, path) for path in value)


def _path(where: str, path: Any) -> str:
    """Return a path that stays below the root on every system."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise DataError(f"{where}: a path must be a text")
    if PureWindowsPath(path).anchor or ".." in PureWindowsPath(path).parts:
        raise DataError(f"{where}: the path '{path}' leaves the data folder; it must be relative, without '..'")
    return path
