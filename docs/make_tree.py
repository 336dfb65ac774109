"""Writes the generated parts of the pages beside it: tree, layouts, problems of an answer, settings, metrics, faults of data.

`python docs/make_tree.py` rewrites what stands between a page's `generated` markers; `tests/test_project.py` checks
that it is current. Everything outside the markers is written by hand and left alone.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from adfm.config import Setting, describe
from adfm.data.check import KINDS
from adfm.data.layouts import LAYOUTS
from adfm.evaluation import METRICS
from adfm.reasoning import PROBLEMS
from adfm.storage import write_text
from adfm.training.settings import GrpoSettings, SftSettings, TrainSettings

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "adfm"
DOCS = ROOT / "docs"


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring on one line."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s", paragraph, maxsplit=1)[0]


@lru_cache(maxsize=1024)
def module_sentence(path: Path) -> str:
    """Return what a module says it does; empty where it has no docstring."""
    return first_sentence(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")


def row_order(pyproject: Path = ROOT / "pyproject.toml") -> list[str]:
    """Return the top-level modules of the package from the lowest row up, as the import contract lists them."""
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [name.strip(" ()").removeprefix("adfm.") for layer in reversed(layers) for name in layer.split(":")]


def tree(package: Path = PACKAGE) -> str:
    """Return the package as a nested list: every module with its first sentence, the rows from the lowest up."""
    return "\n".join([_entry(package, 0), *_below(package, 1, row_order())])


def _below(folder: Path, depth: int, order: list[str]) -> Iterator[str]:
    paths = [path for path in folder.iterdir() if _is_module(path)]
    for path in sorted(paths, key=lambda path: (order.index(path.stem) if path.stem in order else -1, path.name)):
        yield _entry(path, depth)
        if path.is_dir():
            yield from _below(path, depth + 1, [])


def _is_module(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.name != "__init__.py")


def _entry(path: Path, depth: int) -> str:
    """A folder is described by its `__init__.py`."""
    name, module = (f"{path.name}/", path / "__init__.py") if path.is_dir() else (path.name, path)
    return f"{'  ' * depth}- `{name}`: {module_sentence(module)}"


def problems() -> str:
    """Return the table of every named problem of an answer."""
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in PROBLEMS.items()]
    return "\n".join(["| problem | what it says |", "|---|---|", *rows])


def metrics_table() -> str:
    """Return the table of every metric with its definition."""
    better = {"higher": "higher", "lower": "lower", "neither": "-"}
    rows = [f"| `{m.name}` | {_cell(m.definition)} | {better[m.better]} |" for m in METRICS.values()]
    return "\n".join(["| metric | what it says | better |", "|---|---|---|", *rows])


def layouts_table() -> str:
    """Return the table of every layout: what its module says, and what its publisher says about its use."""
    told = ((layout, _cell(first_sentence(getattr(layout, "__doc__", None) or ""))) for layout in LAYOUTS)
    rows = [f"| `{layout.NAME}` | {sentence} | {_cell(layout.TERMS or '-')} |" for layout, sentence in told]
    return "\n".join(["| layout | what it reads | terms of use |", "|---|---|---|", *rows])


def faults_table() -> str:
    """Return a table of every kind of fault for each part of a data set, in the order of the registry."""
    lines = []
    for part in dict.fromkeys(kind.part for kind in KINDS.values()):
        rows = [kind for kind in KINDS.values() if kind.part == part]
        lines += ["", f"### {part}", "", "| code | level | rule | fix |", "|---|---|---|---|"]
        lines += [f"| `{kind.code}` | {kind.level} | {_cell(kind.rule)} | {_cell(kind.fix)} |" for kind in rows]
    return "\n".join([*lines[1:], ""])


STAGES: dict[str, type[TrainSettings]] = {"SFT": SftSettings, "GRPO": GrpoSettings}


def settings_table() -> str:
    """Return the table of every training setting; a setting that does not say what it does is a `KeyError`."""
    lines = ["| setting | stage | value | default | what it does |", "|---|---|---|---|---|"]
    for stage, setting in staged_settings():
        if setting.description is None:
            raise KeyError(f"the setting '{setting.name}' is new; say what it does in the description of its field")
        meaning = _cell(setting.description)
        lines.append(f"| `{setting.name}` | {stage} | {setting.values} | `{setting.default}` | {meaning} |")
    return "\n".join(lines)


def staged_settings() -> Iterator[tuple[str, Setting]]:
    """Yield (stage, setting): first what both stages share, then what each has of its own."""
    for stage, kind in STAGES.items():
        for setting in describe(kind):
            shared = setting.name.split(".")[0] in TrainSettings.model_fields
            if not shared or stage == "SFT":
                yield "both" if shared else stage, setting


def _cell(text: str) -> str:
    """Keep a text from ending its table cell, or from being read as a tag (which it is not between backticks)."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if n % 2 else part.replace("<", "&lt;").replace(">", "&gt;") for n, part in enumerate(parts))


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "tree": ("architecture.md", tree),
    "layouts": ("data.md", layouts_table),
    "problems": ("protocol.md", problems),
    "settings": ("training.md", settings_table),
    "metrics": ("metrics.md", metrics_table),
    "faults": ("data-check.md", faults_table),
}


def with_part(page: str, name: str, content: str) -> str:
    """Return a page with the part `name` replaced.

    Raises:
        ValueError: the page does not hold the two markers of that part exactly once, in order.
    """
    begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page must hold '{begin}' and then '{end}', each once")
    head, rest = page.split(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def stale(docs: Path = DOCS) -> list[str]:
    """Return the names of the parts that are not what the code says now."""
    pages = {name: (docs / file).read_text(encoding="utf-8") for name, (file, _) in PARTS.items()}
    return [name for name, (_, make) in PARTS.items() if with_part(pages[name], name, make()) != pages[name]]


def main() -> None:
    """Rewrite every generated part."""
    for name, (file, make) in PARTS.items():
        path = DOCS / file
        write_text(path, with_part(path.read_text(encoding="utf-8"), name, make()))


if __name__ == "__main__":
    main()
