"""From log-odds to probabilities that mean what they say: the fit, and how far off they are.

Probabilities hold for the share of anomalous parts in the samples they were fitted on.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import ConfigDict, Field

from adfm.config import Settings
from adfm.errors import DataError
from adfm.numbers import Bools, Floats, Integers, divide

Method = Literal["temperature", "platt", "none"]
ScoreKind = Literal["log_odds", "score"]
Bounded = Annotated[float, Field(ge=-1e6, le=1e6)]

MIN_EACH = 10  # samples of either label; fewer cannot say what a score means
MAX_SLOPE = 1e6
ECE_BINS = 15
"""Equally wide bins of P(anomalous) in which probabilities are compared with labels, here and in `adfm eval`."""
FOLDS = 5
_SAME = 1e-5  # log-odds that differ by less all say the same
_EDGE = 1e-12  # a score of exactly 0 or 1 counts as this far from it: log-odds of about -27.6 and 27.6


class Scored(Protocol):
    """An answer or a prediction: it may also carry the unrounded `log_odds`."""

    @property
    def score(self) -> float | None:
        """P(anomalous) from 0 to 1, None where the answer gives none."""


def evidence(scored: Scored, kind: ScoreKind) -> float | None:
    """Return the log-odds of `anomalous` of one answer from the named source, None where it has none.

    A `score` saturates at 0 and 1 and is clipped there, so that the result is always finite.
    """
    if kind == "log_odds":
        value = getattr(scored, "log_odds", None)
        return float(value) if value is not None and math.isfinite(value) else None
    if scored.score is None or math.isnan(scored.score):
        return None
    p = min(max(scored.score, _EDGE), 1 - _EDGE)
    return math.log(p) - math.log1p(-p)


class Strict(Settings):
    """A record of `calibration.json`: no conversions, no NaN or infinity, no unknown names."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, populate_by_name=True)


class Scaling(Strict):
    """Log-odds to calibrated log-odds: `slope * x + offset`. A temperature T is a slope of 1/T."""

    method: Method
    slope: Annotated[float, Field(gt=0, le=MAX_SLOPE)]
    offset: Bounded

    def probability(self, log_odds: Floats) -> Floats:
        """Return P(anomalous) (n,) of log-odds (n,)."""
        from scipy.special import expit

        result: Floats = expit(self.slope * log_odds + self.offset)
        return result


AS_GIVEN = Scaling(method="none", slope=1.0, offset=0.0)
"""The scaling that leaves log-odds as they are."""


def fit(log_odds: Floats, anomalous: Bools, method: Method) -> Scaling:
    """Fit a temperature (slope alone) or Platt's sigmoid (slope and offset) by maximum likelihood.

    The loss is convex. Platt's smoothed targets (Platt 1999; Lin, Lin and Weng 2007) keep the slope finite where the
    labels separate. A slope of 0 or less is refused, because it would reverse the order of the scores.

    Args:
        log_odds: (n,) finite.
        anomalous: (n,) labels.
        method: `none` leaves the log-odds as they are.

    Raises:
        DataError: too few samples of a label, or scores that do not rise with the label.
    """
    if method == "none":
        return AS_GIVEN
    positive, negative = int(anomalous.sum()), int((~anomalous).sum())
    for name, count in (("anomalous", positive), ("normal", negative)):
        if count < MIN_EACH:
            raise DataError(
                f"{count} {name} samples cannot fit probabilities, which needs {MIN_EACH} of either label; "
                f"add {MIN_EACH - count} more or give --method none"
            )
    from scipy.optimize import minimize
    from scipy.special import expit

    unit = max(1e-6, float(np.abs(log_odds).max()))  # solved in units of the largest, reported in log-odds
    x, targets = log_odds / unit, np.where(anomalous, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(w: Floats) -> tuple[float, Floats]:
        u = w[0] * x + w[1]
        error = expit(u) - targets
        gradient = np.array([(error * x).mean(), error.mean()])
        return float((np.logaddexp(0, u) - targets * u).mean()), gradient

    free = (None, None) if method == "platt" else (0.0, 0.0)
    solution = minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), free], options={"ftol": 1e-14}
    )
    slope, offset = float(solution.x[0]) / unit, float(solution.x[1])
    if not (np.ptp(log_odds) > _SAME and 1e-9 < slope <= MAX_SLOPE and abs(offset) <= MAX_SLOPE):
        raise DataError(
            f"the scores do not rise with the label, so no {method} fits them; give --method none, or train the model"
        )
    return Scaling(method=method, slope=slope, offset=offset)


