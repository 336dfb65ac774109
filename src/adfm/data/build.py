"""`adfm data build`: a folder of images and masks becomes a manifest; the output folder appears complete or not at all.

Images are not copied, the manifest points at them. Only tiles are written, beside the manifest.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from adfm.data import layouts, meta, split
from adfm.data.faults import DataFaultsError
from adfm.data.layouts import SourceImage
from adfm.data.manifest import MANIFEST, META, write_manifest
from adfm.data.measure import corners, measure
from adfm.data.settings import BuildSettings
from adfm.data.threads import Threads
from adfm.data.tile import cut_all
from adfm.data.white import levelled
from adfm.progress import Progress, quiet
from adfm.storage import published_folder, require_new_folder, write_json


@dataclass(frozen=True)
class BuildReport:
    """What was built: the path of the manifest, how many samples it holds, and the content of its meta file."""

    manifest: Path
    samples: int
    meta: dict[str, Any]


def build(source: Path, out: Path, settings: BuildSettings, progress: Progress = quiet) -> BuildReport:
    """Build a manifest of `source` in the new folder `out`; `progress` receives (stage, done, total).

    Raises:
        DataFaultsError: everything in the folder that breaks a rule; nothing is written.
        ConfigError: a setting cannot be used.
        UserError: `out` is not empty.
    """
    require_new_folder(out)
    root, target = source.resolve(), out.resolve()
    layout = layouts.choose(source, settings.layout)
    listed = layouts.listed_images(source, layout, settings)
    threads = Threads(settings.workers, progress)
    measured = threads.map("images", lambda image: measure(root, image, settings), listed)
    if faults := [fault for one in measured for fault in one.faults] or corners(source, measured):
        raise DataFaultsError(faults)
    measured, said = levelled(root, measured, settings.white)
    way = Path(os.path.relpath(root, target))  # once: it is the same for every image
    samples = [one.sample(id_, way) for one, id_ in zip(measured, sample_ids(listed), strict=True)]
    samples, notes = split.placed(source, layout.NAME, listed, samples, settings)
    warnings = [*said, *meta.doubts(measured), *meta.unmasked(listed), *meta.unused(root, listed), *notes]
    with published_folder(target) as staging:
        if settings.tile is not None:
            samples, tile_notes = cut_all(samples, target, staging, settings, threads)
            warnings += tile_notes
        terms = meta.licences(root, listed) | ({"as published": layout.TERMS} if layout.TERMS else {})
        content = meta.make_meta(samples, layout.NAME, os.path.relpath(root, target), settings, warnings, terms)
        write_json(staging / META, content)
        write_manifest(staging / MANIFEST, samples)
    return BuildReport(out / MANIFEST, len(samples), content)


def sample_ids(listed: Sequence[SourceImage]) -> list[str]:
    """Return `<category>/<relative path without suffix>` in safe characters; names that clash get a short hash."""
    plain = []
    for image in listed:
        parts = image.image.with_suffix("").parts
        below = parts[1:] if parts[0] == image.category and len(parts) > 1 else parts
        plain.append(re.sub(r"[^\w./-]", "_", "/".join([image.category, *below])))
    taken = Counter(name.casefold() for name in plain)
    return [
        name if taken[name.casefold()] == 1 else f"{name}-{sha256(image.image.as_posix().encode()).hexdigest()[:8]}"
        for name, image in zip(plain, listed, strict=True)
    ]
