"""The names by which folders, files and classes say what they hold: normal or defective parts, masks, splits.

Every layout takes its words from here and compares them in any case, in Unicode's composed form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Literal

from adfm.images import SUFFIXES
from adfm.records import Split

Role = Literal["normal", "defective", "mask", "split", "level", "unclear", "name"]


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


NORMAL = _set(
    "ok okay good normal normals pass passed io i_o gut no_defect no_defects nodefect defect_free defectfree "
    "non_defective nondefective undamaged"
)
DEFECTIVE = _set(
    "ng nok n_ok not_ok notok non_ok bad defect defects defective anomaly anomalies anomalous abnormal ko "
    "fail failed faulty reject rejects rejected nio n_io n_i_o no_good not_good schlecht"
)
MASKS = _set(
    "mask masks gt gts ground_truth ground_truths groundtruth groundtruths label labels annotation "
    "annotations annot annots anno annos seg segs segmentation segmentations segmentation_class "
    "segmentation_object segmentationclass segmentationobject"
)
# Between the folders that say something there may be such a level: no category and no type of defect.
LEVELS = _set(
    "images image img imgs rgb data raw original originals pictures pics photos jpegimages jpeg_images jpg jpeg png bmp "
    "1cls"
)
# Folders of what is neither a part nor a mask: point clouds, depth, coloured masks, tests without truth.
LEFT_OUT = ("xyz", "depth", "rgb_mask", "rbg_mask", "template", "templates", "test_private*")
# Pictures in formats that are not read, so that a part in one of them is not taken for another kind of file.
OTHER_PICTURES = _set(
    ".gif .jfif .jpe .jp2 .j2k .jpx .heic .heif .avif .ppm .pgm .pnm .pbm .tga .dds .exr .hdr .dng .psd .svg"
)
CUT_SHORT = _set(".part .crdownload .download .tmp .bak .gz")  # behind the suffix of an image
NO_CONTENT = frozenset({"thumbs.db", "desktop.ini", "__macosx"})  # what systems leave in folders

TRAIN_TEST: tuple[Split, ...] = ("train", "test")
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "test_public": "test",
}
SPLIT_IN_PATH = re.compile(rf"(?<![a-z])({'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))})(?![a-z])")

NO_TRUTH = "parts of unknown truth"
_MASK_WORDS = frozenset({"mask", "masks", "gt", "groundtruth", "segmentation"})
_NEGATIONS = frozenset({"no", "non", "not", "without", "free"})
# Names of classes that leave open whether a part is normal. With "yes" it depends on a question that no folder or list says.
_NO_TRUTH = _set(
    "unlabelled unlabeled unclassified unchecked unknown unsorted unsure uncertain unclear undecided undefined ambiguous "
    "maybe perhaps possible probably doubtful borderline review pending todo to_do tbd skip skipped ignore ignored unused tmp temp "
    "old backup bak na n_a nan none null nil yes no y n t f positive negative pos neg background void"
)
_DERIVED = _set(
    "overlay overlays heatmap heatmaps visualization visualizations visualisation visualisations vis results predictions "
    "preds pred outputs thumbs thumbnails preview previews annotated"
)
_MASK_STEM = re.compile(
    r"(?P<of>.+?)(?:[_\-. (\[]+(?:masks?|gts?|ground[_\- ]?truth|labels?|annotations?|anno|seg|segmentation)|(?<=\d)masks?)"
    r"[)\]]?(?:[_\- ]?\(?(?P<number>\d+)\)?)?",
    re.IGNORECASE,
)
_MASK_START = re.compile(r"(?:mask|gt|ground[_\- ]?truth|seg|segmentation)[_\-. ](?P<of>.+)", re.IGNORECASE)
_COPY = re.compile(r"(?P<of>.+?)[_.](?:jpe?g|png|bmp|tiff?|webp)\.rf\.[0-9A-Za-z]+", re.IGNORECASE)
_REMEMBERED = 4096  # names, of folders mostly; they repeat
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)")


@lru_cache(_REMEMBERED)
def folded(name: str) -> str:
    """Return a name as names are compared: composed, in lower case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


def composed(name: str) -> str:
    """Return a name in Unicode's composed form, as it is shown."""
    return unicodedata.normalize("NFC", name).strip()


@lru_cache(_REMEMBERED)
def _words(name: str) -> str:
    """Return a name with one `_` between its words."""
    return re.sub(r"[\W_]+", "_", folded(name)).strip("_")


@lru_cache(_REMEMBERED)
def _parted(name: str) -> str:
    """Return a name with one `_` between its words, also where they are written as one (`GroundTruth`, `good2`)."""
    return _words(_HUMP.sub("_", name))


