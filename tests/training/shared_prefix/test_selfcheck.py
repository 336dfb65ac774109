"""The first step checks itself, passes when it is right, and stops the run when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix import generate, packed
from adfm.training.shared_prefix import trainer as steps
from adfm.training.shared_prefix.layout import pack
from adfm.training.shared_prefix.selfcheck import SelfCheckError
from adfm.training.shared_prefix.trainer import ALL_OFF

ON = SharedPrefixSettings()


def checked(train: Any, folder: Any, **options: Any) -> Any:
    trainer = train(folder, ON, go=False, max_steps=2, **options)
    trainer.self_check = True
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "options", [{}, {"steps_per_generation": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 8}]
)
def test_a_right_step_passes_and_leaves_no_trace(folder: Any, train: Any, options: Any) -> None:
    trainer, plain = checked(train, folder, **options), train(folder, ON, max_steps=2, **options)
    assert trainer._samples_checked
    assert trainer._loss_checked
    assert trainer.answers == plain.answers
    timings = ("time", "runtime", "per_second")
    for ours, theirs in zip(trainer.state.log_history, plain.state.log_history, strict=True):
        assert {k: v for k, v in ours.items() if not any(word in k for word in timings)} == {
            k: v for k, v in theirs.items() if not any(word in k for word in timings)
        }


def test_wrong_samples_stop_the_run(qwen25: Any, train: Any, monkeypatch: Any) -> None:
    stock = generate.PrefixAttention.__init__
    monkeypatch.setattr(
        generate.PrefixAttention, "__init__", lambda self, layers, *rest: stock(self, layers[::-1], *rest)
    )
    with pytest.raises(SelfCheckError, match="answers differ"):
        checked(train, qwen25)


def test_a_wrong_mask_stops_the_run(qwen25: Any, train: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(packed, "pack", lambda rows: replace(pack(rows), position=torch.arange(len(pack(rows).source))))
    with pytest.raises(SelfCheckError, match="log-probabilities differ"):
        checked(train, qwen25)


def test_a_wrongly_dropped_row_stops_the_run(qwen25: Any, train: Any, monkeypatch: Any) -> None:
    stock = steps.packed_log_probs
    monkeypatch.setattr(
        steps,
        "packed_log_probs",
        lambda *given, **more: (lambda a, b: (a.detach() + 0.9 * (a - a.detach()), b))(*stock(*given, **more)),
    )
    with pytest.raises(SelfCheckError, match="gradient differs"):
        checked(train, qwen25)


def test_nothing_is_checked_unasked(qwen25: Any, train: Any) -> None:
    trainer = train(qwen25, ALL_OFF, max_steps=1)
    assert not trainer._loss_checked
