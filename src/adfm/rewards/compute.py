"""(Response, Sample) to Reward: format + verdict + grounding (design 1.3); pure, total, always finite.

Also the most that a sample's answer can earn, and the check that its canonical answer earns it: full marks for gold.
"""

from __future__ import annotations

from adfm.geometry import Frame
from adfm.reasoning import FULL, Stages, canonical, read
from adfm.records import Region, Response, Reward, Sample
from adfm.rewards.settings import RewardSettings
from adfm.rewards.terms import FOCUS_BEST, focus, paper_grounding, set_iou_grounding

DEFAULT = RewardSettings()


def reward(response: Response, sample: Sample, settings: RewardSettings = DEFAULT) -> Reward:
    """Return the rewards of one answer; boxes on both sides are in original pixels.

    `grounding` is None where it does not apply: an anomalous sample whose boxes are unknown.
    """
    strict = 1.0 if response.strict else 0.0
    right = 1.0 if response.verdict == sample.label else 0.0
    return _weighted(strict, right, _grounding(response, sample, settings), settings)


def _grounding(response: Response, sample: Sample, settings: RewardSettings) -> float | None:
    if sample.anomalous and sample.boxes is None:
        return None
    if response.verdict != sample.label:
        return 0.0
    if not sample.anomalous:
        return focus(len(response.located or ()))
    predicted, true = [region.box for region in response.regions], sample.boxes or ()
    if settings.preset == "paper":
        return paper_grounding(predicted, true, settings.alpha)
    return set_iou_grounding(predicted, true)


def _weighted(strict: float, right: float, grounding: float | None, settings: RewardSettings) -> Reward:
    weights = settings.weights
    total = weights.format * strict + weights.verdict * right
    return Reward(strict, right, grounding, total if grounding is None else total + weights.grounding * grounding)


def maximum(sample: Sample, settings: RewardSettings = DEFAULT) -> Reward:
    """Return the most that any answer to this sample can earn."""
    if not sample.anomalous:
        return _weighted(1.0, 1.0, FOCUS_BEST, settings)
    if sample.boxes is None:
        return _weighted(1.0, 1.0, None, settings)
    return _weighted(1.0, 1.0, 1.0 + settings.alpha if settings.preset == "paper" else 1.0, settings)


def gold_fault(
    sample: Sample, frame: Frame, settings: RewardSettings = DEFAULT, *, stages: Stages = FULL
) -> str | None:
    """Return why a sample's canonical answer does not score full marks, or None where it does.

    Format and verdict must be 1. Grounding must be the preset's maximum, less only what rounding the true boxes to the
    frame's units costs: with `Frame.original` exactly the maximum. A protocol without `<locate>` cannot earn focus.
    """
    response = read(canonical(sample, frame, stages=stages), frame, stages=stages)
    if response.problems:
        return f"its canonical answer breaks the format ({', '.join(response.problems)})"
    earned, wanted = reward(response, sample, settings), _attainable(sample, frame, settings, stages)
    if earned.verdict < 1 or (earned.grounding is None) != (wanted.grounding is None):
        return "its canonical answer does not give its own label"
    if earned.grounding is not None and wanted.grounding is not None and earned.grounding < wanted.grounding - 1e-9:
        return f"its canonical answer earns a grounding of {earned.grounding:.4f} of {wanted.grounding:.4f}"
    return None


def _attainable(sample: Sample, frame: Frame, settings: RewardSettings, stages: Stages) -> Reward:
    """The maximum, less what rounding the true boxes to text units costs."""
    best = maximum(sample, settings)
    if sample.boxes and frame.name != "original":
        rounded = tuple(Region(frame.to_original(frame.to_text(box)), "") for box in sample.boxes)
        return reward(Response("anomalous", rounded, None, "", True, ()), sample, settings)
    if not sample.anomalous and "locate" not in stages.blocks:
        return _weighted(1.0, 1.0, 0.0, settings)
    return best


def full_marks(sample: Sample, frame: Frame, settings: RewardSettings = DEFAULT, *, stages: Stages = FULL) -> bool:
    """Whether a sample's canonical answer scores full marks; `gold_fault` says why not."""
    return gold_fault(sample, frame, settings, stages=stages) is None
