"""Writes the generated parts of the pages beside it: tree, layouts, problems of an answer, settings, metrics, faults of data.

`python docs/make_tree.py` rewrites what stands between a page's `generated` markers; `tests/test_project.py` checks
that it is current. Everything outside the markers is written by hand and left alone.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from adfm.config import Settings
from adfm.data.check import KINDS
from adfm.data.layouts import LAYOUTS
from adfm.evaluation import METRICS
from adfm.reasoning import PROBLEMS
from adfm.storage import write_text
from adfm.training.settings import GrpoSettings, SftSettings, TrainSettings

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "adfm"
DOCS = ROOT / "docs"

MEANINGS = {
    "model": "what is trained: a model folder, a hub id, or `nano`",
    "out": "the run folder",
    "data.manifest": "`manifest.jsonl` or the folder that holds it; its `train` split is used",
    "data.turns": "also show every picture in its seven other quarter turns and mirrorings, boxes turned with it",
    "data.cuts": "also show that many random cuts of every picture, at least 60 % of its sides and with every defect whole",
    "data.balance": "repeat samples of the rarer label until both labels are equally frequent",
    "data.category": "name the part's category in the prompt",
    "data.max_pixels": "resize pictures to at most this many pixels for the model, saved with it (0: its own limit)",
    "data.longest": "shrink pictures to this longest side, px, before they are kept in memory (0: never)",
    "stages": "the protocol: which blocks an answer holds",
    "seed": "decides the order of the samples and every random draw",
    "steps": "optimizer steps",
    "micro_batch": "rows in one forward pass; for GRPO a row is one answer",
    "accumulation": "forward passes per optimizer step",
    "learning_rate": "peak learning rate",
    "scheduler": "how the learning rate falls after the warm-up",
    "warmup_steps": "steps over which the learning rate rises",
    "weight_decay": "decoupled weight decay",
    "clip": "largest norm of the gradient; what is longer is scaled down",
    "lora": "train a low-rank adapter on the language model instead of every weight; merged at the end",
    "lora.rank": "rank of the adapter",
    "lora.alpha": "scale of the adapter: the update is multiplied by alpha / rank",
    "lora.dropout": "dropout on the adapter's input",
    "lora.targets": "which projections of the language model get an adapter",
    "freeze_vision": "leave the vision tower as it is (a LoRA run always does)",
    "gradient_checkpointing": "recompute activations in the backward pass: less memory, more time",
    "threads": "torch threads (0: torch's choice); 1 on a machine that does other work",
    "workers": "processes that load rows (0: in the training process)",
    "save_every": "steps between checkpoints (0: none, so the run cannot be resumed)",
    "keep": "how many checkpoints stay",
    "tracker": "where the engine also sends its own log; `metrics.jsonl` is always written",
    "optimizer": "`adamw`; or `blended`, with Muon for the decoder's matrices, for models trained from nothing",
    "dense": "first warm the vision tower on the training boxes (small models such as nano)",
    "dense.steps": "optimizer steps of that warm-up",
    "dense.batch": "pictures per step of it",
    "dense.learning_rate": "its peak learning rate",
    "most_epochs": "cut the steps, of `dense` too, to this many passes over the training pictures (null: never)",
    "generations": "answers per prompt: the size of a group",
    "temperature": "temperature of the sampled answers",
    "max_new_tokens": "longest answer, in tokens",
    "beta": "weight of the divergence from the starting model (0: no reference model is kept)",
    "epsilon": "how far the policy ratio may fall, and rise, before it is clipped",
    "epsilon_high": "how far it may rise, where that differs (null: `epsilon`)",
    "loss": "the engine's loss type, which decides how tokens and answers are averaged",
    "scale_rewards": "what advantages are divided by: the deviation of their group, of the batch, or nothing",
    "zero_tolerance": "relative spread of rewards up to which a group counts as all alike and has advantage exactly 0",
    "resample": "how often a step may draw groups that are all alike anew (0: never); in one process only",
    "rewards.preset": "grounding of anomalous parts: `paper` or `set_iou`",
    "rewards.weights.format": "weight of the format reward",
    "rewards.weights.verdict": "weight of the verdict reward",
    "rewards.weights.grounding": "weight of the grounding reward",
    "rewards.alpha": "weight of the count term under `paper`",
    "vllm": "rollouts by vLLM inside the training process (GPU) instead of plain `generate`",
    "vllm.memory": "share of the GPU's memory that vLLM may take",
    "vllm.tensor_parallel": "GPUs that share one copy of the rollout model",
    "vllm.sleep": "free vLLM's memory while the gradient is computed",
    "shared_prefix.packed_loss": "pass each prompt once for all its answers when log-probabilities are computed",
    "shared_prefix.shared_generation": "prefill each prompt once for all its answers",
    "shared_prefix.preprocess_once": "put each picture through the image processor once per step",
    "shared_prefix.skip_zero_advantage": "leave answers without advantage out of the loss's passes, where that is exact",
    "self_check": "compare the first step with the stock engine's before training",
}


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


class Setting(NamedTuple):
    """One setting by its dotted name: the annotation and limits of its value, and its default."""

    name: str
    annotation: Any
    limits: Sequence[Any]
    default: Any


def settings_table() -> str:
    """Return the table of every training setting; a setting without a meaning in `MEANINGS` is a `KeyError`."""
    lines = ["| setting | stage | value | default | what it does |", "|---|---|---|---|---|"]
    for stage, setting in staged_settings():
        value = _kind(setting.annotation, setting.limits)
        if setting.name not in MEANINGS:
            raise KeyError(f"the setting '{setting.name}' is new; say in MEANINGS of docs/make_tree.py what it does")
        meaning = _cell(MEANINGS[setting.name])
        lines.append(f"| `{setting.name}` | {stage} | {value} | {_told(setting.default)} | {meaning} |")
    return "\n".join(lines)


def staged_settings() -> Iterator[tuple[str, Setting]]:
    """Yield (stage, setting): first what both stages share, then what each has of its own."""
    for stage, kind in STAGES.items():
        for setting in training_settings(kind, kind()):
            shared = setting.name.split(".")[0] in TrainSettings.model_fields
            if not shared or stage == "SFT":
                yield "both" if shared else stage, setting


def training_settings(kind: type[Settings], defaults: Settings, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a record, those of the records inside it by their dotted names."""
    for name, field in kind.model_fields.items():
        inner, default = _record(field.annotation), getattr(defaults, name)
        if inner is None or default is None:
            yield Setting(prefix + name, field.annotation, field.metadata, default)
        if inner is not None:
            yield from training_settings(inner, default or inner(), f"{prefix}{name}.")


def _record(annotation: Any) -> type[Settings] | None:
    """Return the settings record that a field holds (or may hold), or None."""
    kinds = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
    return next((each for each in kinds if issubclass(each, Settings)), None)


def _kind(annotation: Any, metadata: Any) -> str:
    """Say in words what values a field takes."""
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return _kind(annotation.__origin__, annotation.__metadata__)
    if type(None) in get_args(annotation):
        return f"{_kind(next(each for each in get_args(annotation) if each is not type(None)), metadata)} or null"
    if _record(annotation):
        return "the settings below"
    names = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}
    return names.get(annotation, "list of texts") + _limits(metadata)


def _limits(metadata: Any) -> str:
    """Say a number's limits, also where they stand in a `Field` of an `Annotated` type."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    single = [each for entry in metadata for each in (getattr(entry, "metadata", None) or [entry])]
    told = [f"{word} {getattr(one, sign):g}" for sign, word in signs.items() for one in single if hasattr(one, sign)]
    return " " + " and ".join(told) if told else ""


def _told(default: Any) -> str:
    """Return a default as it would be written in a recipe."""
    if default is None:
        return "null"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{json.dumps(default) if isinstance(default, bool) or default == '' else default}`"


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
