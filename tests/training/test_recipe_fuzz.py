"""Mutated recipes: each ends in one line and exit 2, in bounded time. `make fuzz-recipes` tries a hundred times as many."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from adfm import config
from adfm.cli.main import main
from adfm.training.settings import RECIPES

COUNT = int(os.environ.get("ADFM_FUZZ", "1000"))
SECONDS = 20
"""Of processor time for one recipe: a guard against hangs."""
VALUES = (
    *("0", "-1", "1e300", "1e-300", ".nan", ".inf", "-.inf", "4294967296", "9" * 400, "0x" + "f" * 5000, "1_000", "08"),
    *("null", "~", "true", "yes", "[]", "{}", "[[[[[[[[]]]]]]]]", "{a: {b: {c: {d: 1}}}}", "2026-01-01", "12:30:45"),
    *(
        "''",
        '"\\0"',
        '"\\ud800"',
        '"\\x1b[31m"',
        "'" + "x" * 5000 + "'",
        "é",
        "\u202e",
        "../..",
        "/dev/zero",
        "*a",
        "&a 1",
    ),
    *(
        "!!python/object/apply:os.system [ls]",
        "!!binary aGk=",
        "!!set {a}",
        "!!float x",
        "!!timestamp x",
        "<<",
        "? a",
        "|",
    ),
    *(
        "[" * 500,
        "{a: " * 500,
        "- " * 300 + "1",
        "%YAML 9.9",
        "---",
        "...",
        "\t",
        "`",
        "@",
        "\ufeff",
        "\x07",
        "a: b: c",
    ),
)


def mutated(text: str, dice: random.Random) -> str:
    """Change a recipe in one to four places: values, names, lines, characters."""
    for _ in range(dice.randint(1, 4)):
        lines = text.split("\n")
        row = dice.randrange(len(lines))
        name, colon, _ = lines[row].partition(":")
        kind = dice.randrange(8)
        if kind < 3 and colon:
            lines[row] = f"{name}: {dice.choice(VALUES)}"
        elif kind == 3:
            lines[row] = dice.choice(VALUES) + lines[row]
        elif kind == 4:
            lines.insert(row, dice.choice(lines))
        elif kind == 5:
            lines[row] = " " * dice.randint(1, 3) + lines[row]
        elif kind == 6:
            del lines[row]
        else:
            place = dice.randrange(len(lines[row]) + 1)
            lines[row] = (
                lines[row][:place] + chr(dice.choice((0, 9, 58, 91, 123, 39, 34, 0x85, 0x1F600))) + lines[row][place:]
            )
        text = "\n".join(lines) or "\n"
    return text


def faults(folder: Path, count: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Train by mutated recipes, which a missing manifest stops at the latest; return what is no single line with exit 2."""
    dice = random.Random(0)
    originals = [(file.stem.rpartition("-")[2], file.read_text()) for file in sorted(RECIPES.glob("*.yaml"))]
    file, found = folder / "recipe.yaml", []
    for _ in range(count):
        stage, text = dice.choice(originals)
        text = mutated(text, dice)
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        more = (
            [f"{dice.choice(('seed', 'lora.rank', 'data', 'x.y'))}={dice.choice(VALUES)}"]
            if dice.random() < 0.2
            else []
        )
        started = time.process_time()
        code = main(["train", stage, "--config", str(file), f"data.manifest={folder / 'none'}", *more])
        said = capsys.readouterr().err
        one_line = said.startswith("adfm: ") and said.count("\n") == 1 and said.rstrip("\n").isprintable()
        if code != 2 or not one_line or len(said) > 2000 or time.process_time() - started > SECONDS:
            found.append(f"{code} {said[:300]!r} for {text[:2000]!r} {more}")
    return found


def test_mutated_recipes_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults(tmp_path, COUNT, capsys) == []


def test_a_reader_without_guards_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # for the tracebacks
    monkeypatch.setattr(config, "parse_yaml", lambda text, _: yaml.safe_load(text))
    assert any(fault.startswith("101") for fault in faults(tmp_path, 50, capsys))


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{number}: 1\n" for number in range(10_000)),
        "a: [" + "1," * 60_000 + "]",
        "model: " + "x" * 120_000,
        "a" * 120_000,
        "- " * 60_000,
        "[" * 120_000,
        "x: " * 40_000,
        '"' + "\\x41" * 30_000 + '": 1',
    ],
    ids=["names", "list", "value", "name", "dashes", "brackets", "colons", "escapes"],
)
def test_a_large_recipe_is_refused_in_bounded_time(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "large.yaml").write_text(text)
    started = time.process_time()
    assert main(["train", "sft", "--config", str(tmp_path / "large.yaml"), "data.manifest=none"]) == 2
    assert time.process_time() - started < SECONDS
    assert capsys.readouterr().err.count("\n") == 1
