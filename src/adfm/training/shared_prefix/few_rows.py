"""Linear layers laid out once for products of few rows, as decoding takes them at every step; CPUs with MKL in float32 only.

A plain product rearranges each weight anew for every token. The second copy of the weights takes the room that gradients take
later in the step, so no peak rises.
Left out: GPUs, half precision and builds of torch without MKL, where `laid_out` changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

FEWEST = 4
"""Rows from which the layout pays."""


@contextmanager
def laid_out(model: Any) -> Iterator[Callable[[int], None]]:
    """Give a function that lays out every linear layer of `model` for a number of rows; all is taken back at the end.

    The layout holds the weights of that moment: they must not change before it is taken back or renewed. A product of
    another number of rows is the plain one.
    """
    layers = [module for module in model.modules() if _suits(module)]

    def lay_out(rows: int) -> None:
        for layer in layers:
            if rows >= FEWEST:
                layer.forward = _product(layer, rows)
            else:
                layer.__dict__.pop("forward", None)

    try:
        yield lay_out
    finally:
        lay_out(0)


def _suits(module: Any) -> bool:
    """Whether this is a plain linear layer that the layout is for, and nobody else has put a forward on it."""
    return (
        type(module) is torch.nn.Linear
        and "forward" not in module.__dict__
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.float32
        and torch.backends.mkl.is_available()
    )


def _product(layer: torch.nn.Linear, rows: int) -> Callable[[Tensor], Tensor]:
    weight = layer.weight.detach()
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
    return functools.partial(_multiply, packed, weight, layer.bias, rows)


def _multiply(packed: Tensor, weight: Tensor, bias: Tensor | None, rows: int, states: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkl._mkl_linear(states, packed, weight, bias, rows)
    return product
