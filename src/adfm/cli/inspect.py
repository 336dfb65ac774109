"""`adfm inspect`: a picture or a folder in, a verdict and an overlay per picture out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adfm.cli.common import add_command, add_score, folded, print_json, progress_bar, require_votes

if TYPE_CHECKING:
    from adfm.inspection.verdict import Threshold

EXAMPLE = """
adfm inspect new_parts/ --model runs/mine/final --out verdicts
adfm inspect part.png --out verdicts --part "metal bracket" --json
"""
SHORT = "verdict JSON, overlay and results.jsonl for a picture or a folder"


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "inspect", run, SHORT, EXAMPLE)
    parser.add_argument("path", type=Path, metavar="PATH", help="a picture, or a folder that is searched below")
    parser.add_argument("--model", default="nano", help="model folder, hub id or nano (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for verdicts and overlays")
    parser.add_argument("--part", help="what the part is, for the prompt")
    parser.add_argument(
        "--stages", choices=("full", "locate_answer", "verdict"), default="full", help="protocol (%(default)s)"
    )
    decides = parser.add_mutually_exclusive_group()
    decides.add_argument("--threshold", type=float, help="raw score from which a part is NG, 0 to 1; no calibration")
    decides.add_argument(
        "--calibration", type=Path, metavar="FILE", help="of `adfm calibrate` (default: the one in the model's folder)"
    )
    decides.add_argument("--no-calibration", action="store_true", help="let the read verdict alone decide")
    add_score(parser)
    parser.add_argument("--seed", type=int, default=0, help="of --score votes (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")


def run(args: argparse.Namespace) -> int:
    """Inspect and return the exit code of the decisions."""
    from adfm.calibration.record import require_made_for
    from adfm.errors import ConfigError
    from adfm.inspection.run import InspectionSettings, exit_code, find_pictures, inspect_all, require_outside
    from adfm.models.local import LocalModel
    from adfm.models.votes import scored
    from adfm.reasoning import STAGES
    from adfm.training.run import use_threads

    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise ConfigError(f"--threshold {args.threshold}: must be from 0 to 1")
    require_votes(args)
    file, threshold = _threshold(args)
    find_pictures(args.path)  # a wrong path must not cost a model's loading time
    require_outside(args.out, args.path)
    use_threads(args.threads)
    settings = InspectionSettings(STAGES[args.stages], args.part, threshold)
    model = scored(LocalModel.load(args.model), args.score, votes=args.votes, seed=args.seed, stages=settings.stages)
    if threshold.calibration and file:
        if args.score != "odds":
            raise ConfigError(f"--score {args.score}: {file} is made for odds; add --no-calibration")
        require_made_for(
            threshold.calibration,
            file,
            model=model.name,
            revision=model.revision,
            stages=settings.stages,
            parts=[args.part],
        )
    with progress_bar() as bar:
        verdicts = inspect_all(
            model,
            args.path,
            args.out,
            settings,
            progress=bar and (lambda done, total, _: bar("inspecting", done, total)),
        )
    if args.json:
        print_json(verdicts)
    else:
        _tell(verdicts, args.out)
    return exit_code(verdicts)


def _threshold(args: argparse.Namespace) -> tuple[Path | None, Threshold]:
    """What the command line says decides, and the file of a calibration; by default the one beside the model."""
    from adfm.calibration.record import find_calibration, read_calibration
    from adfm.inspection.verdict import Threshold

    if args.threshold is not None:
        return None, Threshold(args.threshold, "--threshold")
    file = None if args.no_calibration else args.calibration or find_calibration(args.model)
    return (file, Threshold.of(read_calibration(file))) if file else (None, Threshold())


def _tell(verdicts: list[dict[str, Any]], out: Path) -> None:
    from adfm.calibration import DECISIONS

    for verdict in verdicts:
        score = "" if verdict["score"] is None else f"{verdict['score']:.3f}"
        note = verdict["warnings"][0] if verdict["warnings"] else f"{len(verdict['regions'])} region(s)"
        print(f"{verdict['decision']:<7} {score:<6} {folded(verdict['image'])}  {folded(note)}")
    counts = {name: sum(v["decision"] == name for v in verdicts) for name in DECISIONS}
    print(", ".join(f"{count} {name}" for name, count in counts.items() if count) + f" -> {out}")
    if verdicts[0]["threshold"] is not None:
        print(f"threshold {verdicts[0]['threshold']:.4f} from {folded(verdicts[0]['threshold_origin'])}")
