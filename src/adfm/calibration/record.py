"""`calibration.json` in and out: levels, scaling, and the model, protocol and prompts that they hold for.

The file is untrusted and read strictly. Whatever it says, it can only turn `OK` or `NG` into `REVIEW`, never the other way
round: see `decision.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from adfm.calibration.conformal import samples_needed
from adfm.calibration.fit import Bounded, Scaling, ScoreKind, Strict
from adfm.config import read_json_settings
from adfm.errors import DataError, UserError
from adfm.geometry import Frame
from adfm.reasoning import Protocol, StagesName, frame_hint, task_named
from adfm.storage import encode_line, sha256_bytes, write_json

CALIBRATION = "calibration.json"
SCHEMA: Literal["adfm.calibration/1"] = "adfm.calibration/1"
MAX_BYTES = 1 << 20

Name = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Level(Strict):
    """A conformal level on the log-odds: which rate it promises and from how many samples."""

    log_odds: Bounded
    rate: Rate
    samples: Count

    @model_validator(mode="after")
    def earned(self) -> Level:
        """Check that this many samples can promise this rate."""
        needed = samples_needed(self.rate)
        if self.samples < needed:
            raise ValueError(f"{self.samples} samples cannot promise a rate of {self.rate:g}; that needs {needed}")
        return self


class Asked(Strict):
    """A prompt that the samples were asked: the part it names, and its hash without the unit of coordinates."""

    part: Name | None
    sha256: Name


class Calibration(Strict):
    """What `adfm calibrate` found for one model, protocol and kind of score.

    Attributes:
        stages: of the protocol, for files that hold nothing else of it.
        protocol: what the samples were asked under. None in files of older versions.
        ng: a part is NG only above this level.
        ok: a part is OK only below this level. None where escapes are not promised.
        quality: how far the probabilities are off, for the reader. It decides nothing.
        measured: how often which decision, for the reader. It decides nothing.
    """

    schema_name: Literal["adfm.calibration/1"] = Field(alias="schema")
    adfm: Name
    model: Name
    revision: Name
    stages: StagesName
    protocol: Protocol | None = None
    prompts: Annotated[tuple[Asked, ...], Field(min_length=1, max_length=1000)]
    score_kind: ScoreKind
    split: Literal["validation", "test"]
    samples_sha256: Name
    normal: Count
    anomalous: Count
    unread: Count
    ng: Level
    ok: Level | None
    scaling: Scaling
    quality: dict[str, dict[str, float]] | None = None
    measured: dict[str, dict[str, Count]]
    warnings: Annotated[tuple[Name, ...], Field(max_length=100)] = ()

    def probability(self, log_odds: float) -> float:
        """Return the calibrated P(anomalous) of one answer's log-odds."""
        import numpy as np

        return float(self.scaling.probability(np.array([log_odds]))[0])

    @property
    def id(self) -> str:
        """A short hash of everything it says, which names it in every verdict."""
        return sha256_bytes(encode_line(calibration_json(self)).encode())[:16]

    @property
    def origin(self) -> str:
        """Where its levels come from, in words."""
        text = f"calibration {self.id}: at most {self.ng.rate:.3g} of normal parts NG, from {self.ng.samples}"
        if self.ok:
            text += f"; at most {self.ok.rate:.3g} of anomalous parts OK, from {self.ok.samples}"
        return f"{text} ({self.split} split)"


def calibration_json(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as the content of its file."""
    return calibration.model_dump(mode="json", by_alias=True)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration's file atomically."""
    write_json(path, calibration_json(calibration))


def read_calibration(path: Path) -> Calibration:
    """Read a calibration, or the one in a folder.

    Raises:
        DataError: no such file, too large, not JSON, or a field that is missing, unknown or out of its range.
    """
    file = path / CALIBRATION if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file}: no such calibration; make one by `adfm calibrate`")
    fix = "make it again by `adfm calibrate`, or give --no-calibration"
    return read_json_settings(Calibration, file, MAX_BYTES, DataError, what="a calibration", fix=fix)


def find_calibration(model: str) -> Path | None:
    """Return the calibration in a model's folder, if it has one. Whatever has that name must be readable."""
    file = Path(model) / CALIBRATION
    return file if file.exists() or file.is_symlink() else None


def asked(protocol: Protocol, part: str | None) -> Asked:
    """Return the record of one prompt, without the unit of coordinates, which the model decides."""
    frame = Frame.thousand(1, 1)
    text = task_named(protocol.task).prompt(protocol, frame, part if protocol.name_category else None)
    return Asked(part=part, sha256=sha256_bytes(text.replace(frame_hint(frame), "(unit)").encode("utf-8", "replace")))


def require_made_for(
    calibration: Calibration, file: Path, *, model: str, revision: str, protocol: Protocol, parts: Iterable[str | None]
) -> None:
    """Refuse a calibration of another model, protocol or prompt, because its promises would be worth nothing.

    Args:
        calibration: the content of `file`.
        file: what messages call it.
        model: what the user calls the model.
        revision: of the model.
        protocol: what the model is asked under.
        parts: which parts the prompts name. None is a prompt that names none.

    Raises:
        UserError: names what differs, and the fix.
    """
    again = "run `adfm calibrate` again or give --no-calibration"
    # An unknown revision proves nothing. Then at least the name must be the same.
    if revision != calibration.revision or (revision == "unknown" and model != calibration.model):
        raise UserError(
            f"{file}: was made for {calibration.model} ({calibration.revision}) and the model is {model} "
            f"({revision}); {again}"
        )
    parts, here = list(parts), protocol.model_dump()
    made = calibration.protocol.model_dump() if calibration.protocol else {"stages": calibration.stages}
    if parts == [None]:  # whether a prompt may name a part makes no difference to one that names none
        made.pop("name_category", None)
    for field, value in made.items():
        if here[field] != value:
            raise UserError(
                f"{file}: was made under protocol {field}={value!s:.80} and here it is {field}={here[field]!s:.80}; "
                f"ask as it was made, or {again}"
            )
    known = {prompt.sha256 for prompt in calibration.prompts}
    other = [part for part in parts if asked(protocol, part).sha256 not in known]
    if other:
        named = "no part named" if other[0] is None else f"part '{other[0]}'"
        names = sorted(prompt.part for prompt in calibration.prompts if prompt.part is not None)
        option = f"--part with {' or '.join(repr(name) for name in names[:5])}" if names else "no --part"
        raise UserError(f"{file}: was made for other prompts than {named}; it holds for {option}; {again}")
