"""`adfm calibrate`: a model and a validation split in, a threshold, its promises and a reliability diagram out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import (
    add_command,
    add_protocol,
    folded,
    print_json,
    progress_bar,
    protocol_flags,
    require_positive,
)
from adfm.errors import DataError, UserError

if TYPE_CHECKING:
    from adfm.calibration.calibrate import Wanted
    from adfm.calibration.record import Calibration
    from adfm.predictions import Prediction

EXAMPLE = """
adfm calibrate --model runs/mine/final --data data/parts
adfm calibrate --predictions runs/mine/validation --alpha 0.02 --out runs/mine/final
"""
SHORT = "a threshold with a promised rate of false rejects, and probabilities that can be believed"
DIAGRAM = "reliability.png"


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "calibrate", run, SHORT, EXAMPLE)
    parser.add_argument("--model", help="model folder, hub id or nano (default: nano, or the predictions' model)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="MANIFEST", help="manifest.jsonl or its folder")
    source.add_argument(
        "--predictions", type=Path, metavar="P", help="a folder of `adfm eval`, instead of asking the model again"
    )
    parser.add_argument(
        "--split", choices=("validation", "test"), default="validation", help="which samples (%(default)s)"
    )
    parser.add_argument("--alpha", type=float, default=0.05, help="rate of false rejects, at most (%(default)s)")
    parser.add_argument(
        "--miss", type=float, help="rate of anomalous parts OK, at most (default: 0.05, if there are enough samples)"
    )
    parser.add_argument(
        "--method", choices=("temperature", "platt", "none"), help="of the probabilities (default: temperature)"
    )
    parser.add_argument("--out", type=Path, help="folder for calibration.json (default: the model's folder)")
    add_protocol(parser)
    parser.add_argument("--batch", type=int, default=1, help="images asked together; `inspect` asks 1 (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--json", action="store_true", help="print the calibration as JSON")


def run(args: argparse.Namespace) -> int:
    """Calibrate, write the files, print the table."""
    from adfm.calibration.calibrate import Wanted, calibrate, require_valid
    from adfm.calibration.record import CALIBRATION, calibration_json, write_calibration
    from adfm.predictions import read_predictions
    from adfm.report.reliability import write_reliability
    from adfm.storage import read_json

    require_positive(args, "batch")
    wanted = Wanted(args.alpha, args.miss, args.method, args.split)
    require_valid(wanted)
    if args.predictions:
        file = (args.predictions if args.predictions.is_dir() else args.predictions.parent) / "provenance.json"
        provenance = read_json(file)
        if not isinstance(provenance, dict):
            raise DataError(f"{file}: must be a JSON object; run `adfm eval` again")
        predictions = read_predictions(args.predictions)
    else:
        predictions, provenance = _ask(args, wanted)
    out = _require_ours(_folder(args, provenance))
    result = calibrate(predictions, provenance, wanted)
    write_calibration(out / CALIBRATION, result.calibration)
    if result.calibration.quality:
        after = None if result.calibration.scaling.method == "none" else result.fitted
        write_reliability(out / DIAGRAM, result.anomalous, result.raw, after)
    if args.json:
        print_json(calibration_json(result.calibration))
    else:
        print("\n".join([*table(result.calibration), f"-> {out / CALIBRATION}"]))
    return 0


def _ask(args: argparse.Namespace, wanted: Wanted) -> tuple[list[Prediction], dict[str, Any]]:
    """Ask the model about the split. What cannot work is refused before it is loaded."""
    from adfm.calibration.conformal import require_enough
    from adfm.data.manifest import read_manifest
    from adfm.evaluation.run import predict, provenance_of
    from adfm.models.device import use_threads
    from adfm.models.local import LocalModel

    args.model, flags = args.model or "nano", protocol_flags(args)
    _require_ours(_folder(args, {"model": args.model}))
    manifest = read_manifest(args.data).only(args.split)
    require_enough(sum(not sample.anomalous for sample in manifest.samples), wanted.alpha, "normal samples")
    use_threads(args.threads)
    model = LocalModel.load(args.model)
    protocol = model.protocol.with_flags(flags)
    with progress_bar() as bar:
        predictions = list(predict(model, manifest, protocol=protocol, batch=args.batch, progress=bar, stage="asking"))
    return predictions, provenance_of(model, manifest, protocol)


def _folder(args: argparse.Namespace, provenance: dict[str, Any]) -> Path:
    """Where to write: --out, or beside the model, which then must be the one that gave the predictions.

    Raises:
        UserError: a model without a folder of one's own, or another model.
    """
    from adfm.models.files import revision_of

    model = str(args.model or provenance.get("model"))
    folder = Path(model)
    local = model != "nano" and (folder / "config.json").is_file()
    revision = provenance.get("revision")
    if local and revision is not None and revision_of(model, None) != revision:
        raise UserError(
            f"{args.predictions or model}: the predictions are not of the model in {model}; evaluate it again"
        )
    if args.out is not None:
        return Path(args.out)
    if not local:
        raise UserError(f"{model}: is not a model folder of yours to write beside; give --out")
    return folder


def _require_ours(folder: Path) -> Path:
    """Return the folder if what would be replaced there is an earlier calibration.

    Raises:
        UserError: a file of that name is somebody else's.
    """
    from adfm.calibration.record import CALIBRATION, SCHEMA
    from adfm.ownership import require_replaceable
    from adfm.report.reliability import SOFTWARE

    require_replaceable(folder / CALIBRATION, SCHEMA.encode())
    require_replaceable(folder / DIAGRAM, SOFTWARE.encode())
    return folder


def table(calibration: Calibration) -> list[str]:
    """Return a calibration as lines: the levels and their promises, what was measured, what to beware of."""
    from adfm.calibration.conformal import expected_rate, worst_rate
    from adfm.numbers import clopper_pearson

    lines = [
        f"{calibration.normal} normal and {calibration.anomalous} anomalous readable samples of the {calibration.split} "
        f"split, {calibration.unread} unread or without a score"
    ]
    for name, level, parts in (
        ("NG above", calibration.ng, "normal parts"),
        ("OK below", calibration.ok, "anomalous parts"),
    ):
        if level is not None:
            expected, worst = (rate(level.samples, level.rate) for rate in (expected_rate, worst_rate))
            lines.append(
                f"  {f'{name} {calibration.probability(level.log_odds):.4f}':<22}at most {level.rate:.3g} of {parts}: "
                f"{expected:.4f} on average over calibrations, this one under {worst:.4f} with 95 % certainty"
            )
    normal, anomalous = (calibration.measured[label] for label in ("normal", "anomalous"))
    for name, counts, decision, set_here in (
        ("false rejects", normal, "NG", True),
        ("escapes", anomalous, "OK", calibration.ok is not None),
        ("review, normal", normal, "REVIEW", False),
        ("review, anomalous", anomalous, "REVIEW", False),
    ):
        hits, n = counts[decision], sum(counts.values())
        low, high = clopper_pearson(hits, n)
        note = "the level was set on these" if set_here else f"[{low:.4f}, {high:.4f}]"
        if n:
            lines.append(f"  {name:<22}{hits} of {n}: {hits / n:.4f}  {note}")
    if calibration.quality:
        before, after = calibration.quality["before"], calibration.quality["after"]
        pairs = (f"{name} {before[key]:.3f} -> {after[key]:.3f}" for name, key in (("ECE", "ece"), ("Brier", "brier")))
        lines.append(f"  {calibration.scaling.method:<22}slope {calibration.scaling.slope:.3g}; {', '.join(pairs)}")
    return lines + [f"  beware: {folded(warning)}" for warning in calibration.warnings]
