"""What an adapted model would decide on a line: a threshold from its validation split, judged on the held-out images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adfm.calibration.calibrate import Wanted, calibrate
from adfm.calibration.conformal import require_enough
from adfm.calibration.decision import Threshold, operating_point
from adfm.calibration.record import CALIBRATION, write_calibration
from adfm.data.manifest import read_manifest
from adfm.errors import DataError
from adfm.evaluation.run import PROVENANCE
from adfm.progress import Progress
from adfm.storage import read_json
from adfm.workflows.arms import ArmResult, evaluate_arm


def calibrated_decisions(arm: ArmResult, data: Path, out: Path, alpha: float, progress: Progress) -> dict[str, Any]:
    """Return the shares of escapes, false rejects and review on the held-out images, ready for JSON.

    The threshold promises that at most `alpha` of normal parts are NG. It is written beside a trained model, where
    `adfm inspect` finds it. A validation split that cannot promise that gives `{"refused": why}` instead.
    """
    try:
        validation = read_manifest(data).only("validation")
        require_enough(sum(not sample.anomalous for sample in validation.samples), alpha, "normal validation samples")
        run = evaluate_arm("threshold", arm.model, arm.protocol, data, out, progress, split="validation")
        calibration = calibrate(run.predictions, read_json(out / PROVENANCE), Wanted(alpha)).calibration
    except DataError as error:
        return {"refused": str(error)}
    if arm.settings:
        write_calibration(Path(arm.model) / CALIBRATION, calibration)
    point = operating_point(arm.evaluation.predictions, Threshold.of(calibration))
    return {"alpha": alpha, "normal": calibration.normal, "log_odds": calibration.ng.log_odds, **point}
