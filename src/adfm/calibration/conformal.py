"""Levels that keep a promised error rate on parts not yet seen, from the scores of n seen ones.

Split conformal prediction (Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2023, section 1): if the new part and
the n seen ones are exchangeable, the new score is strictly above the k-th smallest seen one with a chance of at most
(n + 1 - k) / (n + 1). Ties only lower that chance, as long as the comparison is strict.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from adfm.errors import DataError
from adfm.numbers import Floats


def samples_needed(rate: float) -> int:
    """Return the fewest samples from which `rate` (between 0 and 1) can be promised: n >= 1/rate - 1."""
    return math.ceil(1 / _exact(rate)) - 1


def allowed_errors(n: int, rate: float) -> int:
    """Return how many of n + 1 exchangeable samples may be beyond a level of that rate: floor(rate (n + 1))."""
    return math.floor(_exact(rate) * (n + 1))


def _exact(rate: float) -> Fraction:
    """Return the decimal that was written: 0.29 x 100 is 29, and a little less in floating point."""
    return Fraction(repr(float(rate)))


def require_enough(n: int, rate: float, what: str) -> None:
    """Refuse too few samples for a rate.

    Raises:
        DataError: says how many more are needed.
    """
    needed = samples_needed(rate)
    if n < needed:
        raise DataError(
            f"{n} {what} cannot promise a rate of {rate:g}, which needs 1/rate - 1 = {needed}; "
            f"add {needed - n} more or allow a higher rate"
        )


def upper_level(scores: Floats, rate: float, what: str) -> float:
    """Return the level that a new exchangeable score exceeds (strictly) with a chance of at most `rate`.

    Args:
        scores: (n,) finite scores of seen samples of one label.
        rate: the promised chance, between 0 and 1. The level is the score of rank ceil((n + 1)(1 - rate)).
        what: what a sample is called in the message.

    Raises:
        DataError: fewer samples than that needs. The message says how many more.
    """
    require_enough(len(scores), rate, f"readable {what}")
    rank = len(scores) + 1 - allowed_errors(len(scores), rate)
    return float(np.partition(scores, rank - 1)[rank - 1])


def lower_level(scores: Floats, rate: float, what: str) -> float:
    """Return the level that a new exchangeable score falls short of (strictly) with a chance of at most `rate`."""
    return -upper_level(-scores, rate, what)


def expected_rate(n: int, rate: float) -> float:
    """Return the promised chance itself, on average over calibrations without ties: floor(rate (n + 1)) / (n + 1)."""
    return allowed_errors(n, rate) / (n + 1)


def worst_rate(n: int, rate: float, certainty: float = 0.95) -> float:
    """Return what the true rate of *this one* level stays under with that certainty (Vovk 2012).

    The promise is an average over calibrations. The rate of one of them is distributed as Beta(j, n + 1 - j), where j are
    the allowed errors, or is smaller where scores tie.
    """
    from scipy.special import betaincinv

    j = allowed_errors(n, rate)
    return float(betaincinv(j, n + 1 - j, certainty))
