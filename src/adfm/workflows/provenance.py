"""Where numbers come from: command, seed, versions and hardware, for reports and results."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "opencv-python-headless")


def provenance(command: str, seed: int) -> dict[str, Any]:
    """Return what a reader needs to make the same numbers again; no user or machine names."""
    return {
        "command": command,
        "seed": seed,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **{name: _version(name) for name in ("adfm", *PACKAGES)},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
