"""Where a decoding step's time goes: `python benchmarks/decoding.py [--threads N]` on the model of `adfm bench step --size cpu`.

Eight answers after a prompt of 430 tokens: milliseconds a token with and without each of the two ways that make decoding faster on
a CPU, in turn, and those of the linear layers alone. Medians of `--rounds`; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch

from adfm.training.shared_prefix import generate
from adfm.training.shared_prefix.attention import install
from adfm.training.shared_prefix.generate import laid_out
from adfm.workflows.bench.sizes import SIZES, random_subject

PROMPT, ANSWERS, TOKENS = 430, 8, 60


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="torch threads (%(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="how often each is timed (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, _ = random_subject(SIZES["cpu"], 0, "cpu")
    install(model.eval())
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(args.rounds + 1):
        for kernel in (False, True):
            for layout in (False, True):
                name = f"attention in {'two kernel calls' if kernel else 'one softmax'}, weights {'laid out' if layout else 'as they are'}"
                taken[name].append(decoded(model, kernel=kernel, layout=layout))
        for layout in (False, True):
            taken[f"linear layers alone, weights {'laid out' if layout else 'as they are'}"].append(
                linear(model, layout=layout)
            )
    for name, values in taken.items():
        print(f"{statistics.median(values[1:]):6.2f} ms  {name}")  # the first round warms up


@torch.no_grad()
def decoded(model: Any, *, kernel: bool, layout: bool) -> float:
    """Return milliseconds a token of decoding after random keys and values."""
    ways = generate.PrefixAttention
    kept = ways.in_two_calls
    try:
        if not kernel:
            ways.in_two_calls = ways.in_one_softmax  # type: ignore[method-assign]
        with laid_out(model) if layout else nullcontext(lambda _: None) as lay_out:
            lay_out(ANSWERS)
            answers = generate._Answers(model, prefilled(model), torch.zeros(ANSWERS, dtype=torch.long), positions())
            tokens = torch.full((ANSWERS,), 7)
            started = time.perf_counter()
            for _ in range(TOKENS):
                answers.step(tokens)
            return (time.perf_counter() - started) / TOKENS * 1e3
    finally:
        ways.in_two_calls = kept  # type: ignore[method-assign]


def prefilled(model: Any) -> Any:
    """Return what a prefill leaves behind: random keys and values of one prompt."""
    text = model.config.get_text_config()
    shape = (1, text.num_key_value_heads, PROMPT, text.hidden_size // text.num_attention_heads)
    layers = [
        SimpleNamespace(keys=torch.randn(shape), values=torch.randn(shape)) for _ in range(text.num_hidden_layers)
    ]
    return SimpleNamespace(past_key_values=SimpleNamespace(layers=layers))


def positions() -> dict[str, torch.Tensor]:
    """Return the prompt's positions, three rows as the model's rotary embedding wants them."""
    return {"position_ids": torch.arange(PROMPT)[None, None].expand(3, 1, -1)}


@torch.no_grad()
def linear(model: Any, *, layout: bool) -> float:
    """Return milliseconds a token of the decoder's linear layers and nothing else."""
    layers = [each for each in model.model.language_model.modules() if type(each) is torch.nn.Linear]
    layers.append(model.lm_head)
    rows = {layer: torch.randn(ANSWERS, 1, layer.in_features) for layer in layers}
    with laid_out(model) if layout else nullcontext(lambda _: None) as lay_out:
        lay_out(ANSWERS)
        started = time.perf_counter()
        for _ in range(TOKENS):
            for layer, states in rows.items():
                layer(states)
        return (time.perf_counter() - started) / TOKENS * 1e3


if __name__ == "__main__":
    main()
