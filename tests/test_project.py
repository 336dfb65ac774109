"""The project tells the truth about itself: pages are current, documented commands exist, nothing forbidden is in.

Every check is a function that returns faults; beside each stands a control that shows it finding one.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

import adfm
from adfm.cli.main import build_parser
from adfm.config import make_settings, parse_yaml
from adfm.data.layouts import LAYOUTS
from adfm.errors import ConfigError
from adfm.training.settings import GrpoSettings, SftSettings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")])
MODULES = sorted((ROOT / "src" / "adfm").rglob("*.py"))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """`docs/make_tree.py`, which is a script and no part of the package."""
    spec = importlib.util.spec_from_file_location("make_tree", ROOT / "docs" / "make_tree.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_tree"] = module
    spec.loader.exec_module(module)
    return module


# Generated parts


def test_generated_parts_are_current(writer: ModuleType) -> None:
    assert writer.stale() == [], "run `python docs/make_tree.py`"


@pytest.mark.parametrize("part", ["tree", "layouts", "problems", "settings", "metrics", "faults"])
def test_a_changed_part_is_found(part: str, writer: ModuleType, tmp_path: Path) -> None:
    for name, (page, make) in writer.PARTS.items():
        (tmp_path / page).write_text(writer.with_part(read(ROOT / "docs" / page), name, make()), encoding="utf-8")
    assert writer.stale(tmp_path) == []
    page = tmp_path / writer.PARTS[part][0]
    lines = read(page).split("\n")
    del lines[lines.index(f"<!-- generated: {part} -->") + 3]
    page.write_text("\n".join(lines), encoding="utf-8")
    assert writer.stale(tmp_path) == [part]


def test_a_page_without_its_markers_is_refused(writer: ModuleType) -> None:
    with pytest.raises(ValueError, match="generated: tree"):
        writer.with_part("no markers here", "tree", "x")


def missing_modules(page: str, writer: ModuleType) -> list[str]:
    """Modules whose file name and first sentence do not stand on one line of the page."""
    lines = page.split("\n")
    missing = []
    for path in MODULES:
        shown = f"`{path.parent.name}/`" if path.name == "__init__.py" else f"`{path.name}`"
        sentence = writer.module_sentence(path)
        if not sentence or not any(shown in line and sentence in line for line in lines):
            missing.append(name_of(path))
    return missing


def test_every_module_is_in_the_tree(writer: ModuleType) -> None:
    assert missing_modules(read(ROOT / "docs" / "architecture.md"), writer) == []


def test_a_module_that_is_not_in_the_tree_is_found(writer: ModuleType) -> None:
    page = "\n".join(line for line in writer.tree().split("\n") if "`storage.py`" not in line)
    assert "src/adfm/storage.py" in missing_modules(page, writer)
    assert "src/adfm/errors.py" not in missing_modules(page, writer)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Does one thing. And another.", "Does one thing."),
        ("Reads 0.5 of it?\n\nMore.", "Reads 0.5 of it?"),
        ("No full stop\nat all", "No full stop at all"),
    ],
)
def test_first_sentence(text: str, sentence: str, writer: ModuleType) -> None:
    assert writer.first_sentence(text) == sentence


def test_every_training_setting_says_what_it_does(writer: ModuleType) -> None:
    assert {setting.name for _, setting in writer.staged_settings() if not setting.description} == set()


def test_a_new_setting_needs_a_meaning(writer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wider(GrpoSettings):
        knob: int = 1

    monkeypatch.setitem(writer.STAGES, "GRPO", Wider)
    with pytest.raises(KeyError, match="knob"):
        writer.settings_table()


def unnamed_layouts(page: str) -> list[str]:
    """Layouts whose names do not stand between backticks on the page."""
    return [layout.NAME for layout in LAYOUTS if f"`{layout.NAME}`" not in page]


def test_every_layout_is_named() -> None:
    page = read(ROOT / "docs" / "data.md")
    assert unnamed_layouts(page) == []
    assert unnamed_layouts(page.replace("`label-studio`", "")) == ["label-studio"]


def test_a_layout_is_at_most_60_lines() -> None:
    lengths = {layout.NAME: len(inspect.getsource(cast(ModuleType, layout)).splitlines()) for layout in LAYOUTS}
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert min(lengths.values()) > 10  # control: the sources were found


# Documented commands


def fenced_commands(page: str) -> Iterator[list[str]]:
    """Yield the words of every `adfm` and `make` line in the page's code blocks, up to a pipe or a second command."""
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").split("\n"):
            if re.match(r"(\$ )?(\.venv/bin/)?(adfm|make)( |$)", line):
                words = shlex.split(line.removeprefix("$ ").removeprefix(".venv/bin/"), comments=True)
                ends = [index for index, word in enumerate(words) if word in {"|", "||", "&&", ";", ">"}]
                yield words[: min(ends, default=len(words))]


