"""Where numbers come from: command, seed, versions and hardware, for reports and results."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "opencv-python-headless")


def provenance(command: str, seed: int) -> dict[str, Any]:
    """Return what a reader needs to make the same numbers again. It names no user and no machine."""
    return {
        "command": command,
        "seed": seed,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **{name: installed_version(name) or "not installed" for name in ("adfm", *PACKAGES)},
    }


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
