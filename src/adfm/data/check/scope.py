"""What a manifest's meta file tells its checkers: where pictures may lie, how boxes were made, what was counted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adfm.config import make_settings
from adfm.data.faults import Broken, Fault, broken
from adfm.data.manifest import META
from adfm.data.settings import BuildSettings
from adfm.errors import UserError
from adfm.storage import read_json


@dataclass(frozen=True)
class Scope:
    """The manifest, the folders its pictures may lie in and the settings of its boxes; None where that is unknown."""

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
    meta, doubt = _meta(path)
    found = [doubt] if doubt else []
    roots, doubt = _roots(file, meta) if meta is not None else (None, None)
    found += [doubt] if doubt else []
    settings, doubt = _settings(meta) if meta is not None else (None, None)
    found += [doubt] if doubt else []
    faults = [Fault(each.code, str(path), None, each.rule) for each in found]
    return Scope(file, roots, settings, None if meta is None else meta.get("counts") or {}), faults


def _meta(path: Path) -> tuple[dict[str, Any] | None, Broken | None]:
    if not path.is_file():
        return None, broken("meta-missing")
    try:
        meta = read_json(path)
    except UserError as error:
        return None, broken("meta-unreadable", why=error)
    if not isinstance(meta, dict):
        return None, broken("meta-unreadable", why=f"it holds a {type(meta).__name__}")
    return meta, None


def _roots(file: Path, meta: dict[str, Any]) -> tuple[tuple[Path, ...] | None, Broken | None]:
    source = meta.get("source")
    real = _real(file.parent / source) if isinstance(source, str) else None
    if real is None or not _is_folder(real):
        return None, broken("meta-source")
    return (file.parent.resolve(), real), None


def _settings(meta: dict[str, Any]) -> tuple[BuildSettings | None, Broken | None]:
    values = meta.get("settings")
    if not isinstance(values, dict):
        return None, broken("meta-settings", why="'settings' is missing")
    try:
        return make_settings(BuildSettings, values, "'settings'"), None
    except UserError as error:
        return None, broken("meta-settings", why=error)


def _real(path: Path) -> Path | None:
    """Follow every link; None where they lead nowhere, or the name cannot be one."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def leaving(scope: Scope, path: str) -> Broken | None:
    """Return the fault of a path that leads out of the source and the manifest's folder, by its text or by a link."""
    if scope.roots is None:
        return None
    real = _real(scope.place(path))
    if real is not None and _below(real, scope.roots):
        return None
    written = Path(os.path.normpath(scope.file.parent.resolve() / path))
    return broken("link-outside" if _below(written, scope.roots) else "path-outside", path=path)


def _below(path: Path, roots: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
