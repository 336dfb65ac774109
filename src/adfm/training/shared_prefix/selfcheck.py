"""The first step of a run, computed the stock way as well: it stops the run when the difference is beyond rounding.

Samples are compared where rounding cannot change them (float32 on a CPU), gradients in a single process, log-probabilities always.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from adfm.errors import UserError
from adfm.training.settings import SharedPrefixSettings
from adfm.training.shared_prefix.rows import albums_of, gathered
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

    self_check: bool = False
    _samples_checked = False
    _loss_checked = False
    _chats: list[Any] | None = None
    _metrics: Any

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
        check_samples(ours[0], theirs)
        return ours

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        if (
            self.self_check
            and not self._loss_checked
            and self.model.training
            and bool((inputs["advantages"] != 0).any())
        ):
            self._loss_checked = True
            stock = widened(inputs)
            check_log_probs(
                *self._both(lambda given: self._log_probs(model, given), inputs, stock), exact=self._exact()
            )
            if self.accelerator.num_processes == 1:
                check_gradients(
                    *self._both(lambda given: self._gradient(model, given), inputs, stock), exact=self._exact()
                )
        return super()._compute_loss(model, inputs)

    def _exact(self) -> bool:
        """Tell whether the only difference is the rounding of float32."""
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

    def _both(self, compute: Any, inputs: Any, stock: Any) -> tuple[Any, Any]:
        with self._with_settings(self.shared_prefix):
            ours = compute(inputs)
        with self._with_settings(ALL_OFF):
            return ours, compute(stock)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _log_probs(self, model: Any, inputs: Any) -> Tensor:
        """Return the log-probabilities of the rows that have an advantage, of the answers' tokens."""
        seen: list[Tensor] = []
        passed = self._get_per_token_logps_and_entropies

        def listen(*arguments: Any, **options: Any) -> Any:
            result = passed(*arguments, **options)
            seen.append(result[0])
            return result

        self._get_per_token_logps_and_entropies = listen  # type: ignore[method-assign]
        try:
            super()._compute_loss(model, inputs)
        finally:
            del self._get_per_token_logps_and_entropies
        return seen[0][inputs["advantages"] != 0][inputs["completion_mask"][inputs["advantages"] != 0].bool()]

    def _gradient(self, model: Any, inputs: Any) -> Tensor:
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        loss = super()._compute_loss(model, inputs)
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten().float() for part in found])


def widened(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a scored batch in which every row holds its own copy of its pictures, as the stock step needs it."""
    if "image_grid_thw" not in batch:
        return batch
    albums = albums_of(batch["num_images"], batch["prompt_groups"].tolist())
    pixels, grids = gathered(batch["pixel_values"], batch["image_grid_thw"], albums)
    counts = [stop - start for start, stop in albums]
    return {**batch, "pixel_values": pixels, "image_grid_thw": grids, "num_images": counts}


def check_samples(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> None:
    """Refuse more differing answers than rounding explains.

    Raises:
        SelfCheckError: says how many.
    """
    differ = sum(list(a) != list(b) for a, b in zip(ours, theirs, strict=True))
    if differ > SAMPLES * len(ours):
        raise SelfCheckError(
            f"self_check: {differ} of {len(ours)} answers differ from the stock engine's; set shared_prefix.shared_generation=false"
        )


def check_log_probs(ours: Tensor, theirs: Tensor, *, exact: bool) -> None:
    """Refuse log-probabilities further apart, on average, than rounding explains.

    Raises:
        SelfCheckError: says how far.
    """
    difference = float((ours - theirs).float().abs().mean())
    if not difference <= LOG_PROB[exact]:
        raise SelfCheckError(
            f"self_check: log-probabilities differ from the stock engine's by {difference:.1e} on average "
            f"(allowed {LOG_PROB[exact]:.0e}); set shared_prefix.packed_loss=false"
        )


def check_gradients(ours: Tensor, theirs: Tensor, *, exact: bool) -> None:
    """Refuse gradients further apart, relatively, than rounding explains.

    Raises:
        SelfCheckError: says how far.
    """
    difference = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-30))
    if not difference <= GRADIENT[exact]:
        raise SelfCheckError(
            f"self_check: the gradient differs from the stock engine's by {difference:.1e} of its size "
            f"(allowed {GRADIENT[exact]:.0e}); set shared_prefix.packed_loss=false and shared_prefix.skip_zero_advantage=false"
        )
