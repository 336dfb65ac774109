"""Predictions of a split in, a calibration and its measured quality out; decides which samples count, and reads no file.

Samples whose answer could not be read, or has no score, are left out of the levels: such a part is always REVIEW, never
NG and never OK, so the promises hold for all parts if they hold for the readable ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from adfm import __version__
from adfm.calibration.conformal import lower_level, samples_needed, upper_level
from adfm.calibration.decision import Threshold, count_decisions
from adfm.calibration.fit import (
    Method,
    Scaling,
    ScoreKind,
    cross_fitted,
    evidence,
    fit,
    quality,
)
from adfm.calibration.record import SCHEMA, Calibration, Fitted, Level, asked
from adfm.errors import ConfigError, DataError
from adfm.numbers import Bools, Floats
from adfm.predictions import Prediction
from adfm.reasoning import STAGES
from adfm.records import Split

MISS = 0.05  # promised where there are enough anomalous samples and nothing else is asked for
FEW = 50  # samples of either label: below, fitted probabilities are rough


@dataclass(frozen=True)
class Wanted:
    """The wanted rate of false rejects, the rate of escapes (None: where there are enough samples), the fit, the split."""

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
        provenance: what `adfm eval` writes beside predictions: `model`, `revision`, `split`, `stages`,
            `category_in_prompt`, `samples_sha256`.
        wanted: what is asked for.

    Raises:
        UserError: too few samples for what was asked, a split that was not named, or scores that cannot be used.
    """
    origin = _origin(predictions, provenance, wanted)
    # Log-odds where every read answer has them, because they do not saturate as probabilities do.
    read = [p for p in predictions if p.verdict is not None]
    kind: ScoreKind = "log_odds" if read and all(evidence(p, "log_odds") is not None for p in read) else "score"
    readable = [p for p in read if evidence(p, kind) is not None]
    log_odds = np.array([evidence(p, kind) for p in readable], dtype=np.float64)
    anomalous = np.array([p.anomalous for p in readable], dtype=bool)
    ng, ok = _levels(log_odds, anomalous, wanted)
    method, scaling, fitted, notes = _fit(log_odds, anomalous, wanted.method)
    raw = Scaling().probability(log_odds)
    measured = {"before": quality(raw, anomalous)._asdict(), "after": quality(fitted, anomalous)._asdict()}
    parts: list[str | None] = [None]
    if provenance.get("category_in_prompt") is True:
        parts = [*sorted({p.category for p in readable})]
    calibration = Calibration.model_validate(
        {
            "schema": SCHEMA,
            "adfm": __version__,
            **origin,
            "prompts": tuple(asked(STAGES[origin["stages"]], part) for part in parts),
            "score_kind": kind,
            "split": wanted.split,
            "normal": int((~anomalous).sum()),
            "anomalous": int(anomalous.sum()),
            "unread": len(predictions) - len(readable),
            "ng": ng,
            "ok": ok,
            "scaling": Fitted(method=method, slope=scaling.slope, offset=scaling.offset),
            "quality": measured if anomalous.any() and not anomalous.all() else None,
            "measured": {},
            "warnings": (*notes, *_warnings(readable, ng, ok, wanted)),
        }
    )
    counts = count_decisions(predictions, Threshold.of(calibration))
    return Calibrated(calibration.model_copy(update={"measured": counts}), anomalous, raw, fitted)


def _origin(predictions: Sequence[Prediction], provenance: dict[str, Any], wanted: Wanted) -> dict[str, str]:
    """What the predictions come from, once nothing forbids calibrating on them."""
    require_valid(wanted)
    split = str(provenance.get("split"))
    if split != wanted.split:
        raise ConfigError(
            f"the predictions are of the {split} split and --split is {wanted.split}; calibrate on validation, "
            "or name the split on purpose (what was calibrated on cannot test it any more)"
        )
    if any(prediction.votes for prediction in predictions):  # `inspect` would compare odds with levels of shares
        raise DataError("the scores are shares of votes; calibrate on the odds (`adfm eval` without --score votes)")
    origin = {name: provenance.get(name) for name in ("model", "revision", "stages", "samples_sha256")}
    for name, value in origin.items():
        if not isinstance(value, str) or (name == "stages" and value not in STAGES):
            raise DataError(f"provenance.json: '{name}' is missing or not valid; run `adfm eval` again")
    return {name: str(value) for name, value in origin.items()}


def _fit(log_odds: Floats, anomalous: Bools, wish: Method | None) -> tuple[Method, Scaling, Floats, tuple[str, ...]]:
    """The wanted fit and its cross-fitted probabilities; without a wish a temperature, if the samples allow it."""
    method = wish or "temperature"
    try:
        scaling = fit(log_odds, anomalous, method)
        return method, scaling, cross_fitted(log_odds, anomalous, method), ()
    except DataError as error:
        if wish is not None:
            raise
        note = f"the probabilities are the model's own: {str(error).partition(';')[0]}"
        return "none", Scaling(), Scaling().probability(log_odds), (note,)


def _levels(log_odds: Floats, anomalous: Bools, wanted: Wanted) -> tuple[Level, Level | None]:
    normal, defective = log_odds[~anomalous], log_odds[anomalous]
    above = upper_level(normal, wanted.alpha, "normal samples")
    ng = Level(log_odds=above, rate=wanted.alpha, samples=len(normal))
    miss = MISS if wanted.miss is None else wanted.miss
    if wanted.miss is None and len(defective) < samples_needed(miss):
        return ng, None
    below = lower_level(defective, miss, "anomalous samples")
    return ng, Level(log_odds=below, rate=miss, samples=len(defective))


def _warnings(readable: Sequence[Prediction], ng: Level, ok: Level | None, wanted: Wanted) -> list[str]:
    notes = []
    if wanted.split == "test":
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
