"""Makes a GRPOTrainer tell more than it logs: wrappers around what TRL keeps to itself.

from diagnostics.events import EventLog
from trainers.instrument import instrument
instrument(trainer, EventLog(Path("events.jsonl")).emit)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments
from trl import GRPOTrainer

from diagnostics.events import Emit, MetricsLogged, Outcome
from diagnostics.finding import Severity
from trainers.measure import Meter, completion_hashes, loss_sums, weighted
from trainers.recorder import Recorder, Stop

_CLIPPED_LOSSES = {"grpo", "bnpo", "dr_grpo", "dapo", "luspo"}  # the others have no clipped surrogate
DIVERGED = "the policy's probabilities are not finite: it has diverged"
# What torch says when it samples from such on a CPU. On a GPU a kernel asserts it without saying what, as it does for
# an index out of range, so there the error is passed on as it is.
_CANNOT_SAMPLE = "probability tensor contains either"


class Diverged(RuntimeError):
    """The probabilities are not finite after a step was taken: nothing can be sampled any more."""


@dataclass(slots=True)
class Rollout:
    """The completions that this process sampled last, with their raw rewards."""

    prompts: Sequence[Any] = ()
    completions: Sequence[Any] = ()
    rewards: Sequence[float] = ()


def instrument(
    trainer: GRPOTrainer,
    emit: Emit,
    *,
    reward_bounds: tuple[float, float] | None = None,
    stop_on: Severity | None = None,
    stop: Stop | None = None,
    notes: Sequence[str] = (),
    folder: Path = Path(),
    ends: bool = True,
) -> Instruments:
    """Let `trainer` emit what a Recorder tells, with metrics of every step that TRL does not log.

    The options are those of Recorder.
    """
    instruments = Instruments(
        trainer,
        emit,
        reward_bounds=reward_bounds,
        stop_on=stop_on,
        stop=stop or Stop(),
        notes=notes,
        folder=folder,
        ends=ends,
    )
    _wrap_generation(trainer, instruments)
    _wrap_rewards(trainer, instruments)
    _wrap_loss(trainer, instruments.meter)
    trainer.add_callback(instruments)
    return instruments


class Instruments(Recorder):
    """A Recorder that also reads a meter at every step."""

    def __init__(self, trainer: GRPOTrainer, emit: Emit, **options: Any) -> None:
        super().__init__(emit, **options)
        self.trainer = trainer
        self.meter = Meter(self.reward_bounds)
        self.rollout = Rollout()
        self._began = 0.0

    def recall(self, rows: Sequence[MetricsLogged]) -> None:
        """Count completions on from there, too."""
        super().recall(rows)
        self.meter.generated = int(max((row.metrics.get("completions_generated", 0) for row in rows), default=0))

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close what is left of the step before."""
        super().on_step_begin(args, state, control)
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Read the meter: one reduction over processes and one copy from the device per step."""
        seconds = self.meter.seconds
        spent = time.perf_counter() - self._began
        seconds["update_seconds"] = spent - seconds["generation_seconds"] - seconds["reward_seconds"]
        self.add(self.meter.read(lambda sums: self.trainer.accelerator.reduce(sums, reduction="sum")))

    def diverged(self) -> None:
        """Close the step that could not be sampled: its loss and gradient are no numbers, and the run has failed."""
        step = self.trainer.state.global_step
        if not self._metrics:  # the step before is closed, so this is the next one's rollout
            step += 1
        for metric in ("total_loss", "grad_norm"):
            self._metrics.setdefault(metric, math.nan)
        self._close(step)
        self.stop.outcome, self.stop.reason = Outcome.FAILED, DIVERGED


# ---- wrappers around bound methods of one trainer; evaluation passes through untouched


def _wrap_generation(trainer: GRPOTrainer, instruments: Instruments) -> None:
    generate, meter = trainer._generate, instruments.meter

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            generated = generate(*args, **kwargs)
        except RuntimeError as error:
            if trainer.state.global_step == 0 or _CANNOT_SAMPLE not in str(error):
                raise  # a model that could not be sampled from the start has not diverged
            instruments.diverged()
            raise Diverged(DIVERGED) from error
        if trainer.model.training:
            meter.seconds["generation_seconds"] += time.perf_counter() - began
        return generated

    trainer._generate = timed


def _wrap_rewards(trainer: GRPOTrainer, instruments: Instruments) -> None:
    calculate: Callable[..., torch.Tensor] = trainer._calculate_rewards

    def measured(inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        began = time.perf_counter()
        per_function = calculate(inputs, prompts, completions, completion_ids_list)  # (completions everywhere, F)
        if not trainer.model.training:
            return per_function
        meter, n = instruments.meter, trainer.num_generations
        meter.seconds["reward_seconds"] += time.perf_counter() - began
        hashes = torch.tensor(completion_hashes(completion_ids_list), device=per_function.device)
        raw = weighted(per_function, trainer.reward_weights).double().cpu().numpy()
        meter.rollout(raw.reshape(-1, n), trainer.accelerator.gather(hashes).cpu().numpy().reshape(-1, n))
        own = trainer.accelerator.process_index * len(prompts)
        instruments.rollout = Rollout(prompts, completions, raw[own : own + len(prompts)])
        return per_function

    trainer._calculate_rewards = measured


def _wrap_loss(trainer: GRPOTrainer, meter: Meter) -> None:
    """Measure with the log-probabilities of the loss's own forward pass: a second one would double the cost."""
    score, compute = trainer._get_per_token_logps_and_entropies, trainer._compute_loss
    seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def captured(*args: Any, **kwargs: Any) -> Any:
        scored = score(*args, **kwargs)
        if torch.is_grad_enabled():  # the loss's own; those of the rollout and the reference run without gradient
            seen.append(scored[:2])
        return scored

    def measured(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        seen.clear()
        loss = compute(model, inputs)
        if trainer.model.training and seen:
            (logps, entropies), *_ = seen
            mask = inputs["completion_mask"]
            sums = loss_sums(
                logps,
                entropies,
                mask * inputs["tool_mask"] if "tool_mask" in inputs else mask,
                inputs["advantages"],
                reference=inputs.get("ref_per_token_logps"),
                rollout=inputs.get("old_per_token_logps"),
                clip=(trainer.epsilon_low, trainer.epsilon_high) if trainer.loss_type in _CLIPPED_LOSSES else None,
                per_sequence=trainer.importance_sampling_level == "sequence",
            )
            meter.micro_batch(sums)
        return loss

    trainer._get_per_token_logps_and_entropies, trainer._compute_loss = captured, measured