def _known(name: str, vocabulary: Collection[str]) -> str | None:
    """Return the word of a vocabulary that a name is, or None."""
    return next((word for word in (_words(name), _parted(name)) if word in vocabulary), None)


def is_normal(name: str) -> bool:
    """Whether a class of that name holds normal parts."""
    return _known(name, NORMAL) is not None


def is_defective(name: str) -> bool:
    """Whether a class of that name holds defective parts without naming a type of defect."""
    return _known(name, DEFECTIVE) is not None


def split_of(name: str) -> Split | None:
    """Return the split that a folder of that name holds, or None."""
    word = _known(name, SPLIT_NAMES)
    return SPLIT_NAMES[word] if word else None


def left_out(name: str) -> bool:
    """Whether a folder of that name holds neither parts nor masks by agreement."""
    return any(fnmatchcase(_words(name), pattern) for pattern in LEFT_OUT)


def qualifier(name: str, beside: Collection[str]) -> str | None:
    """Return what a mask folder's name says apart from masks, `""` where nothing, or None if it may be no mask folder.

    `NG_masks` says `ng`. `crack_masks` is one only if a folder `crack` is `beside` it.
    """
    if _known(name, MASKS):
        return ""
    tokens = _parted(name).replace("ground_truth", "groundtruth").split("_")
    rest = [token for token in tokens if token not in _MASK_WORDS]
    if len(rest) == len(tokens):
        return None
    if all(token in LEVELS or token in MASKS or token in ("binary", "pixel", "color") for token in rest):
        return ""
    owner = "_".join(rest)
    known = owner in NORMAL or owner in DEFECTIVE or owner in SPLIT_NAMES
    return owner if known else next((other for other in beside if _words(other) == owner), None)


def role(name: str) -> Role:
    """Return what a folder's name says; `unclear` where it may be a class, a split or masks, but not surely."""
    if _known(name, MASKS):
        return "mask"
    if split_of(name):
        return "split"
    if is_normal(name) or is_defective(name):
        return "normal" if is_normal(name) else "defective"
    return "level" if _known(name, LEVELS) else "unclear" if doubt(name) else "name"


def is_unread_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture that is not read: another format, or an unfinished copy."""
    suffix = path.suffix.lower()
    return suffix in OTHER_PICTURES or (suffix in CUT_SHORT and Path(path.stem).suffix.lower() in SUFFIXES)


def doubt(name: str) -> str | None:
    """Return what the name of a class may also mean, or None; a misspelt `good` may mean OK."""
    tokens = set(_parted(name).split("_"))
    if tokens & NORMAL or tokens & _NEGATIONS or get_close_matches(_words(name), ("good", "normal", "pass"), 1, 0.8):
        return "OK"
    if tokens & _MASK_WORDS:
        return "masks"
    if _words(name) in _DERIVED:
        return "images made from parts"
    return NO_TRUTH if _words(name) in _NO_TRUTH else None


def is_class(name: str) -> bool:
    """Whether a name can be believed as that of a class: of normal parts, of defective ones, or of a type of defect."""
    return is_normal(name) or is_defective(name) or doubt(name) not in ("OK", NO_TRUTH)


def may_be_split(name: str) -> bool:
    """Whether a name that is no split resembles one (`train_set`, `val2`, `eval`)."""
    tokens = _parted(name).split("_")
    return any(
        token in SPLIT_NAMES or token in ("eval", "evaluation", "holdout") or token.startswith(("train", "test"))
        for token in tokens
    )


def canonical(name: str) -> str:
    """Return a folder's name for comparison with another one: words of one meaning are equal."""
    meaning = role(name)
    return (
        f":{split_of(name)}"
        if meaning == "split"
        else folded(name)
        if meaning in ("name", "unclear")
        else f":{meaning}"
    )


def plain_stem(name: str) -> str:
    """Return a file's name for comparison: without the suffixes of images, one or several (`001.jpg.png`)."""
    path = Path(name)
    while path.suffix.lower() in SUFFIXES and path.stem:
        path = Path(path.stem)
    return folded(path.name)


def mask_stem(name: str) -> tuple[str, bool] | None:
    """Return the plain stem of the image whose mask a file's name says it is, and whether it is one of several, or None."""
    stem = plain_stem(name)
    if match := _MASK_STEM.fullmatch(stem):
        return plain_stem(match["of"]), match["number"] is not None
    start = _MASK_START.fullmatch(stem)
    return (plain_stem(start["of"]), False) if start else None


def copied_from(stem: str) -> str | None:
    """Return the source of an augmented copy in a Roboflow export (`NAME_jpg.rf.HASH`), or None."""
    match = _COPY.fullmatch(stem)
    return composed(match["of"]) if match else None
