"""Assembles a normal part in its frame, from its material to its background, and the light that it is seen in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from adfm.data.synthetic import benign, graphics, materials
from adfm.data.synthetic.fields import Bytes, Float, as_float, axes, over, rgb, step, uniform
from adfm.data.synthetic.product import Outline, Product, distance

View = tuple[slice, slice]
Box = tuple[int, int, int, int]  # half-open x1, y1, x2, y2 px


@dataclass(frozen=True, eq=False)
class _Stock:
    """What all parts of a product share at one size."""

    texture: Bytes  # (H, W, 3), larger than the frame, so that parts show different places of it
    outline: Float | None  # coverage, edge gain, shadow; None where the part fills the frame
    sheet: Float | None  # coverage of the printed face
    patches: tuple[Float, ...]  # one per feature


@dataclass(frozen=True)
class _Pose:
    """Where a part is in the frame: its turn (radians) and the place of its centre (px)."""

    turn: float
    x: float
    y: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Map a point of the part (px from its centre) to the frame."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return float(self.x + cos * x - sin * y), float(self.y + sin * x + cos * y)


@dataclass(eq=False)
class Scene:
    """A part while it is being drawn, in frame pixels, before light."""

    image: Float  # (H, W, 3)
    cover: Float | None  # (H, W), where the part is; None: everywhere
    bare: Float | None  # the image without print
    print: Float | None  # (H, W), coverage of print
    unit: float


@lru_cache(maxsize=32)
def _stock(product: Product, size: tuple[int, int]) -> _Stock:
    rng = np.random.default_rng(product.seed)
    wide = (round(1.3 * size[0]), round(1.3 * size[1]))
    material, look, ink = product.material, product.look, product.ink
    surface = materials.texture(material, look, rng, wide, min(size) / 128)
    return _Stock(
        texture=np.rint(255 * surface).astype(np.uint8),  # bytes: a quarter of the memory, and faster to warp
        outline=None if product.outline.kind == "full" else _layers(product.outline, size),
        sheet=_sheet(product, size, rng) if material == "printed" else None,
        patches=tuple(benign.patch(feature, look, ink, material == "woven", size) for feature in product.features),
    )


def _layers(outline: Outline, size: tuple[int, int]) -> Float:
    """Return (H, W, 3) of `size` (W, H) px: coverage, edge gain minus one, shadow."""
    short = min(size)
    y, x = axes(size[1], size[0])
    far = short * distance(outline, x / short, y / short)
    coverage = step(-0.7, 0.7, -far)
    bevel = max(1.5, 0.022 * short)
    near_edge = np.exp(-np.square(np.minimum(far, 0.0) / bevel))
    slope = cv2.Sobel(far, cv2.CV_32F, 1, 0, scale=1 / 8) + cv2.Sobel(far, cv2.CV_32F, 0, 1, scale=1 / 8)
    gain = near_edge * (-0.12 - 0.26 * slope)  # lit from the upper left
    drop = max(1, round(0.02 * short))
    shadow = cv2.GaussianBlur(np.roll(coverage, (drop, drop), (0, 1)), (0, 0), 0.016 * short)
    return as_float(cv2.merge([coverage, as_float(gain), as_float(0.45 * shadow)]))


def _sheet(product: Product, size: tuple[int, int], rng: np.random.Generator) -> Float:
    """Return the printed face (H, W) of a product, which leaves room for its benign features."""
    width, height = size
    short = min(size)
    if product.outline.kind == "full":
        wide, tall = size
    else:
        share = (0.68, 0.68) if product.outline.kind == "disc" else (0.94, 0.72)
        wide, tall = (round(part * product.outline.size * short) for part in share)
    left, top = (width - wide) // 2, (height - tall) // 2
    keep_out = []
    for feature in product.features:
        long, thin = benign.length(feature, size), feature.size * feature.aspect * short
        across, down = (thin, long) if feature.angle == 90.0 else (long, thin)
        x, y = width / 2 + feature.x * short - across / 2 - left, height / 2 + feature.y * short - down / 2 - top
        gap = 0.02 * short
        keep_out.append((round(x - gap), round(y - gap), round(across + 2 * gap), round(down + 2 * gap)))
    cover = np.zeros((height, width), np.float32)
    cover[top : top + tall, left : left + wide] = graphics.sheet(rng, wide, tall, short / 128, keep_out)
    return cover


def _warped(
    source: Float | Bytes,
    pose: _Pose,
    view: View,
    shift: tuple[float, float] = (0.0, 0.0),
    border: int = cv2.BORDER_CONSTANT,
) -> Float:
    """Return the window `view` of the frame onto `source`, whose middle, moved by `shift` px, is at the pose."""
    cos, sin = np.cos(pose.turn), np.sin(pose.turn)
    x, y = view[1].start - pose.x, view[0].start - pose.y
    middle_x, middle_y = (source.shape[1] - 1) / 2 + shift[0], (source.shape[0] - 1) / 2 + shift[1]
    matrix = np.array([[cos, sin, cos * x + sin * y + middle_x], [-sin, cos, cos * y - sin * x + middle_y]])
    size = (view[1].stop - view[1].start, view[0].stop - view[0].start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return as_float(cv2.warpAffine(source, matrix, size, flags=flags, borderMode=border))


def window(x: float, y: float, half_x: float, half_y: float, size: tuple[int, int]) -> View:
    """Return the window of the frame around (x, y); it is empty where nothing of it is in the frame."""
    width, height = size
    left, top = max(0, int(np.floor(x - half_x))), max(0, int(np.floor(y - half_y)))
    right, bottom = min(width, int(np.ceil(x + half_x)) + 1), min(height, int(np.ceil(y + half_y)) + 1)
    return slice(top, max(top, bottom)), slice(left, max(left, right))


def _lay_feature(
    scene: Scene, patch: Float, feature: benign.Feature, pose: _Pose, rng: np.random.Generator, jitter: float
) -> Box | None:
    """Lay one benign feature onto the scene and return the box of what is in sight of it, or None."""
    height, width = scene.image.shape[:2]
    short = min(height, width)
    dx, dy = np.clip(rng.normal(0.0, jitter, 2), -2 * jitter, 2 * jitter) * short
    x, y = pose.place(feature.x * short + dx, feature.y * short + dy)
    free = uniform(rng, 0, 360) if feature.kind == "inclusion_dots" else uniform(rng, -1.5, 1.5)
    turn = pose.turn + float(np.deg2rad(feature.angle + free))
    cos, sin = abs(np.cos(turn)), abs(np.sin(turn))
    tall, wide = patch.shape[0] / 2, patch.shape[1] / 2
    view = window(x, y, cos * wide + sin * tall + 1, sin * wide + cos * tall + 1, (width, height))
    if not scene.image[view].size:
        return None
    laid = _warped(patch, _Pose(turn, x, y), view)
    alpha = np.ascontiguousarray(laid[..., 3])
    scene.image[view] = scene.image[view] * (1.0 - rgb(alpha)) + laid[..., :3]
    if scene.print is not None and feature.kind == "printed_mark":
        scene.print[view] = np.maximum(scene.print[view], alpha)
    seen = alpha if scene.cover is None else alpha * scene.cover[view]
    left, top, across, down = cv2.boundingRect((seen > 0.15).astype(np.uint8))
    box = (left + view[1].start, top + view[0].start)
    return (*box, box[0] + across, box[1] + down) if across and down else None


def _on_background(scene: Scene, outline: Float, product: Product) -> None:
    """Cut the part out by its outline, shade its edge and put it on its background with a shadow."""
    cover, edge, shadow = (np.ascontiguousarray(plane) for plane in cv2.split(outline))
    ground = as_float(product.background) * rgb(1.0 - shadow)
    for image in (scene.image, scene.bare):
        if image is not None:
            image[...] = ground + rgb(cover) * (image * rgb(1.0 + edge) - ground)
    if scene.print is not None:
        scene.print *= cover


def assemble(product: Product, rng: np.random.Generator, size: tuple[int, int]) -> tuple[Scene, list[Box]]:
    """Draw a part without defects at `size` (W, H) px; returns it and the boxes of its benign features in sight."""
    stock = _stock(product, size)
    limits, short = product.conditions, min(size)
    turn = np.deg2rad(uniform(rng, -limits.rotation, limits.rotation))
    pose = _Pose(float(turn), *((side - 1) / 2 + short * uniform(rng, -limits.shift, limits.shift) for side in size))
    frame = (slice(0, size[1]), slice(0, size[0]))
    # Each part shows another place of the texture, mirrored at random.
    source, shift = stock.texture, (0.0, 0.0)
    if not product.look.turned:  # the rings of a lathe belong to the part's centre; all else may be anywhere
        source = source[:: 1 - 2 * int(rng.random() < 0.5), :: 1 - 2 * int(rng.random() < 0.5)]
        shift = (0.10 * size[0] * uniform(rng, -1, 1), 0.10 * size[1] * uniform(rng, -1, 1))
    image = _warped(source, pose, frame, shift, cv2.BORDER_REFLECT_101) * np.float32(1 / 255)
    posed = None if stock.outline is None else _warped(stock.outline, pose, frame)
    cover = None if posed is None else np.ascontiguousarray(posed[..., 0])
    scene = Scene(image, cover, None, None, short / 128)
    boxes = []
    # Print goes on last, and the scene as it is before is what shows where print is missing.
    for printed in (False, True):
        if printed and product.has_print:
            scene.bare, scene.print = scene.image.copy(), np.zeros(size[::-1], np.float32)
            if stock.sheet is not None:
                scene.print = _warped(stock.sheet, pose, frame)
                scene.image = over(scene.image, 0.94 * scene.print, product.ink)
        for feature, patch in zip(product.features, stock.patches, strict=True):
            if (feature.kind == "printed_mark") == printed:
                boxes.append(_lay_feature(scene, patch, feature, pose, rng, limits.jitter))
    if posed is not None:
        _on_background(scene, posed, product)
    return scene, [box for box in boxes if box is not None]


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
