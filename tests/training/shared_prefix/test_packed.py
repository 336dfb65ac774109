"""The packed forward against the G-fold one: log-probabilities, entropies and the whole gradient, and that it can fail."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from step_helpers import batch
from trl.trainer.utils import add_fused_lm_head

from adfm.models.files import load_processor, load_weights
from adfm.training.shared_prefix import attention, packed
from adfm.training.shared_prefix.attention import PackedAttention
from adfm.training.shared_prefix.layout import Packing, pack
from adfm.training.shared_prefix.packed import forward_inputs, packed_log_probs
from adfm.training.shared_prefix.rows import Rows, spans_of

RAGGED = [[5, 9, 1, 7], [3, 9], [2, 0, 6, 4, 8]]
LOG_PROBS, GRADIENT = 2e-6, 1e-5


def stock(model: Any, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """What the engine does with the same rows."""
    labels = rows.ids.masked_fill(rows.mask == 0, -100)
    labels[:, : rows.prompt] = -100
    fields = rows.engine_fields()
    fields.pop("num_images")
    out = model(input_ids=rows.ids, attention_mask=rows.mask, labels=labels, fused_lm_head=True, **fields)
    return out.log_probs[:, -rows.answer :], out.entropy[:, -rows.answer :]


def gradient(model: Any, logps: torch.Tensor) -> torch.Tensor:
    weights = torch.linspace(-1, 1, logps.numel()).view_as(logps)
    found = torch.autograd.grad(
        (logps * weights).sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in found])


def apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).detach().abs().max())


def far(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.fixture
def model(folder: Any) -> Any:
    loaded = load_weights(str(folder)).train()
    add_fused_lm_head(loaded, outputs=("log_probs", "entropy"))
    return loaded


def block_mask(rows: Rows, packing: Packing) -> torch.Tensor:
    """The dense mask (T, T), written down as it is meant: a token sees its prompt and its own answer up to itself."""
    answer = torch.where(packing.predicts, packing.source // rows.ids.shape[1], -1)
    same = packing.group[None] == packing.group[:, None]
    seen = (answer[None] == -1) | (answer[None] == answer[:, None])
    return same & seen & torch.ones_like(same).tril()


def dense_inputs(plain: Any, rows: Rows, packing: Packing) -> dict[str, Any]:
    """The reference: the model's own attention under the dense mask."""
    inputs = forward_inputs(plain, rows, packing) | {"attention_mask": block_mask(rows, packing)[None, None]}
    del inputs["shared_prefix"]
    return inputs


def check(model: Any, rows: Rows) -> None:
    theirs, ours = stock(model, rows), packed_log_probs(model, model, rows)
    assert apart(theirs[0], ours[0]) < LOG_PROBS
    assert apart(theirs[1], ours[1]) < LOG_PROBS
    assert far(gradient(model, ours[0]), gradient(model, theirs[0])) < GRADIENT


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_the_same_numbers_come_out(folder: Any, model: Any, dense: bool, checkpointing: bool, monkeypatch: Any) -> None:
    if dense:
        monkeypatch.setattr(packed, "forward_inputs", dense_inputs)
    else:
        attention.install(model)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    check(model, batch(load_processor(str(folder)), [1, 2, 1], RAGGED))


@pytest.mark.parametrize("size", [2, 16])
def test_groups_of_any_size(folder: Any, model: Any, size: int) -> None:
    attention.install(model)
    check(model, batch(load_processor(str(folder)), [2], [[1 + number % 5 for number in range(size)]]))


def test_rows_of_a_group_need_not_be_neighbours_and_one_lends_the_images(folder: Any, model: Any) -> None:
    attention.install(model)
    rows = batch(load_processor(str(folder)), [1, 2, 1], RAGGED)
    mixed = rows.select([8, 3, 0, 5, 1, 9, 4, 2, 6])
    whole = packed_log_probs(model, model, rows)[0]
    assert apart(packed_log_probs(model, model, mixed)[0], whole[[8, 3, 0, 5, 1, 9, 4, 2, 6]]) < LOG_PROBS


