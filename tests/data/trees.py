"""Random trees of every layout that walks folders, random damage to them, and what a reader may then say.

A tree is known by construction: every file is a part, a mask of a part, or neither. Damage moves and renames files,
and what they are goes with them. A reader is right if it returns that, or refuses; it may not refuse a sound tree.
"""

from __future__ import annotations

import random
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from adfm.data.faults import KINDS, DataFaultsError
from adfm.data.layouts import SourceImage, choose, listed_images
from adfm.records import Label, Split

ROOT = "set"
SUFFIXES = (".png", ".jpg", ".JPG", ".bmp", ".tif")
GOOD, BAD = ("OK", "good", "Normal", "pass", "io"), ("NG", "bad", "Abnormal", "defect", "nio", "anomalous")
SPLIT_WORDS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "Training"),
    "validation": ("val", "valid", "Validation", "dev"),
    "test": ("test", "testing", "TEST"),
}
DEFECTS = ("crack", "Dent", "für elise", "cut_lead", "rißä")
MASK_WORDS = ("masks", "Mask", "gt", "ground_truth", "labels", "annotations", "SegmentationClass")


@dataclass(frozen=True)
class File:
    """One file: `what` is part, mask, other (neither, by agreement) or stray (nobody can know: it must be refused).

    `defect` and `category` are the places of the folders that name them, None where none does; `cut` characters of
    the first are no name. `of` is the number of the part, which its masks have too.
    """

    path: str
    what: str
    of: int = -1
    label: Label | None = None
    split: Split | None = None
    category: int | str | None = None
    defect: int | None = None
    cut: int = 0
    content: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))

    def at(self, *parts: str) -> File:
        return replace(self, path="/".join(parts))

    def named(self, place: int | str | None) -> str | None:
        return composed(self.parts[place]) if isinstance(place, int) else place


def composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


@dataclass
class Forest:
    """What the builders share: choices, and the files so far."""

    rng: random.Random
    size: int

    def __post_init__(self) -> None:
        self.files: list[File] = []
        self.style = self.rng.randrange(4)

    def stem(self, number: int) -> str:
        """Numbers begin anew in every folder, or names are unique."""
        unique = len(self.files)
        return (f"{number:03d}", f"part {unique}", f"Bäuteil-{unique}", f"p.{unique}_jpg.rf.0a{number}")[self.style]

    def some(self, at_least: int = 1) -> range:
        return range(at_least + self.rng.randrange(self.size))

    def part(self, *parts: str, suffix: str | None = None, **truth: object) -> File:
        suffix = suffix or self.rng.choice(SUFFIXES)
        file = File("/".join(parts) + suffix, "part", len(self.files), **truth)  # type: ignore[arg-type]
        self.files.append(file)
        return file

    def mask(self, of: File, *parts: str, suffix: str = ".png") -> None:
        self.files.append(File("/".join(parts) + suffix, "mask", of.of))

    def categories(self) -> list[str]:
        return (
            self.rng.sample(["A", "Bolt 2", "Ventil_ä"], 1 + self.rng.randrange(2)) if self.rng.randrange(2) else [""]
        )

    def ending(self) -> str:
        return self.rng.choice(["_mask", "", "_GT", "-mask", "_label"])


def _mvtec_like(forest: Forest, categories: list[str], kinds: list[str], good: str = "good", below: str = "") -> None:
    ending = forest.rng.choice(["_mask", ""])
    for category in categories:
        top = [name for name in (below, category) if name]
        place = len(top) - 1 if category else ROOT
        for split in ("train", "validation", "test"):
            if split == "validation" and forest.rng.randrange(2):
                continue
            for number in forest.some():
                forest.part(*top, split, good, forest.stem(number), label="normal", split=split, category=place)
        for kind in kinds:
            defect = None if kind.lower() in ("bad", "ko", "anomalous") else len(top) + 1
            for number in forest.some():
                stem = forest.stem(number)
                part = forest.part(
                    *top, "test", kind, stem, label="anomalous", split="test", category=place, defect=defect
                )
                if forest.rng.random() < 0.8:
                    forest.mask(part, *top, "ground_truth", kind, stem + ending)


def mvtec(forest: Forest) -> None:
    _mvtec_like(forest, forest.categories(), forest.rng.sample(DEFECTS, 2))


