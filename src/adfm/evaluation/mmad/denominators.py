"""How many questions the published MMAD has of each sub-task, and whether a file holds all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from adfm.errors import DataError
from adfm.evaluation.mmad.questions import DETECTION, TASKS, Entry
from adfm.records import LABELS

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
QUESTIONS = sum(PUBLISHED.values())


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
    if counts.total() != QUESTIONS:
        return (
            f"{origin} holds {counts.total()} of MMAD's {QUESTIONS} questions ({max(0, QUESTIONS - counts.total())} are "
            "missing): its figures cannot be compared with published ones",
        )
    for cell in sorted({*counts, *PUBLISHED}):
        if counts[cell] != PUBLISHED.get(cell, 0):
            name = ", ".join(part for part in cell if part)
            raise DataError(
                f"{origin}: {name}: {counts[cell]} questions, MMAD has {PUBLISHED.get(cell, 0)}; download it again"
            )
    return ()
