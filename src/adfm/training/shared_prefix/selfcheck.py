"""The first step of a run, computed the stock way as well: it stops the run when the difference is beyond rounding.

Samples are compared where rounding cannot change them (float32 on a CPU), gradients in a single process, log-probabilities always.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from adfm.errors import UserError
from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix.rows import widened
from adfm.training.shared_prefix.trainer import ALL_OFF, SharedPrefixSteps

LOG_PROB = {True: 1e-4, False: 0.05}
"""Allowed mean difference of a token's log-probability, in float32 (True) and in a lower precision."""
GRADIENT = {True: 1e-3, False: 0.1}
"""Allowed relative difference of the whole gradient."""
SAMPLES = 0.05
"""Allowed share of differing answers: a draw that falls between two roundings changes the rest of its answer."""


class SelfCheckError(UserError):
    """The fast step does not compute what the stock step computes."""


class SelfCheckedSteps(SharedPrefixSteps):
    """Mix-in: the shared prefix, with the first step checked where `self_check` is set."""

    _samples_checked = False
    _loss_checked = False
    _chats: list[Any] | None = None
    _metrics: Any

    def __init__(self, *args: Any, self_check: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.self_check = self_check

    def _tokenize_prompts(self, prompts: list[Any]) -> Any:
        self._chats = prompts
        return super()._tokenize_prompts(prompts)

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *rest: Any, **more: Any
    ) -> Any:
        if not self.self_check or self._samples_checked or self._prompts_once is None or not self._exact():
            return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest, **more)
        self._samples_checked = True
        state, once = torch.get_rng_state(), self._prompts_once
        with self._with_settings(ALL_OFF):
            self._prompts_once = None
            theirs = super()._generate_single_turn(*super()._tokenize_prompts(self._chats or []), *rest, **more)[0]
        torch.set_rng_state(state)
        self._prompts_once = once
        ours = super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest, **more)
        differ = sum(list(a) != list(b) for a, b in zip(ours[0], theirs, strict=True)) / len(theirs)
        require_close("answers differ", differ, SAMPLES, "shared_prefix.shared_generation=false")
        return ours

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        lesson = self.model.training and bool((inputs["advantages"] != 0).any())
        if self.self_check and not self._loss_checked and lesson:
            self._loss_checked = True
            stock = widened(inputs, self._form) if self._form.in_batch(inputs) else inputs
            with self._with_settings(self.shared_prefix):
                our_logps, ours = self._computed(model, inputs)
            with self._with_settings(ALL_OFF):
                their_logps, theirs = self._computed(model, stock)
            mean = float((our_logps - their_logps).float().abs().mean())
            require_close("log-probabilities differ", mean, LOG_PROB[self._exact()], "shared_prefix.packed_loss=false")
            if theirs is not None:
                relative = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-30))
                fix = "shared_prefix.packed_loss=false and shared_prefix.skip_zero_advantage=false"
                require_close("the gradient differs", relative, GRADIENT[self._exact()], fix)
        return super()._compute_loss(model, inputs)

    def _computed(self, model: Any, inputs: Any) -> tuple[Tensor, Any]:
        """Return the log-probabilities of the answers that have an advantage and, in a single process, the whole gradient."""
        seen: list[Tensor] = []
        passed = self._get_per_token_logps_and_entropies

        def listen(*arguments: Any, **options: Any) -> Any:
            result = passed(*arguments, **options)
            seen.append(result[0].detach())
            return result

        self._get_per_token_logps_and_entropies = listen  # type: ignore[method-assign]
        alone = self.accelerator.num_processes == 1
        try:
            with torch.set_grad_enabled(alone):
                loss = super()._compute_loss(model, inputs)
        finally:
            del self._get_per_token_logps_and_entropies
        rows = inputs["advantages"] != 0
        logps = seen[0][rows][inputs["completion_mask"][rows].bool()]
        if not alone:
            return logps, None
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        parts = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return logps, torch.cat([part.flatten().float() for part in parts])

    def _exact(self) -> bool:
        """Whether the only difference is the rounding of float32."""
        weight = next(self.model.parameters())
        low = self.args.bf16 or self.args.fp16 or weight.dtype != torch.float32
        return not low and weight.device.type == "cpu"

    @contextmanager
    def _with_settings(self, settings: SharedPrefixSettings) -> Iterator[None]:
        """Change the settings for a while, and leave no trace in the logged metrics."""
        kept, metrics = self.shared_prefix, copy.deepcopy(self._metrics)
        self.shared_prefix = settings
        try:
            yield
        finally:
            self.shared_prefix, self._metrics = kept, metrics


def require_close(what: str, difference: float, allowed: float, fix: str) -> None:
    """Refuse a difference larger than rounding explains.

    Raises:
        SelfCheckError: what differs, how far, and which settings to change.
    """
    if not difference <= allowed:
        raise SelfCheckError(
            f"self_check: {what} from the stock engine's by {difference:.1e} (allowed {allowed:.0e}); set {fix}"
        )
