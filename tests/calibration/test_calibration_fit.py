"""Probabilities that mean what they say: the fit finds what was put in, is finite on any labels, and is judged fairly."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from adfm.calibration.fit import ECE_BINS, cross_fitted, evidence, fit, quality, reliability
from adfm.errors import DataError
from adfm.evaluation import METRICS
from adfm.evaluation.metrics import build_table, values_of
from adfm.predictions import Prediction


def drawn(n: int, slope: float, offset: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds that are true only after scaling."""
    random = np.random.default_rng(seed)
    true = random.normal(0, 2, n)
    return (true - offset) / slope, random.random(n) < expit(true)


@pytest.mark.parametrize(("slope", "offset"), [(0.2, 0.0), (1.0, 1.0), (3.0, -2.0), (0.01, 0.5)])
def test_platt_finds_the_scaling(slope: float, offset: float) -> None:
    found = fit(*drawn(20_000, slope, offset), "platt")
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.offset == pytest.approx(offset, abs=0.06)


def test_a_temperature_has_no_offset() -> None:
    found = fit(*drawn(20_000, 0.25, 0.0), "temperature")
    assert found.slope == pytest.approx(0.25, rel=0.05) and found.offset == 0
    assert fit(*drawn(5, 1, 0), "none").probability(np.array([0.0]))[0] == 0.5


def test_platt_agrees_with_a_reference() -> None:
    log_odds, anomalous = drawn(4000, 0.5, 0.3)
    reference = LogisticRegression(C=1e9, tol=1e-10).fit(log_odds[:, None], anomalous)
    found = fit(log_odds, anomalous, "platt")
    assert found.slope == pytest.approx(reference.coef_[0, 0], rel=0.01)  # the smoothed targets differ a little
    assert found.offset == pytest.approx(reference.intercept_[0], abs=0.01)


@given(
    st.lists(st.floats(-28, 28), min_size=10, max_size=30),
    st.lists(st.floats(-28, 28), min_size=10, max_size=30),
    st.sampled_from(["temperature", "platt"]),
)
@settings(max_examples=60, deadline=None)
def test_any_labels_give_a_finite_rising_fit_or_a_refusal(normal: list[float], bad: list[float], method: str) -> None:
    log_odds, anomalous = np.array(normal + bad), np.array([False] * len(normal) + [True] * len(bad))
    try:
        found = fit(log_odds, anomalous, method)  # type: ignore[arg-type]
    except DataError:
        return
    assert 0 < found.slope < 1e6 and math.isfinite(found.offset)
    assert np.all(np.diff(found.probability(np.linspace(-30, 30, 50))) >= 0)


def test_separated_labels_stay_finite() -> None:
    log_odds = np.array([-27.6] * 30 + [27.6] * 30)
    found = fit(log_odds, log_odds > 0, "platt")
    assert 0 < found.slope < 1
    assert 0.9 < found.probability(np.array([27.6]))[0] < 1


def test_what_cannot_be_fitted_is_refused() -> None:
    log_odds, anomalous = drawn(200, 1, 0)
    for method in ("temperature", "platt"):
        with pytest.raises(DataError, match="do not rise with the label"):
            fit(-log_odds, anomalous, method)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="add 10 more or give --method none"):
            fit(log_odds, np.zeros(200, bool), method)  # type: ignore[arg-type]


def test_cross_fitting_is_honest_where_fitting_flatters() -> None:
    random = np.random.default_rng(1)
    gaps = []
    for _ in range(100):  # labels that the scores know little about
        log_odds, anomalous = random.normal(-0.5, 1, 60), np.arange(60) < 30
        log_odds[anomalous] += 1.5
        inside = quality(fit(log_odds, anomalous, "platt").probability(log_odds), anomalous)
        across = quality(cross_fitted(log_odds, anomalous, "platt"), anomalous)
        gaps.append(across.log_loss - inside.log_loss)
    assert np.mean(gaps) > 0.01


def test_calibration_lowers_the_error_of_overconfident_scores() -> None:
    log_odds, anomalous = drawn(1000, 0.1, 0)
    before = quality(expit(log_odds), anomalous)
    after = quality(cross_fitted(log_odds, anomalous, "temperature"), anomalous)
    assert after.ece < 0.06 < before.ece and after.brier < before.brier and after.log_loss < before.log_loss


def test_quality_by_hand() -> None:
    probability, anomalous = np.array([0.05, 0.05, 0.94, 1.0]), np.array([False, True, True, True])
    found = quality(probability, anomalous)
    assert found.brier == pytest.approx((0.05**2 + 0.95**2 + 0.06**2) / 4)
    assert found.ece == pytest.approx((2 * 0.45 + 2 * 0.03) / 4)
    assert [(b.samples, b.anomalous) for b in reliability(probability, anomalous)] == [(2, 1), (2, 2)]
    assert math.isfinite(quality(np.array([0.0, 1.0]), np.array([True, False])).log_loss)


def test_the_calibration_error_is_one_number_in_metrics_and_calibration(many: Callable[..., list[Prediction]]) -> None:
    scored = [p for p in many(300) if p.score is not None]
    found = quality(np.array([p.score for p in scored]), np.array([p.anomalous for p in scored]))
    assert values_of(build_table(scored))["ece"] == pytest.approx(found.ece, abs=1e-12)
    assert "over 15 equally wide bins" in METRICS["ece"].definition and ECE_BINS == 15


@pytest.mark.parametrize("score", [0.0, 1e-300, 0.3, 1.0])
def test_evidence_of_a_score_is_finite(score: float) -> None:
    found = evidence(SimpleNamespace(score=score), "score")
    assert found is not None and abs(found) < 28
    if score == 0.3:
        assert found == pytest.approx(math.log(0.3 / 0.7))


def test_evidence_is_read_from_the_named_source_alone() -> None:
    both = SimpleNamespace(score=0.5, log_odds=4.0)
    assert evidence(both, "log_odds") == 4 and evidence(both, "score") == 0
    assert evidence(SimpleNamespace(score=0.5), "log_odds") is None
    for broken in (None, math.nan, math.inf):
        assert evidence(SimpleNamespace(score=0.5, log_odds=broken), "log_odds") is None
    assert evidence(SimpleNamespace(score=None), "score") is None
    assert evidence(SimpleNamespace(score=math.nan), "score") is None