def _published(*names: str, kinds: tuple[str, ...]) -> Callable[[Forest], None]:
    def build(forest: Forest) -> None:
        _mvtec_like(forest, forest.rng.sample(names, 2), list(kinds))

    return build


def visa_1cls(forest: Forest) -> None:
    _mvtec_like(forest, ["candle", "pcb1"], ["bad"], below=forest.rng.choice(["1cls", ""]))


def mvtec_loco(forest: Forest) -> None:
    for category in ("box", "bag"):
        for split in ("train", "validation", "test"):
            for number in forest.some():
                forest.part(category, split, "good", forest.stem(number), label="normal", split=split, category=0)
        for kind in ("logical_anomalies", "structural_anomalies"):
            for number in forest.some():
                stem = forest.stem(number)
                truth = {"label": "anomalous", "split": "test", "category": 0, "defect": 2}
                part = forest.part(category, "test", kind, stem, **truth)
                for mask in forest.some():
                    forest.mask(part, category, "ground_truth", kind, stem, f"{mask:03d}")


def mvtec2(forest: Forest) -> None:
    for category in forest.rng.sample(["can", "vial"], 1 + forest.rng.randrange(2)):
        top = [category] * (1 + forest.rng.randrange(2))
        for split, folder in (("train", "train"), ("validation", "validation"), ("test", "test_public")):
            for number in forest.some():
                truth = {"label": "normal", "split": split, "category": 0}
                forest.part(*top, folder, "good", f"{number:03d}_regular", **truth)
        for number in forest.some():
            stem = f"{number:03d}_shift_1"
            part = forest.part(*top, "test_public", "bad", stem, label="anomalous", split="test", category=0)
            forest.mask(part, *top, "test_public", "ground_truth", "bad", f"{stem}_mask")
        forest.files.append(File("/".join([*top, "test_private", "000_regular.png"]), "other"))


def btad(forest: Forest) -> None:
    for category in ("01", "02")[: 1 + forest.rng.randrange(2)]:
        for split in ("train", "test"):
            for number in forest.some():
                forest.part(category, split, "ok", forest.stem(number), label="normal", split=split, category=0)
        for number in forest.some():
            stem = forest.stem(number)
            part = forest.part(category, "test", "ko", stem, label="anomalous", split="test", category=0)
            forest.mask(part, category, "ground_truth", "ko", stem, suffix=forest.rng.choice([".bmp", ".png"]))


def defect_spectrum(forest: Forest) -> None:
    for category in ("pill", "nut"):
        for number in forest.some():
            forest.part(category, "image", "good", forest.stem(number), label="normal", split="test", category=0)
        for kind in forest.rng.sample(DEFECTS, 2):
            for number in forest.some():
                stem = forest.stem(number)
                truth = {"label": "anomalous", "split": "test", "category": 0, "defect": 2}
                part = forest.part(category, "image", kind, stem, **truth)
                forest.mask(part, category, "mask", kind, f"{stem}_mask")
                forest.files.append(File(f"{category}/rgb_mask/{kind}/{stem}_rgb_mask.png", "other"))


def visa(forest: Forest) -> None:
    for category in ("candle", "pcb1")[: 1 + forest.rng.randrange(2)]:
        for number in forest.some():
            forest.part(category, "Data", "Images", "Normal", forest.stem(number), label="normal", category=0)
        for number in forest.some():
            stem = forest.stem(number)
            part = forest.part(category, "Data", "Images", "Anomaly", stem, label="anomalous", category=0)
            forest.mask(part, category, "Data", "Masks", "Anomaly", stem)


def dagm(forest: Forest) -> None:
    for category in ("Class1", "Class2"):
        for folder, split in (("Train", "train"), ("Test", "test")):
            lines = ["1"]
            for number in forest.some(2):
                stem = f"{number:04d}"
                marked = number < 1 or forest.rng.randrange(2)
                label = "anomalous" if marked else "normal"
                part = forest.part(category, folder, stem, suffix=".PNG", label=label, split=split, category=0)
                if marked:
                    forest.mask(part, category, folder, "Label", f"{stem}_label", suffix=".PNG")
                    lines.append(f"{number} 1 {stem}.PNG 0 {stem}_label.PNG")
            listing = File(f"{category}/{folder}/Label/Labels.txt", "other", content="\n".join(lines))
            forest.files.append(listing)