def test_an_installed_attention_leaves_ordinary_forwards_as_they_were(folder: Any, model: Any) -> None:
    rows = batch(load_processor(str(folder)), [1, 2], [[4, 2], [3, 5]])
    before = stock(model, rows)[0]
    attention.install(model)
    assert torch.equal(stock(model, rows)[0], before)


def broken_mask(inputs: dict[str, Any]) -> dict[str, Any]:
    """Every token sees everything before it in the packed row."""
    return inputs | {"attention_mask": torch.ones_like(inputs["attention_mask"]).tril()}


def broken_positions(inputs: dict[str, Any]) -> dict[str, Any]:
    """Answers follow one another instead of each following the prompt."""
    steps = torch.arange(inputs["input_ids"].shape[1])
    return inputs | {"position_ids": steps.expand_as(inputs["position_ids"])}


@pytest.mark.parametrize("fault", [broken_mask, broken_positions])
def test_without_its_mask_or_its_positions_the_packed_row_is_wrong(
    folder: Any, model: Any, fault: Any, monkeypatch: Any
) -> None:
    rows = batch(load_processor(str(folder)), [1], [[5, 7, 6]])
    theirs = stock(model, rows)[0]
    monkeypatch.setattr(packed, "forward_inputs", lambda *given: fault(dense_inputs(*given)))
    wrong = packed_log_probs(model, model, rows)[0]
    assert apart(wrong, theirs) > 1000 * LOG_PROBS
    assert far(gradient(model, wrong), gradient(model, theirs)) > 100 * GRADIENT


def plain_rows(prompts: list[int], answers: list[list[int]]) -> Rows:
    """Rows of text only, to look at the index arithmetic alone."""
    groups = [number for number, group in enumerate(answers) for _ in group]
    lengths = [length for group in answers for length in group]
    width, longest = max(prompts), max(lengths)
    mask = torch.zeros(len(groups), width + longest, dtype=torch.long)
    for row, (group, length) in enumerate(zip(groups, lengths, strict=True)):
        mask[row, width - prompts[group] : width + length] = 1
    ids = torch.arange(mask.numel()).view_as(mask)
    none = torch.zeros(0, 3, dtype=torch.long)
    images = {"pixel_values": none, "image_grid_thw": none}
    return Rows(ids, mask, longest, torch.zeros_like(ids), images, spans_of([0] * len(groups), groups), tuple(groups))


shapes = st.lists(
    st.tuples(st.integers(1, 6), st.lists(st.integers(0, 4), min_size=1, max_size=4)), min_size=1, max_size=4
).filter(lambda groups: any(length for _, lengths in groups for length in lengths))


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_bucketed_attention_is_the_dense_block_mask(groups: list[tuple[int, list[int]]]) -> None:
    rows = plain_rows([prompt for prompt, _ in groups], [lengths for _, lengths in groups])
    packing = pack(rows)
    tokens = len(packing.source)
    query, key, value = torch.randn(1, 4, tokens, 8), torch.randn(1, 2, tokens, 8), torch.randn(1, 2, tokens, 8)
    ours = PackedAttention(packing).attend(query, key, value, scale=None, layer=0)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=block_mask(rows, packing), enable_gqa=True
    )
    assert torch.allclose(ours, theirs.transpose(1, 2), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_every_answer_token_is_predicted_once_by_the_token_before_it(groups: list[tuple[int, list[int]]]) -> None:
    rows = plain_rows([prompt for prompt, _ in groups], [lengths for _, lengths in groups])
    packing = pack(rows)
    valid = rows.mask[:, rows.prompt :].flatten().nonzero()[:, 0]
    assert sorted(packing.target.tolist()) == valid.tolist()
    answers = rows.ids[:, rows.prompt :].flatten()
    assert (rows.ids.flatten()[packing.source][packing.predicts] + 1).tolist() == answers[packing.target].tolist()
    prompts = sum(prompt - 1 for prompt, lengths in groups if any(lengths))
    assert len(packing.source) == prompts + len(valid)
