"""`adfm bench step`: a stock TRL GRPO step and ours in turn, on one model, with the same rows, rewards and random numbers.

Both trainers hold the same random model and the same optimizer. Its rate is zero: a step does all of its work and moves no
weight, so every pair computes the same thing. The end token is banned, so all answers are as long as the case says.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOTrainer

from adfm.models.device import best_device
from adfm.models.families import family_of
from adfm.models.files import quiet_environment
from adfm.progress import Progress, quiet
from adfm.records import Sample
from adfm.rewards.trl import trl_rewards
from adfm.training.grpo import GroundedGRPOTrainer, grpo_arguments
from adfm.training.monitor import RolloutMonitor
from adfm.training.settings import GrpoSettings
from adfm.training.shared_prefix.attention import implementations
from adfm.training.subject import Subject
from adfm.workflows.bench import quantiles
from adfm.workflows.bench.phases import PHASES, Phases, clock, peak_memory
from adfm.workflows.bench.sizes import Case, Size, prompt_rows, random_subject

GRADIENT = {"float32": 1e-5, "bfloat16": 0.1}
"""Relative difference of the two gradients up to which both sides count as equal."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What one step took: seconds in all and by phase, memory above what was held, and its answers and gradient."""

    seconds: float
    phases: dict[str, float]
    memory_mib: float | None
    answers: list[list[int]]
    gradient: Any = None

    @property
    def loss(self) -> float:
        """Seconds of the log-probabilities, the forward and the backward pass."""
        return sum(self.phases[phase] for phase in ("log_probs", "forward", "backward"))


class Side:
    """One trainer on the shared model, and the attention that it uses."""

    def __init__(self, trainer: Any, optimizer: Any) -> None:
        self.trainer, self._optimizer = trainer, optimizer
        self._phases = Phases()
        self._phases.watch(trainer)
        trainer.model_wrapped = trainer.model
        trainer.optimizer = optimizer
        trainer.current_gradient_accumulation_steps = 1
        self._attention = implementations(trainer.model)

    def step(self, rows: Sequence[Row], seed: int, *, keep_gradient: bool = False, weigh: bool = False) -> Step:
        """Take one step: generate, reward, loss, backward, clip, optimizer.

        A step that is weighed is slower: it first gives freed memory back, which then has to be mapped again.
        """
        model = self.trainer.model
        for config, name in self._attention:
            config._attn_implementation = name
        inputs = [{**copy.copy(row), "prompt": copy.deepcopy(row["prompt"])} for row in rows]
        torch.manual_seed(seed)
        memory: dict[str, float] = {}
        with peak_memory(memory) if weigh else nullcontext():
            started = clock()
            self.trainer.training_step(model, inputs, None)
            weights = model.parameters() if keep_gradient else ()
            gradients = [weight.grad.flatten().float() for weight in weights if weight.grad is not None]
            gradient = torch.cat(gradients) if keep_gradient else None  # a copy, because clipping changes the gradients
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            seconds = clock() - started
        answers = self.trainer._buffered_inputs[0]["completion_ids"].tolist()
        return Step(seconds, self._phases.take(seconds), memory.get("memory_mib"), answers, gradient)


def bench_steps(
    size: Size, cases: Sequence[Case], *, pairs: int, seed: int = 0, progress: Progress = quiet
) -> list[dict[str, Any]]:
    """Return a row of `adfm bench step --json` for each case. `pairs` timed pairs follow one that warms up and is compared."""
    quiet_environment()
    subject = random_subject(size, seed, best_device())
    model = subject.weights
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)
    measured = []
    for case in cases:
        rows, samples = prompt_rows(size, case, subject, (pairs + 1) * case.prompts, seed)
        batch = case.prompts * case.generations
        with TemporaryDirectory() as run:
            settings = GrpoSettings(out=run, seed=seed, micro_batch=batch, generations=case.generations)
            asked = subject._replace(protocol=subject.protocol.model_copy(update={"max_new_tokens": case.answer}))
            stock = Side(_trainer(GRPOTrainer, settings, asked, samples), optimizer)
            _unpatch(model)
            # Built last, because its attention replaces the model's.
            trainer = _trainer(
                GroundedGRPOTrainer,
                settings,
                asked,
                samples,
                shared_prefix=settings.shared_prefix,
                monitor=RolloutMonitor({sample.id: sample for sample in samples}, asked.protocol),
            )
            measured.append(_case(size, case, (stock, Side(trainer, optimizer)), rows, pairs, progress))
        _unpatch(model)
    return measured


