"""The journal of a run: a row for every step, synced before a checkpoint counts on it, and cut back to it on resume."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from adfm.errors import DataError, NotFiniteError
from adfm.storage import Journal, sync_folder, write_bytes
from adfm.training.subject import is_first_process

StepProgress = Callable[[int, int, dict[str, float]], None]
"""(step, steps, quantities) after every optimizer step."""
LOGGED = {name: name for name in ("loss", "grad_norm", "learning_rate")}
"""What every stage logs: name in the engine's log -> name in `metrics.jsonl`."""
COLLAPSED_AFTER = 3
"""Steps in a row without one readable answer after which the policy counts as collapsed."""


class RunJournal(TrainerCallback):  # type: ignore[misc]
    """`metrics.jsonl`, the same for the same seed, and beside it `timings.jsonl` with the seconds, which never are.

    The seconds of a resumed run continue from those of its checkpoint. `rows` are those of the run so far.
    """

    def __init__(
        self,
        run: Path,
        *,
        resumed_at: int,
        steps: int,
        progress: StepProgress | None,
        names: Mapping[str, str] = LOGGED,
    ) -> None:
        self._run, self._steps, self._progress, self._names = run, steps, progress, names
        self._writes = is_first_process()
        self.rows: list[dict[str, Any]] = []
        self._started = time.monotonic()
        if self._writes:
            remedy = f"remove the newest folder in {run / 'checkpoints'} to resume from an older one, or start over without any"
            self.rows = cut_journal(run / "metrics.jsonl", resumed_at, remedy)
            earlier = cut_journal(run / "timings.jsonl", resumed_at, remedy)
            self._started -= earlier[-1]["seconds"] if earlier else 0
            self._metrics = Journal(run / "metrics.jsonl", fresh=resumed_at == 0)
            self._timings = Journal(run / "timings.jsonl", fresh=resumed_at == 0)

    def seconds(self) -> float:
        """Return the seconds of training so far, those before the checkpoint included."""
        return time.monotonic() - self._started

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Receive what the engine logged at this step, and sync it if a checkpoint follows.

        The closing summary of a run has no loss and is left out.
        """
        if logs and "loss" in logs:
            named = {ours: logs[theirs] for theirs, ours in self._names.items() if theirs in logs}
            self.receive(state.global_step, named)
            if control.should_save:
                self.sync()

    def receive(self, step: int, quantities: dict[str, float]) -> None:
        """Append one row and report progress. The mean of a reward that applied to no answer is left out.

        Raises:
            NotFiniteError: any other quantity is not a finite number.
        """
        if not self._writes:
            return
        finite = {name: value for name, value in quantities.items() if not _never_applied(name, value)}
        for name, value in finite.items():
            if not math.isfinite(value):
                raise NotFiniteError(f"step {step}: {name} is {value}")
        row = {"step": step, **finite}
        self.rows.append(row)
        self._metrics.append(row)
        self._timings.append({"step": step, "seconds": round(self.seconds(), 3)})
        if collapsed_at(self.rows[-COLLAPSED_AFTER - 1 :]) == step - COLLAPSED_AFTER + 1:
            logging.getLogger("adfm").warning(
                f"{self._run}: not one answer of the last {COLLAPSED_AFTER} steps could be read (unread_rate 1 since step "
                f"{step - COLLAPSED_AFTER + 1}): the policy has collapsed, or it was never taught the format by `adfm train sft`"
            )
        if self._progress:
            self._progress(step, self._steps, finite)

    def sync(self) -> None:
        """Flush both files to the disk: a power cut loses no row that a checkpoint counts on."""
        if self._writes:
            self._metrics.sync()
            self._timings.sync()
            sync_folder(self._run)

    def close(self) -> None:
        """Flush both files and close them."""
        if self._writes:
            self._metrics.close()
            self._timings.close()


def _never_applied(name: str, value: float) -> bool:
    return name.startswith("reward") and math.isnan(value)


def collapsed_at(rows: list[dict[str, Any]]) -> int | None:
    """Return the first step of the first `COLLAPSED_AFTER` rows in a row without one readable answer, if there are any."""
    unread = 0
    for row in rows:
        unread = unread + 1 if row.get("unread_rate") == 1 else 0
        if unread == COLLAPSED_AFTER:
            return int(row["step"]) - COLLAPSED_AFTER + 1
    return None


def cut_journal(path: Path, last: int, remedy: str) -> list[dict[str, Any]]:
    """Cut a journal back to the rows of steps 1 to `last`, because later ones will be written again. Return what is left.

    Raises:
        DataError: the row of one of these steps is missing or damaged; the message ends in `remedy`.
    """
    if not last:
        return []
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    rows = []
    for step in range(1, last + 1):
        try:
            row = json.loads(lines[step - 1])
            intact = row["step"] == step
        except (IndexError, ValueError, TypeError, KeyError, RecursionError):
            intact = False
        if not intact:
            raise DataError(f"{path}:{step}: the row of step {step} is missing or damaged; {remedy}")
        rows.append(row)
    write_bytes(path, b"".join(line + b"\n" for line in lines[:last]))
    return rows
