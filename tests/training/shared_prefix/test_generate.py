"""Shared-prefix sampling against stock `generate`: the same tokens from the same random numbers, in fewer decoder tokens."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from step_helpers import STOPS, chat, prepared
from transformers import GenerationConfig

from adfm.models.files import load_processor, load_weights
from adfm.training.shared_prefix import attention, generate
from adfm.training.shared_prefix.generate import AnswerLayer, PrefixAttention, answer_groups

OWNERS = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]


@pytest.fixture
def model(folder: Any) -> Any:
    loaded = load_weights(str(folder)).train()
    attention.install(loaded)
    return loaded


def config(model: Any, **options: Any) -> GenerationConfig:
    settings = {
        "do_sample": True,
        "max_new_tokens": 24,
        "top_k": 0,
        "temperature": 1.2,
        "suppress_tokens": [model.config.image_token_id],
        "pad_token_id": 0,
        "eos_token_id": STOPS,
        "disable_compile": True,
    }
    return GenerationConfig(**(settings | options))


@torch.no_grad()
def both(model: Any, folder: Any, settings: GenerationConfig, seed: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """Return the stock answers, ours, and whether the random numbers stand at the same place afterwards."""
    chats = [chat(number, images) for number, images in enumerate((1, 2, 1))]
    processor = load_processor(str(folder))
    torch.manual_seed(seed)
    theirs = model.generate(**prepared(processor, [chats[owner] for owner in OWNERS]), generation_config=settings)
    after = torch.rand(1)
    torch.manual_seed(seed)
    shared = functools.partial(answer_groups, owners=OWNERS)
    ours = model.generate(**prepared(processor, chats), generation_config=settings, custom_generate=shared)
    return theirs, ours, torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_samples_at_the_same_seed(folder: Any, model: Any, seed: int) -> None:
    theirs, ours, in_step = both(model, folder, config(model), seed)
    assert torch.equal(theirs, ours)
    assert in_step
    lengths = (ours[:, -24:] != 0).sum(1)
    assert len(set(lengths.tolist())) > 3, "answers must be ragged, or leaving the batch is not tested"


@pytest.mark.parametrize(
    "options",
    [{"do_sample": False}, {"min_new_tokens": 5}, {"top_k": 20}, {"eos_token_id": 1, "max_new_tokens": 70}],
)
def test_the_same_processors_and_stopping_rules(folder: Any, model: Any, options: dict[str, Any]) -> None:
    theirs, ours, in_step = both(model, folder, config(model, **options), 5)
    assert torch.equal(theirs, ours)
    assert in_step


def test_drawing_for_the_unfinished_rows_alone_would_give_other_samples(
    folder: Any, model: Any, monkeypatch: Any
) -> None:
    def careless(self: Any, ids: Any, logits: Any, rows: Any) -> Any:
        weights = self._processors(ids, logits.to(dtype=torch.float32, copy=True)).softmax(-1)
        return torch.multinomial(weights, num_samples=1)[:, 0]

    monkeypatch.setattr(generate.Sampler, "__call__", careless)
    theirs, ours, in_step = both(model, folder, config(model), 0)
    assert theirs.shape != ours.shape or not torch.equal(theirs, ours)
    assert not in_step


def test_ignoring_the_padding_of_a_prompt_would_give_other_samples(folder: Any, model: Any, monkeypatch: Any) -> None:
    stock = generate.PrefixAttention.__init__
    monkeypatch.setattr(
        generate.PrefixAttention,
        "__init__",
        lambda self, layers, mask, slots, grid: stock(self, layers, None, slots, grid),
    )
    theirs, ours, _ = both(model, folder, config(model), 0)
    assert theirs.shape != ours.shape or not torch.equal(theirs, ours)


def test_finished_rows_leave_and_prompts_are_prefilled_once(folder: Any, model: Any, monkeypatch: Any) -> None:
    tokens: list[int] = []
    towers: list[int] = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["inputs_embeds"].shape[:2].numel()), with_kwargs=True
    )
    model.model.visual.register_forward_pre_hook(lambda module, args: towers.append(len(args[0])))
    theirs, ours, _ = both(model, folder, config(model), 0)
    steps = ours.shape[1] - theirs.shape[1] + len(tokens) // 2
    stock_tokens, our_tokens = tokens[:steps], tokens[steps:]
    assert our_tokens[0] * 4 == stock_tokens[0]
    assert our_tokens[1] == stock_tokens[1] == len(OWNERS)
    assert our_tokens[-1] < len(OWNERS)
    assert sum(towers[: len(towers) // 2]) > 3 * sum(towers[len(towers) // 2 :])


def test_an_answer_layer_grows_in_place_and_keeps_what_it_held() -> None:
    layer, held = AnswerLayer(), []
    for _ in range(generate.BLOCK + 3):
        held.append(torch.randn(3, 2, 1, 4))
        keys, values = layer.update(held[-1], held[-1] + 1)
    assert torch.equal(keys, torch.cat(held, dim=2))
    assert torch.equal(values, keys + 1)
    assert layer.get_seq_length() == len(held)
    layer.batch_select_indices(torch.tensor([2, 0]))
    held = [part[[2, 0]] for part in [*held, torch.randn(3, 2, 1, 4)]]
    keys, _ = layer.update(held[-1], held[-1])
    assert torch.equal(keys, torch.cat(held, dim=2))


@torch.no_grad()
@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("way", ["in_two_calls", "in_one_softmax"])
def test_both_ways_of_attending_are_attention_over_prompt_and_answer(way: str, finished: bool) -> None:
    torch.manual_seed(0)
    prompts, answers, heads, length, width = 2, 3, 2, 11, 8
    layer = (torch.randn(prompts, heads, length, width), torch.randn(prompts, heads, length, width))
    rows = torch.tensor([0, 2, 3, 5]) if finished else torch.arange(prompts * answers)
    prefix = PrefixAttention([layer], None, torch.arange(prompts * answers), (prompts, answers))
    prefix.keep(rows)
    query = torch.randn(len(rows), heads, 4, width)
    key, value = torch.randn(2, len(rows), heads, 5, width)
    ours = getattr(prefix, way)(query, key, value, layer, None)
    keys, values = (
        torch.cat([held[rows // answers], own], dim=2) for held, own in zip(layer, (key, value), strict=True)
    )
    plain = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
