"""`adfm data export` from the command line to the files: images as our own loader shows them, errors in one line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from adfm import images
from adfm.bridges import BRIDGES
from adfm.bridges.export import export
from adfm.cli.data_export import TOOLS
from adfm.cli.main import main
from adfm.data.manifest import Manifest, read_manifest, write_manifest
from adfm.errors import ImageError
from adfm.geometry import Frame
from adfm.models.card import ModelCard, protocol_of, write_card
from adfm.models.families import frame_of_model
from adfm.models.files import resolve
from adfm.reasoning import Protocol, ask, canonical, focus_box
from adfm.records import Sample
from adfm.rewards.truth import rate, read_truth

ASKING = [name for name, bridge in BRIDGES.items() if bridge.ASKS]
SILENT = [name for name, bridge in BRIDGES.items() if not bridge.ASKS]


def test_every_tool_of_the_command_is_there() -> None:
    assert set(TOOLS) == set(BRIDGES)
    assert ASKING == ["verl", "easyr1", "ms-swift", "lmms-eval"] and SILENT == ["coco", "fiftyone"]


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_reported_is_written(
    tool: str, parts_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = ["--frame", "0-1000"] if BRIDGES[tool].ASKS else []
    out = tmp_path / "out"
    assert main(["data", "export", str(parts_data), "--to", tool, "--out", str(out), *frame, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["samples"] == len(read_manifest(parts_data).samples)
    assert sorted(printed["files"]) == sorted(path.name for path in out.iterdir())
    assert str(out) in printed["load"] and "{out}" not in printed["load"]
    for word in printed["load"].replace("'", " ").replace("=", " ").replace(":compute", " ").split():
        assert not word.startswith(str(out)) or Path(word).exists()


def test_people_see_the_next_step(parts_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "export", str(parts_data), "--to", "coco", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"24 samples -> {tmp_path / 'out'}: instances_train.json")
    assert "\nnext: pycocotools" in printed.out and printed.err == ""


@pytest.mark.parametrize(
    ("tool", "printed"), [("coco", "left out"), ("fiftyone", "is null"), ("ms-swift", "not apply")]
)
def test_samples_without_boxes_are_noted(
    tool: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    one_image(tmp_path / "data", "plain", label="anomalous", boxes=None)
    frame = ["--frame", "0-1000"] if BRIDGES[tool].ASKS else []
    assert main(["data", "export", str(tmp_path / "data"), "--to", tool, "--out", str(tmp_path / "out"), *frame]) == 0
    (note,) = [line for line in capsys.readouterr().out.split("\n") if line.startswith("note: ")]
    assert note.startswith("note: 1 anomalous samples have no boxes") and printed in note


def test_one_split(parts_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["data", "export", str(parts_data), "--to", "coco", "--out", str(out), "--split", "test"]) == 0
    assert [path.name for path in out.iterdir()] == ["instances_test.json"]
    assert f"{out}/instances_test.json" in capsys.readouterr().out


def test_a_models_frame_is_asked_of_the_model(parts_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["data", "export", str(parts_data), "--to", "ms-swift", "--out", str(out), "--model", "nano"]) == 0
    for line in (out / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        truth = read_truth(row["truth"])
        assert truth.frame == frame_of_model("nano")(truth.sample.width, truth.sample.height)
        assert truth.frame.name.startswith("resized:")
        image = images.load(Path(row["images"][0]))
        focus = None if truth.sample.anomalous else focus_box(image)
        assert row["messages"][1]["content"] == canonical(truth.sample, truth.frame, focus=focus)
        assert rate(row["messages"][1]["content"], row["truth"]).verdict == 1.0


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The nano model with the card of another protocol."""
    folder = tmp_path / "trained"
    shutil.copytree(resolve("nano"), folder)
    write_card(folder, ModelCard(protocol=Protocol(stages="locate_answer", name_category=False, max_new_tokens=99)))
    return folder


@pytest.mark.parametrize(
    ("options", "changes"), [([], {}), (["--stages", "verdict"], {"stages": "verdict"}), (["--no-category"], {})]
)
def test_the_models_protocol_is_asked_for_unless_an_option_says_otherwise(
    options: list[str], changes: dict[str, Any], trained: Path, parts_data: Path, tmp_path: Path
) -> None:
    out, protocol = tmp_path / "out", protocol_of(str(trained)).model_copy(update=changes)
    assert protocol != Protocol()
    arguments = ["--to", "lmms-eval", "--out", str(out), "--model", str(trained), *options]
    assert main(["data", "export", str(parts_data), *arguments]) == 0
    (documents,) = out.glob("*.jsonl")
    for document in map(json.loads, documents.read_text().splitlines()):
        truth = read_truth(document["truth"])
        ours = ask(Path("x"), truth.frame, protocol, category=truth.sample.category)
        assert document["question"] == ours.text
        assert truth.protocol.stages == protocol.stages
        assert rate(document["answer"], document["truth"]).format == 1.0
    assert "max_new_tokens: 99\n" in (out / "adfm_inspection.yaml").read_text()


