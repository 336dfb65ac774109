"""GRPO on grounded rewards, attached to TRL's `GRPOTrainer` by its public hooks and a few small overrides.

It departs from the stock trainer in four ways. A group whose rewards are equal within a relative tolerance has an
advantage of exactly zero. Placeholder tokens can never be sampled. Epochs keep their own order. The journal shows a dead
focus reward and a rising false-positive rate. Left out: multi-turn tools.
"""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from adfm.errors import ConfigError
from adfm.models.card import ModelCard
from adfm.records import Sample
from adfm.rewards.trl import completion_text, reward_weights, trl_rewards
from adfm.training.engine import DurableRun, EpochSampler
from adfm.training.examples import Example, manifest_examples, rows
from adfm.training.incidents import Incidents, Readable
from adfm.training.journal import StepProgress
from adfm.training.monitor import JOURNAL_NAMES, RolloutMonitor
from adfm.training.run import engine_arguments, execute, training_manifest
from adfm.training.settings import GrpoSettings
from adfm.training.shared_prefix.selfcheck import SelfCheckedSteps
from adfm.training.subject import Subject, load_subject, lora_config, resolved, save_model


class GroundedGRPOTrainer(DurableRun, SelfCheckedSteps, GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer with our repairs.

    Args:
        monitor: sees every scored group.
        zero_tolerance: relative spread of rewards up to which a group has no advantage.
        resample: how often a step draws groups without advantage again.
        args, kwargs: those of `GRPOTrainer`, `SelfCheckedSteps` and `DurableRun`.
    """

    def __init__(
        self, *args: Any, monitor: RolloutMonitor, zero_tolerance: float = 1e-6, resample: int = 0, **kwargs: Any
    ) -> None:
        self.monitor, self.zero_tolerance, self.resample = monitor, zero_tolerance, resample
        super().__init__(*args, **kwargs)
        self._rollouts: list[dict[str, Any]] = []

    def batch_rows(self) -> list[dict[str, Any]]:
        """Return this process's last rollouts: sample ids, questions and answers."""
        return self._rollouts

    def cycle(self) -> int:
        """Return how many optimizer steps learn from one batch of rollouts."""
        every: int = self.args.steps_per_generation * self.num_iterations
        step: int = self.args.gradient_accumulation_steps
        return math.lcm(every, step) // step

    def _get_train_sampler(self, dataset: Any = None) -> EpochSampler:
        return EpochSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Any:
        self._rollouts = [
            {"sample_id": row["sample_id"], "prompt": completion_text(prompt), "answer": completion_text(completion)}
            for row, prompt, completion in zip(inputs, prompts, completions, strict=True)
        ]
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        totals = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        self._flat_groups = flat_groups(totals.view(-1, self.num_generations), self.zero_tolerance)
        if self.model.training:
            quantities = self.monitor.observe(inputs, completions)
            quantities["reward_failures"] = rewards.isnan().all(dim=1).sum().item()
            quantities["zero_advantage_share"] = self._flat_groups.float().mean().item()
            for name, value in quantities.items():
                self._metrics["train"][name].append(value)
        return rewards

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output, flat = self._scored(inputs)
        for _ in range(self.resample if self.model.training else 0):
            rows_again = flat.nonzero()[:, 0].tolist()
            if not rows_again:
                break
            fresh, still_flat = self._scored([inputs[row] for row in rows_again])
            output = with_rows_replaced(output, fresh, rows_again, self._tokenizer.pad_token_id)
            flat[rows_again] = still_flat
        return output

    def _scored(self, inputs: Any) -> tuple[dict[str, Any], torch.Tensor]:
        """Generate and score, and return which of this process's rows belong to a group without a lesson."""
        output = super()._generate_and_score_completions(inputs)
        rows_here = len(output["advantages"])
        first = self.accelerator.process_index * rows_here
        flat = self._flat_groups.repeat_interleave(self.num_generations)[first : first + rows_here]
        output["advantages"] = output["advantages"].masked_fill(flat, 0.0)
        return output, flat


def flat_groups(totals: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Return (groups,) bool: whose totals (groups, G) are equal up to `tolerance` times their size.

    Eight times 0.7 has a float32 standard deviation of 6e-8, not 0: the engine would make advantages of the rounding.
    """
    spread = totals.amax(dim=1) - totals.amin(dim=1)
    return spread <= tolerance * totals.abs().amax(dim=1).clamp(min=1.0)


def with_rows_replaced(old: dict[str, Any], fresh: dict[str, Any], rows_again: list[int], pad: int) -> dict[str, Any]:
    """Return the scored batch `old` with the rows `rows_again` (their answers, not their prompts) taken from `fresh`.

    Answers of both are padded on the right to the longer ones.
    """
    result = dict(old)
    for name in ("completion_ids", "completion_mask", "advantages", "old_per_token_logps", "ref_per_token_logps"):
        if name not in old:
            continue
        parts = [old[name], fresh[name]]
        if old[name].dim() > 1:
            fill, width = pad if name == "completion_ids" else 0, max(part.size(1) for part in parts)
            parts = [torch.nn.functional.pad(part, (0, width - part.size(1)), value=fill) for part in parts]
        result[name] = parts[0].clone()
        result[name][rows_again] = parts[1]
    if "mm_token_type_ids" in old:  # spans prompt and answer: longer answers need a longer one
        longer = result["completion_ids"].size(1) - old["completion_ids"].size(1)
        result["mm_token_type_ids"] = torch.nn.functional.pad(old["mm_token_type_ids"], (0, longer))
    result["num_items_in_batch"] = result["completion_mask"].sum()
    return result


def train_grpo(settings: GrpoSettings, *, resume: bool = False, progress: StepProgress | None = None) -> Path:
    """Train on the manifest's train split and return the folder of the final model.

    Raises:
        UserError: a fault of the settings, the data, the model or the run folder.
    """
    settings = resolved(settings)
    check_batch(settings)
    manifest = training_manifest(settings)
    examples = manifest_examples(manifest, settings.data, seed=settings.seed)
    prompts = (
        settings.micro_batch * settings.accumulation * int(os.environ.get("WORLD_SIZE", "1")) // settings.generations
    )
    if len(examples) < prompts:  # the engine would end at step 0, its untrained model saved as the result
        raise ConfigError(
            f"{settings.data.manifest}: its train split gives {len(examples)} examples for {prompts} prompts a step; lower "
            "'micro_batch', or set data.flips_rotations=true"
        )
    subject = load_subject(settings)
    build = functools.partial(build_trainer, settings, subject, examples)
    return execute(settings, subject, build, JOURNAL_NAMES, manifest=manifest, resume=resume, progress=progress)


def check_batch(settings: GrpoSettings) -> None:
    """Refuse a batch that does not hold whole groups.

    Raises:
        ConfigError: names the two settings.
    """
    if settings.micro_batch * settings.accumulation % settings.generations:
        raise ConfigError(
            f"setting 'micro_batch' x 'accumulation' ({settings.micro_batch} x {settings.accumulation}) must be a multiple "
            f"of 'generations' ({settings.generations})"
        )
    if settings.resample and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("setting 'resample' works in one process only: groups differ in number between processes")


def build_trainer(
    settings: GrpoSettings, subject: Subject, examples: Sequence[Example], run: Path
) -> GroundedGRPOTrainer:
    """Put model, rows, rewards and engine together. The trainer is complete."""
    incidents = Incidents(run)
    samples: dict[str, Sample] = {example.sample.id: example.sample for example in examples}
    if settings.vllm:
        # vLLM reads the processor from a folder: pixel limits that live only in memory would not reach it.
        save_model(run / "start", subject.weights, subject.processor, ModelCard(protocol=subject.protocol))
        subject.weights.config._name_or_path = str(run / "start")
    trainer = GroundedGRPOTrainer(
        model=subject.weights.train(),
        args=grpo_arguments(settings, subject, run),
        reward_funcs=trl_rewards(
            samples, settings.rewards, protocol=subject.protocol, failed=functools.partial(incidents.note, "reward")
        ),
        train_dataset=rows(Readable(examples, incidents), subject, answers=False),
        processing_class=subject.processor,
        peft_config=lora_config(settings, subject.family),
        keep_checkpoints=settings.keep_checkpoints,
        shared_prefix=settings.shared_prefix,
        self_check=settings.self_check,
        monitor=RolloutMonitor(samples, subject.protocol),
        zero_tolerance=settings.zero_tolerance,
        resample=settings.resample,
    )
    for reason in trainer.shared_prefix_refused:
        logging.getLogger("adfm").warning(reason)
    return trainer


def grpo_arguments(settings: GrpoSettings, subject: Subject, run: Path) -> GRPOConfig:
    """Return the engine's configuration."""
    banned = subject.family.placeholder_tokens(subject.weights.config)
    vllm = settings.vllm
    backend: dict[str, Any] = {"generation_kwargs": {"suppress_tokens": banned}}
    if vllm:
        backend = {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": vllm.memory,
            "vllm_tensor_parallel_size": vllm.tensor_parallel,
            "vllm_enable_sleep_mode": vllm.sleep,
            "generation_kwargs": {"logit_bias": dict.fromkeys(banned, -100.0)},
        }
    return GRPOConfig(
        **engine_arguments(settings, run),
        **backend,
        num_generations=settings.generations,
        **settings.model_dump(include={"temperature", "beta", "epsilon", "epsilon_high", "scale_rewards"}),
        max_completion_length=subject.protocol.max_new_tokens,
        loss_type=settings.loss,
        reward_weights=reward_weights(settings.rewards),
    )
