"""Linear layers laid out once for products of few rows, as decoding takes them at every step.

A plain product rearranges each weight again for every token. The second copy of the weights takes the room that gradients take
later in the step, so no peak rises.
Left out: GPUs, half precision and builds of torch without MKL, where `laid_out` changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

MIN_ROWS = 4
"""Rows from which the layout pays."""


@contextmanager
def laid_out(model: Any) -> Iterator[Callable[[int], None]]:
    """Give a function that lays out every linear layer of `model` for a number of rows. The end of the block takes all of it back.

    The layout holds the weights of that moment: they must not change before it is taken back or renewed. A product of
    another number of rows is the plain one.
    """
    plain = [part for part in model.modules() if type(part) is torch.nn.Linear and "forward" not in part.__dict__]
    on_cpu = [part for part in plain if part.weight.device.type == "cpu" and part.weight.dtype == torch.float32]
    layers = on_cpu if torch.backends.mkl.is_available() else []

    def lay_out(rows: int) -> None:
        for layer in layers:
            if rows < MIN_ROWS:
                layer.__dict__.pop("forward", None)
                continue
            weight = layer.weight.detach()
            packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
            layer.forward = functools.partial(
                torch.ops.mkl._mkl_linear, MKL_W=packed, ORI_W=weight, B=layer.bias, batch_size=rows
            )

    try:
        yield lay_out
    finally:
        lay_out(0)
