"""`adfm data make | build | check` from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from adfm.cli.main import main
from adfm.data.check import KINDS
from adfm.data.layouts import LAYOUTS
from adfm.data.manifest import read_manifest


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "parts"
    assert (
        main(["data", "make", "--out", str(out), "--images", "24", "--products", "2", "--size", "64", "--seed", "3"])
        == 0
    )
    return out


def test_make_build_check(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "built"
    assert (
        main(["data", "build", str(parts), "--out", str(out), "--split", "labelled", "--labelled-fraction", "0.4"]) == 0
    )
    told = capsys.readouterr()
    assert "24 samples" in told.out
    assert f"adfm data check {out}" in told.out
    assert told.err == ""
    assert len(read_manifest(out).samples) == 24
    assert main(["data", "check", str(out)]) == 0
    assert capsys.readouterr().out.endswith("0 faults, 0 warnings\n")


def test_build_prints_its_meta_as_json(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--tile",
        "48",
        "--tile-normals",
        "1",
        "--split",
        "fractions",
        "--shares",
        "0.5",
        "0.2",
        "0.3",
        "--json",
    ]
    assert main(["data", "build", str(parts), "--out", str(tmp_path / "b"), *arguments]) == 0
    meta = json.loads(capsys.readouterr().out)
    assert meta["settings"]["tile"] == 48
    assert meta["settings"]["shares"] == [0.5, 0.2, 0.3]
    assert meta["samples"] == len(read_manifest(Path(meta["manifest"])).samples)


def test_every_fault_is_a_line(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "bad\nname"
    for number, place in enumerate(("ok/a.png", "ok/b.png", "ng/c.png")):
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 0, 0)).save(source / place)
    for place in ("ok/a.png", "ng/c.png"):
        (source / place).write_bytes((source / place).read_bytes()[:50])
    assert main(["data", "build", str(source), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2
    assert all(line.startswith("adfm: ") and "is damaged" in line for line in err)
    assert not (tmp_path / "out").exists()


def test_check_counts_faults_and_exits_with_two(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "built"
    main(["data", "build", str(parts), "--out", str(out), "--split", "labelled"])
    manifest = out / "manifest.jsonl"
    lines = manifest.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    rows[4]["sha256"], rows[7]["colour"] = "0" * 64, "red"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    capsys.readouterr()
    assert main(["data", "check", str(out)]) == 2
    told = capsys.readouterr().out
    assert f"{manifest}:5: " in told
    assert f"{manifest}:8: [field-unknown] unknown field 'colour'" in told
    assert "2 faults" in told
    assert main(["data", "check", str(out), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert [fault["line"] for fault in found["faults"]] == [5, 8]


def test_make_says_what_is_wrong(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--out", str(parts)],
        ["--out", str(tmp_path / "a"), "--benign", "holse"],
        ["--out", str(tmp_path / "a"), "--images", "0"],
    ):
        assert main(["data", "make", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_make_is_the_same_for_a_seed(parts: Path, tmp_path: Path) -> None:
    arguments = ["--images", "24", "--products", "2", "--size", "64", "--seed"]
    for seed, same in (("3", True), ("4", False)):
        out = tmp_path / seed
        assert main(["data", "make", "--out", str(out), *arguments, seed]) == 0
        names = sorted(path.relative_to(parts) for path in parts.rglob("*.png") if "train" in path.parts)
        assert len(names) == 8 or names
        equal = [(out / name).exists() and (out / name).read_bytes() == (parts / name).read_bytes() for name in names]
        assert all(equal) if same else not any(equal)


@pytest.mark.parametrize("command", [["data", "build"], ["adapt"]])
def test_the_help_lists_every_layout(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    shown = "".join(capsys.readouterr().out.split())  # lines are broken anywhere, in names too
    assert f"auto(default:theonethatfits),{','.join(layout.NAME for layout in LAYOUTS)}" in shown


@pytest.fixture
def built(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A sound built set that a test may damage."""
    main(["data", "build", str(parts), "--out", str(tmp_path / "built"), "--split", "labelled"])
    capsys.readouterr()
    return tmp_path / "built"


def rewrite(out: Path, line: int, **values: object) -> None:
    rows = [json.loads(each) for each in (out / "manifest.jsonl").read_text().splitlines()]
    rows[line - 1] |= values
    (out / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_check_prints_a_fault_as_file_line_code_rule_and_fix(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(built, 3, sha256="none")
    assert main(["data", "check", str(built)]) == 2
    place = f"{built / 'manifest.jsonl'}:3"
    line = f"{place}: [sha256-malformed] 'sha256' must be 64 digits of 0-9 and a-f; build the manifest again"
    assert capsys.readouterr().out == f"{line}\n1 faults, 0 warnings\n"
    assert main(["data", "check", str(built), "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "faults": [
            {
                "code": "sha256-malformed",
                "level": "fault",
                "file": str(built / "manifest.jsonl"),
                "line": 3,
                "rule": "'sha256' must be 64 digits of 0-9 and a-f",
                "fix": "build the manifest again",
            }
        ],
        "warnings": [],
    }


def test_check_with_warnings_alone_exits_with_zero(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (built / "manifest.meta.json").unlink()
    assert main(["data", "check", str(built)]) == 0
    told = capsys.readouterr().out
    assert "manifest.meta.json: warning: [meta-missing] " in told
    assert told.endswith("0 faults, 1 warnings\n")


def test_check_names_what_cannot_earn_full_marks(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(each) for each in (built / "manifest.jsonl").read_text().splitlines()]
    number = next(n for n, row in enumerate(rows, 1) if row["label"] == "anomalous")
    rewrite(built, number, mask=None, boxes=[[x, 0, x + 1, 1] for x in range(0, 64)] + [[0, 2, 1, 3]])
    assert main(["data", "check", str(built)]) == 2
    assert f":{number}: [gold-marks] cannot earn full marks: " in capsys.readouterr().out


def test_check_with_a_list_of_bad_images(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = json.loads((built / "manifest.jsonl").read_text().splitlines()[4])
    bad = tmp_path / "bad.txt"
    bad.write_text(f"# ours\n\n{row['sha256'].upper()}  blurred by hand\n{'0' * 64}\n")
    assert main(["data", "check", str(built), "--known-bad", str(bad)]) == 2
    told = capsys.readouterr().out
    assert ":5: [known-bad] " in told
    assert "(blurred by hand); " in told
    assert told.endswith("1 faults, 0 warnings\n")
    for content in ("no hash\n", "ab" * 31 + "\n", "0" * 65 + "\n"):
        bad.write_text(content)
        assert main(["data", "check", str(built), "--known-bad", str(bad)]) == 2
        assert f"{bad}:1: must begin with a sha256" in capsys.readouterr().err
    bad.unlink()
    assert main(["data", "check", str(built), "--known-bad", str(bad)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_check_lists_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(KINDS)
    assert {line.split()[1] for line in lines} == {"fault", "warning"}
    assert main(["data", "check", "--list", "--json"]) == 0
    assert [kind["code"] for kind in json.loads(capsys.readouterr().out)] == list(KINDS)


def test_check_needs_a_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check"]) == 2
    assert "needs the manifest or its folder" in capsys.readouterr().err
