"""`adfm report`: evaluations and trainings in, one HTML page out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, print_json

if TYPE_CHECKING:
    from adfm.report import ReportInputs, RunResult

EXAMPLE = """
adfm report runs/eval-base runs/eval-trained runs/grpo --out report.html
adfm report runs/eval-line3 --data data/line3 --out report.html

RUN is a folder that `adfm eval` wrote (predictions.jsonl, metrics.json) or that `adfm train` wrote (metrics.jsonl,
config.yaml). Evaluations are compared in the order given: the second with the first.
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "report", run, "one HTML page of metrics, curves, parts and errors", EXAMPLE)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="folder of an evaluation or a training")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--data", metavar="MANIFEST", type=Path, help="whose images to show (default: the evaluated)")
    parser.add_argument("--title", default="AD-FM inspection report", help="title of the page (%(default)s)")
    parser.add_argument("--name", action="append", help="of a RUN on the page; once for each RUN, in their order")
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
        return 0
    counts = f"{len(inputs.runs)} evaluations, {len(inputs.journals)} trainings"
    print(f"{args.out}: {written['bytes'] / 1e6:.1f} MB, {counts}")
    if inputs.runs and not inputs.images_root:
        print("no images on the page; give --data MANIFEST")
    return 0


def collect(folders: Sequence[Path], *, names: Sequence[str] | None, data: Path | None, title: str) -> ReportInputs:
    """Read every folder and put together what the page shows. A folder may hold an evaluation, a training or both.

    Raises:
        UserError: a folder holds neither an evaluation nor a training, or a file in it is broken.
    """
    from adfm import __version__
    from adfm.config import parse_yaml
    from adfm.errors import DataError, UserError
    from adfm.evaluation import paired_difference
    from adfm.report import Difference, ReportInputs
    from adfm.storage import read_jsonl

    if names and len(names) != len(folders):
        raise UserError(f"--name: given {len(names)} times for {len(folders)} runs; give it once for each")
    evaluated, trained = _by_name(names or _names(folders), folders)
    runs = tuple(_result(name, folder) for name, folder in evaluated.items())
    differences: tuple[Difference, ...] = ()
    if len(runs) > 1:
        with suppress(DataError):  # runs on other parts have no paired difference
            pairs = paired_difference(runs[0].predictions, runs[1].predictions)
            metrics = {metric: (low, mid, high) for metric, (low, mid, high) in pairs.items()}
            differences = (Difference(of=runs[1].name, to=runs[0].name, metrics=metrics),)
    settings = {}
    for name, folder in trained.items():
        file = folder / "config.yaml"
        settings[name] = _mapping(parse_yaml(file.read_text(encoding="utf-8"), str(file)) if file.is_file() else None)
    origins = {one.name: _mapping(one.metrics.get("provenance")) for one in runs}
    return ReportInputs(
        title=title,
        runs=runs,
        differences=differences,
        journals={
            name: tuple(read_jsonl(folder / "metrics.jsonl", torn_tail=True)) for name, folder in trained.items()
        },
        settings=settings,
        provenance={"adfm": __version__, **origins},
        images_root=_images_root(data, [origin.get("data") for origin in origins.values()], list(evaluated.values())),
    )


def _by_name(names: Sequence[str], folders: Sequence[Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the folders of evaluations and of trainings by name. An evaluation and a training may share a name."""
    from adfm.errors import DataError, UserError

    evaluated: dict[str, Path] = {}
    trained: dict[str, Path] = {}
    for name, folder in zip(names, folders, strict=True):
        files = {"predictions.jsonl": evaluated, "metrics.jsonl": trained}
        kinds = [runs for file, runs in files.items() if (folder / file).is_file()]
        if not kinds:
            what = "holds neither predictions.jsonl nor metrics.jsonl" if folder.is_dir() else "is not a folder"
            raise DataError(f"{folder}: {what}; give a folder that `adfm eval` or `adfm train` wrote")
        for runs in kinds:
            if name in runs:
                raise UserError(f"{folder}: is the second run named '{name}'; give each run once, and different --name")
            runs[name] = folder
    return evaluated, trained


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' own names without a leading `eval-`, or as much of their paths as makes them different."""
    paths = [folder.resolve() for folder in folders]
    short = [path.name.removeprefix("eval-") or path.name for path in paths]
    if len(set(zip(short, (path.name.startswith("eval-") for path in paths), strict=True))) == len(paths):
        return short
    for depth in range(1, 9):
        longer = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(longer)) == len(longer):
            return longer
    return short


def _result(name: str, folder: Path) -> RunResult:
    """Read an evaluation. Without `metrics.json` its metrics are computed from the predictions."""
    from adfm.errors import DataError
    from adfm.evaluation import evaluate
    from adfm.predictions import read_predictions
    from adfm.report import RunResult
    from adfm.storage import read_json

    predictions = tuple(read_predictions(folder))
    file = folder / "metrics.json"
    metrics = read_json(file) if file.is_file() else evaluate(predictions)
    if not isinstance(metrics, dict) or not isinstance(metrics.get("metrics"), dict):
        raise DataError(f"{file}: must hold the object 'metrics'; write it again with `adfm eval`")
    return RunResult(name, metrics, predictions)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _images_root(data: Path | None, named: Sequence[Any], folders: Sequence[Path]) -> Path | None:
    """Return the manifest's folder: from `--data`, else the first that an evaluation names and that still exists."""
    from adfm.data.manifest import manifest_path
    from adfm.errors import DataError

    if data is not None:
        if not manifest_path(data).is_file():
            raise DataError(f"{data}: is no manifest; give --data a manifest.jsonl or the folder that holds one")
        return manifest_path(data).parent
    texts = [text for text in named if isinstance(text, str) and text]
    places = [base / text for text in texts for base in (Path(), *folders)]
    return next((manifest_path(place).parent for place in places if manifest_path(place).is_file()), None)