def kolektor(forest: Forest) -> None:
    for item in forest.some(2):
        for number in forest.some():
            part = forest.part(f"kos{item:02d}", f"Part{number}", suffix=".jpg", category="commutator")
            forest.mask(part, f"kos{item:02d}", f"Part{number}_label", suffix=".bmp")


def magnetic(forest: Forest) -> None:
    for kind in ("Free", "Crack", "Break"):
        for number in forest.some():
            truth: dict[str, object] = (
                {"label": "normal"} if kind == "Free" else {"label": "anomalous", "defect": 0, "cut": 3}
            )
            stem = f"exp{number}_num_{number}"
            part = forest.part(f"MT_{kind}", "Imgs", stem, suffix=".jpg", category="magnetic-tile", **truth)
            forest.mask(part, f"MT_{kind}", "Imgs", stem)


def folder(forest: Forest) -> None:
    rng = forest.rng
    good, bad, word = rng.choice(GOOD), rng.choice(BAD), rng.choice(MASK_WORDS)
    arrangement, level, kinds = rng.randrange(5), rng.choice([(), ("images",), ("img",)]), rng.randrange(2)
    defective = 0
    for category in forest.categories():
        top = [category] if category else []
        place = 0 if category else ROOT
        for number in forest.some():
            forest.part(*top, good, *level, f"ok{forest.stem(number)}", label="normal", category=place)
        if defective and rng.randrange(3) == 0:
            continue  # a product of OK parts alone
        defective += 1
        for kind in rng.sample(DEFECTS, 2) if kinds else [""]:
            for number in forest.some():
                inner, stem = [kind] if kind else [], forest.stem(number)
                defect = len([*top, bad, *level]) if kind else None
                folders = [*top, bad, *level, *inner]
                part = forest.part(*folders, stem, label="anomalous", category=place, defect=defect)
                mask = stem + forest.ending()
                ways = (
                    [*top, word, bad, *inner, mask],
                    [*top, bad, word, *inner, mask],
                    [*top, bad, word, *inner, f"{stem}{Path(part.path).suffix}"],
                    [*folders, f"{stem}{rng.choice(['_mask', '_GT', '.gt', '-label'])}"],
                    [*top, f"{bad}_masks", *inner, mask],
                )
                if rng.random() < 0.7:
                    forest.mask(part, *ways[arrangement])


def imagefolder(forest: Forest) -> None:
    rng = forest.rng
    words = {split: rng.choice(names) for split, names in SPLIT_WORDS.items()}
    good, bad, order = rng.choice([name for name in GOOD if name != "good"]), rng.choice(BAD), rng.randrange(4)
    categories = [""] if order in (0, 3) else ["A", "Bolt 2"]
    for category in categories:
        for split in ("train", "validation", "test") if rng.randrange(2) else ("train", "test"):
            tops = ([words[split]], [category, words[split]], [words[split], category], [words[split], "images"])
            top, place = tops[order], {1: 0, 2: 1}.get(order, ROOT)
            for number in forest.some():
                forest.part(*top, good, forest.stem(number), label="normal", split=split, category=place)
            for kind in rng.sample([*DEFECTS[:3], bad], 2) if order != 2 else [bad]:
                defect = None if kind == bad else len(top)
                for number in forest.some(0):
                    stem, truth = forest.stem(number), {"label": "anomalous", "split": split, "category": place}
                    part = forest.part(*top, kind, stem, **truth, defect=defect)
                    if rng.randrange(2):
                        masks = [*top[:-1], "masks"] if order == 3 else [*top, kind, "masks"]
                        forest.mask(part, *masks, *([kind] if order == 3 else []), stem)


BUILDERS: dict[str, Callable[[Forest], None]] = {
    "btad": btad,
    "dagm": dagm,
    "defect-spectrum": defect_spectrum,
    "dtd-synthetic": _published("Woven_001", "Mesh_114", "Fibrous_183", kinds=("bad",)),
    "goodsad": _published("drink_can", "food_box", "food_package", kinds=("opened", "surface_damage")),
    "kolektor-sdd": kolektor,
    "magnetic-tiles": magnetic,
    "mpdd": _published("tubes", "connector", "metal_plate", kinds=("anomalous",)),
    "mvtec2": mvtec2,
    "mvtec-loco": mvtec_loco,
    "visa": visa,
    "visa-1cls": visa_1cls,
    "mvtec": mvtec,
    "folder": folder,
    "imagefolder": imagefolder,
}


