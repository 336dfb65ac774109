"""What an adapted model would decide on a line: a threshold from its validation split, judged on the held-out pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adfm.calibration.calibrate import Wanted, calibrate
from adfm.calibration.conformal import require_enough
from adfm.calibration.decision import Threshold, operating_point
from adfm.calibration.record import CALIBRATION, write_calibration
from adfm.data.manifest import read_manifest
from adfm.errors import DataError
from adfm.predictions import Prediction
from adfm.storage import read_json
from adfm.workflows.arms import Say, evaluate_arm


def calibrated_decisions(
    model: Path, data: Path, out: Path, held_out: tuple[Prediction, ...], alpha: float, say: Say
) -> dict[str, Any]:
    """Return the shares of misses, overkill and review on `held_out`, and the threshold that gives them, ready for JSON.

    The threshold promises that at most `alpha` of normal parts are NG; it is written beside the model, where `adfm
    inspect` finds it. A validation split that cannot promise that gives `{"refused": why}` instead.
    """
    try:
        validation = read_manifest(data).only("validation")
        require_enough(sum(not sample.anomalous for sample in validation.samples), alpha, "normal validation samples")
        arm = evaluate_arm("threshold", str(model), data, out, say, split="validation")
        found = calibrate(arm.predictions, read_json(out / "provenance.json"), Wanted(alpha)).calibration
    except DataError as error:
        return {"refused": str(error)}
    write_calibration(model / CALIBRATION, found)
    point = operating_point(held_out, Threshold.of(found))
    return {"alpha": alpha, "normal": found.normal, "log_odds": found.ng.log_odds, **point}
