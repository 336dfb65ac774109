"""Turns a scene into uint8 pixels: light, lens and sensor of one image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from adfm.data.synthetic.fields import Bytes, Float, as_float, uniform, white
from adfm.data.synthetic.product import Product
from adfm.data.synthetic.scene import View


@dataclass(frozen=True, eq=False)
class Light:
    """Light and lens of one image."""

    gain: Float  # (H, W, 3)
    tone: float
    blur: float  # deviation, px

    def expose(self, scene: Float, view: View) -> Float:
        """Return a window of the scene as the lens shows it, without noise."""
        lit = np.minimum(scene * self.gain[view], 1.0)
        lit += self.tone * lit * (1.0 - lit)
        reach = 2 * int(np.ceil(2 * self.blur)) + 1
        return as_float(cv2.GaussianBlur(lit, (reach, reach), self.blur))


def draw_light(product: Product, rng: np.random.Generator, size: tuple[int, int]) -> Light:
    """Draw the light of one image: a ramp from the product's lamp side, soft unevenness, exposure and warmth."""
    limits = product.conditions
    width, height = size
    bearing = np.deg2rad(product.seed % 360 + rng.normal(0.0, 25.0))
    depth = limits.gradient * uniform(rng, 0.3, 1.0)
    level = 1.0 - 0.3 * depth + float(np.clip(rng.normal(0.0, limits.gain), -2 * limits.gain, 1.5 * limits.gain))
    x, y = np.linspace(-0.5, 0.5, width, dtype=np.float32), np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    curve, turn, cross = (depth * rng.normal(0.0, 0.5, 3)).tolist()
    plane = (level + depth * float(np.cos(bearing)) * x + curve * x * x) + cross * x * y
    plane += depth * float(np.sin(bearing)) * y + turn * y * y
    warm = rng.normal(0.0, limits.warmth)
    gain = cv2.transform(as_float(plane), np.array([[1.0 + warm], [1.0], [1.0 - warm]], np.float32))
    blur = limits.blur * uniform(rng, 0.4, 1.0) * max(0.6, (min(size) / 128) ** 0.5)
    return Light(as_float(gain), float(np.clip(rng.normal(0.0, limits.tone), -0.5, 0.5)), blur)


def photograph(scene: Float, light: Light, noise: float, rng: np.random.Generator) -> Bytes:
    """Expose the scene and read it out with sensor noise: uint8 (H, W, 3)."""
    height, width = scene.shape[:2]
    seen = light.expose(scene, (slice(0, height), slice(0, width)))
    seen += np.float32(noise) * white(rng, height, 3 * width).reshape(height, width, 3)
    return np.asarray(cv2.convertScaleAbs(np.maximum(seen, 0.0), alpha=255.0), dtype=np.uint8)