# Damage: each returns the files after it. What nobody could read is made a stray, which must be refused.
Damage = Callable[[random.Random, list[File]], list[File]]


def _pick(rng: random.Random, files: list[File], what: str) -> int | None:
    stems = Counter(Path(file.path).with_suffix("") for file in files)  # of two of one name, one alone would be sound
    found = [i for i, file in enumerate(files) if file.what == what and stems[Path(file.path).with_suffix("")] == 1]
    return rng.choice(found) if found else None


def _moved(files: list[File], number: int, to: File) -> list[File]:
    """Put a file elsewhere, unless something is there."""
    if any(file.path.casefold() == to.path.casefold() for file in files):
        return files
    return [*files[:number], to, *files[number + 1 :]]


def _renamed(files: list[File], prefix: tuple[str, ...], name: str) -> list[File]:
    """Give the last folder of a prefix another name, unless that exists."""
    new = (*prefix[:-1], name)
    if any(file.parts[: len(new)] == new for file in files):
        return files
    return [file.at(*new, *file.parts[len(new) :]) if file.parts[: len(prefix)] == prefix else file for file in files]


def _folder(
    rng: random.Random, files: list[File], fits: Callable[[str], bool] = lambda _: True
) -> tuple[str, ...] | None:
    found = sorted(
        {file.parts[:end] for file in files for end in range(1, len(file.parts)) if fits(file.parts[end - 1])}
    )
    return rng.choice(found) if found else None


def delete_image(rng: random.Random, files: list[File]) -> list[File]:
    number = _pick(rng, files, "part")
    return files if number is None else [*files[:number], *files[number + 1 :]]


def delete_mask(rng: random.Random, files: list[File]) -> list[File]:
    number = _pick(rng, files, "mask")
    return files if number is None else [*files[:number], *files[number + 1 :]]


def _new_stem(what: str) -> Damage:
    def damage(rng: random.Random, files: list[File]) -> list[File]:
        if (number := _pick(rng, files, what)) is None:
            return files
        *folders, name = files[number].parts
        ending = "" if what == "part" else "_mask"  # else one beside its image would be a part
        return _moved(files, number, files[number].at(*folders, f"other{len(files)}{ending}{Path(name).suffix}"))

    return damage


def _second_suffix(what: str) -> Damage:
    """A copy under the same stem: which of them counts?"""

    def damage(rng: random.Random, files: list[File]) -> list[File]:
        if (number := _pick(rng, files, what)) is None:
            return files
        path = Path(files[number].path)
        suffix = rng.choice([".png", ".webp", ".tiff", ".jpeg"])
        copy = File(path.with_suffix(suffix).as_posix(), "stray")
        taken = any(file.path.casefold() == copy.path.casefold() for file in files)
        return files if taken else [*files, copy]

    return damage


def change_suffix(rng: random.Random, files: list[File]) -> list[File]:
    if (number := _pick(rng, files, rng.choice(["part", "mask"]))) is None:
        return files
    file = files[number]
    suffix = rng.choice([".webp", ".PNG", ".gif", ".png.bak", ".jpg.part", ".jpeg"])
    to = replace(file, path=str(Path(file.path).with_suffix("")) + suffix)
    return _moved(files, number, replace(to, what="stray") if suffix[-4:] in (".gif", ".bak", "part") else to)


def suffix_twice(rng: random.Random, files: list[File]) -> list[File]:
    """The mask of 001.jpg is 001.jpg.png."""
    if (number := _pick(rng, files, "mask")) is None:
        return files
    owner = next((file for file in files if file.what == "part" and file.of == files[number].of), None)
    if owner is None or Path(owner.path).stem != Path(files[number].path).stem:
        return files
    *folders, name = files[number].parts
    return _moved(files, number, files[number].at(*folders, f"{Path(owner.path).name}{Path(name).suffix}"))


def change_case(rng: random.Random, files: list[File]) -> list[File]:
    if (prefix := _folder(rng, files)) is None:
        return files
    change = rng.choice([str.upper, str.lower, str.title])
    return _renamed(files, prefix, change(prefix[-1])) if change(prefix[-1]) != prefix[-1] else files


