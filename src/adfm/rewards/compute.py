"""(Response, Sample) to Reward: format + verdict + grounding. Pure, total and always finite.

It also gives the most that a sample's answer can earn, and checks that the canonical answer earns it.
"""

from __future__ import annotations

from adfm.geometry import Frame
from adfm.reasoning import DEFAULT as PROTOCOL
from adfm.reasoning import Protocol, read_answer, task_named
from adfm.records import Region, Response, Reward, Sample
from adfm.rewards.presets import RewardSettings, preset_named

DEFAULT = RewardSettings()
FOCUS_BEST = 0.5


def focus(located: int) -> float:
    """Return what a normal part earns for the number of regions in `<locate>`: one is best, more is a scatter."""
    return 0.0 if located == 0 else FOCUS_BEST if located == 1 else -0.1


def reward(response: Response, sample: Sample, settings: RewardSettings = DEFAULT) -> Reward:
    """Return the rewards of one answer. Boxes on both sides are in original pixels.

    `grounding` is None where it does not apply: an anomalous sample whose boxes are unknown.

    Raises:
        ConfigError: the preset of an extension fails.
    """
    right = response.verdict == sample.label
    grounding: float | None
    if sample.anomalous and sample.boxes is None:
        grounding = None
    elif not right:
        grounding = 0.0
    elif sample.anomalous:
        predicted = [region.box for region in response.regions]
        grounding = preset_named(settings.preset).value(predicted, sample.boxes or (), settings.alpha)
    else:
        grounding = focus(len(response.located or ()))
    return _weighted(float(response.strict), float(right), grounding, settings)


def maximum(sample: Sample, settings: RewardSettings = DEFAULT) -> Reward:
    """Return the most that any answer to this sample can earn."""
    grounding: float | None = FOCUS_BEST
    if sample.anomalous:
        grounding = None if sample.boxes is None else preset_named(settings.preset).best(settings.alpha)
    return _weighted(1.0, 1.0, grounding, settings)


def _weighted(strict: float, right: float, grounding: float | None, settings: RewardSettings) -> Reward:
    weights = settings.weights
    total = weights.format * strict + weights.verdict * right
    return Reward(strict, right, grounding, total if grounding is None else total + weights.grounding * grounding)


def gold_fault(
    sample: Sample, frame: Frame, settings: RewardSettings = DEFAULT, *, protocol: Protocol = PROTOCOL
) -> str | None:
    """Return why a sample's canonical answer does not score full marks, or None where it does.

    Format and verdict must be 1. Grounding must be the preset's best, less only what rounding the true boxes to the
    frame's units costs: nothing with `Frame.original`. A protocol without `<locate>` cannot earn focus.
    """
    response = read_answer(task_named(protocol.task).target(sample, frame, protocol, None), frame, protocol)
    if response.problems:
        return f"its canonical answer breaks the format ({', '.join(response.problems)})"
    earned, best = reward(response, sample, settings), maximum(sample, settings).grounding
    if sample.boxes and frame.name != "original":
        rounded = tuple(Region(frame.to_original(frame.to_text(box)), "") for box in sample.boxes)
        best = reward(Response("anomalous", rounded, None, "", True, ()), sample, settings).grounding
    elif not sample.anomalous and "locate" not in protocol.blocks.blocks:
        best = 0.0
    if earned.verdict < 1 or (earned.grounding is None) != (best is None):
        return "its canonical answer does not give its own label"
    if earned.grounding is not None and best is not None and earned.grounding < best - 1e-9:
        return f"its canonical answer earns a grounding of {earned.grounding:.4f} of {best:.4f}"
    return None
