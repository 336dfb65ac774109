"""`adfm bench data`: parts that a build accepts, both sides on the same files, ratios of neighbours, refusals in a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adfm import images
from adfm.cli.main import main
from adfm.data.build import build
from adfm.data.settings import BuildSettings
from adfm.data.threads import Threads
from adfm.errors import ImageError
from adfm.geometry import boxes_from_mask
from adfm.workflows.bench import data as bench
from adfm.workflows.bench.data import decode, draw_parts, random_mask, spent, summary


def test_the_parts_are_whole_sized_distinct_and_varied(tmp_path: Path) -> None:
    pairs = draw_parts(tmp_path / "parts", 12, 3, Threads(1))
    report = build(tmp_path / "parts", tmp_path / "out", BuildSettings(layout="folder", workers=1))
    assert report.samples == 12
    assert report.meta["warnings"] == []  # no copies, no empty masks, nothing unused
    assert report.meta["boxes"]["samples_with_boxes"] == 12
    assert report.meta["boxes"]["per_sample"]["max"] > 1
    for image, mask in pairs[:3]:
        assert images.load(image).size == (1500, 1000)
        marked = images.load_mask(mask)
        assert np.array_equal(marked > 0, np.asarray(images.load(image))[:, :, 0] != bench.PART)


def test_a_seed_draws_the_same_masks() -> None:
    first, again, other = (random_mask(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(boxes_from_mask(mask).boxes for mask in (first, other))


def test_the_reference_decodes_all_of_every_file(tmp_path: Path) -> None:
    """Cut short at its end, each kind of file stops the reference: it does not stop at headers or at half the files."""
    pairs = draw_parts(tmp_path / "parts", 2, 0, Threads(1))
    Threads(2).map("decoding", decode, pairs)
    for path in pairs[1]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 3 // 4])
        with pytest.raises(OSError, match=r"truncated|broken|incomplete"):
            Threads(2).map("decoding", decode, pairs)
        with pytest.raises(ImageError):  # and so it stops what the build decodes with
            images.load(path)
        path.write_bytes(whole)


def test_ratios_are_those_of_neighbours() -> None:
    found = summary(8, [(2.0, 1.0), (4.0, 3.0), (3.0, 1.0)], [(4.0, 4.0), (4.0, 4.0), (4.0, 4.0)])
    assert found["ratio"] == {"median": 0.75, "min": 0.5, "max": 1.0}
    assert found["processor_ratio"] == {"median": 0.25, "min": 0.25, "max": 0.75}
    assert found["decode"] == {"median": 8 / 3, "min": 2.0, "max": 4.0}
    assert found["build"] == {"median": 2.0, "min": 2.0, "max": 2.0}


def test_processor_time_is_not_the_time_of_waiting() -> None:
    import time

    wall, processor = spent(lambda: time.sleep(0.05))
    assert processor < 0.04 <= wall


def test_the_command_prints_and_writes_both_speeds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["bench", "data", "--count", "3", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["count"] == 3
    assert printed["decoder"].startswith("Pillow ")
    assert [len(printed["seconds"][side]) for side in ("build", "decode")] == [2, 2]
    for name in ("build", "decode", "ratio", "processor_ratio"):
        assert 0 < printed[name]["min"] <= printed[name]["median"] <= printed[name]["max"]
    assert printed["provenance"]["threads"] == 1
    assert json.loads((tmp_path / "bench-data.json").read_text()) == printed
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "decode, masks a second" in captured.out
    assert "building 2 3/3" in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "0"], "--count 0: must be at least 1"),
        (["--repeats", "0"], "--repeats 0: must be at least 1"),
        (["--threads", "-1"], "--threads: setting 'workers'"),
        (["--threads", "65"], "less than or equal to 64 (given: '65')"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "data", *arguments]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
