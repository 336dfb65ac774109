"""A miniature MMAD: four data sets in their published folders, eight pictures, with the oddities of the real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

DEFECT_TASKS = ("Defect Classification", "Defect Localization", "Defect Description", "Defect Analysis")
OBJECT_TASKS = ("Object Classification", "Object Structure", "Object Details", "Object Analysis")


def asked(kind: str, answer: str, options: dict[str, str] | None = None, text: str | None = None) -> dict[str, Any]:
    """A question as it stands in `mmad.json`; its own fields come in that file's order."""
    options = options or {"A": "At the top.", "B": "At the bottom.", "C": "On the left.", "D": "On the right."}
    return {"Question": text or f"{kind}?", "Answer": answer, "Options": options, "type": kind}


def detection(answer: str) -> dict[str, Any]:
    return asked("Anomaly Detection", answer, {"A": "Yes.", "B": "No."}, "Is there any defect in the object?")


def about_defect() -> list[dict[str, Any]]:
    return [detection("A"), *(asked(kind, "ABCD"[n]) for n, kind in enumerate(DEFECT_TASKS))]


def about_object() -> list[dict[str, Any]]:
    return [detection("B"), *(asked(kind, "DCBA"[n]) for n, kind in enumerate(OBJECT_TASKS))]


def row(image: str, mask: str | None, templates: list[str], talk: list[Any], key: str = "conversation") -> Any:
    value = {"image_path": image, "similar_templates": templates[::-1], "random_templates": templates, key: talk}
    return value if mask is None else value | {"mask_path": mask}


def published() -> dict[str, Any]:
    """The content of a small `mmad.json`."""
    bottle = ["MVTec-AD/bottle/train/good/001.png", "MVTec-AD/bottle/train/good/002.png"]
    pill = ["MVTec-AD/pill/train/good/001.png"]
    box = ["MVTec-LOCO/breakfast_box/train/good/003.png"]
    candle = ["VisA/candle/train/good/0001.JPG"]
    food = ["GoodsAD/food_box/train/good/000003.jpg"]
    five = {letter: f"It is a part number {letter}." for letter in "ABCDE"}
    rows = [
        row("DS-MVTec/bottle/image/broken_large/000.png", "mask/broken_large/000_mask.png", bottle, about_defect()),
        # Pictures of one object under another's name, as in the published set.
        row("DS-MVTec/pill/image/good/000.png", "", pill, [detection("B"), asked("Object Analysis", "E", five)]),
        row("MVTec-LOCO/breakfast_box/test/logical_anomalies/000.png", "ground_truth/x.png", box, about_defect()[1:]),
        row("MVTec-LOCO/breakfast_box/test/good/001.png", None, box, about_object(), "conversation_2"),
        row("VisA/candle/test/bad/000.JPG", "ground_truth/bad/000.png", candle, about_defect()),
        row("VisA/candle/test/good/0002.JPG", None, candle, about_object()),
        row("GoodsAD/food_box/test/opened/000001.jpg", "ground_truth/opened/000001.png", food, about_defect()),
        row("GoodsAD/food_box/test/good/000002.jpg", None, food, about_object()),
    ]
    return {each["image_path"]: each for each in rows}


def draw(file: Path, level: int, side: int = 24) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (level, level, level)).save(file)


KNOWLEDGE = {
    "MVTec": {"bottle": {"good": "A clean rim.", "broken_large": "A large break."}, "pill": {"good": "White, oval."}},
    "GoodsAD": {"food_box": {"good": "Closed.", "opened": "The flap stands open."}},
}


@pytest.fixture
def content() -> dict[str, Any]:
    """The rows of the miniature `mmad.json`, to be changed at will."""
    return published()


@pytest.fixture
def mini(tmp_path: Path, content: dict[str, Any]) -> Path:
    """The miniature's folder; every anomalous picture is dark, every normal one bright, templates are grey."""
    root = tmp_path / "MMAD"
    for image, value in content.items():
        draw(root / image, 200 if "good" in image else 40)
        for template in value["random_templates"]:
            draw(root / template, 128)
    (root / "mmad.json").write_text(json.dumps(content))
    (root / "domain_knowledge.json").write_text(json.dumps(KNOWLEDGE))
    return root
