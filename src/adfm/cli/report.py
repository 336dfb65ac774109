"""`adfm report`: evaluations and trainings in, one HTML page out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, print_json

if TYPE_CHECKING:
    from adfm.report import Difference, ReportInputs, RunResult

EXAMPLE = """
adfm report runs/eval-base runs/eval-trained runs/grpo --out report.html
adfm report runs/eval-line3 --data data/line3 --out report.html

RUN is a folder that `adfm eval` wrote (predictions.jsonl, metrics.json) or that `adfm train` wrote (metrics.jsonl,
config.yaml). Evaluations are compared in the order given: the second is held against the first.
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "report", run, "one HTML page of metrics, curves, parts and errors", EXAMPLE)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of an evaluation or a training")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--data", metavar="MANIFEST", type=Path, help="whose pictures to show (default: the evaluated)")
    parser.add_argument("--title", default="AD-FM inspection report", help="title of the page (%(default)s)")
    parser.add_argument("--name", action="append", help="of a RUN on the page; once for each, in their order")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the report.

    Raises:
        UserError: a folder that is no run, runs that cannot be read, or a data set without a manifest.
    """
    from adfm.report import write_report

    inputs = collect(args.runs, names=args.name, data=args.data, title=args.title)
    write_report(args.out, inputs)
    written = {
        "report": str(args.out),
        "bytes": args.out.stat().st_size,
        "evaluations": [one.name for one in inputs.runs],
        "trainings": list(inputs.journals),
        "pictures": str(inputs.images_root) if inputs.images_root else None,
    }
    if args.json:
        print_json(written)
    else:
        print(_said(written))
    return 0


def _said(written: dict[str, Any]) -> str:
    pictures = "" if written["pictures"] or not written["evaluations"] else "; no pictures: give --data MANIFEST"
    kinds = f"{len(written['evaluations'])} evaluations, {len(written['trainings'])} trainings"
    return f"{written['report']}: {written['bytes'] / 1e6:.1f} MB, {kinds}{pictures}"


def collect(folders: Sequence[Path], *, names: Sequence[str] | None, data: Path | None, title: str) -> ReportInputs:
    """Read every folder and put together what the page shows.

    Raises:
        UserError: a folder holds neither an evaluation nor a training, or a file in it is broken.
    """
    from adfm import __version__
    from adfm.report import ReportInputs

    evaluated, trained = _sorted_out(folders, names)
    runs = tuple(_result(name, folder) for name, folder in evaluated.items())
    origins = {one.name: _mapping(one.metrics.get("provenance")) for one in runs}
    return ReportInputs(
        title=title,
        runs=runs,
        differences=_differences(runs),
        journals={name: _journal(folder) for name, folder in trained.items()},
        settings={name: _settings(folder) for name, folder in trained.items()},
        provenance={"adfm": __version__, **origins},
        images_root=_images_root(data, [origin.get("data") for origin in origins.values()], list(evaluated.values())),
    )


def _sorted_out(folders: Sequence[Path], names: Sequence[str] | None) -> tuple[dict[str, Path], dict[str, Path]]:
    """The folders of evaluations and of trainings by name (a folder may be both, and both kinds may share a name)."""
    from adfm.errors import DataError, UserError

    if names and len(names) != len(folders):
        raise UserError(f"--name: given {len(names)} times for {len(folders)} runs; give it once for each")
    kinds: tuple[dict[str, Path], dict[str, Path]] = ({}, {})
    for name, folder in zip(names or _names(folders), folders, strict=True):
        holds = [(folder / file).is_file() for file in ("predictions.jsonl", "metrics.jsonl")]
        if not any(holds):
            what = "holds neither predictions.jsonl nor metrics.jsonl" if folder.is_dir() else "is not a folder"
            raise DataError(f"{folder}: {what}; give a folder that `adfm eval` or `adfm train` wrote")
        for kind in (kind for kind, held in zip(kinds, holds, strict=True) if held):
            if name in kind:
                raise UserError(f"{folder}: is the second run named '{name}'; give each run once, and different --name")
            kind[name] = folder
    return kinds


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names without a leading `eval-`, or as much of their paths as makes them different."""
    paths = [folder.resolve() for folder in folders]
    short = [path.name.removeprefix("eval-") or path.name for path in paths]
    if len(set(zip(short, (path.name.startswith("eval-") for path in paths), strict=True))) == len(paths):
        return short
    return next((longer for longer in map(partial(_tails, paths), range(1, 9)) if len({*longer}) == len(longer)), short)


def _tails(paths: Sequence[Path], depth: int) -> list[str]:
    return ["/".join(path.parts[-depth:]) for path in paths]


def _result(name: str, folder: Path) -> RunResult:
    """Read an evaluation; without `metrics.json` the metrics are computed from the predictions."""
    from adfm.errors import DataError
    from adfm.evaluation import evaluate
    from adfm.predictions import read_predictions
    from adfm.report import RunResult
    from adfm.storage import read_json

    predictions = tuple(read_predictions(folder))
    file = folder / "metrics.json"
    metrics = read_json(file) if file.is_file() else evaluate(predictions)
    if not isinstance(metrics, dict) or not isinstance(metrics.get("metrics"), dict):
        raise DataError(f"{file}: must hold the object 'metrics'; write it anew with `adfm eval`")
    return RunResult(name, metrics, predictions)


def _differences(runs: Sequence[RunResult]) -> tuple[Difference, ...]:
    """The paired difference of the second run to the first; none where they were not evaluated on the same parts."""
    from adfm.errors import DataError
    from adfm.evaluation import paired_difference
    from adfm.report import Difference

    if len(runs) < 2:
        return ()
    try:
        found = paired_difference(runs[0].predictions, runs[1].predictions)
    except DataError:
        return ()
    metrics = {name: (low, mid, high) for name, (low, mid, high) in found.items()}
    return (Difference(of=runs[1].name, to=runs[0].name, metrics=metrics),)


def _journal(folder: Path) -> tuple[dict[str, Any], ...]:
    from adfm.storage import read_jsonl

    return tuple(read_jsonl(folder / "metrics.jsonl", torn_tail=True))


def _settings(folder: Path) -> dict[str, Any]:
    from adfm.config import parse_yaml

    file = folder / "config.yaml"
    return _mapping(parse_yaml(file.read_text(encoding="utf-8"), str(file))) if file.is_file() else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _images_root(data: Path | None, named: Sequence[Any], folders: Sequence[Path]) -> Path | None:
    """The manifest's folder: from `--data`, else the first place that an evaluation names and that is still there."""
    from adfm.data.manifest import manifest_path
    from adfm.errors import DataError

    if data is not None:
        if not manifest_path(data).is_file():
            raise DataError(f"{data}: is no manifest; give --data a manifest.jsonl or the folder that holds one")
        return manifest_path(data).parent
    texts = [text for text in named if isinstance(text, str) and text]
    places = [base / text for text in texts for base in (Path(), *folders)]
    return next((manifest_path(place).parent for place in places if manifest_path(place).is_file()), None)