def cross_fitted(log_odds: Floats, anomalous: Bools, method: Method) -> Floats:
    """Return each sample's probability (n,) under a fit to the other folds, so that its own label can judge it.

    Five folds, dealt out in turn within each label.
    """
    folds = np.empty(len(anomalous), dtype=np.int_)
    for label in (False, True):
        members = np.flatnonzero(anomalous == label)
        folds[members] = np.arange(len(members)) % FOLDS
    result = np.empty(len(anomalous))
    for fold in range(FOLDS):
        inside = folds == fold
        result[inside] = fit(log_odds[~inside], anomalous[~inside], method).probability(log_odds[inside])
    return result


def fitted_as_asked(
    log_odds: Floats, anomalous: Bools, method: Method | None
) -> tuple[Scaling, Floats, tuple[str, ...]]:
    """Return the scaling, the cross-fitted probabilities (n,), and notes for the reader.

    With `method` None it is a temperature where the samples allow one, else none, and a note says why.

    Raises:
        DataError: the samples do not allow the method that was asked for.
    """
    wanted = method or "temperature"
    try:
        return fit(log_odds, anomalous, wanted), cross_fitted(log_odds, anomalous, wanted), ()
    except DataError as error:
        if method is not None:
            raise
        note = f"the probabilities are the model's own: {str(error).partition(';')[0]}"
        return AS_GIVEN, AS_GIVEN.probability(log_odds), (note,)


class Quality(NamedTuple):
    """How far probabilities are off, all lower is better: Brier score, expected calibration error, mean log loss."""

    brier: float
    ece: float
    log_loss: float


def quality(probability: Floats, anomalous: Bools) -> Quality:
    """Measure probabilities (n,) against labels (n,)."""
    gaps = bin_gaps(probability, anomalous)
    p = np.clip(probability, _EDGE, 1 - _EDGE)
    log_loss = -np.where(anomalous, np.log(p), np.log1p(-p)).mean()
    return Quality(
        brier=float(((probability - anomalous) ** 2).mean()),
        ece=float(calibration_error(gaps, np.ones((1, len(gaps))), np.array([len(gaps)]))[0]),
        log_loss=float(log_loss),
    )


def bin_gaps(probability: Floats, anomalous: Bools) -> Floats:
    """Return probability minus truth (n, ECE_BINS) of probabilities (n,), each in the column of its bin, elsewhere 0.

    A NaN is no probability and gives a row of zeros.
    """
    gaps = np.zeros((len(probability), ECE_BINS))
    known = np.flatnonzero(~np.isnan(probability))
    gaps[known, bins_of(probability[known])] = probability[known] - anomalous[known]
    return gaps


def calibration_error(gaps: Floats, weights: Floats, totals: Floats) -> Floats:
    """Return the expected calibration error (R,) for weights (R, n) of the samples, NaN where their total (R,) is 0.

    It is the mean distance of a bin's mean probability from its share of anomalous samples, weighted by its samples.
    `gaps` are those of `bin_gaps`. Source: Guo et al. 2017.
    """
    return divide(np.abs(weights @ gaps).sum(axis=1), totals)


class Bin(NamedTuple):
    """The samples whose probability is in one bin: how many, how many anomalous, and their mean probability."""

    samples: int
    anomalous: int
    probability: float


def reliability(probability: Floats, anomalous: Bools) -> list[Bin]:
    """Return the bins that hold samples, by rising probability."""
    places = bins_of(probability)
    inside = [places == place for place in np.unique(places)]
    return [Bin(int(rows.sum()), int(anomalous[rows].sum()), float(probability[rows].mean())) for rows in inside]


def bins_of(probability: Floats) -> Integers:
    """Return the bin (n,) of each probability (n,). Bins are closed below, the last one on both sides."""
    return np.minimum((probability * ECE_BINS).astype(np.int_), ECE_BINS - 1)
