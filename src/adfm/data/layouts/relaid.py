"""Published sets that have the `mvtec` folders, known by the names of their categories; at least two, and no others."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from adfm.data.layouts.mvtec import is_category
from adfm.data.layouts.walk import categories


def named(root: Path, names: Collection[str]) -> str | None:
    """Say which of the set's categories a folder holds; None where others are among them or it has fewer than two.

    One category alone could be anybody's part of that name, and must not be given a publisher's licence.
    """
    present = {category.name.lower() for category in categories(root, is_category) if category.folder != root}
    known = {name.lower() for name in names}
    return f"the categories {', '.join(sorted(present))}" if len(present) > 1 and present <= known else None
