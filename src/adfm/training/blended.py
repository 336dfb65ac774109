"""One optimizer out of two: Muon for a decoder's matrices, AdamW for the rest, and the vision tower at a lower rate.

For models trained from nothing: in nano's build it needs several times fewer pictures than AdamW alone.
"""

from __future__ import annotations

from typing import Any

import torch

MUON_RATE = 20.0
"""Muon's rate over AdamW's: its steps have unit spectral norm, whatever the gradient's size."""


class BlendedOptimizer(torch.optim.Optimizer):  # type: ignore[misc]
    """Shares its parameter groups with a Muon and an AdamW, so that one scheduler moves both."""

    def __init__(self, model: Any, learning_rate: float, *, vision_share: float = 0.2) -> None:
        matrices, vision, rest = _sorted_weights(model)
        self.parts = [
            torch.optim.Muon(matrices, lr=MUON_RATE * learning_rate, weight_decay=0.01),
            torch.optim.AdamW(
                [{"params": rest}, {"params": vision, "lr": vision_share * learning_rate}],
                lr=learning_rate,
                weight_decay=0.01,
                betas=(0.9, 0.98),
            ),
        ]
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
        """Read back what `state_dict` returned; the groups stay shared."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def _sorted_weights(model: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the decoder's matrices, the vision tower's weights and all others (embeddings, norms, biases)."""
    sorted_weights: dict[str, list[Any]] = {"matrix": [], "vision": [], "rest": []}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            sorted_weights[_kind(name, weight)].append(weight)
    return sorted_weights["matrix"], sorted_weights["vision"], sorted_weights["rest"]


def _kind(name: str, weight: Any) -> str:
    if ".visual." in name:
        return "vision"
    return "matrix" if weight.ndim == 2 and "embed_tokens" not in name and "lm_head" not in name else "rest"
