"""`adfm report`: evaluations and trainings in, one HTML page out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, print_json

if TYPE_CHECKING:
    from adfm.report import ReportInputs

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
    from adfm.ownership import require_replaceable
    from adfm.report import PAGE_MARK, write_report

    require_replaceable(args.out, PAGE_MARK)
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
    from adfm.config import read_yaml
    from adfm.errors import DataError, UserError
    from adfm.evaluation import paired_difference
    from adfm.report import Difference, ReportInputs, read_run
    from adfm.report.inputs import MAX_LINES, require_small
    from adfm.storage import read_jsonl

    if names and len(names) != len(folders):
        raise UserError(f"--name: given {len(names)} times for {len(folders)} runs; give it once for each")
    runs, journals, settings = {}, {}, {}
    for name, folder in zip(names or _names(folders), folders, strict=True):
        evaluated, trained = ((folder / file).is_file() for file in ("predictions.jsonl", "metrics.jsonl"))
        if not evaluated and not trained:
            what = "holds neither predictions.jsonl nor metrics.jsonl" if folder.is_dir() else "is not a folder"
            raise DataError(f"{folder}: {what}; give a folder that `adfm eval` or `adfm train` wrote")
        if (evaluated and name in runs) or (trained and name in journals):
            raise UserError(f"{folder}: is the second run named '{name}'; give each run once, and different --name")
        if evaluated:
            runs[name] = read_run(name, folder)
        if trained:
            require_small(folder / "metrics.jsonl", MAX_LINES)
            journals[name] = tuple(read_jsonl(folder / "metrics.jsonl", torn_tail=True))
            file = folder / "config.yaml"
            settings[name] = _mapping(read_yaml(file) if file.is_file() else None)
    evaluations, differences = tuple(runs.values()), []
    if len(evaluations) > 1:
        first, second = evaluations[:2]
        with suppress(DataError):  # runs on other parts have no paired difference
            bounds = paired_difference(first.predictions, second.predictions).items()
            metrics = {metric: (low, middle, high) for metric, (low, middle, high) in bounds}
            differences.append(Difference(of=second.name, to=first.name, metrics=metrics))
    origins = {run.name: _mapping(run.metrics.get("provenance")) for run in evaluations}
    return ReportInputs(
        title=title,
        runs=evaluations,
        differences=tuple(differences),
        journals=journals,
        settings=settings,
        provenance={"adfm": __version__, **origins},
        images_root=_images_root(data, [origin.get("data") for origin in origins.values()], folders),
    )


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
