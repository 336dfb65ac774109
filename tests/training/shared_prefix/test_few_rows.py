"""Linear layers laid out for few rows: the same products, the weights of the moment, nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adfm.training.shared_prefix.generate import laid_out

pytestmark = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this build of torch has no MKL")


@pytest.fixture
def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 40), nn.SiLU(), nn.Linear(40, 8, bias=False))


@torch.no_grad()
@pytest.mark.parametrize("rows", [4, 7, 32])
def test_products_are_those_of_the_plain_layer(layers: nn.Sequential, rows: int) -> None:
    states = torch.randn(rows, 1, 24)
    plain = layers(states)
    with laid_out(layers) as lay_out:
        lay_out(rows)
        assert "forward" in layers[0].__dict__ and "forward" in layers[2].__dict__
        torch.testing.assert_close(layers(states), plain, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layers(states[:3]), plain[:3], rtol=1e-5, atol=1e-6)  # another number of rows
        lay_out(3)  # too few to pay
        assert "forward" not in layers[0].__dict__


@torch.no_grad()
def test_a_layout_holds_the_weights_of_its_moment(layers: nn.Sequential) -> None:
    """Why it is taken back before an optimizer moves them: until it is renewed, the old ones answer."""
    states = torch.randn(4, 24)
    old = layers(states)
    with laid_out(layers) as lay_out:
        lay_out(4)
        layers[2].weight.mul_(2)
        torch.testing.assert_close(layers(states), old, rtol=1e-5, atol=1e-6)
        lay_out(4)
        torch.testing.assert_close(layers(states), 2 * old, rtol=1e-5, atol=1e-6)


def test_everything_is_taken_back(layers: nn.Sequential) -> None:
    with pytest.raises(RuntimeError, match="stopped"), laid_out(layers) as lay_out:
        lay_out(4)
        raise RuntimeError("stopped")
    assert not any("forward" in layer.__dict__ for layer in layers)
    layers(torch.randn(4, 24)).sum().backward()
    assert layers[0].weight.grad is not None


def test_only_plain_layers_in_float32_are_laid_out() -> None:
    class Other(nn.Linear):
        pass

    patched = nn.Linear(4, 4)
    patched.forward = lambda states: states
    others = nn.ModuleList([Other(4, 4), nn.Linear(4, 4, dtype=torch.bfloat16), patched])
    with laid_out(others) as lay_out:
        lay_out(8)
        assert "forward" not in others[0].__dict__ and "forward" not in others[1].__dict__
    assert patched.forward(3) == 3