def decompose(rng: random.Random, files: list[File]) -> list[File]:
    """A folder, or a file, gets its name in Unicode's decomposed form, as some systems write it."""
    if rng.randrange(2) and (prefix := _folder(rng, files, lambda name: not name.isascii())):
        return _renamed(files, prefix, unicodedata.normalize("NFD", prefix[-1]))
    number = _pick(rng, files, rng.choice(["part", "mask"]))
    if number is None:
        return files
    *folders, name = files[number].parts
    return _moved(files, number, files[number].at(*folders, unicodedata.normalize("NFD", name)))


def move_mask(rng: random.Random, files: list[File]) -> list[File]:
    """A mask goes up one folder, to the root, or beside its image."""
    if (number := _pick(rng, files, "mask")) is None:
        return files
    owner = next((file for file in files if file.what == "part" and file.of == files[number].of), None)
    if owner is None or owner.label == "normal":
        return files
    *folders, name = files[number].parts
    beside = owner.parts[:-1]
    stem = Path(owner.path).stem
    ways = [
        [*folders[:-1], name if name.startswith(stem) else f"{stem}_mask.png"],
        [name],
        [*beside, f"{stem}_mask.png"],
        [*beside, f"{stem}.png"],
        [*beside, "masks", name],
    ]
    return _moved(files, number, files[number].at(*rng.choice(ways)))


def mask_folder_anew(rng: random.Random, files: list[File]) -> list[File]:
    """A mask folder gets another name, known or not."""
    known = {word.lower() for word in MASK_WORDS} | {"label", "mask"}
    if (prefix := _folder(rng, files, lambda name: name.lower() in known)) is None:
        return files
    names = ("GT", "Masks", "segmentation", "old_masks", "gt_2", "truth", "defect_masks", "masks new")
    return _renamed(files, prefix, rng.choice(names))


def class_anew(rng: random.Random, files: list[File]) -> list[File]:
    """A folder of OK parts, or of a split, gets a name that says the same, or only perhaps."""
    said = {"good": ("normal", "OK", "good2", "good_parts", "goood", "not_bad"), "ok": ("good", "ok_front", "OK2")}
    splits = {
        "train": ("Training", "train_set", "trian"),
        "test": ("Testing", "test2", "tset"),
        "val": ("valid", "eval"),
    }
    known = said | splits
    if (prefix := _folder(rng, files, lambda name: name.lower() in known)) is None:
        return files
    return _renamed(files, prefix, rng.choice(known[prefix[-1].lower()]))


def extra_level(rng: random.Random, files: list[File]) -> list[File]:
    """The images of a folder get a level `images` of their own."""
    prefix = _folder(rng, [file for file in files if file.what == "part"])
    if prefix is None:
        return files
    level = rng.choice(["images", "rgb", "img"])
    return [
        file.at(*prefix, level, file.parts[-1]) if file.what == "part" and file.parts[:-1] == prefix else file
        for file in files
    ]


def extra_folder(rng: random.Random, files: list[File]) -> list[File]:
    """Images in a folder that says nothing, or something doubtful beside the classes of a split."""
    splits = [file.parts[:2] for file in files if file.parts[1:2] == ("test",)]
    inside = (*rng.choice(splits), rng.choice(["unsorted", "ok_old", "gt_new"])) if splits else None
    outside = (rng.choice(["more", "unsorted", "ok_old", "eval", "gt_new"]),)
    return [*files, File("/".join([*(inside if inside and rng.randrange(2) else outside), "x1.png"]), "stray")]


def loose_image(rng: random.Random, files: list[File]) -> list[File]:
    top = rng.choice(files).parts[:1]
    return [*files, File("/".join([*(top if rng.randrange(2) and len(top) > 1 else ()), "loose.png"]), "stray")]


def orphan_mask(rng: random.Random, files: list[File]) -> list[File]:
    if (number := _pick(rng, files, "mask")) is None:
        return files
    *folders, name = files[number].parts
    if any([Path(file.path).stem] == folders[-1:] for file in files):  # a folder of one image's masks
        folders = folders[:-1]
    return [*files, File("/".join([*folders, f"nobody_mask{Path(name).suffix}"]), "stray")]


