"""`mmad.json` and `domain_knowledge.json` as published, read strictly: images with their multiple-choice questions.

Every path must stay below the data folder. `check_complete` compares the number of questions of each sub-task with the
published one. Left out: the masks, which no question needs, and the images themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from adfm.errors import DataError
from adfm.records import LABELS, Label
from adfm.storage import read_json

QUESTIONS = "mmad.json"
MAX_BYTES = 256 << 20
LETTERS = "ABCDE"
DETECTION = "Anomaly Detection"
TASKS = (
    DETECTION,
    "Defect Classification",
    "Defect Localization",
    "Defect Description",
    "Defect Analysis",
    "Object Classification",
    "Object Analysis",
)
_FOLDED = {"Object Structure": "Object Analysis", "Object Details": "Object Analysis"}
_KNOWN_AS = {"DS-MVTec": "MVTec"}
"""Data sets that `domain_knowledge.json` calls by another name."""

T = TypeVar("T", dict[str, Any], list[Any])
Knowledge = Mapping[tuple[str, str], str]
"""All texts about an object, by data set (as that file names it) and object."""


@dataclass(frozen=True)
class Item:
    """One multiple-choice question about one image.

    `number` counts from 1. `options` are (letter, text) in the file's order, and `answer` is the true letter.

    Letters are given by position, as in the published reader. `task` is one of `TASKS`: the published `Object Structure`
    and `Object Details` count as `Object Analysis`.
    """

    image: str
    number: int
    task: str
    text: str
    options: tuple[tuple[str, str], ...]
    answer: str

    @property
    def id(self) -> str:
        """The image and the question's number on it."""
        return f"{self.image}#{self.number}"

    @property
    def letters(self) -> str:
        """The letters that may be answered."""
        return "".join(letter for letter, _ in self.options)


@dataclass(frozen=True)
class Entry:
    """One image: its questions, and the normal images that may be shown with it, in the file's order."""

    image: str
    templates: tuple[str, ...]
    questions: tuple[Item, ...]

    @property
    def category(self) -> tuple[str, str]:
        """The data set and the object: the first two parts of the path."""
        dataset, name = self.image.split("/")[:2]
        return dataset, name

    @property
    def label(self) -> Label:
        """The image's label."""
        return label_of(self.image)


def label_of(image: str) -> Label:
    """Return an image's label by the published rule: a path with `good` in lower case is normal."""
    return "normal" if "good" in image else "anomalous"


def read_entries(root: Path) -> tuple[Entry, ...]:
    """Read the `mmad.json` of a folder.

    Raises:
        DataError: missing, too large, empty, or an entry that breaks the published form. The message names the entry.
    """
    file = root / QUESTIONS
    if not file.is_file():
        raise DataError(
            f"{file}: no such file; --data must be the folder that holds MMAD's {QUESTIONS} and its data sets"
        )
    content = _typed(str(file), _read(file), dict)
    if not content:
        raise DataError(f"{file}: holds no image; download it again")
    entries = []
    for image, value in content.items():
        where = f"{file}: '{image}'"
        row = _typed(where, value, dict)
        if row.get("image_path", image) != image:
            raise DataError(f"{where}: 'image_path' names another image; it must repeat the key")
        # As in the published reader: any key of that beginning, and the first of them.
        conversation: Any = next((row[key] for key in row if key.startswith("conversation")), [])
        items = _typed(f"{where}: the conversation", conversation, list)
        templates = _typed(f"{where}: 'random_templates'", row.get("random_templates") or [], list)
        entries.append(
            Entry(
                _path(where, image),
                tuple(_path(where, path) for path in templates),
                tuple(_item(f"{where}, question {n}", image, n, item) for n, item in enumerate(items, 1)),
            )
        )
    return tuple(entries)


def read_knowledge(file: Path) -> Knowledge:
    """Read a `domain_knowledge.json` (data set -> object -> name -> text). Newlines join an object's texts.

    Raises:
        DataError: missing, too large, or of another form.
    """
    return {
        (dataset, name): "\n".join(_texts(f"{file}: '{dataset}' '{name}'", texts))
        for dataset, objects in _typed(str(file), _read(file), dict).items()
        for name, texts in _typed(f"{file}: '{dataset}'", objects, dict).items()
    }


def knowledge_of(knowledge: Knowledge, entry: Entry) -> str | None:
    """Return the texts about an entry's object, None if there are none."""
    dataset, name = entry.category
    return knowledge.get((_KNOWN_AS.get(dataset, dataset), name))