def inline_commands(page: str) -> Iterator[list[str]]:
    """Yield the words of every `adfm ...` and `make ...` in running text; there they may be incomplete."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    for text in re.findall(r"`((?:adfm|make) [^`]+)`", prose):
        yield text.replace("[", "").replace("]", "").split()


def parse_fault(words: list[str]) -> str | None:
    """Why a complete command line would be refused."""
    told = StringIO()
    try:
        with redirect_stderr(told), redirect_stdout(StringIO()):
            build_parser().parse_args(words)
    except SystemExit as stop:
        return told.getvalue().strip() if stop.code else None
    return None


def unknown_words(words: list[str]) -> list[str]:
    """Commands and options of an incomplete command line that do not exist."""
    parser: argparse.ArgumentParser = build_parser()
    unknown = []
    for word in words:
        commands = subcommands(parser)
        if word.startswith("-"):
            if word.partition("=")[0] not in parser._option_string_actions:
                unknown.append(word)
        elif word in commands:
            parser = commands[word]
        elif commands:
            unknown.append(word)
    return unknown


def subcommands(parser: argparse.ArgumentParser) -> Mapping[str, Any]:
    actions = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return next((action.choices for action in actions), {})


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def unlisted(makefile: str, shown: str) -> set[str]:
    """Targets that say what they do and are missing from `make help`."""
    return set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) - set(re.findall(r"make ([a-z-]+) ", shown))


def test_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert unlisted(read(ROOT / "Makefile"), shown) == set()
    assert unlisted(read(ROOT / "Makefile"), shown.replace("make fuzz-answers", "")) == {"fuzz-answers"}


def test_the_night_runs_every_fuzz_target() -> None:
    run = subprocess.run(["make", "-n", "fuzz"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    fuzzers = [target for target in targets(read(ROOT / "Makefile")) if target.startswith("fuzz-")]
    assert "fuzz-answers" in fuzzers
    for target in fuzzers:
        one = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert one.rstrip().split("\n")[-1] in run


def command_faults(page: str, makefile: str) -> list[str]:
    faults = []
    for words in fenced_commands(page):
        if words[0] == "adfm" and (fault := parse_fault(words[1:])):
            faults.append(f"{' '.join(words)}: {fault}")
    for words in inline_commands(page):
        if words[0] == "adfm" and (unknown := unknown_words(words[1:])):
            faults.append(f"{' '.join(words)}: {unknown[0]} does not exist")
    for words in [*fenced_commands(page), *inline_commands(page)]:
        wanted = [word for word in words[1:2] if words[0] == "make" and "=" not in word]
        faults += [f"make {word}: no such target" for word in wanted if word not in targets(makefile)]
    return faults


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_documented_commands_exist(page: Path) -> None:
    assert command_faults(read(page), read(ROOT / "Makefile")) == []


@pytest.mark.parametrize(
    "page",
    [
        "```\nadfm data biuld SRC --out DIR\n```",
        "```bash\n$ adfm data build SRC --out DIR --til 160\n```",
        "```\nadfm data build SRC \\\n  --layout mvtec\n```",
        "```\nadfm eval --model M --data D --out O --split none\n```",
        "run `adfm traim` then",
        "run `adfm inspect PATH --modle M` then",
        "`make tset`",
        "```\nmake tset\n```",
    ],
)
def test_a_command_that_does_not_exist_is_found(page: str) -> None:
    assert len(command_faults(page, "test: lint\n")) == 1


def test_the_readme_names_the_two_commands() -> None:
    lines = [" ".join(words) for words in fenced_commands(read(ROOT / "README.md"))]
    assert {"make demo", "make test"} <= set(lines)


def test_ci_runs_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in read(script).split("\n") if line and not line.startswith("#")]
    assert commands[-1].startswith("exec make ") and commands[-1].endswith(" test")
    assert "set -euo pipefail" in commands


def recipe_fault(text: str) -> str | None:
    """Why a recipe is not headed by a command that the program knows, or does not load."""
    words = shlex.split(text.split("\n")[0])
    if words[:2] != ["#", "adfm"]:
        return "the first line must be '# adfm ...', the command that runs it"
    if words[2:3] == ["train"] and "--config" not in words:
        return "the command must name the recipe by --config"
    try:
        make_settings(SftSettings if "sft" in words else GrpoSettings, parse_yaml(text, "recipe"), "recipe")
    except ConfigError as error:
        return str(error)
    return parse_fault(words[2:])


def test_every_recipe_loads_and_is_headed_by_its_command() -> None:
    recipes = {path.name: read(path) for path in (ROOT / "src" / "adfm" / "recipes").glob("*.yaml")}
    assert recipes
    assert {name: fault for name, text in recipes.items() if (fault := recipe_fault(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "steps: 1\n",
        "# adfm train grpo\nsteps: 1\n",
        "# adfm train grpo --config x\nstep: 1\n",
        "# adfm train sft --config x\ngenerations: 8\n",
    ],
)
def test_a_wrong_recipe_is_found(text: str) -> None:
    assert recipe_fault(text)


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links and pictures of a page whose file is missing."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)", prose)
    return [link for link in links if "://" not in link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, read(page)) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](docs/index.md) ![b](docs/none.png) [c](https://example.org/x) [d](#here)"
    assert broken_links(ROOT / "README.md", text) == ["docs/none.png"]


# What no file may hold

EVERYWHERE = {
    "a path of somebody's machine": r"(?<![\w./:-])/(?:work|root|home|Users)/\w",
    "a package index": r"--(?:extra-)?index[-]url|--find[-]links|--trusted[-]host|index[-_]url\s*="
    r"|pypi\.org|python[h]osted",
}
OUTSIDE_TESTS = {
    "code that comes with a model": r"trust_remote_code\s*[=:]\s*(?!False)",
    "pickles": r"^\s*(?:import|from)\s+(?:pickle|cloudpickle|dill|shelve|marshal|joblib)\b|\bpickle\.loads?\("
    r"|\btorch\.(?:load|save)\(|allow_pickle\s*=\s*True",
    "unsafe YAML": r"\byaml\.(?:unsafe|full)_load|\byaml\.load(?:_all)?\((?![^)\n]*Loader\s*=)"
    r"|Loader\s*=\s*yaml\.(?:Unsafe|Full)?Loader\b",
    "a shell": r"\bshell\s*=\s*True|\bos\.(?:system|popen)\(",
}


def tracked_texts() -> dict[str, str]:
    """Every text file that git tracks or would add, by name."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    texts = {}
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            try:
                texts[name] = read(path)
            except UnicodeDecodeError:
                continue
    return texts