def junk(rng: random.Random, files: list[File]) -> list[File]:
    """What systems and users leave; a sound tree stays sound."""
    top = rng.choice(files).parts[:-1]
    names = (".DS_Store", "._000.png", "Thumbs.db", "notes.txt", "__MACOSX/000.png", ".cache/000.png")
    return [*files, File("/".join([*top, rng.choice(names)]), "other")]


HARMLESS: dict[str, Damage] = {"junk": junk}
DAMAGES: dict[str, Damage] = HARMLESS | {
    "delete_image": delete_image,
    "delete_mask": delete_mask,
    "rename_image": _new_stem("part"),
    "rename_mask": _new_stem("mask"),
    "second_image": _second_suffix("part"),
    "second_mask": _second_suffix("mask"),
    "change_suffix": change_suffix,
    "suffix_twice": suffix_twice,
    "change_case": change_case,
    "decompose": decompose,
    "move_mask": move_mask,
    "mask_folder_anew": mask_folder_anew,
    "class_anew": class_anew,
    "extra_level": extra_level,
    "extra_folder": extra_folder,
    "loose_image": loose_image,
    "orphan_mask": orphan_mask,
}


def grown(name: str, damages: tuple[str, ...], size: int, seed: int) -> list[File]:
    """Return the files of one tree."""
    rng = random.Random(seed)
    forest = Forest(rng, size)
    BUILDERS[name](forest)
    files = forest.files
    for damage in damages:
        files = DAMAGES[damage](rng, files) if files else files
    return files


Truth = dict[str, tuple[object, ...]]


def truth(files: list[File]) -> Truth:
    """Return what a right reader says: path -> label, defect, category, split, masks."""
    masks: dict[int, list[str]] = {}
    for file in files:
        if file.what == "mask":
            masks.setdefault(file.of, []).append(file.path)
    return {
        file.path: (
            file.label,
            (file.named(file.defect) or "")[file.cut :] or None,
            file.named(file.category),
            file.split,
            tuple(sorted(masks.get(file.of, []))),
        )
        for file in files
        if file.what == "part"
    }


def unreadable(files: list[File]) -> bool:
    """Whether a tree must be refused: a file is nobody's."""
    parts = {file.of for file in files if file.what == "part"}
    return any(file.what == "stray" or (file.what == "mask" and file.of not in parts) for file in files)


def planted(files: list[File], root: Path) -> None:
    """Write a tree; its images are empty files, since a layout opens none."""
    for file in files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)


def said(root: Path) -> Truth | list[str]:
    """Return what the reader says, in the form of `truth`, or its lines. An undecided image without a mask is refused later."""
    try:
        found = listed_images(root, choose(root))
    except DataFaultsError as error:
        assert all(KINDS[fault.code].level == "fault" for fault in error.faults)
        return [str(fault) for fault in error.faults]
    if undecided := [each for each in found if each.label is None and not each.masks]:
        return [f"{each.image} has no mask" for each in undecided]
    return {each.image.as_posix(): _row(each) for each in found}


def _row(each: SourceImage) -> tuple[object, ...]:
    masks = tuple(sorted(mask.as_posix() for mask in each.masks))
    return each.label, each.defect, each.category, each.split, masks


def difference(name: str, damages: tuple[str, ...], size: int, seed: int, below: Path) -> str | None:
    """Return what is wrong with the reading of one tree, or None."""
    root, files = below / ROOT, grown(name, damages, size, seed)
    root.mkdir()
    try:
        planted(files, root)
        return _judged(files, said(root), sound=set(damages) <= set(HARMLESS))
    finally:
        cleared(root)


def cleared(root: Path) -> None:
    """Remove a tree."""
    shutil.rmtree(root)


def _judged(files: list[File], found: Truth | list[str], *, sound: bool) -> str | None:
    if isinstance(found, list):
        broken = not found or any("\n" in line for line in found)
        return f"refused: {found}" if sound or broken else None
    if unreadable(files):
        return "read, though a file is nobody's: " + ", ".join(_strays(files))
    expected = truth(files)
    wrong = [path for path in sorted({*expected, *found}) if expected.get(path) != found.get(path)]
    return "; ".join(f"{path}: {found.get(path)}, not {expected.get(path)}" for path in wrong[:3]) or None


def _strays(files: list[File]) -> Iterator[str]:
    parts = {file.of for file in files if file.what == "part"}
    return (f.path for f in files if f.what == "stray" or (f.what == "mask" and f.of not in parts))
