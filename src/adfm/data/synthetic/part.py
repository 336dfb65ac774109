"""Assembly: one picture of one part of a product, with the exact mask of its defects; no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from adfm.data.synthetic import benign, defects, graphics, materials, shapes
from adfm.data.synthetic.fields import Bytes, Float, as_float, child, over, rgb, uniform, white
from adfm.data.synthetic.product import Product, chosen

Mask = npt.NDArray[np.bool_]
View = tuple[slice, slice]

MIN_AREA = 12.0  # px at a 128 px frame: fewer, and a person would not mark it
VISIBLE = 0.025  # change of tone below which nothing is marked, share of full scale
EDGE = 0.25  # a mask ends where the change has fallen to this share of its peak
TRIES = 4


@dataclass(frozen=True, eq=False)
class Part:
    """One picture of a part.

    `image` uint8 (H, W, 3) RGB; `mask` uint8 (H, W), 255 where a defect changed the picture, else 0; `defects` one kind
    per drawn defect; `benign_boxes` half-open (x1, y1, x2, y2) px of the benign features in sight.
    """

    image: Bytes
    mask: Bytes
    defects: tuple[str, ...]
    benign_boxes: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, eq=False)
class _Stock:
    """What all parts of a product share at one size."""

    texture: Float  # larger than the frame, so that parts show different cuts of it
    outline: Float | None  # coverage, edge gain, shadow; None where the part fills the frame
    sheet: Float | None  # coverage of the printed face
    patches: tuple[Float, ...]  # one per feature


@dataclass(frozen=True)
class _Pose:
    """Where a part lies in the frame: its turn (radians) and the place of its centre (px)."""

    turn: float
    x: float
    y: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Map a point of the part (px from its centre) to the frame."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return float(self.x + cos * x - sin * y), float(self.y + sin * x + cos * y)


@dataclass(frozen=True, eq=False)
class _Light:
    """Light and lens of one picture."""

    gain: Float  # (H, W, 3)
    tone: float
    blur: float  # deviation, px

    def expose(self, scene: Float, view: View) -> Float:
        """Return the picture of a window of the scene, without noise."""
        lit = np.minimum(scene * self.gain[view], 1.0)
        lit += self.tone * lit * (1.0 - lit)
        reach = 2 * int(np.ceil(2 * self.blur)) + 1
        return as_float(cv2.GaussianBlur(lit, (reach, reach), self.blur))


@dataclass(eq=False)
class _Scene:
    """A part while it is being drawn, in frame pixels, before light."""

    image: Float  # (H, W, 3)
    cover: Float | None  # (H, W), where the part is; None: everywhere
    bare: Float | None  # the image without print
    print: Float | None  # (H, W), coverage of print
    unit: float


@lru_cache(maxsize=64)
def _stock(product: Product, size: tuple[int, int]) -> _Stock:
    width, height = size
    short = min(size)
    rng = np.random.default_rng(product.seed)
    wide = (round(1.3 * width), round(1.3 * height))
    full = product.outline.kind == "full"
    return _Stock(
        texture=materials.texture(product.material, product.look, rng, wide, short / 128),
        outline=None if full else shapes.layers(product.outline, size, short),
        sheet=_sheet(product, size, rng) if product.material == "printed" else None,
        patches=tuple(benign.patch(feature, product.inks, short) for feature in product.features),
    )


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
        long, thin = feature.size * short, feature.size * feature.aspect * short
        across, down = (thin, long) if feature.angle == 90.0 else (long, thin)
        x, y = width / 2 + feature.x * short - across / 2 - left, height / 2 + feature.y * short - down / 2 - top
        gap = 0.02 * short
        keep_out.append((round(x - gap), round(y - gap), round(across + 2 * gap), round(down + 2 * gap)))
    cover = np.zeros((height, width), np.float32)
    cover[top : top + tall, left : left + wide] = graphics.sheet(rng, wide, tall, short / 128, keep_out)
    return cover


def _cut(source: Float, turn: float, centre: tuple[float, float], origin: tuple[float, float], view: View) -> Float:
    """Return the window `view` of the frame onto `source`, turned by `turn`, its point `origin` lying at `centre`."""
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = view[1].start - centre[0], view[0].start - centre[1]
    matrix = np.array([[cos, sin, cos * x + sin * y + origin[0]], [-sin, cos, cos * y - sin * x + origin[1]]])
    size = (view[1].stop - view[1].start, view[0].stop - view[0].start)
    return as_float(cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))


def _middle(plane: Float) -> tuple[float, float]:
    return (plane.shape[1] - 1) / 2, (plane.shape[0] - 1) / 2


def _pose(product: Product, rng: np.random.Generator, size: tuple[int, int]) -> _Pose:
    limits, short = product.conditions, min(size)
    turn = np.deg2rad(uniform(rng, -limits.rotation, limits.rotation))
    x, y = ((side - 1) / 2 + short * uniform(rng, -limits.shift, limits.shift) for side in size)
    return _Pose(float(turn), x, y)


def _surface(product: Product, stock: _Stock, pose: _Pose, rng: np.random.Generator, size: tuple[int, int]) -> Float:
    """Return the bare material in the frame: another cut of the texture for each part, mirrored at random."""
    width, height = size
    source, turn = stock.texture, pose.turn
    if product.look.variant == 2 and product.material == "brushed_metal":  # turned: rings belong to the part's centre
        origin = _middle(source)
    else:
        source = source[:: 1 - 2 * int(rng.random() < 0.5), :: 1 - 2 * int(rng.random() < 0.5)]
        origin = (
            _middle(source)[0] + 0.10 * width * uniform(rng, -1, 1),
            _middle(source)[1] + 0.10 * height * uniform(rng, -1, 1),
        )
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array(
        [[cos, sin, origin[0] - cos * pose.x - sin * pose.y], [-sin, cos, origin[1] + sin * pose.x - cos * pose.y]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return as_float(cv2.warpAffine(source, matrix, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101))


def _window(x: float, y: float, half_x: float, half_y: float, size: tuple[int, int]) -> View | None:
    """Return the window of the frame around (x, y), or None where nothing of it is in the frame."""
    width, height = size
    left, right = max(0, int(np.floor(x - half_x))), min(width, int(np.ceil(x + half_x)) + 1)
    top, bottom = max(0, int(np.floor(y - half_y))), min(height, int(np.ceil(y + half_y)) + 1)
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _lay_feature(
    scene: _Scene, patch: Float, feature: benign.Feature, pose: _Pose, rng: np.random.Generator, jitter: float
) -> tuple[int, int, int, int] | None:
    """Lay one benign feature onto the scene and return the box of what is in sight of it, or None."""
    height, width = scene.image.shape[:2]
    short = min(height, width)
    dx, dy = np.clip(rng.normal(0.0, jitter, 2), -2 * jitter, 2 * jitter) * short
    x, y = pose.place(feature.x * short + dx, feature.y * short + dy)
    free = uniform(rng, 0, 360) if feature.kind == "inclusion_dots" else uniform(rng, -1.5, 1.5)
    turn = pose.turn + float(np.deg2rad(feature.angle + free))
    cos, sin = abs(np.cos(turn)), abs(np.sin(turn))
    tall, wide = patch.shape[0] / 2, patch.shape[1] / 2
    view = _window(x, y, cos * wide + sin * tall + 1, sin * wide + cos * tall + 1, (width, height))
    if view is None:
        return None
    laid = _cut(patch, turn, (x, y), _middle(patch), view)
    alpha = np.ascontiguousarray(laid[..., 3])
    scene.image[view] = scene.image[view] * (1.0 - rgb(alpha)) + laid[..., :3]
    if scene.print is not None and feature.kind == "printed_mark":
        scene.print[view] = np.maximum(scene.print[view], alpha)
    seen = alpha if scene.cover is None else alpha * scene.cover[view]
    left, top, across, down = cv2.boundingRect((seen > 0.15).astype(np.uint8))
    box = (left + view[1].start, top + view[0].start)
    return (*box, box[0] + across, box[1] + down) if across and down else None


def _on_background(scene: _Scene, outline: Float, product: Product) -> None:
    """Cut the part out by its outline, shade its edge and put it on its background with a shadow."""
    cover, edge, shadow = (np.ascontiguousarray(plane) for plane in cv2.split(outline))
    ground = as_float(product.background) * rgb(as_float(1.0 - shadow))

    def cut_out(image: Float) -> Float:
        return as_float(ground + rgb(as_float(cover)) * (image * rgb(as_float(1.0 + edge)) - ground))

    scene.image = cut_out(scene.image)
    if scene.bare is not None and scene.print is not None:
        scene.bare = cut_out(scene.bare)
        scene.print = as_float(scene.print * cover)


def _assemble(
    product: Product, stock: _Stock, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[_Scene, list[tuple[int, int, int, int]]]:
    """Draw a part without defects; returns it and the boxes of its benign features."""
    pose = _pose(product, rng, size)
    frame = (slice(0, size[1]), slice(0, size[0]))
    image = _surface(product, stock, pose, rng, size)
    posed = None if stock.outline is None else _cut(stock.outline, pose.turn, (pose.x, pose.y), _middle(stock.outline), frame)
    cover = None if posed is None else np.ascontiguousarray(posed[..., 0])
    scene = _Scene(image, cover, None, None, min(size) / 128)
    boxes = []
    # Print goes on last, and the scene as it is before is what shows where print is missing.
    for printed in (False, True):
        if printed and product.has_print:
            scene.bare, scene.print = scene.image.copy(), np.zeros(size[::-1], np.float32)
            if stock.sheet is not None:
                scene.print = _cut(stock.sheet, pose.turn, (pose.x, pose.y), _middle(stock.sheet), frame)
                scene.image = over(scene.image, 0.94 * scene.print, product.ink)
        for feature, patch in zip(product.features, stock.patches, strict=True):
            if (feature.kind == "printed_mark") == printed:
                boxes.append(_lay_feature(scene, patch, feature, pose, rng, product.conditions.jitter))
    if posed is not None:
        _on_background(scene, posed, product)
    return scene, [box for box in boxes if box is not None]


def _light(product: Product, rng: np.random.Generator, size: tuple[int, int]) -> _Light:
    """Draw the light of one picture: a ramp from the product's lamp side, soft unevenness, exposure and warmth."""
    limits = product.conditions
    bearing = product.seed % 360 + rng.normal(0.0, 25.0)
    ramp = np.linspace(-0.5, 0.5, 4)
    side = np.cos(np.deg2rad(bearing)) * ramp[None, :] + np.sin(np.deg2rad(bearing)) * ramp[:, None]
    depth = limits.gradient * uniform(rng, 0.3, 1.0)
    coarse = 1.0 + depth * (side + 0.18 * rng.normal(size=(4, 4))) - 0.3 * depth
    coarse *= 1.0 + float(np.clip(rng.normal(0.0, limits.gain), -2 * limits.gain, 1.5 * limits.gain))
    warm = rng.normal(0.0, limits.warmth)
    colour = coarse[..., None] * np.array([1.0 + warm, 1.0, 1.0 - warm])
    gain = cv2.resize(colour.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    blur = limits.blur * uniform(rng, 0.4, 1.0) * max(0.6, (min(size) / 128) ** 0.5)
    return _Light(as_float(gain), float(np.clip(rng.normal(0.0, limits.tone), -0.5, 0.5)), blur)


def _marked(change: Float, kind: str, unit: float, length: float) -> Mask:
    """Return what a person would mark of a change (h, w) in tone: its visible part, closed, without specks.

    `length` is that of the defect in px.
    """
    diffuse = kind == "deformation"
    if diffuse:  # a moved pattern agrees with the old one here and there: mark the region, not the pattern
        reach = 2 * round(1.5 * unit) + 3
        change = as_float(cv2.blur(change, (reach, reach)))
    seen = (change > max(VISIBLE, EDGE * float(change.max()))).astype(np.uint8)
    reach = 2 * max(1, round(0.2 * length if diffuse else unit)) + 1
    seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    if kind in ("hole", "stain", "deformation"):
        contours, _ = cv2.findContours(seen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        seen = cv2.drawContours(seen, contours, -1, (1,), -1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= max(3.0, 3.0 * unit * unit)
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _somewhere(allowed: Mask, rng: np.random.Generator, clear: int) -> tuple[int, int] | None:
    """Return a random allowed pixel (x, y), if there is any, at best one that is `clear` px from what is not allowed."""
    height, width = allowed.shape
    places = ((0.07 + 0.86 * rng.random((32, 2))) * (width, height)).astype(int).tolist()
    for x, y in places:
        left, right = max(0, x - clear), min(width - 1, x + clear)
        top, bottom = max(0, y - clear), min(height - 1, y + clear)
        if allowed[y, x] and allowed[y, left] and allowed[y, right] and allowed[top, x] and allowed[bottom, x]:
            return x, y
    for x, y in places:
        if allowed[y, x]:
            return x, y
    pixels = np.flatnonzero(allowed)
    if not pixels.size:
        return None
    y, x = divmod(int(pixels[int(rng.integers(pixels.size))]), width)
    return x, y


def _site(scene: _Scene, kind: str, allowed: Mask, rng: np.random.Generator, length: float) -> tuple[int, int]:
    """Return where a defect of `length` px goes: mostly well on the part, now and then at its edge; on print if need be."""
    if kind == "missing_print" and scene.print is not None:
        found = _somewhere((scene.print > 0.5) & allowed, rng, 0)
    else:
        found = _somewhere(allowed, rng, round(0.4 * length) if rng.random() < 0.85 else 0)
    height, width = allowed.shape
    return found or (width // 2, height // 2)


def _spot(
    scene: _Scene, product: Product, x: int, y: int, length: float, strength: float
) -> tuple[View, defects.Spot] | None:
    height, width = scene.image.shape[:2]
    half = 0.75 * length + 4.0 * scene.unit + 3.0
    view = _window(x, y, half, half, (width, height))
    if view is None:
        return None
    return view, defects.Spot(
        before=scene.image[view],
        bare=None if scene.bare is None else scene.bare[view],
        print=None if scene.print is None else scene.print[view],
        x=x - view[1].start,
        y=y - view[0].start,
        size=length,
        unit=scene.unit,
        strength=strength,
        material=product.material,
    )


def _paint(
    scene: _Scene, light: _Light, view: View, after: Float, kind: str, length: float
) -> tuple[Float, Mask, float]:
    """Confine a painted window to the part; returns it, its mask and the mean change of tone inside the mask."""
    before = scene.image[view]
    if scene.cover is not None:
        after = as_float(before + rgb(np.ascontiguousarray(scene.cover[view])) * (after - before))
    change = np.abs(light.expose(after, view) - light.expose(before, view)).max(axis=2)
    marked = _marked(change, kind, scene.unit, length)
    return after, marked, float(change[marked].mean()) if marked.any() else 0.0


def _flaw(
    scene: _Scene, light: _Light, product: Product, kind: str, taken: Mask, rng: np.random.Generator, noise: float
) -> str:
    """Draw one defect that can be seen into the scene, add it to the mask `taken` and return its kind.

    A defect that came out too small or too faint is drawn again, larger and stronger; one that never shows becomes a
    solid grain, so that no anomalous part is without a mask.
    """
    limits, short = product.conditions, min(scene.image.shape[:2])
    allowed = np.logical_not(taken) if scene.cover is None else (scene.cover > 0.9) & ~taken
    least = max(4.0, MIN_AREA * scene.unit**2)
    extent, strength = uniform(rng, *limits.extent), uniform(rng, *limits.strength)
    for attempt in range(TRIES + 1):
        last = attempt == TRIES
        length = extent * (1.0 + 0.15 * attempt) * short * defects.LENGTH[kind]
        site = _site(scene, kind, allowed, rng, length)
        found = _spot(scene, product, *site, length, min(1.0, strength * (1.0 + 0.3 * attempt)))
        if found is None:
            continue
        view, spot = found
        kind = "contamination" if last else kind
        after = defects.last_resort(spot) if last else defects.PAINT[kind](spot, rng)
        after, marked, change = _paint(scene, light, view, after, kind, length)
        if last or (int(marked.sum()) >= least and change > 0.035 + noise):
            scene.image[view] = after
            taken[view] |= marked
            break
    return kind


def _count(rng: np.random.Generator, wanted: int | None) -> int:
    if wanted is not None:
        if wanted < 0:
            raise ValueError(f"defects must be 0 or more, not {wanted}")
        return wanted
    return 1 + int(np.searchsorted([0.78, 0.94], rng.random()))


def _kinds(product: Product, kinds: Iterable[str] | None) -> tuple[str, ...]:
    """Return the kinds to draw from on this product; print cannot be missing where there is none."""
    plausible = defects.plausible(product.material, product.has_print)
    if kinds is None:
        return plausible
    asked = chosen(kinds, defects.DEFECT_KINDS, "defect kind")
    return tuple(kind for kind in asked if product.has_print or kind != "missing_print") or plausible


def _picture(scene: _Scene, light: _Light, noise: float, rng: np.random.Generator) -> Bytes:
    """Expose the scene and read it out with sensor noise: uint8 (H, W, 3)."""
    height, width = scene.image.shape[:2]
    seen = light.expose(scene.image, (slice(0, height), slice(0, width)))
    seen += np.float32(noise) * white(rng, height, 3 * width).reshape(height, width, 3)
    return cv2.convertScaleAbs(np.maximum(seen, 0.0), alpha=255.0).astype(np.uint8, copy=False)


def draw_part(
    product: Product,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (128, 128),
    defects: int | None = 0,
    kinds: Iterable[str] | None = None,
) -> Part:
    """Draw one part of `product` at `size` (W, H) px, each side at least 32.

    `defects` is how many to draw: 0 for a normal part, None for one to three, mostly one. `kinds` limits them to these
    kinds. Where the product has no print, `missing_print` becomes another kind; `Part.defects` says what was drawn.
    A generator in the same state gives the same bytes, and apart from the defects the same part for any `defects`.
    """
    if min(size) < 32:
        raise ValueError(f"size must be at least 32 px a side, not {size[0]}x{size[1]}")
    # One stream each, so that drawing a defect moves nothing else.
    laying, lighting, flaws, sensor = (child(rng) for _ in range(4))
    scene, boxes = _assemble(product, _stock(product, size), laying, size)
    light = _light(product, lighting, size)
    noise = uniform(sensor, *product.conditions.noise)
    choices = _kinds(product, kinds)
    taken = np.zeros(size[::-1], np.bool_)
    drawn = []
    for _ in range(_count(flaws, defects)):
        kind = choices[int(flaws.integers(len(choices)))]
        drawn.append(_flaw(scene, light, product, kind, taken, flaws, noise))
    image = _picture(scene, light, noise, sensor)
    return Part(image, taken.astype(np.uint8) * np.uint8(255), tuple(drawn), tuple(boxes))