def forbidden(texts: Mapping[str, str]) -> list[str]:
    faults = []
    for name, text in texts.items():
        rules = EVERYWHERE if name.startswith("tests/") else EVERYWHERE | OUTSIDE_TESTS
        for rule, pattern in rules.items():
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                line = text.count("\n", 0, found.start()) + 1
                faults.append(f"{name}:{line}: {rule} ({found[0].strip()})")
    return faults


def test_nothing_forbidden_is_tracked() -> None:
    texts = tracked_texts()
    assert len(texts) > len(MODULES)
    assert forbidden(texts) == []


@pytest.mark.parametrize(
    "parts",
    [
        ("cd /", "home/me/adfm"),
        ("DATA = '/", "work/data'"),
        ("pip install --index", "-url X"),
        ("load(trust_remote", "_code=True)"),
        ("import ", "pickle"),
        ("pickle", ".loads(content)"),
        ("torch.", "load(path)"),
        ("np.load(path, allow", "_pickle=True)"),
        ("yaml", ".load(text)"),
        ("yaml", ".full_load(text)"),
        ("yaml.load(text, Loader=", "yaml.Loader)"),
        ("run(line, shell", "=True)"),
    ],
)
def test_a_forbidden_text_is_found(parts: tuple[str, str]) -> None:
    # In two parts, so that this file does not hold what it forbids.
    assert len(forbidden({"src/adfm/x.py": "a = 1\n" + "".join(parts) + "\n"})) == 1


@pytest.mark.parametrize(
    "parts",
    [
        ("https://example.org/ho", "me/x"),
        ("src/wo", "rk/x"),
        ("yaml", ".load(text, Loader=_StrictLoader)"),
        ("yaml", ".safe_load(text)"),
    ],
)
def test_a_harmless_text_passes(parts: tuple[str, str]) -> None:
    assert forbidden({"src/adfm/x.py": "".join(parts)}) == []


def yaml_readers(sources: Mapping[str, str]) -> list[str]:
    return [name for name, text in sources.items() if re.search(r"^\s*(?:import|from) yaml\b", text, re.MULTILINE)]


def test_only_the_settings_module_reads_yaml() -> None:
    assert yaml_readers({name_of(path): read(path) for path in MODULES}) == ["src/adfm/config.py"]
    assert yaml_readers({"src/adfm/x.py": "    import yaml\n"}) == ["src/adfm/x.py"]


# Versions and licence


def unpinned(pyproject: str, constraints: str) -> list[str]:
    """Requirements of the project that the constraints do not pin to one version, and lines that pin nothing."""
    project = tomllib.loads(pyproject)["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    lines = [line for line in constraints.split("\n") if line and not line.startswith("#")]
    pinned = {plain(line.partition("==")[0]) for line in lines if re.fullmatch(r"[\w.-]+==[\w.+]+", line)}
    loose = [line for line in lines if "==" not in line]
    names = (re.match(r"[\w.-]+", each) for each in wanted)
    return loose + [name[0] for name in names if name and plain(name[0]) not in pinned]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_pinned() -> None:
    pyproject, constraints = read(ROOT / "pyproject.toml"), read(ROOT / "constraints.txt")
    assert unpinned(pyproject, constraints) == []
    assert unpinned(pyproject, constraints.replace("trl==1.16.0", "")) == ["trl"]
    assert unpinned(pyproject, constraints.replace("trl==1.16.0", "trl>=1.16")) == ["trl>=1.16", "trl"]


def test_the_licence_is_the_whole_apache_text() -> None:
    digest = hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert digest == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_changelog_tells_this_version() -> None:
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    assert adfm.__version__ == version
    assert f"## [{version}]" in read(ROOT / "CHANGELOG.md")
