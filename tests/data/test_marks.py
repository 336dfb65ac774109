"""What a mask marks is what it shows, however it was saved; what could be read in two ways is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adfm.data import marks
from adfm.data.build import build
from adfm.data.faults import Broken, DataFaultsError
from adfm.data.manifest import read_manifest
from adfm.data.marks import Marks, read_marks
from adfm.data.settings import BuildSettings
from adfm.geometry import boxes_from_mask

WIDTH, HEIGHT = 64, 48
SMALL, LARGE = (8, 8, 20, 20), (8, 4, 56, 44)
WHITE, BLACK, RED, GREEN, GREY = (255,) * 3, (0,) * 3, (255, 0, 0), (0, 255, 0), (90,) * 3

Codes = NDArray[Any]
Draw = Callable[[Path], None]


def drawn(mark: object, ground: object = 0, box: tuple[int, int, int, int] = SMALL, kind: Any = np.uint8) -> Codes:
    """Codes (or colours) of a box on a ground."""
    codes = np.empty((HEIGHT, WIDTH, *np.shape(mark)), kind)
    codes[:] = ground
    codes[box[1] : box[3], box[0] : box[2]] = mark
    return codes


def plain(codes: Codes, name: str = "m.png", **options: Any) -> Draw:
    return lambda folder: Image.fromarray(codes).save(folder / name, **options)


def palette(codes: Codes, *colours: tuple[int, ...], **options: Any) -> Draw:
    def draw(folder: Path) -> None:
        image = Image.frombytes("P", (WIDTH, HEIGHT), codes.astype(np.uint8).tobytes())
        image.putpalette([value for colour in colours for value in colour])
        image.save(folder / "m.png", **options)

    return draw


def alpha(colour: object, opaque: Codes) -> Draw:
    colours = np.broadcast_to(np.asarray(colour, np.uint8), (HEIGHT, WIDTH, 3))
    return plain(np.dstack([colours, opaque]))


def shrunk(image: Image.Image) -> Image.Image:
    """Drawn four times as large and shrunk with smooth edges."""
    return (
        image.resize((4 * WIDTH, 4 * HEIGHT), 0)
        .rotate(0.2, resample=Image.Resampling.BICUBIC)
        .resize((WIDTH, HEIGHT), 1)
    )


def as_jpeg_then_png(folder: Path) -> None:
    Image.fromarray(drawn(255)).save(folder / "m.jpg", quality=75)
    with Image.open(folder / "m.jpg") as image:
        image.save(folder / "m.png")
    (folder / "m.jpg").unlink()


def one_bit(codes: Codes) -> Draw:
    return lambda folder: Image.fromarray(codes).convert("1").save(folder / "m.png")


READ: dict[str, tuple[Draw, tuple[int, int, int, int]]] = {
    "0 and 255": (plain(drawn(255)), SMALL),
    "0 and 1": (plain(drawn(1)), SMALL),
    "one bit": (one_bit(drawn(255)), SMALL),
    "one bit, TIFF where white is 0": (lambda f: Image.fromarray(drawn(255)).convert("1").save(f / "m.tif"), SMALL),
    "a large defect": (plain(drawn(255, box=LARGE)), LARGE),
    "index codes in grey": (plain(drawn(2)), SMALL),
    "16-bit index codes": (plain(drawn(300, kind=np.uint16)), SMALL),
    "16-bit code of 256": (plain(drawn(256, kind=np.uint16)), SMALL),
    "32-bit codes": (plain(drawn(70_000, kind=np.int32), "m.tif"), SMALL),
    "shares as floats": (plain(drawn(0.5, kind=np.float32), "m.tif"), SMALL),
    "a coloured class on black": (plain(drawn(RED, BLACK)), SMALL),
    "a dark blue class on black": (plain(drawn((0, 0, 20), BLACK)), SMALL),
    "an index palette": (palette(drawn(1), BLACK, RED, GREEN), SMALL),
    "an index palette of look-alikes": (palette(drawn(2), BLACK, (1, 1, 1), (2, 2, 2)), SMALL),
    "an index palette that is black all over": (palette(drawn(1), BLACK, BLACK), SMALL),
    "a palette that begins with white": (palette(drawn(0, 1), WHITE, BLACK), SMALL),
    "the same, a large defect": (palette(drawn(0, 1, LARGE), WHITE, BLACK), LARGE),
    "a palette with black last": (palette(drawn(1, 2), GREEN, RED, BLACK), SMALL),
    "white, then classes, no black": (palette(drawn(1), WHITE, RED), SMALL),
    "a palette with near black": (palette(drawn(0, 1), (254,) * 3, (2,) * 3), SMALL),
    "a palette whose code 0 is transparent": (palette(drawn(1), WHITE, RED, transparency=0), SMALL),
    "white, its alpha the mask": (alpha(WHITE, drawn(255)), SMALL),
    "black, its alpha the mask": (alpha(BLACK, drawn(255)), SMALL),
    "colours on hidden white": (alpha(drawn(RED, WHITE), drawn(255)), SMALL),
    "black marks on hidden white": (alpha(drawn(BLACK, WHITE), drawn(255)), SMALL),
    "opaque all over, a mark in white": (alpha(drawn(WHITE, BLACK), drawn(255, 255)), SMALL),
    "grey with alpha": (
        lambda f: Image.fromarray(np.dstack([drawn(9), drawn(255, 255)]), "LA").save(f / "m.png"),
        SMALL,
    ),
    "JPEG": (plain(drawn(255), "m.jpg", quality=75), SMALL),
    "JPEG in colour": (plain(drawn(WHITE, BLACK), "m.jpg", quality=90), SMALL),
    "JPEG with grey classes": (plain(drawn(85), "m.jpg", quality=90), SMALL),
    "JPEG of nothing": (plain(drawn(0), "m.jpg"), (0, 0, 0, 0)),
    "PNG of a JPEG": (as_jpeg_then_png, SMALL),
    "WebP with losses": (plain(drawn(WHITE, BLACK), "m.webp", quality=70), SMALL),
    "smooth edges": (lambda f: shrunk(Image.fromarray(drawn(255))).save(f / "m.png"), SMALL),
    "nothing": (plain(drawn(0)), (0, 0, 0, 0)),
    "nothing, a palette with white first": (palette(drawn(1, 1), WHITE, BLACK), (0, 0, 0, 0)),
    "nothing, transparent white": (alpha(WHITE, drawn(0)), (0, 0, 0, 0)),
    "everything": (plain(drawn(255, 255)), (0, 0, WIDTH, HEIGHT)),
}


@pytest.mark.parametrize("case", READ)
def test_a_mask_marks_what_it_shows(case: str, tmp_path: Path) -> None:
    draw, box = READ[case]
    found = only(draw, tmp_path)
    assert isinstance(found, Marks), found
    boxes = boxes_from_mask(found.pixels, min_area=1).boxes
    assert [tuple(each) for each in boxes] == ([box] if any(box) else [])


def only(draw: Draw, folder: Path) -> Marks | Broken:
    draw(folder)
    (path,) = folder.iterdir()
    return read_marks(path)


photo = np.random.default_rng(0).normal(128, 30, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)

REFUSED: dict[str, tuple[Draw, str]] = {
    "a palette: black marks on white": (palette(drawn(1), WHITE, BLACK), "code 0 of its palette"),
    "a palette: red ground, white mark": (
        palette(drawn(0, 1), RED, WHITE),
        "code 0 of its palette",
    ),
    "a palette: white all over": (palette(drawn(0), WHITE, BLACK), "code 0 of its palette"),
    "a hole in an opaque sheet": (alpha(WHITE, drawn(0, 255)), "transparent in it"),
    "transparent all over, a mark in its colours": (alpha(drawn(WHITE, BLACK), drawn(0)), "transparent all over"),
    "classes from 1": (plain(drawn(2, 1)), "nothing in it is black"),
    "red on white": (plain(drawn(RED, WHITE)), "nothing in it is black"),
    "two greys": (plain(drawn(255, 128)), "nothing in it is black"),
    "a photograph": (plain(photo), "as in a photograph"),
    "a photograph as JPEG": (plain(photo, "m.jpg", quality=80), "as in a photograph"),
    "JPEG of 0 and 1": (plain(drawn(6), "m.jpg", quality=95), "too dark"),
    "a code below 0": (plain(drawn(-1, kind=np.int32), "m.tif"), "below 0"),
    "a code that is no number": (plain(drawn(np.nan, kind=np.float32), "m.tif"), "no numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(case: str, tmp_path: Path) -> None:
    draw, why = REFUSED[case]
    found = only(draw, tmp_path)
    assert isinstance(found, Broken)
    assert found.code == "mask-unclear"
    assert why in found.rule


def test_an_inverted_mask_is_told(tmp_path: Path) -> None:
    assert marks.surrounds(drawn(0, 1).astype(bool))
    assert not marks.surrounds(drawn(1, box=LARGE).astype(bool))


@pytest.mark.parametrize("name", ["pipe.png", "folder.png", "empty.png", "none.png"])
def test_what_is_no_file_is_never_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    found = read_marks(tmp_path / name)
    assert isinstance(found, Broken)
    assert found.code == ("mask-missing" if name == "none.png" else "mask-unreadable")


def parts(root: Path, draw_image: Callable[..., Path], draw: Draw, label: str) -> Path:
    """A folder of OK and NG parts where one of `label` has the mask that `draw` makes."""
    for number in range(4):
        draw_image(root / "OK" / f"o{number}.png", (WIDTH, HEIGHT))
        draw_image(root / "NG" / f"n{number}.png", (WIDTH, HEIGHT))
    (root / "masks").mkdir()
    draw(root / "masks")
    (root / "masks" / "m.png").rename(root / "masks" / f"{'n' if label == 'NG' else 'o'}0.png")
    return root


def test_build_reads_masks_by_the_same_rule(draw_image: Callable[..., Path], tmp_path: Path) -> None:
    root = parts(tmp_path / "set", draw_image, palette(drawn(0, 1), WHITE, BLACK), "NG")
    build(root, tmp_path / "out", BuildSettings(split="fractions"))
    boxes = {sample.id: sample.boxes for sample in read_manifest(tmp_path / "out").samples if sample.boxes}
    assert list(boxes.values()) == [(SMALL,)]


def test_build_refuses_an_unclear_mask_in_one_line(draw_image: Callable[..., Path], tmp_path: Path) -> None:
    root = parts(tmp_path / "set", draw_image, palette(drawn(1), WHITE, BLACK), "NG")
    with pytest.raises(DataFaultsError) as caught:
        build(root, tmp_path / "out", BuildSettings(split="fractions"))
    assert [fault.code for fault in caught.value.faults] == ["mask-unclear"]
    assert not (tmp_path / "out").exists()


def test_without_the_refusal_the_ground_would_be_the_defect(
    draw_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "surrounds", lambda mask: False)
    root = parts(tmp_path / "set", draw_image, palette(drawn(1), WHITE, BLACK), "NG")
    build(root, tmp_path / "out", BuildSettings(split="fractions"))
    boxes = [sample.boxes for sample in read_manifest(tmp_path / "out").samples if sample.boxes]
    assert boxes == [((0, 0, WIDTH, HEIGHT),)]
