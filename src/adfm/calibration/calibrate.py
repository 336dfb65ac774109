"""Predictions of a split in, a calibration and its measured quality out. No file is read.

Samples whose answer could not be read, or has no score, are left out of the levels. Such a part is always REVIEW, never
NG and never OK, so the promises hold for all parts if they hold for the readable ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from adfm import __version__
from adfm.calibration.conformal import lower_level, samples_needed, upper_level
from adfm.calibration.decision import Threshold, count_decisions
from adfm.calibration.fit import AS_GIVEN, Method, ScoreKind, evidence, fitted_as_asked, quality
from adfm.calibration.record import SCHEMA, Calibration, Level, asked
from adfm.config import first_fault
from adfm.errors import ConfigError, DataError
from adfm.numbers import Bools, Floats
from adfm.predictions import Prediction
from adfm.reasoning import Protocol
from adfm.records import Split

MISS = 0.05  # promised where there are enough anomalous samples and nothing else is asked for
FEW = 50  # samples of either label: below, fitted probabilities are rough


@dataclass(frozen=True)
class Wanted:
    """What a user asks for.

    Attributes:
        alpha: rate of false rejects, at most.
        miss: rate of escapes, at most. None: 0.05, where there are enough anomalous samples.
        method: how probabilities are fitted. None: a temperature, where the samples allow it.
        split: which samples.
    """

    alpha: float = 0.05
    miss: float | None = None
    method: Method | None = None
    split: Split = "validation"


class Calibrated(NamedTuple):
    """A calibration, and for the diagram: labels (n,), raw and cross-fitted probabilities (n,) of the readable samples."""

    calibration: Calibration
    anomalous: Bools
    raw: Floats
    fitted: Floats


def require_valid(wanted: Wanted) -> None:
    """Refuse rates outside 0 to 1 and a split that the model was trained on.

    Raises:
        ConfigError: names the option.
    """
    for name, rate in (("alpha", wanted.alpha), ("miss", wanted.miss)):
        if rate is not None and not 1e-6 <= rate < 1:
            raise ConfigError(f"--{name} {rate}: must be above 0 and below 1 (at least 1e-6)")
    if wanted.split == "train":
        raise ConfigError("--split train: the model has seen these samples; take the validation split")


def calibrate(predictions: Sequence[Prediction], provenance: dict[str, Any], wanted: Wanted) -> Calibrated:
    """Set the levels from readable samples and fit the probabilities.

    Args:
        predictions: of the whole split, each by itself.
        provenance: what `adfm eval` writes beside predictions: `model`, `revision`, `split`, `protocol`,
            `samples_sha256`.
        wanted: what is asked for.

    Raises:
        UserError: too few samples for what was asked, a split that was not named, or scores that cannot be used.
    """
    require_valid(wanted)
    origin, protocol = origin_of(provenance, wanted.split)
    if any(prediction.votes for prediction in predictions):  # `inspect` would compare odds with levels of shares
        raise DataError("the scores are shares of votes; calibrate on the odds (`adfm eval` without --score votes)")
    # Log-odds where every read answer has them, because they do not saturate as probabilities do.
    read = [p for p in predictions if p.verdict is not None]
    kind: ScoreKind = "log_odds" if read and all(evidence(p, "log_odds") is not None for p in read) else "score"
    readable = [p for p in read if evidence(p, kind) is not None]
    log_odds = np.array([evidence(p, kind) for p in readable], dtype=np.float64)
    anomalous = np.array([p.anomalous for p in readable], dtype=bool)
    normal, defective = log_odds[~anomalous], log_odds[anomalous]
    ng = Level(log_odds=upper_level(normal, wanted.alpha, "normal samples"), rate=wanted.alpha, samples=len(normal))
    ok, miss = None, MISS if wanted.miss is None else wanted.miss
    if wanted.miss is not None or len(defective) >= samples_needed(miss):
        ok = Level(log_odds=lower_level(defective, miss, "anomalous samples"), rate=miss, samples=len(defective))
    scaling, fitted, notes = fitted_as_asked(log_odds, anomalous, wanted.method)
    raw = AS_GIVEN.probability(log_odds)
    measured = {"before": quality(raw, anomalous)._asdict(), "after": quality(fitted, anomalous)._asdict()}
    parts = sorted({p.category for p in readable}) if protocol.name_category else [None]
    calibration = Calibration(
        schema_name=SCHEMA,
        adfm=__version__,
        **origin,
        stages=protocol.stages,
        protocol=protocol if "protocol" in provenance else None,
        prompts=tuple(asked(protocol, part) for part in parts),
        score_kind=kind,
        split=wanted.split,  # type: ignore[arg-type]  # `train` is refused above
        normal=len(normal),
        anomalous=len(defective),
        unread=len(predictions) - len(readable),
        ng=ng,
        ok=ok,
        scaling=scaling,
        quality=measured if anomalous.any() and not anomalous.all() else None,
        measured={},
        warnings=(*notes, *cautions(readable, ng, ok, wanted.split)),
    )
    counts = count_decisions(predictions, Threshold.of(calibration))
    return Calibrated(calibration.model_copy(update={"measured": counts}), anomalous, raw, fitted)


def origin_of(provenance: dict[str, Any], split: Split) -> tuple[dict[str, str], Protocol]:
    """Return model, revision and hash of the samples that predictions come from, and the protocol they were asked under.

    Older versions recorded of the protocol only `stages` and `category_in_prompt`.

    Raises:
        ConfigError: they are of another split.
        DataError: something is missing or not valid.
    """
    if provenance.get("split") != split:
        raise ConfigError(
            f"the predictions are of the {provenance.get('split')} split and --split is {split}; calibrate on "
            "validation, or name the split on purpose (what was calibrated on cannot test it any more)"
        )
    fault = "provenance.json: '{}' is missing or not valid; run `adfm eval` again"
    origin = {name: provenance.get(name) for name in ("model", "revision", "samples_sha256")}
    for name, value in origin.items():
        if not isinstance(value, str):
            raise DataError(fault.format(name))
    older = {"stages": provenance.get("stages"), "name_category": provenance.get("category_in_prompt") is True}
    try:
        protocol = Protocol.model_validate(provenance.get("protocol", older))
    except ValidationError as error:
        raise DataError(fault.format(first_fault(error)[0] or "protocol")) from error
    return {name: str(value) for name, value in origin.items()}, protocol


def cautions(readable: Sequence[Prediction], ng: Level, ok: Level | None, split: Split) -> list[str]:
    """Return what a reader of a calibration must know: a split used up, few samples, a missing promise, a mix of parts."""
    notes = []
    if split == "test":
        notes.append("calibrated on the test split: results on that split are no test of this calibration")
    if ok is None:
        n, needed = sum(p.anomalous for p in readable), samples_needed(MISS)
        notes.append(f"no promise about escapes: {n} readable anomalous samples, {MISS:g} needs {needed}")
    elif min(ng.samples, ok.samples) < FEW:
        notes.append(f"fewer than {FEW} readable samples of a label: the probabilities are rough")
    categories = len({p.category for p in readable})
    if categories > 1:
        notes.append(f"the promises hold over the mix of {categories} categories, not for each of them")
    return notes
