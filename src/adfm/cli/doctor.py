"""`adfm doctor`: what this machine and installation offer, and whether the bundled model loads. It repairs nothing."""

from __future__ import annotations

import argparse
import os
import platform
from contextlib import suppress
from typing import Any

from adfm import __version__
from adfm.cli.common import add_command, print_json
from adfm.errors import UserError
from adfm.workflows.provenance import installed_version

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
    """Print the facts. Exit with 2 where something that inspection or training needs is missing."""
    facts = examine()
    if args.json:
        print_json(facts)
        return 2 if facts["problems"] else 0
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{package} {version or 'missing'}" for package, version in value.items())
        elif isinstance(value, list):
            value = "; ".join(value) or "none"
        print(f"{name:<12} {'unknown' if value is None else value}")
    return 2 if facts["problems"] else 0


def examine() -> dict[str, Any]:
    """Return the facts. `problems` names in one line each what is missing."""
    packages = {name: installed_version(name) for name in PACKAGES}
    problems = [
        f"{name} is not installed; pip install 'adfm[model]'" for name, version in packages.items() if not version
    ]
    model, memory, device, threads = "not tried", None, "cpu", None
    with suppress(AttributeError, ValueError, OSError):  # a system that does not say
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    if packages["torch"]:
        import torch

        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        device, threads = ", ".join(gpus) or "cpu", torch.get_num_threads()
    if not problems:
        from adfm.models.local import LocalModel

        try:
            model = f"nano loads (revision {LocalModel.load('nano', device='cpu').revision[:12]})"
        except UserError as error:
            model = "does not load"
            problems.append(f"the bundled model does not load: {error}")
    return {
        "adfm": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gib": memory,
        "packages": packages,
        "device": device,
        "threads": threads,
        "model": model,
        "problems": problems,
    }
