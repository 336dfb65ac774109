"""Trainings in forked children that are killed for real, or fail: at the n-th call that changes a file, or after some time.

A fork costs no import. A child that is forked in the middle of a training goes on from there.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from quick import few_samples, grpo_settings, noisy_rewards, sft_settings, state
from safetensors import SafetensorError

from adfm.errors import UserError
from adfm.ownership import MARKER
from adfm.storage import STAGING, sha256_bytes, sha256_file
from adfm.training import grpo
from adfm.training.settings import GrpoSettings, SftSettings
from adfm.training.sft import train_sft

RUN = Path("run")
"""Every run is in a working directory of its own, so that it may be moved."""
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
NOT_REACHED = 77
"""How a child exits that made fewer calls than the trap waits for."""
LAST = 2
"""The steps of a run. Each is saved, and one checkpoint is kept: the last save also removes the one before."""


@dataclass(frozen=True)
class Training:
    """One kind of run on the tiniest model."""

    stage: str
    model: Path
    data: Path

    def settings(self) -> SftSettings | GrpoSettings:
        """Settings of a run whose checkpoints are as many as its steps."""
        common: dict[str, Any] = {"steps": LAST, "save_every": 1, "keep_checkpoints": 1}
        if self.stage == "sft":
            return sft_settings(self.model, self.data, RUN, micro_batch=2, **common)
        return grpo_settings(self.model, self.data, RUN, **common)

    def __call__(self, progress: Any = None) -> None:
        """Start the run in the working directory, or resume it."""
        settings, resume = self.settings(), (RUN / MARKER).is_file()
        if isinstance(settings, GrpoSettings):
            grpo.trl_rewards = noisy_rewards()  # type: ignore[assignment] - this process is a child
            grpo.train_grpo(settings, resume=resume, progress=progress)
        else:
            train_sft(settings, resume=resume, progress=progress)


def forked(work: Callable[[], None], folder: Path) -> int:
    """Run `work` in a child whose working directory is `folder`, made where it is missing. Return the child's id.

    It exits with 2 after a mistake of the user, whose line is kept in `refusal`, and with `NOT_REACHED` as `CallTrap` says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.chdir(folder)
        handle = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        work()
        code = 0
    except UserError as error:
        Path("refusal").write_text(str(error))
        code = error.exit_code
    except BaseException:  # noqa: BLE001 - a child must not return into the tests
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(NOT_REACHED if CallTrap.installed and not CallTrap.installed.reached else code)


def finished(child: int) -> int:
    """Wait for a child and return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class CallTrap:
    """Kills this process at the n-th call that changes a file below a folder, or lets that call fail. In a child alone.

    Writers of other languages are seen from their Python side: before they write, and with half of the file written.
    """

    installed: CallTrap | None = None

    def __init__(self, folder: Path, number: int, *, kill: bool) -> None:
        self._folder, self._left, self._kill, self.reached = str(folder.resolve()), number, kill, False
        CallTrap.installed = self
        sys.addaudithook(self._audited)
        full = OSError(errno.ENOSPC, "No space left on device")
        os.fsync = self._counted(os.fsync, full)
        os.write = self._counted(os.write, full)
        torch.save = self._counted(
            torch.save, RuntimeError("PytorchStreamWriter failed writing file data/0"), torn=True
        )
        serialize, refused = safetensors.torch.serialize_file, SafetensorError("I/O error: No space left on device")
        safetensors.torch.serialize_file = self._counted(serialize, refused, torn=True)

    def _call(self, failure: Exception, half_of: str | Path | None = None) -> None:
        self._left -= 1
        if self._left:
            return
        self.reached = True
        if half_of:
            os.truncate(half_of, Path(half_of).stat().st_size // 2)
        if self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise failure

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            changes = path is not None and flags & (os.O_WRONLY | os.O_RDWR) and self._within(path)
        else:
            changes = event in CHANGES and (self._within(arguments[0]) or _in_a_tree(event, arguments))
        if changes:
            self._call(OSError(errno.ENOSPC, "No space left on device"))

    def _within(self, path: Any) -> bool:
        return not isinstance(path, int) and str(Path(os.fsdecode(path)).absolute()).startswith(self._folder)

    def _counted(self, function: Callable[..., Any], failure: Exception, *, torn: bool = False) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self._call(failure)
            result = function(*given, **named)
            if torn:
                self._call(failure, half_of=given[1])
            return result

        return call


def _in_a_tree(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether `shutil.rmtree` removes something by its name inside an open folder."""
    return event in ("os.remove", "os.rmdir") and arguments[1] >= 0


