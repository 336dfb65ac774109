"""Images in, a verdict JSON and an overlay each out, and `results.jsonl` over all. A bad image costs only itself.

A second run into the same folder skips what `results.jsonl` already holds for the same bytes, model and settings.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from adfm import images
from adfm.calibration import Decision
from adfm.errors import DataError, ImageError, UserError
from adfm.inspection.find import HOLDS, as_text, find
from adfm.inspection.inspector import Decoded, Inspector, milliseconds_since
from adfm.inspection.overlay import draw
from adfm.inspection.places import OVERLAY, VERDICT, places
from adfm.inspection.verdict import Verdict
from adfm.ownership import owned_folder
from adfm.progress import Progress, quiet
from adfm.storage import Journal, read_jsonl, sha256_bytes, write_bytes, write_json, write_jsonl

RESULTS = "results.jsonl"


def find_images(path: Path) -> list[Path]:
    """Return the files that are inspected at a path, sorted.

    Raises:
        DataError: nothing there, or nothing to inspect.
    """
    return list(find(path).images.values())


def require_outside(out: Path, path: Path) -> None:
    """Refuse results inside the inspected folder, because the next run would inspect their overlays.

    Raises:
        UserError: they would be.
    """
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise UserError(f"{out}: is inside the inspected folder; give an --out folder beside it")


def inspect_folder(inspector: Inspector, path: Path, out: Path, *, progress: Progress = quiet) -> list[Verdict]:
    """Inspect an image, or all images of a folder, into `out`. Return one verdict per image, then one per file left out.

    `out` mirrors the folder: `NAME.json` and `NAME.overlay.png` beside each other, named after the whole file name, or
    after a short form of a name that cannot be kept. `results.jsonl` grows while the work goes on. At the end it holds
    one line per image and per file left out.

    Raises:
        UserError: `out` is in the inspected folder, holds something else, or the results of another model or other
            settings, or another process works in it.
        ImageError: `path` is one image and cannot be inspected. In a folder such an image gets an ERROR.
    """
    found = find(path)
    require_outside(out, path)
    with owned_folder(out, HOLDS):
        earlier = earlier_verdicts(out / RESULTS, inspector)
        place, verdicts = places(found.images), []
        with closing(Journal(out / RESULTS, fresh=False)) as journal:
            for number, (name, file) in enumerate(found.images.items(), 1):
                verdict = inspect_file(inspector, file, name, out / place[name], earlier.get(name), alone=file == path)
                if verdict is not earlier.get(name):
                    journal.append(verdict.to_json())
                verdicts.append(verdict)
                progress("inspecting", number, len(found.images))
        for name in earlier.keys() & found.left_out.keys():  # it was an image once
            remove_files(out / places([name])[name])
        verdicts += [inspector.left_out(name, reason) for name, reason in found.left_out.items()]
        rows = earlier | {verdict.image: verdict for verdict in verdicts}
        write_jsonl(out / RESULTS, (verdict.to_json() for verdict in rows.values()))
    return verdicts


def earlier_verdicts(results: Path, inspector: Inspector) -> dict[str, Verdict]:
    """Return the verdicts of an earlier run by their image, none where there was no run. A torn last line is dropped.

    Raises:
        UserError: they are of another model or other settings, or the file is broken.
    """
    if not results.exists():
        return {}
    try:
        verdicts = [Verdict.from_json(row) for row in read_jsonl(results, torn_tail=True)]
    except DataError as error:
        raise UserError(f"{results}: cannot be continued ({error}); give another --out folder") from error
    if not all(inspector.would_ask(verdict) for verdict in verdicts):
        raise UserError(f"{results}: holds verdicts of another model or other settings; give another --out folder")
    return {verdict.image: verdict for verdict in verdicts if not verdict.left_out}


def inspect_file(
    inspector: Inspector, file: Path, name: str, place: Path, earlier: Verdict | None, *, alone: bool
) -> Verdict:
    """Inspect a file and write its verdict and its overlay. An `earlier` verdict on the same bytes is returned as it is.

    The bytes are read once: those that are hashed are those that are judged.

    Raises:
        ImageError: the image cannot be inspected, and it is `alone`.
        WriteError: there is no room for the files.
    """
    sha256 = None
    try:
        content = images.read(file)
        sha256 = sha256_bytes(content)
        if earlier and earlier.decision != "ERROR" and earlier.sha256 == sha256:
            return earlier
        part = Decoded.of(content, name, origin=str(file), white=inspector.white)
        verdict = inspector.inspect(part)
    except ImageError as error:
        if alone:
            raise
        remove_files(place)  # the overlay of earlier bytes must not be taken for one of these
        verdict = inspector.without_answer(name, sha256, as_text(str(error)))
    else:
        verdict = with_overlay(part, verdict, place)
    write_json(place.with_name(place.name + VERDICT), verdict.to_json())
    return verdict


def with_overlay(part: Decoded, verdict: Verdict, place: Path) -> Verdict:
    """Write the overlay of a verdict and return the verdict with the time that this took."""
    started, png = time.perf_counter(), BytesIO()
    overlay = draw(part.image, verdict.regions, located=verdict.located, decision=verdict.decision, score=verdict.score)
    overlay.save(png, "PNG")
    write_bytes(place.with_name(place.name + OVERLAY), png.getvalue())
    return replace(verdict, timings_ms=verdict.timings_ms | {"overlay": milliseconds_since(started)})


def remove_files(place: Path) -> None:
    """Remove the verdict and the overlay that an earlier run wrote for an image."""
    for suffix in (VERDICT, OVERLAY):
        place.with_name(place.name + suffix).unlink(missing_ok=True)


def exit_code(decisions: Iterable[Decision]) -> int:
    """Return 0 if all are OK, 1 if some are NG, 3 if some file has no verdict or was left out (which wins)."""
    given = set(decisions)
    if given & {"REVIEW", "ERROR"}:
        return 3
    return 1 if "NG" in given else 0
