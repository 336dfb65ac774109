"""Images in, a verdict JSON and an overlay each out, and `results.jsonl` over all. A bad image costs only itself.

A second run into the same folder skips what `results.jsonl` already holds for the same image, model and settings.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from adfm import images
from adfm.calibration import Decision
from adfm.errors import DataError, ImageError, UserError
from adfm.inspection.inspector import Decoded, Inspector, milliseconds_since
from adfm.inspection.overlay import draw
from adfm.inspection.verdict import Verdict
from adfm.progress import Progress, quiet
from adfm.storage import Journal, read_jsonl, sha256_bytes, write_bytes, write_json, write_jsonl

RESULTS = "results.jsonl"


def find_images(path: Path) -> list[Path]:
    """Return the image itself, or all images below a folder, sorted. None is opened.

    Hidden files and folders are left alone, and so are links that lead out of the folder.

    Raises:
        DataError: nothing there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such image or folder")
    root = path.resolve()
    files = [
        file
        for file in sorted(path.rglob("*"))
        if images.is_image(file)
        and file.is_file()
        and file.resolve().is_relative_to(root)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    if not files:
        raise DataError(f"{path}: holds no PNG, JPEG, BMP, TIFF or WebP image")
    return files


def require_outside(out: Path, path: Path) -> None:
    """Refuse results inside the inspected folder, because the next run would inspect their overlays.

    Raises:
        UserError: they would be.
    """
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise UserError(f"{out}: is inside the inspected folder; give an --out folder beside it")


def inspect_folder(inspector: Inspector, path: Path, out: Path, *, progress: Progress = quiet) -> list[Verdict]:
    """Inspect an image, or all images of a folder, into `out`. Return one verdict per image, in order.

    `out` mirrors the folder: `NAME.json` and `NAME.overlay.png` beside each other, named after the whole file name.
    `results.jsonl` grows while the work goes on. At the end it holds one line per image.

    Raises:
        UserError: `out` is in the inspected folder, or holds the results of another model or other settings.
        ImageError: `path` is one image and cannot be inspected. In a folder such an image gets an ERROR.
    """
    files, root = find_images(path), path if path.is_dir() else path.parent
    require_outside(out, path)
    earlier = earlier_verdicts(out / RESULTS, inspector)
    journal, verdicts = None, []
    for number, file in enumerate(files, 1):
        name = file.relative_to(root).as_posix()
        verdict = inspect_file(inspector, file, name, out, earlier.get(name), alone=file == path)
        if verdict is not earlier.get(name):
            write_json(out / f"{name}.json", verdict.to_json())
            journal = journal or Journal(out / RESULTS, fresh=False)
            journal.append(verdict.to_json())
        verdicts.append(verdict)
        progress("inspecting", number, len(files))
    if journal:
        journal.close()
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
    return {verdict.image: verdict for verdict in verdicts}


def inspect_file(
    inspector: Inspector, file: Path, name: str, out: Path, earlier: Verdict | None, *, alone: bool
) -> Verdict:
    """Inspect a file and draw its overlay. An `earlier` verdict on the same bytes is returned as it is.

    Raises:
        ImageError: the image cannot be inspected, and it is `alone`.
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
        return inspector.without_answer(name, sha256, str(error))
    started, png = time.perf_counter(), BytesIO()
    overlay = draw(part.image, verdict.regions, located=verdict.located, decision=verdict.decision, score=verdict.score)
    overlay.save(png, "PNG")
    write_bytes(out / f"{name}.overlay.png", png.getvalue())
    return replace(verdict, timings_ms=verdict.timings_ms | {"overlay": milliseconds_since(started)})


def exit_code(decisions: Iterable[Decision]) -> int:
    """Return 0 if all are OK, 1 if some are NG, 3 if some image has no verdict (which wins)."""
    given = set(decisions)
    if given & {"REVIEW", "ERROR"}:
        return 3
    return 1 if "NG" in given else 0
