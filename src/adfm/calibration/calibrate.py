"""Predictions of a split in, a calibration and its measured quality out: which samples count, and every refusal; no files.

Samples whose answer could not be read, or has no score, are left out of the levels: such a part is always REVIEW, never
NG and never OK, so the promises hold for all parts if they hold for the readable ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import numpy as np

from adfm import __version__
from adfm.calibration.conformal import lower_level, samples_needed, upper_level
from adfm.calibration.decision import Threshold, count_decisions
from adfm.calibration.fit import (
    Bools,
    Floats,
    Method,
    Quality,
    Scaling,
    ScoreKind,
    cross_fitted,
    evidence,
    fit,
    quality,
)
from adfm.calibration.record import SCHEMA, Asked, Calibration, Fitted, Level, asked
from adfm.errors import ConfigError, DataError
from adfm.predictions import Prediction
from adfm.reasoning import STAGES
from adfm.records import Split

MISS = 0.05  # promised where there are enough anomalous samples and nothing else is asked for
FEW = 50  # samples of either label: below, fitted probabilities are rough


@dataclass(frozen=True)
class Wanted:
    """What is asked for: the rate of false rejects, the rate of misses (None: if it can be had), the fit (None: same)."""

    alpha: float = 0.05
    miss: float | None = None
    method: Method | None = None
    split: Split = "validation"


class Calibrated(NamedTuple):
    """A calibration, and for the picture: labels (n,), raw and cross-fitted probabilities (n,) of the readable samples."""

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
    require_valid(wanted)
    _require_split(str(provenance.get("split")), wanted.split)
    _require_odds(predictions)
    kind = _score_kind(predictions)
    readable = [p for p in predictions if p.verdict is not None and evidence(p, kind) is not None]
    log_odds = np.array([evidence(p, kind) for p in readable], dtype=np.float64)
    anomalous = np.array([p.anomalous for p in readable], dtype=bool)
    ng, ok = _levels(log_odds, anomalous, wanted)
    method, scaling, fitted, notes = _fit(log_odds, anomalous, wanted.method)
    raw = Scaling().probability(log_odds)
    both = bool(anomalous.any() and not anomalous.all())
    calibration = _made(
        provenance,
        prompts=_prompts(readable, provenance),
        score_kind=kind,
        split=wanted.split,
        normal=int((~anomalous).sum()),
        anomalous=int(anomalous.sum()),
        unread=len(predictions) - len(readable),
        ng=ng,
        ok=ok,
        scaling=Fitted(method=method, slope=scaling.slope, offset=scaling.offset),
        quality=_told(quality(raw, anomalous), quality(fitted, anomalous)) if both else None,
        warnings=(*notes, *_warnings(readable, ng, ok, wanted)),
    )
    counts = count_decisions(predictions, Threshold.of(calibration))
    measured = {label: {str(decision): n for decision, n in row.items()} for label, row in counts.items()}
    return Calibrated(calibration.model_copy(update={"measured": measured}), anomalous, raw, fitted)


def _made(provenance: dict[str, Any], **fields: Any) -> Calibration:
    """Put together what was found and what it was found on."""
    named = {name: _text(provenance, name) for name in ("model", "revision", "stages", "samples_sha256")}
    return Calibration.model_validate({"schema": SCHEMA, "adfm": __version__, "measured": {}, **named, **fields})


def _text(provenance: dict[str, Any], name: str) -> str:
    value = provenance.get(name)
    if not isinstance(value, str) or (name == "stages" and value not in STAGES):
        raise DataError(f"provenance.json: '{name}' is missing or not valid; run `adfm eval` anew")
    return value


def _require_split(found: str, wanted: Split) -> None:
    if found != wanted:
        raise ConfigError(
            f"the predictions are of the {found} split and --split is {wanted}; calibrate on validation, "
            "or name the split on purpose (what was calibrated on cannot test it any more)"
        )


def _require_odds(predictions: Sequence[Prediction]) -> None:
    """Refuse shares of votes: `inspect` would hold odds against levels that were made from something else."""
    if any(prediction.votes for prediction in predictions):
        raise DataError("the scores are shares of votes; calibrate on the odds (`adfm eval` without --score votes)")


def _score_kind(predictions: Sequence[Prediction]) -> ScoreKind:
    """Log-odds where every read answer has them: they do not saturate as probabilities do."""
    read = [p for p in predictions if p.verdict is not None]
    first, second = get_args(ScoreKind)
    kind: ScoreKind = first if read and all(evidence(p, first) is not None for p in read) else second
    return kind


def _fit(log_odds: Floats, anomalous: Bools, wish: Method | None) -> tuple[Method, Scaling, Floats, tuple[str, ...]]:
    """The fit that was asked for and its cross-fitted probabilities; without a wish a temperature, if it can be had."""
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


def _prompts(predictions: Sequence[Prediction], provenance: dict[str, Any]) -> tuple[Asked, ...]:
    named = provenance.get("category_in_prompt") is True
    parts: list[str | None] = [*sorted({p.category for p in predictions})] if named else [None]
    return tuple(asked(STAGES[_text(provenance, "stages")], part) for part in parts)


def _warnings(readable: Sequence[Prediction], ng: Level, ok: Level | None, wanted: Wanted) -> list[str]:
    found = []
    if wanted.split == "test":
        found.append("calibrated on the test split: results on that split are no test of this calibration")
    if ok is None:
        n, needed = sum(p.anomalous for p in readable), samples_needed(MISS)
        found.append(f"no promise about misses: {n} readable anomalous samples, {MISS:g} needs {needed}")
    if ok and min(ng.samples, ok.samples) < FEW:
        found.append(f"fewer than {FEW} readable samples of a label: the probabilities are rough")
    categories = len({p.category for p in readable})
    if categories > 1:
        found.append(f"the promises hold over the mix of {categories} categories, not for each of them")
    return found


def _told(before: Quality, after: Quality) -> dict[str, dict[str, float]]:
    return {"before": before._asdict(), "after": after._asdict()}
