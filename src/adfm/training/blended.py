"""One optimizer out of two: Muon for a decoder's matrices, AdamW for the rest, and the vision tower at a lower rate.

For models trained from nothing: in nano's build it needs several times fewer images than AdamW alone.
"""

from __future__ import annotations

from typing import Any

import torch

from adfm.models.families import family_of

MUON_RATE = 20.0
"""Muon's rate over AdamW's: its steps have unit spectral norm, whatever the gradient's size."""


def muon_and_adamw(matrices: list[Any], rest: list[Any], learning_rate: float) -> list[Any]:
    """Return a Muon of matrices, and an AdamW of the rest, given as weights or as groups."""
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE * learning_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98)),
    ]


class BlendedOptimizer(torch.optim.Optimizer):  # type: ignore[misc]
    """Shares its parameter groups with a Muon and an AdamW, so that one scheduler moves both."""

    def __init__(self, model: Any, learning_rate: float, *, vision_share: float = 0.2) -> None:
        matrices, vision, rest = sorted_weights(model)
        others = [{"params": rest}, {"params": vision, "lr": vision_share * learning_rate}]
        self.parts = muon_and_adamw(matrices, others, learning_rate)
        groups = [group for part in self.parts for group in part.param_groups]
        super().__init__([{"params": group["params"], "lr": group["lr"]} for group in groups], {})
        self.param_groups = groups

    def step(self, closure: Any = None) -> None:  # noqa: ARG002 - the engine's interface
        """Step both."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read back what `state_dict` returned. The groups stay shared."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def sorted_weights(model: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the weights that train: the decoder's matrices, the vision tower's weights, and the rest.

    The rest are embeddings, the output head, norms, biases, and the layers between tower and decoder.

    Raises:
        ModelError: the model's family is not known.
    """
    family = family_of(model.config.model_type)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    tables = {id(weight) for layer in layers if layer is not None for weight in layer.parameters()}
    matrices, vision, rest = [], [], []
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        if family.is_tower(name):
            vision.append(weight)
        elif name.startswith(f"{family.decoder}.") and weight.ndim == 2 and id(weight) not in tables:
            matrices.append(weight)
        else:
            rest.append(weight)
    return matrices, vision, rest
