"""`adfm data export`: a manifest becomes another tool's folder, published whole or not at all.

Pictures stay where they are and are named by path; one that decoders show differently (turned by EXIF, 16 bits,
transparent) is written again as an upright PNG beside the export, so that its boxes fit for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adfm import images
from adfm.bridges import Bridge
from adfm.bridges.question import Question
from adfm.data.manifest import Manifest
from adfm.data.threads import Threads
from adfm.errors import ImageError
from adfm.geometry import Box, Frame
from adfm.progress import Progress, quiet
from adfm.reasoning import FULL, Stages, focus_box
from adfm.records import Sample
from adfm.rewards import FrameOf
from adfm.rewards.truth import Truth
from adfm.storage import published_folder, sha256_bytes, write_bytes

PICTURES = "pictures"


@dataclass(frozen=True)
class Asked:
    """What is asked, whatever the tool: the frame of the coordinates, the protocol, whether the part is named."""

    frame_of: FrameOf = Frame.original
    stages: Stages = FULL
    category: bool = True


DEFAULT = Asked()


def export(
    manifest: Manifest, bridge: Bridge, out: Path, asked: Asked = DEFAULT, progress: Progress = quiet
) -> list[str]:
    """Write a manifest's samples in a tool's format; return the names of the files, pictures left out.

    Args:
        manifest: the samples, and the folder of their pictures.
        bridge: the tool.
        out: a new folder.
        asked: frame, protocol and wording.
        progress: told of (stage, done, total).

    Raises:
        UserError: `out` is not new, or the format needs a package that is not installed.
        ImageError: a picture is missing, damaged, or not of the manifest's size.
    """
    with published_folder(out) as staging:

        def question(sample: Sample) -> Question:
            source = _source(manifest, sample)
            truth = Truth(sample, asked.frame_of(sample.width, sample.height), asked.stages)
            focus = _focus(source, sample) if bridge.ANSWERS else None
            return Question(truth, _shown(source, sample, staging, out.resolve()), focus, asked.category)

        contents = bridge.files(Threads(progress=progress).map("pictures", question, manifest.samples))
        for name, content in contents.items():
            write_bytes(staging / name, content)
    return list(contents)


def _source(manifest: Manifest, sample: Sample) -> Path:
    """Return a sample's picture, whose size must be the manifest's: its boxes are in these pixels."""
    source = manifest.image_path(sample)
    width, height = images.size(source)
    if (width, height) != (sample.width, sample.height):
        raise ImageError(
            f"{source}: is {width} x {height}, the manifest says {sample.width} x {sample.height}; build it again"
        )
    return source


def _shown(source: Path, sample: Sample, staging: Path, out: Path) -> Path:
    """Return the file to show: the source itself, or its upright 8-bit copy, named by a hash, never by foreign text."""
    if images.plain(source):
        return source.resolve()
    name = f"{sha256_bytes(sample.id.encode('utf-8', 'replace'))[:24]}.png"
    (staging / PICTURES).mkdir(exist_ok=True)
    images.load(source).save(staging / PICTURES / name)
    return out / PICTURES / name


def _focus(source: Path, sample: Sample) -> Box | None:
    """Where a normal part's canonical answer points, as in our own training."""
    return None if sample.anomalous else focus_box(images.load(source))