def interrupted_everywhere(training: Training, out: Path, *, kill: bool = True) -> dict[int, Path]:
    """Train up to the last save, and from there once for every call that changes a file, which kills or fails.

    Returns the number of each call and the working directory that it left; `exit` there holds how the child ended.
    """
    trunk = forked(lambda: training(lambda step, *_: _fork_for_each_call(step, out, kill)), out / "trunk")
    code = finished(trunk)
    if code:
        raise AssertionError((out / "trunk" / "log").read_text()[-2000:])
    return {int(folder.name.removeprefix("call-")): folder for folder in out.glob("call-*")}


def _fork_for_each_call(step: int, out: Path, kill: bool) -> None:
    """In the training process, when the last step is reported: fork, let the child go on, and keep what it leaves."""
    if step < LAST:
        return
    sys.stdout.flush()
    shutil.copytree(RUN, "before")
    number, drawn = 0, random.getstate()
    while True:
        number += 1
        child = os.fork()
        if not child:
            random.setstate(drawn)  # Python seeds it again in every fork
            os.close = _closed(os.close)  # the lock of the run is its parent's
            CallTrap(RUN, number, kill=kill)
            return
        code = finished(child)
        if code == NOT_REACHED:
            os._exit(0)
        kept = out / f"call-{number}"
        shutil.copytree(RUN, kept / RUN)
        (kept / "exit").write_text(str(code))
        if Path("refusal").exists():
            Path("refusal").rename(kept / "refusal")
        _put_back(Path("before"))


def _closed(close: Callable[[int], None]) -> Callable[[int], None]:
    def tolerant(handle: int) -> None:
        with suppress(OSError):
            close(handle)

    return tolerant


def _put_back(before: Path) -> None:
    """Bring the run folder back to what it was. Journals are cut in place, because their handles are open."""
    for path in sorted(RUN.rglob("*"), reverse=True):
        kept = before / path.relative_to(RUN)
        if not kept.exists():
            path.rmdir() if path.is_dir() else path.unlink()
        elif path.suffix == ".jsonl":
            os.truncate(path, kept.stat().st_size)
    for kept in sorted(before.rglob("*")):
        path = RUN / kept.relative_to(before)
        if kept.is_dir():
            path.mkdir(exist_ok=True)
        elif path.suffix != ".jsonl":
            shutil.copyfile(kept, path)


def published(folder: Path) -> str:
    """Return a hash of everything in a run folder but seconds and what is staged: a resume depends on nothing else."""
    files = sorted(path for path in (folder / RUN).rglob("*") if path.is_file() and STAGING not in path.as_posix())
    timed = ("timings.jsonl", "summary.json")
    rows = [f"{path.relative_to(folder)} {'' if path.name in timed else sha256_file(path)}" for path in files]
    return sha256_bytes("\n".join(rows).encode())


def resumed(training: Training, folder: Path) -> dict[str, str] | str:
    """Resume what a kill left, and return the state at the end, or the last lines of a resume that failed."""
    code = finished(forked(training, folder))
    if code:
        line = folder / "refusal"
        return f"exit {code}: " + (line if line.exists() else folder / "log").read_text()[-500:]
    left = [path.name for path in (folder / RUN).rglob("*") if STAGING in path.name]
    return state(folder / RUN) if not left else f"left behind: {', '.join(left)}"


def killed_after(training: Training, folder: Path, seconds: float) -> int:
    """Start or resume a run and kill it after some seconds. Return its exit code, 0 where it was faster."""
    child = forked(training, folder)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return finished(child)


def uninterrupted(training: Training, folder: Path) -> tuple[dict[str, str], float]:
    """Return the state at the end of a run that nothing stops, and its seconds."""
    started = time.monotonic()
    code = finished(forked(training, folder))
    assert code == 0, (folder / "log").read_text()[-2000:]
    return state(folder / RUN), time.monotonic() - started


def trainings(model: Path, data: Path, out: Path) -> dict[str, Training]:
    """Return one training per stage, on four samples."""
    rows = few_samples(data, out / "rows", 4)
    return {stage: Training(stage, model, rows) for stage in ("sft", "grpo")}