def _read(file: Path) -> Any:
    if file.is_file() and file.stat().st_size > MAX_BYTES:
        raise DataError(f"{file}: is over {MAX_BYTES >> 20} MiB and cannot be MMAD's; download it again")
    return read_json(file)


def _item(where: str, image: str, number: int, value: Any) -> Item:
    row = _typed(where, value, dict)
    text, answer, kind = (_text(f"{where}: '{key}'", row.get(key)) for key in ("Question", "Answer", "type"))
    task = _FOLDED.get(kind, kind)
    if task not in TASKS:
        raise DataError(f"{where}: the type '{kind}' is none of MMAD's")
    options = _typed(f"{where}: 'Options'", row.get("Options"), dict)
    if not 2 <= len(options) <= len(LETTERS):
        raise DataError(f"{where}: 'Options' must hold 2 to {len(LETTERS)} options, not {len(options)}")
    if answer not in options:
        raise DataError(f"{where}: the answer '{answer}' is none of its options {', '.join(options)}")
    texts = _texts(f"{where}: 'Options'", options)
    letter = LETTERS[list(options).index(answer)]
    return Item(image, number, task, text, tuple(zip(LETTERS, texts, strict=False)), letter)


def _typed(where: str, value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise DataError(f"{where}: must be {'a list' if kind is list else 'a JSON object'}")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} must be a text")
    return value


def _texts(where: str, value: Any) -> list[str]:
    return [_text(f"{where} '{name}'", text) for name, text in _typed(where, value, dict).items()]


def _path(where: str, path: Any) -> str:
    """Return a path DATASET/OBJECT/.../IMAGE that stays below the data folder on every system."""
    windows = PureWindowsPath(_text(f"{where}: a path", path))
    if windows.anchor or ".." in windows.parts or "\0" in path:
        raise DataError(f"{where}: the path '{path}' leaves the data folder; it must be relative and without '..'")
    if len(PurePosixPath(path).parts) < 3:
        raise DataError(f"{where}: '{path}' must be a path DATASET/OBJECT/.../IMAGE with '/' between its parts")
    return str(path)


IMAGES = 8366
COUNTS: Mapping[str, tuple[int, ...]] = {
    "DS-MVTec": (465, 1226, 1205, 1193, 1213, 1205, 464, 1367),
    "MVTec-LOCO": (573, 992, 982, 982, 974, 954, 544, 1623),
    "VisA": (943, 1198, 1190, 1197, 1190, 1163, 935, 2806),
    "GoodsAD": (1269, 1631, 1311, 1506, 1333, 1460, 1211, 3367),
}
"""Questions by data set: Anomaly Detection on normal and on anomalous images, then the other `TASKS`.

Source: the result files that the benchmark's authors published (jam-cc/MMAD, `all_result/`); 39,672 in all."""
CELLS = (*((DETECTION, str(label)) for label in LABELS), *((task, "") for task in TASKS[1:]))
PUBLISHED = {
    (dataset, *cell): count for dataset, counts in COUNTS.items() for cell, count in zip(CELLS, counts, strict=True)
}
QUESTION_COUNT = sum(PUBLISHED.values())


def counted(entries: Sequence[Entry]) -> Counter[tuple[str, str, str]]:
    """Return the number of questions by data set, sub-task and, for Anomaly Detection, label (else empty)."""
    return Counter(
        (entry.category[0], question.task, entry.label if question.task == DETECTION else "")
        for entry in entries
        for question in entry.questions
    )


def check_complete(entries: Sequence[Entry], origin: str) -> tuple[str, ...]:
    """Return a warning if this is not all of the benchmark, nothing if it is.

    Raises:
        DataError: as many questions as the benchmark, but not of each sub-task. The message names the first difference.
    """
    counts = counted(entries)
    if counts.total() != QUESTION_COUNT:
        return (
            f"{origin} holds {counts.total()} of MMAD's {QUESTION_COUNT} questions ({max(0, QUESTION_COUNT - counts.total())} are "
            "missing): its figures cannot be compared with published ones",
        )
    for cell in sorted({*counts, *PUBLISHED}):
        if counts[cell] != PUBLISHED.get(cell, 0):
            name = ", ".join(part for part in cell if part)
            raise DataError(
                f"{origin}: {name}: {counts[cell]} questions, MMAD has {PUBLISHED.get(cell, 0)}; download it again"
            )
    return ()
