"""Shared by all tests: tiny random models of both Qwen families, a small built data set, one torch thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, settings

# The same examples in every run, so that a change breaks what it breaks; `HYPOTHESIS_PROFILE=search make test` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.register_profile("first", derandomize=True, phases=(Phase.explicit, Phase.generate))  # a failure is enough
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parent / "training"))

FAMILIES = ("qwen2.5", "qwen3")


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random tiny model folder per family; tests must not write into them."""
    import torch
    from tiny_models import tiny_qwen3, tiny_qwen25

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tiny")
    return {"qwen2.5": tiny_qwen25(root / "qwen2.5"), "qwen3": tiny_qwen3(root / "qwen3")}


@pytest.fixture(scope="session")
def tiny(tiny_folders: dict[str, Path]) -> Path:
    """The tiny Qwen2.5-VL."""
    return tiny_folders["qwen2.5"]


@pytest.fixture(params=FAMILIES)
def either(request: pytest.FixtureRequest, tiny_folders: dict[str, Path]) -> Path:
    """Each tiny model in turn."""
    return tiny_folders[request.param]


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 drawn parts of 64 px with their masks, in the MVTec layout."""
    from adfm.data.synthetic import make

    out = tmp_path_factory.mktemp("drawn") / "parts"
    make(out, seed=3, images=24, size=(64, 64), products=1, difficulty=0.2, materials=("cast",))
    return out


@pytest.fixture(scope="session")
def parts_data(parts_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their manifest, about half of the labelled parts to train on."""
    from adfm.data.build import build
    from adfm.data.settings import BuildSettings

    out = tmp_path_factory.mktemp("built") / "data"
    build(parts_folder, out, BuildSettings(split="labelled", labelled_fraction=0.5))
    return out
