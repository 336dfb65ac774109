"""Which weights the two halves of the blended optimizer move, for every family: a vision tower is never Muon's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_internvl

from adfm.models.families import FAMILIES, Family
from adfm.models.files import load_weights
from adfm.training.blended import BlendedOptimizer, sorted_weights


@pytest.fixture(params=["qwen2.5", "qwen3", "internvl"])
def model(request: Any, tiny_folders: dict[str, Path]) -> Any:
    """A tiny model of each way to become tokens: a grid of patches, and tiles."""
    return tiny_internvl() if request.param == "internvl" else load_weights(str(tiny_folders[request.param]))


def muons(model: Any) -> set[str]:
    """The names of the weights that Muon moves."""
    moved = {id(weight) for group in BlendedOptimizer(model, 1e-3).parts[0].param_groups for weight in group["params"]}
    return {name for name, weight in model.named_parameters() if id(weight) in moved}


def towers(model: Any) -> set[str]:
    """The names of the weights of the tower, found without a family: all that is neither decoder nor between the two."""
    beside = ("language_model", "multi_modal_projector", "lm_head")
    return {name for name, _ in model.named_parameters() if not any(part in name for part in beside)}


def test_muon_moves_the_decoders_matrices_and_no_weight_of_the_tower(model: Any) -> None:
    assert towers(model)
    assert not muons(model) & towers(model)
    assert any(name.endswith("q_proj.weight") for name in muons(model))
    assert not any("embed_tokens" in name or "lm_head" in name or "multi_modal" in name for name in muons(model))


def test_control_a_wrong_path_of_the_tower_would_be_seen(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Family, "is_tower", lambda self, name: False)
    for family in FAMILIES.values():
        monkeypatch.setitem(vars(family), "decoder", "model")
    assert muons(model) & towers(model)


def test_every_weight_has_one_place(model: Any) -> None:
    matrices, vision, rest = sorted_weights(model)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert {names[id(weight)] for weight in vision} == towers(model)
    assert sorted(id(weight) for part in (matrices, vision, rest) for weight in part) == sorted(names)
    vision[0].requires_grad_(False)
    assert len(sorted_weights(model)[1]) == len(vision) - 1


def test_one_state_goes_on_where_the_other_was(either: Path) -> None:
    def stepped(optimizer: BlendedOptimizer, model: Any) -> None:
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()

    first, second = load_weights(str(either)), load_weights(str(either))
    ahead, behind = BlendedOptimizer(first, 1e-3), BlendedOptimizer(second, 1e-3)
    stepped(ahead, first)
    second.load_state_dict(first.state_dict())
    behind.load_state_dict(ahead.state_dict())
    stepped(ahead, first)
    stepped(behind, second)
    assert all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