def _trainer(kind: type, settings: GrpoSettings, subject: Subject, samples: Sequence[Sample], **more: Any) -> Any:
    arguments = grpo_arguments(settings, subject, Path(settings.out))
    end = subject.weights.generation_config.eos_token_id
    arguments.generation_kwargs["suppress_tokens"] += [end] if isinstance(end, int) else list(end)
    rewards = trl_rewards({sample.id: sample for sample in samples}, settings.rewards, protocol=subject.protocol)
    arguments.reward_weights = [*arguments.reward_weights, 1.0]
    return kind(
        model=subject.weights,
        args=arguments,
        reward_funcs=[*rewards, spread],
        train_dataset=Dataset.from_dict({"prompt": ["never read"]}),
        processing_class=subject.processor,
        **more,
    )


def spread(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """Return rewards that differ between answers of noise, so that no group is dropped and every step does all its work."""
    return [sum(ids) % 101 / 101 for ids in completion_ids]


def _unpatch(model: Any) -> None:
    """Take off the forward that a trainer put on the model, so that the next one does not wrap it again."""
    model.__dict__.pop("forward", None)


def _case(
    size: Size, case: Case, sides: tuple[Side, Side], rows: Sequence[Row], pairs: int, progress: Progress
) -> dict[str, Any]:
    """Warm up and compare, then measure the pairs, the first of a pair changing from pair to pair."""
    counts, warm = [], []
    for side in sides:
        with _counted(side.trainer.model) as count:
            warm.append(side.step(_batch(case, rows, 0), 0, keep_gradient=True))
        counts.append(count)
    apart = float((warm[1].gradient - warm[0].gradient).norm() / warm[0].gradient.norm())
    same = warm[0].answers == warm[1].answers
    heaviest = [side.step(_batch(case, rows, 0), 0, weigh=True).memory_mib for side in sides]
    warm.clear()  # their gradients are large
    taken: tuple[list[Step], list[Step]] = ([], [])
    for pair in range(1, pairs + 1):
        for which in (0, 1) if pair % 2 else (1, 0):
            taken[which].append(sides[which].step(_batch(case, rows, pair), pair))
        same = same and taken[0][-1].answers == taken[1][-1].answers
        progress(f"G {case.generations}, {case.prompt} : {case.answer}", pair, pairs)
    return {
        **summary(case, *taken),
        "memory_mib": dict(zip(("stock", "ours"), heaviest, strict=True)),
        "memory_ratio": heaviest[1] / heaviest[0] if heaviest[0] and heaviest[1] else None,
        "work": {"stock": counts[0], "ours": counts[1]},
        "gradient_difference": apart,
        "equal": bool(same and apart <= GRADIENT[size.dtype]),
    }


def _batch(case: Case, rows: Sequence[Row], pair: int) -> list[Row]:
    """Return the rows of one step: each of its prompts G times."""
    chosen = rows[pair * case.prompts : (pair + 1) * case.prompts]
    return [row for row in chosen for _ in range(case.generations)]


def summary(case: Case, stock: Sequence[Step], ours: Sequence[Step]) -> dict[str, Any]:
    """Return the ratios of paired steps and both sides' median phases."""
    seconds = [a.seconds / b.seconds for a, b in zip(stock, ours, strict=True)]
    loss = [a.loss / b.loss for a, b in zip(stock, ours, strict=True)]
    generate = [a.phases["generate"] / b.phases["generate"] for a, b in zip(stock, ours, strict=True)]
    sides = {"stock": stock, "ours": ours}
    return {
        "num_generations": case.generations,
        "prompt_tokens": case.prompt,
        "completion_tokens": case.answer,
        "prompts": case.prompts,
        "pairs": len(stock),
        "ratio": quantiles(seconds),
        "loss_ratio": statistics.median(loss),
        "loss_bound": loss_bound(case),
        "generate_ratio": statistics.median(generate),
        "seconds": {name: statistics.median(step.seconds for step in steps) for name, steps in sides.items()},
        "phases": {
            name: {phase: statistics.median(step.phases[phase] for step in steps) for phase in PHASES}
            for name, steps in sides.items()
        },
    }


def loss_bound(case: Case) -> float:
    """Return the ratio of decoder tokens in the loss: G prompts with their answers against one prompt with G answers."""
    packed = case.prompt - 1 + case.generations * case.answer
    return case.generations * (case.prompt + case.answer) / packed


@contextmanager
def _counted(model: Any) -> Iterator[dict[str, int]]:
    """Count the patches that enter the vision tower and the tokens that enter the decoder."""
    family = family_of(model.config.model_type)
    count = {"image_patches": 0, "decoder_tokens": 0}

    def tower(_: Any, arguments: Any, options: Any) -> None:
        patches = arguments[0] if arguments else options["hidden_states"]
        count["image_patches"] += patches.shape[0]

    def decoder(_: Any, __: Any, options: Any) -> None:
        embedded = options["inputs_embeds"]
        count["decoder_tokens"] += embedded.shape[0] * embedded.shape[1]

    hooks = [
        family.tower_of(model).register_forward_pre_hook(tower, with_kwargs=True),
        model.get_submodule(family.decoder).register_forward_pre_hook(decoder, with_kwargs=True),
    ]
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()
