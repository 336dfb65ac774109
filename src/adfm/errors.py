"""Defines every error of the package: a user's mistake is a `UserError` (one line, exit 2), anything else is a bug."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

ImageReason = Literal["missing", "format", "limit", "damaged", "frames", "values"]


class UserError(Exception):
    """A mistake that the user can fix; the message is one line that names the file, the rule and the fix."""

    exit_code = 2


class DataError(UserError):
    """A data set, manifest or image that breaks a rule of its contract."""


class ImageError(DataError):
    """An image that cannot be decoded within the limits.

    Attributes:
        reason: the type of fault, for code that groups them.
        why: what is wrong, without the image's name and without a fix.
    """

    def __init__(self, message: str, reason: ImageReason = "damaged", why: str = "") -> None:
        self.reason = reason
        self.why = why
        super().__init__(message)

    @classmethod
    def of(cls, name: str, why: str, fix: str, reason: ImageReason = "damaged") -> ImageError:
        """Return the error of the image that messages call `name`."""
        return cls(f"{name}: {why}; {fix}", reason, why)


class WriteError(UserError):
    """A file or folder that the system does not let us write: no room, no right, no such place."""


class NotFiniteError(UserError):
    """A loss, gradient, reward or weight that is not a finite number. A training that went on would learn nothing from it."""


class StoppedError(UserError):
    """A signal asked the program to leave; `exit_code` is the one that a shell gives for that signal."""

    def __init__(self, message: str, signal_number: int) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(message)


class ConfigError(UserError):
    """A setting that is unknown, of the wrong type or out of range."""


class ModelError(UserError):
    """A model folder or id that cannot be loaded as asked."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the nearest known name, or an empty string."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""
