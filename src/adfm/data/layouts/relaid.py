"""Published sets that have the `mvtec` folders, known by the names of their categories; at least two, and no others."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from adfm.data.layouts.found import categories
from adfm.data.layouts.mvtec import is_category


def named(root: Path, names: Collection[str]) -> str | None:
    """Say which of the set's categories a folder holds; None where others are among them or it has fewer than two.

    One category alone could be anybody's part of that name, and must not be given a publisher's licence.
    """
    found = {each.name.lower() for each in categories(root, is_category) if each.folder != root}
    known = {name.lower() for name in names}
    return f"the categories {', '.join(sorted(found))}" if len(found) > 1 and found <= known else None
