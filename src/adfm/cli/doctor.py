"""`adfm doctor`: what this machine and installation offer, and whether the bundled model loads; it mends nothing."""

from __future__ import annotations

import argparse
import os
import platform
from typing import Any

from adfm import __version__
from adfm.cli.common import add_command, print_json

PACKAGES = ("torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets", "numpy", "pillow")
SUMMARY = "say what is installed, what the machine offers and whether the bundled model loads"
EXAMPLE = """
adfm doctor
adfm doctor --json
"""


def add(subparsers: Any) -> None:
    """Add the command to the program's parser."""
    parser = add_command(subparsers, "doctor", run, SUMMARY, EXAMPLE)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the facts; exit 2 where something that inspection or training needs is missing."""
    facts = examine()
    if args.json:
        print_json(facts)
    else:
        for name, value in facts.items():
            print(f"{name:<12} {_line(value)}")
    return 2 if facts["problems"] else 0


def examine() -> dict[str, Any]:
    """Return the facts; `problems` names in one line each what is missing."""
    packages = {name: _version(name) for name in PACKAGES}
    missing = [f"{name} is not installed; pip install 'adfm[model]'" for name, found in packages.items() if not found]
    model, fault = ("not tried", None) if missing else _bundled_model()
    return {
        "adfm": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gib": _memory(),
        "packages": packages,
        **_torch_facts(bool(packages["torch"])),
        "model": model,
        "problems": [*missing, *([fault] if fault else [])],
    }


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each or 'missing'}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return "unknown" if value is None else str(value)


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _memory() -> float | None:
    """Physical memory in GiB; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _torch_facts(installed: bool) -> dict[str, Any]:
    if not installed:
        return {"device": "cpu", "threads": None}
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"device": ", ".join(gpus) or "cpu", "threads": torch.get_num_threads()}


def _bundled_model() -> tuple[str, str | None]:
    """Load `nano` as any command would."""
    from adfm.errors import UserError
    from adfm.models.local import LocalModel

    try:
        model = LocalModel.load("nano", device="cpu")
    except UserError as error:
        return "does not load", f"the bundled model does not load: {error}"
    return f"nano loads (revision {model.revision[:12]})", None
