"""Draws the image of the README from an adaptation: its two best anomalous answers and the first good part, as `inspect` would.

python docs/make_inspected.py runs/results/cookie/seed-0
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from adfm import images
from adfm.inspection.overlay import draw
from adfm.predictions import Prediction, read_predictions
from adfm.rewards.presets import set_iou_grounding

HEIGHT, GAP, BEST = 360, 10, 2


def main() -> None:
    """Write docs/images/inspected.jpg from the run that is named."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    run = Path(sys.argv[1])
    predictions = read_predictions(run / "eval-grpo")
    anomalous = sorted((p for p in predictions if p.anomalous and p.boxes), key=quality, reverse=True)
    good = next(p for p in predictions if not p.anomalous and p.correct)
    shown = [drawn(run / "data", p) for p in [*anomalous[:BEST], good]]
    sheet = Image.new("RGB", (sum(p.width for p in shown) + GAP * (len(shown) - 1), HEIGHT), "white")
    left = 0
    for overlay in shown:
        sheet.paste(overlay, (left, 0))
        left += overlay.width + GAP
    sheet.save(Path(__file__).parent / "images" / "inspected.jpg", quality=88)
    sys.stdout.write("mean IoU: " + ", ".join(f"{quality(p):.2f}" for p in anomalous[:BEST]) + "\n")


def quality(prediction: Prediction) -> float:
    """Matched IoU over the larger count of boxes."""
    return set_iou_grounding([region.box for region in prediction.regions], prediction.boxes or ())


def drawn(root: Path, prediction: Prediction) -> Image.Image:
    """Return the overlay of one answer, HEIGHT px high."""
    overlay = draw(
        images.load(root / prediction.image),
        prediction.regions,
        located=prediction.located,
        decision="NG" if prediction.verdict == "anomalous" else "OK",
        score=prediction.score,
    )
    return overlay.resize((round(overlay.width * HEIGHT / overlay.height), HEIGHT), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
