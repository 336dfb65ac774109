"""An image in, a verdict out: one model under one protocol, with the threshold that decides.

Images are asked about one by one, so a score never depends on its neighbours.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from adfm import images
from adfm.calibration import READ_VERDICT, Threshold, decide, find_calibration, read_calibration, require_made_for
from adfm.errors import ConfigError
from adfm.inspection.verdict import Verdict
from adfm.models.base import Model
from adfm.models.votes import DEFAULT_VOTES, ScoreName, scored
from adfm.reasoning import Protocol, ProtocolFlags, Question, Shown, ask
from adfm.storage import sha256_bytes

Source = Path | str | bytes | Image
"""A file, its bytes, or an image that is already decoded."""


@dataclass(frozen=True)
class Decoded:
    """One decoded image: RGB pixels, its name in the verdict, the SHA-256 of its bytes, and how long decoding took."""

    image: Image
    name: str
    sha256: str | None
    milliseconds: float

    @classmethod
    def of(
        cls, source: Source, name: str | None = None, *, origin: str | None = None, white: float | None = None
    ) -> Decoded:
        """Read and decode an image, once. The hash is of exactly the bytes that were decoded.

        Args:
            source: a file, its bytes, or a Pillow image, which has no bytes and so no hash.
            name: what the verdict calls it. By default the file's name, or `image`.
            origin: what messages call it. By default the file's path, or `name`.
            white: the value shown as white, of an image of more than 8 bits. Without one such an image is refused.

        Raises:
            ImageError: missing, not an image, damaged, or over the limits.
        """
        started, sha256 = time.perf_counter(), None
        if isinstance(source, Path | str):
            name, origin, source = name or Path(source).name, origin or str(source), images.read(Path(source))
        name = name or "image"
        if isinstance(source, bytes):
            sha256, image = sha256_bytes(source), images.decode(source, origin or name, white)
        else:
            image = images.as_rgb(source, origin or name, white)
        return cls(image, name, sha256, milliseconds_since(started))


class Inspector:
    """A model that inspects images.

    Args:
        model: any model.
        protocol: what it is asked. By default the model's own protocol.
        category: what the part is. The prompt names it.
        threshold: what decides beside the verdict that was read.
        white: the value shown as white in images of more than 8 bits. Without one they are refused.

    Raises:
        ConfigError: the protocol shows reference images, or names no part and one is given.
    """

    def __init__(
        self,
        model: Model,
        *,
        protocol: Protocol | None = None,
        category: str | None = None,
        threshold: Threshold = READ_VERDICT,
        white: float | None = None,
    ) -> None:
        self.model = model
        self.protocol = protocol or model.protocol
        self.category = category
        self.threshold = threshold
        self.white = white
        if self.protocol.shots:
            raise ConfigError(
                f"{model.name}: its protocol shows {self.protocol.shots} reference image(s) of good parts, and an "
                "inspection has none; take a model whose protocol has `shots` 0"
            )
        if category is not None and not self.protocol.name_category:
            raise ConfigError(f"part '{category}': the protocol names no part in the prompt; leave it out")
        self._settings: dict[str, Any] = {
            "model": model.name,
            "revision": model.revision,
            "decoding": {"method": "greedy", "batch": 1, "scoring": model.scoring},
            "threshold": threshold.value,
            "threshold_origin": threshold.origin,
            "review_from": threshold.review_from,
            "protocol": self.protocol,
            "protocol_overrides": self.protocol.overrides(model.protocol),
            "white": white,
        }

    @classmethod
    def open(
        cls,
        model: str | Path = "nano",
        *,
        calibration: str | Path | None = None,
        no_calibration: bool = False,
        threshold: float | None = None,
        category: str | None = None,
        protocol: ProtocolFlags = ProtocolFlags(),  # noqa: B008 - it is frozen
        score: ScoreName = "odds",
        votes: int = DEFAULT_VOTES,
        seed: int = 0,
        device: str | None = None,
        white: float | None = None,
    ) -> Inspector:
        """Load a model, find its calibration and check that they belong together. Files are checked before weights load.

        Args:
            model: model folder, hub id or `nano`.
            calibration: file or folder of `adfm calibrate`. By default the one in the model's folder, if there is one.
            no_calibration: let the read verdict alone decide.
            threshold: raw score (0 to 1) from which a part is NG. No calibration is used then.
            category: what the part is. The prompt names it.
            protocol: what differs from the model's own protocol.
            score: where scores come from, the odds of the verdict token or the share of `votes` sampled answers.
            seed: of the votes.
            device: torch device. By default the GPU, where there is one.
            white: the value shown as white in images of more than 8 bits. By default that of the model's training.

        Raises:
            UserError: a model, calibration or setting that is missing, broken, or does not fit the others.
        """
        from adfm.models.card import white_of
        from adfm.models.local import LocalModel

        model, decides, file = str(model), READ_VERDICT, None
        if (calibration is not None) + no_calibration + (threshold is not None) > 1:
            raise ConfigError("threshold, calibration, no_calibration: each excludes the others; give one of them")
        if white is not None and not 0 < white < math.inf:
            raise ConfigError(f"--white {white}: must be a number above 0")
        if threshold is not None:
            if not 0 <= threshold <= 1:
                raise ConfigError(f"--threshold {threshold}: must be from 0 to 1")
            decides = Threshold(threshold, "--threshold")
        elif not no_calibration and (found := calibration or find_calibration(model)):
            file = Path(found)
            decides = Threshold.of(read_calibration(file))
            if score != "odds":
                raise ConfigError(f"--score {score}: {file} is made for odds; add --no-calibration")
        local = LocalModel.load(model, device=device)
        opened = cls(
            scored(local, score, votes=votes, seed=seed),
            protocol=local.protocol.with_flags(protocol),
            category=category,
            threshold=decides,
            white=white or white_of(model),
        )
        if decides.calibration and file:
            require_made_for(
                decides.calibration,
                file,
                model=local.name,
                revision=local.revision,
                protocol=opened.protocol,
                parts=[category],
            )
        return opened

    def inspect(self, source: Source | Decoded, *, name: str | None = None) -> Verdict:
        """Inspect one image.

        An answer that cannot be read is REVIEW. So is a contradiction: `normal` beside defects, or, with a threshold, a
        score on the other side of it than the read verdict. A score of exactly a plain threshold is NG. A calibration
        says NG only above its level, and REVIEW between its levels.

        Args:
            source: a file, its bytes, a Pillow image, or an image that `Decoded.of` has made.
            name: what the verdict calls it. By default the file's name, or `image`.

        Raises:
            ImageError: not an image, damaged, over the limits, or of a shape that the model cannot read.
        """
        part = source if isinstance(source, Decoded) else Decoded.of(source, name, white=self.white)
        started = time.perf_counter()
        question = self.question(part.image, *part.image.size)
        answer = self.model.answer([question])[0]
        response = question.read(answer.text)
        decision, warnings = decide(response.verdict, response.problems, answer, self.threshold)
        return Verdict(
            image=part.name,
            sha256=part.sha256,
            width=part.image.width,
            height=part.image.height,
            decision=decision,
            score=self.threshold.shown(answer),
            raw_score=answer.score,
            regions=response.regions,
            located=response.located or (),
            explanation=response.examination,
            parse="ok" if response.strict else response.problems,
            warnings=warnings,
            timings_ms={"decode": part.milliseconds, "answer": milliseconds_since(started)},
            prompt_sha256=question.sha256,
            **self._settings,
        )

    def question(self, image: Shown, width: int, height: int) -> Question:
        """Return the question about an image of this size, in original pixels.

        Raises:
            ImageError: the model cannot read an image of this shape.
        """
        return ask(image, self.model.frame(width, height), self.protocol, category=self.category)

    def without_answer(self, name: str, sha256: str | None, reason: str) -> Verdict:
        """Return the verdict on an image that cannot be read: ERROR, with every field of the format."""
        return Verdict(image=name, sha256=sha256, decision="ERROR", warnings=(reason,), timings_ms={}, **self._settings)

    def left_out(self, name: str, reason: str) -> Verdict:
        """Return the row of a file that was not inspected: an ERROR that nothing was even read for."""
        return replace(self.without_answer(name, None, reason), parse=("left_out",))

    def would_ask(self, verdict: Verdict) -> bool:
        """Whether a verdict is of this model, these settings and the question that is asked today."""
        if any(getattr(verdict, name) != value for name, value in self._settings.items()):
            return False
        if verdict.width is None or verdict.height is None:
            return True  # nothing was asked
        question = self.question(Path(verdict.image), verdict.width, verdict.height)
        return question.sha256 == verdict.prompt_sha256


def milliseconds_since(started: float) -> float:
    """Return the time since a reading of `time.perf_counter`, to a tenth of a millisecond."""
    return round(1000 * (time.perf_counter() - started), 1)
