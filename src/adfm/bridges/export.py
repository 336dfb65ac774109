"""`adfm data export`: a manifest becomes another tool's folder, which appears only when it is complete.

Images stay where they are and are named by path. One that decoders show differently (EXIF orientation, 16 bits,
transparency) is written again as an upright PNG beside the export, so that its boxes fit in every tool.
"""

from __future__ import annotations

from pathlib import Path

from adfm import images
from adfm.bridges import Bridge
from adfm.bridges.exported import Exported
from adfm.data.manifest import Manifest
from adfm.data.threads import Threads
from adfm.errors import ConfigError, ImageError
from adfm.geometry import Frame, FrameOf
from adfm.progress import Progress, quiet
from adfm.reasoning import DEFAULT, Protocol, ask, focus_box
from adfm.records import Sample
from adfm.storage import published_folder, sha256_bytes, write_bytes

COPIES = "pictures"


def export(
    manifest: Manifest,
    bridge: Bridge,
    out: Path,
    frame_of: FrameOf = Frame.original,
    protocol: Protocol = DEFAULT,
    progress: Progress = quiet,
) -> list[str]:
    """Write a manifest's samples in a tool's format. Return the names of the files, without the images.

    Args:
        manifest: the samples, and the folder of their images.
        bridge: the tool.
        out: a new folder.
        frame_of: (width, height) in original pixels -> the frame of the boxes in prompts and answers.
        protocol: what is asked.
        progress: called with (stage, done, total).

    Raises:
        UserError: `out` is not new, or the format needs a package that is not installed.
        ConfigError: the protocol shows reference images.
        ImageError: an image is missing, damaged, or not of the manifest's size.
    """
    if protocol.shots:
        raise ConfigError(
            f"the protocol shows {protocol.shots} reference images and an export holds one image per question; "
            "export for a model that was trained without references"
        )
    with published_folder(out) as staging:

        def exported(sample: Sample) -> Exported:
            source = manifest.image_path(sample)
            size = sample.width, sample.height
            if images.size(source) != size:
                width, height = images.size(source)
                raise ImageError(
                    f"{source}: is {width} x {height}, the manifest says {size[0]} x {size[1]}; build it again"
                )
            shown = _shown_file(source, sample, staging, out.resolve())
            question = ask(shown, frame_of(*size), protocol, category=sample.category)
            focus = focus_box(images.load(source, sample.white)) if bridge.ANSWERS and not sample.anomalous else None
            return Exported(sample, question, focus)

        contents = bridge.files(Threads(progress=progress).map("images", exported, manifest.samples))
        for name, content in contents.items():
            write_bytes(staging / name, content)
    return list(contents)


def _shown_file(source: Path, sample: Sample, staging: Path, out: Path) -> Path:
    """Return the file that a tool opens: the image itself, or an upright 8-bit copy where decoders would differ.

    A copy is written into `staging`, which becomes `out`. Its name is a hash, never a text from the data set.
    """
    if images.plain(source):
        return source.resolve()
    name = f"{sha256_bytes(sample.id.encode('utf-8', 'replace'))[:24]}.png"
    (staging / COPIES).mkdir(exist_ok=True)
    images.load(source, sample.white).save(staging / COPIES / name)
    return out / COPIES / name
