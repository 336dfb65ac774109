"""What the meta file of a manifest gives its checkers: where images may be, how boxes were made, what was counted."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adfm.config import make_settings
from adfm.data.faults import Broken, Fault, broken
from adfm.data.manifest import META
from adfm.data.settings import BuildSettings
from adfm.errors import UserError
from adfm.storage import read_json


@dataclass(frozen=True)
class Scope:
    """The manifest, the folders that may hold its images and the settings of its boxes; None where that is unknown."""

    file: Path
    roots: tuple[Path, ...] | None = None
    settings: BuildSettings | None = None
    counts: object = None

    def place(self, path: str) -> Path:
        """Where a path of the manifest leads, links not followed."""
        return self.file.parent / path


def read_scope(file: Path) -> tuple[Scope, list[Fault]]:
    """Read the meta file beside a manifest; what it does not say cannot be judged, and each such part is a warning."""
    path = file.parent / META
    if not path.is_file():
        return Scope(file), [broken("meta-missing").at(path)]
    try:
        meta = read_json(path)
    except UserError as error:
        return Scope(file), [broken("meta-unreadable", why=error).at(path)]
    if not isinstance(meta, dict):
        return Scope(file), [broken("meta-unreadable", why=f"it holds a {type(meta).__name__}").at(path)]
    roots, settings, doubts = None, None, []
    source = _real(file.parent / meta["source"]) if isinstance(meta.get("source"), str) else None
    with suppress(OSError):  # a name that is too long
        roots = (file.parent.resolve(), source) if source is not None and source.is_dir() else None
    if roots is None:
        doubts.append(broken("meta-source").at(path))
    try:
        values = meta.get("settings")
        if not isinstance(values, dict):
            raise UserError("'settings' is missing")
        settings = make_settings(BuildSettings, values, "'settings'")
    except UserError as error:
        doubts.append(broken("meta-settings", why=error).at(path))
    return Scope(file, roots, settings, meta.get("counts") or {}), doubts


def leaving(scope: Scope, path: str) -> Broken | None:
    """Return the fault of a path that leads out of the source and the manifest's folder, by its text or by a link."""
    if scope.roots is None:
        return None
    real = _real(scope.place(path))
    if real is not None and _below(real, scope.roots):
        return None
    written = Path(os.path.normpath(scope.file.parent.resolve() / path))
    return broken("link-outside" if _below(written, scope.roots) else "path-outside", path=path)


def _real(path: Path) -> Path | None:
    """Follow every link; None where they lead nowhere, or the name cannot be one."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _below(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
