"""Entries that other installed packages add to our tables, through their entry points; nothing is loaded from a path."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from typing import Any, TypeVar

from adfm.errors import ConfigError

T = TypeVar("T")


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group (`adfm.layouts`) by name, sorted; none of them is imported.

    Raises:
        ConfigError: two packages add the same name.
    """
    points = sorted(entry_points(group=group), key=lambda point: (point.name, package_of(point)))
    for one, other in pairwise(points):
        if one.name == other.name:
            both = f"{package_of(one)} and {package_of(other)}"
            raise ConfigError(f"extension {one.name} of group {group}: {both} both add it; uninstall one of them")
    return {point.name: point for point in points}


def package_of(point: EntryPoint) -> str:
    """Return the name of the installed package that declares an entry point."""
    return point.dist.name if point.dist else "an unknown package"


def extended(group: str, own: Mapping[str, T], needs: Sequence[str] = ()) -> Mapping[str, T]:
    """Return our own table with what installed packages add to it behind its entries.

    An extension is imported when its entry is read, so the names alone cost no import. `needs` are the attributes
    that an entry must have.

    Raises:
        ConfigError: an extension has the name of one of our own entries, or two extensions share a name. Reading an
            entry whose extension cannot be imported, or lacks an attribute, raises it too.
    """
    added = installed(group)
    for name in sorted(added.keys() & own.keys()):
        raise ConfigError(
            f"extension {name} of {package_of(added[name])}: adfm has its own '{name}' in {group}; "
            "the package must use another name"
        )
    return _Extended({**own, **added}, needs)


class _Extended(UserDict[str, Any]):
    """Our own entries, then those of extensions, each imported once when it is first read."""

    def __init__(self, entries: Mapping[str, Any], needs: Sequence[str]) -> None:
        super().__init__(entries)
        self._needs = needs

    def __getitem__(self, name: str) -> Any:
        entry = self.data[name]
        if isinstance(entry, EntryPoint):
            origin = f"extension {name} of {package_of(entry)}"
            try:
                entry = entry.load()
            except Exception as error:
                why = " ".join(f"{type(error).__name__}: {error}".split())
                raise ConfigError(f"{origin}: cannot be imported ({why:.200}); repair or uninstall it") from error
            if missing := [need for need in self._needs if not hasattr(entry, need)]:
                raise ConfigError(f"{origin}: lacks {', '.join(missing)}; repair or uninstall it")
            self.data[name] = entry
        return entry