def test_a_protocol_with_references_is_refused(
    trained: Path, parts_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_card(trained, ModelCard(protocol=Protocol(shots=2)))
    out = tmp_path / "out"
    arguments = ["--to", "verl", "--out", str(out), "--model", str(trained)]
    assert main(["data", "export", str(parts_data), *arguments]) == 2
    error = capsys.readouterr().err
    assert "shows 2 reference images" in error and error.count("\n") == 1
    assert not out.exists()


def test_protocol_and_wording(parts_data: Path, tmp_path: Path) -> None:
    options = ["--frame", "original", "--stages", "verdict", "--no-category"]
    out = tmp_path / "out"
    assert main(["data", "export", str(parts_data), "--to", "verl", "--out", str(out), *options]) == 0
    row = pq.read_table(out / "train.parquet").to_pylist()[0]
    assert "Part:" not in row["prompt"][0]["content"] and "<locate>" not in row["prompt"][0]["content"]
    assert json.loads(row["reward_model"]["ground_truth"])["stages"] == "verdict"


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--to", "verl"], "give either --model"),
        (["--to", "verl", "--model", "nano", "--frame", "original"], "give either --model"),
        (["--to", "verl", "--frame", "pixels"], "must be 'original', '0-1000' or 'resized:WxH'"),
        (["--to", "coco", "--frame", "original"], "--frame: coco holds no prompts"),
        (["--to", "fiftyone", "--no-category"], "--no-category: fiftyone holds no prompts"),
        (["--to", "coco", "--split", "validation"], "no sample is in the 'validation' split"),
        (["--to", "cocoo"], "did you mean 'coco'"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    arguments: list[str], printed: str, parts_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["data", "export", str(parts_data), "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert printed in error and error.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(
    parts_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    assert main(["data", "export", str(parts_data), "--to", "coco", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


# Pictures


def saved(folder: Path, kind: str) -> Path:
    """An image of 40 x 20 as shown, whose top left quarter is bright, stored in some way."""
    pixels = np.zeros((20, 40), np.uint8)
    pixels[:10, :20] = 200
    path = folder / f"{kind}.png"
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6  # stored on its side: the viewer turns it by 90 degrees clockwise
        Image.fromarray(np.rot90(pixels, 1).copy()).save(path, exif=exif)
    elif kind == "deep":
        Image.fromarray(pixels.astype(np.uint16) * 257).save(path)
    elif kind == "transparent":
        Image.merge("LA", (Image.fromarray(pixels), Image.fromarray(pixels))).save(path)
    else:
        Image.fromarray(pixels).save(path)
    return path


def one_image(folder: Path, kind: str, **changes: Any) -> Manifest:
    path = saved(folder, kind)
    row: dict[str, Any] = {
        "id": f"../../{kind}", "image": path.name, "width": 40, "height": 20, "label": "normal", "category": "cap",
        "defect": None, "mask": None, "boxes": (), "split": "train", "sha256": "0",
        "white": 65535 if kind == "deep" else None,
    }  # fmt: skip
    write_manifest(folder / "manifest.jsonl", [Sample(**(row | changes))])
    return read_manifest(folder)


@pytest.mark.parametrize("kind", ["plain", "turned", "deep", "transparent"])
def test_any_decoder_shows_what_ours_shows(kind: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    manifest, out = one_image(tmp_path / "data", kind), tmp_path / "out"
    export(manifest, BRIDGES["coco"], out)
    image = json.loads((out / "instances_train.json").read_text())["images"][0]
    shown = Image.open(image["file_name"]).convert("RGB")  # as a decoder that knows nothing of EXIF and 16 bits
    assert shown.size == (image["width"], image["height"]) == (40, 20)
    assert np.array_equal(np.asarray(shown), np.asarray(images.load(manifest.image_path(manifest.samples[0]), 65535)))
    inside = Path(image["file_name"]).is_relative_to(out.resolve())
    assert inside == (kind != "plain")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "out"}


@pytest.mark.parametrize("kind", ["turned", "deep", "transparent"])
def test_without_the_copy_they_would_show_something_else(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path, kind)
    assert not images.plain(path)
    naive = Image.open(path).convert("RGB")
    ours = images.load(path, 65535)
    assert naive.size != ours.size or not np.array_equal(np.asarray(naive), np.asarray(ours))


def test_an_image_of_another_size_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    manifest = one_image(tmp_path / "data", "turned", width=20, height=40)
    with pytest.raises(ImageError, match="is 40 x 20, the manifest says 20 x 40"):
        export(manifest, BRIDGES["coco"], tmp_path / "out", Frame.thousand)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_exports_without_a_model_load_no_torch(parts_data: Path, tmp_path: Path) -> None:
    source = (
        "import sys\nfrom adfm.cli.main import main\n"
        f"code = main(['data', 'export', {str(parts_data)!r}, '--to', 'ms-swift', '--frame', '0-1000',"
        f" '--out', {str(tmp_path / 'out')!r}])\n"
        "print(code, sorted({'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 []\n")


def test_parquet_without_pyarrow_is_one_line(
    parts_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "out"
    assert main(["data", "export", str(parts_data), "--to", "verl", "--frame", "0-1000", "--out", str(out)]) == 2
    assert "needs pyarrow" in capsys.readouterr().err
    assert not out.exists()
