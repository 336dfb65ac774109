"""Dense warm-up of a vision tower: does each visual token overlap a defect, and where is that defect's box?

Plain fine-tuning from nothing learns the grammar long before it looks at the image. A thousand steps of this first give the tower
features worth pointing with. The heads are thrown away afterwards. Left out: images cut into tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn
from torch.nn import functional

from adfm.errors import ModelError
from adfm.geometry import Box, filled
from adfm.models.families import family_of
from adfm.models.image_tokens import Grid
from adfm.storage import write_bytes
from adfm.training.blended import muon_and_adamw
from adfm.training.engine import require_finite
from adfm.training.examples import Example, Source
from adfm.training.journal import StepProgress
from adfm.training.settings import DenseSettings


class Scene(NamedTuple):
    """One training image (RGB), its defect boxes in the image's pixels, and its exact mask (H, W), 0 or above."""

    image: Image.Image
    boxes: tuple[Box, ...]
    mask: NDArray[np.uint8]


class TokenTargets(NamedTuple):
    """Targets of the T visual tokens of one image: overlap (T,), and box (T, 4) as parts of the image."""

    overlap: NDArray[np.float32]
    box: NDArray[np.float32]


def token_targets(scene: Scene, rows: int, columns: int) -> TokenTargets:
    """Return the targets of a (rows, columns) grid of visual tokens: overlap 0 / 1, and each token's box.

    A token overlaps where at least one mask pixel falls in its cell. Its box is the smallest true box around the cell's
    centre, else the nearest one, as (x1, y1, x2, y2) parts of the image, 0 to 1. Without boxes all are 0.
    """
    height, width = scene.mask.shape
    ys, xs = np.nonzero(scene.mask)
    overlap = np.zeros((rows, columns), np.float32)
    overlap[ys * rows // height, xs * columns // width] = 1
    boxes = np.zeros((rows, columns, 4), np.float32)
    if scene.boxes:
        sides = np.array([width, height, width, height], np.float32)
        truth: NDArray[np.float32] = np.asarray(np.array(scene.boxes, np.float32) / sides, np.float32)
        x1, y1, x2, y2 = truth.T
        y = ((np.arange(rows) + 0.5) / rows)[:, None, None]
        x = ((np.arange(columns) + 0.5) / columns)[None, :, None]
        outside = np.hypot(np.maximum(np.maximum(x1 - x, x - x2), 0), np.maximum(np.maximum(y1 - y, y - y2), 0))
        boxes[:] = truth[(outside + 1e-3 * ((x2 - x1) * (y2 - y1))).argmin(axis=-1)]
    return TokenTargets(overlap.reshape(-1), boxes.reshape(-1, 4))


def cosine_rate(step: int, steps: int, *, warm: int = 50) -> float:
    """Learning-rate factor: linear rise over `warm` steps, then a cosine down to 5 %."""
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return 0.05 + 0.95 * 0.5 * (1 + float(np.cos(np.pi * progress)))


def whiten_patches(model: Any, processor: Any, scenes: Sequence[Scene], *, noise: float = 0.01) -> None:
    """Start the patch embedding at the whitened principal components of real patches.

    A random projection of a patch is its mean colour and little else: the variance of the first component is ten
    thousand times that of the hundredth, and a thin scratch shows in the hundredth.

    Raises:
        ModelError: the family does not say which layer embeds patches.
    """
    family = family_of(model.config.model_type)
    if family.patch_embedding is None or not isinstance(family.image_tokens, Grid):
        raise ModelError(f"model type '{model.config.model_type}': its family names no layer that embeds patches")
    patches = family.image_tokens.patches(processor, [scene.image for scene in scenes])
    centred = patches - patches.mean(0)
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    weight = family.tower_of(model).get_submodule(family.patch_embedding).weight
    kept = len(weight)
    components = directions.flip(1)[:, :kept] / (variance.flip(0)[:kept] + noise).sqrt()
    with torch.no_grad():
        weight.copy_(components.T.reshape(weight.shape))


class WarmUp:
    """A vision tower in warm-up: its throw-away heads, the optimizers of both, and one batch after another.

    The heads map features (T, width) to (T, 5): an overlap logit and four box logits. Muon moves the tower's matrices and AdamW the
    rest: AdamW alone takes several times as many images.
    """

    def __init__(self, model: Any, processor: Any, learning_rate: float, steps: int) -> None:
        family, width = family_of(model.config.model_type), model.config.get_text_config().hidden_size
        self.model, self.processor, self.steps = model, processor, steps
        self.tower, self._images = family.tower_of(model), family.image_tokens
        self.heads = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 5))
        matrices = [weight for weight in self.tower.parameters() if weight.ndim == 2]
        rest = [weight for weight in self.tower.parameters() if weight.ndim != 2]
        self.optimizers = muon_and_adamw(matrices, [*rest, *self.heads.parameters()], learning_rate)
        self._peaks = [group["lr"] for group in self._groups()]

    def _groups(self) -> list[dict[str, Any]]:
        """Return the groups of this moment: loading a state replaces them."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self, number: int, scenes: Sequence[Scene]) -> float:
        """Take optimizer step `number`, from 1, at the cosine's rate; return the loss.

        Raises:
            NotFiniteError: the loss or the gradient is not finite.
        """
        for group, peak in zip(self._groups(), self._peaks, strict=True):
            group["lr"] = peak * cosine_rate(number - 1, self.steps)
        self.model.zero_grad()
        self.heads.zero_grad()
        loss = self.loss(scenes)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([weight for group in self._groups() for weight in group["params"]], 1.0)
        require_finite(number, "the loss of the warm-up", loss.detach())
        require_finite(number, "the norm of its gradient", norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.model.zero_grad()
        return float(loss.item())

    def loss(self, scenes: Sequence[Scene]) -> Any:
        """Return the loss of one batch: binary cross-entropy of the overlap plus L1 of the box on overlapping tokens.

        Raises:
            ModelError: the model's images are tiles.
        """
        features, targets = self._encoded(scenes)
        overlap = torch.from_numpy(np.concatenate([target.overlap for target in targets]))
        boxes = torch.from_numpy(np.concatenate([target.box for target in targets]))
        logits = self.heads(torch.cat(features))
        # Overlapping tokens are few (about 5 %), so they weigh more. Else the first 200 steps predict none.
        classify = functional.binary_cross_entropy_with_logits(logits[:, 0], overlap, pos_weight=torch.tensor(3.0))
        inside = overlap > 0
        locate = (logits[inside, 1:].sigmoid() - boxes[inside]).abs().mean() if inside.any() else logits.sum() * 0
        return classify + 2 * locate

    def quality(self, scenes: Sequence[Scene]) -> tuple[float, float]:
        """Return (average precision of the tokens' overlap, AUROC of the images by their highest token), both 0 to 1."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        with torch.no_grad():
            features, targets = self._encoded(scenes)
            scores = [self.heads(part)[:, 0].numpy() for part in features]
        truth = np.concatenate([target.overlap for target in targets])
        tokens = average_precision_score(truth, np.concatenate(scores))
        images = roc_auc_score([bool(scene.boxes) for scene in scenes], [part.max() for part in scores])
        return float(tokens), float(images)

    def _encoded(self, scenes: Sequence[Scene]) -> tuple[list[Any], list[TokenTargets]]:
        """Return the features (T, width) of each scene's visual tokens, and their targets."""
        images = self._images.features(self.model, self.processor, [scene.image for scene in scenes])
        targets = [token_targets(scene, image.rows, image.columns) for scene, image in zip(scenes, images, strict=True)]
        return [image.features for image in images], targets

    def save(self, path: Path, step: int) -> None:
        """Write weights, optimizer moments and the step to one safetensors file, atomically."""
        tensors = {f"model.{name}": value for name, value in self.tower.state_dict().items()}
        tensors |= {f"heads.{name}": value for name, value in self.heads.state_dict().items()}
        for which, optimizer in enumerate(self.optimizers):
            for number, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{which}.{number}.{name}": value for name, value in state.items()}
        write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}, {"step": str(step)}))

    def load(self, path: Path) -> int:
        """Read back what `save` wrote and return its step."""
        tensors = load_file(path)
        for prefix, module in (("model.", self.tower), ("heads.", self.heads)):
            part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(part)
        states: list[dict[int, dict[str, Any]]] = [{} for _ in self.optimizers]
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, which, number, field = name.split(".")
                states[int(which)].setdefault(int(number), {})[field] = value
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        with safe_open(path, "pt") as file:
            return int(file.metadata()["step"])


def example_scene(example: Example) -> Scene:
    """Return an example as a scene. Its boxes, scaled to the image as shown, are its mask."""
    image, sample = example.image(), example.sample
    sx, sy = image.width / sample.width, image.height / sample.height
    boxes = tuple(Box(b.x1 * sx, b.y1 * sy, b.x2 * sx, b.y2 * sy) for b in sample.boxes or ())
    return Scene(image, boxes, filled(boxes, image.width, image.height).astype(np.uint8))


def warm_on_examples(
    model: Any, processor: Any, known: Source, dense: DenseSettings, seed: int, progress: StepProgress
) -> None:
    """Warm a model's vision tower on labelled images, `known` with their boxes.

    Raises:
        ModelError: the model's images are tiles.
        NotFiniteError: the loss or the gradient is not finite.
    """
    warm = WarmUp(model.train(), processor, dense.learning_rate, dense.steps)
    rng = np.random.default_rng(seed)
    for number in range(1, dense.steps + 1):
        chosen = rng.integers(0, len(known), dense.batch)
        progress(number, dense.steps, {"loss": warm.step(number, [example_scene(known[index]) for index in chosen])})
