"""Makes any GRPOTrainer tell what it does: a callback, and wrappers around what TRL keeps to itself.

from diagnostics.events import EventLog
from trainers.callback import instrument
instrument(trainer, EventLog(Path("events.jsonl")).emit)
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import trl
from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer

from diagnostics.engine import Watch
from diagnostics.events import (
    CheckpointSaved,
    Emit,
    FindingRaised,
    MetricsLogged,
    Outcome,
    RunEnded,
    RunStarted,
)
from diagnostics.finding import Finding, Severity
from diagnostics.vocabulary import parse_version, vocabulary
from trainers.measure import Meter, Metrics, completion_hashes, loss_sums, weighted

FRAMEWORK = "trl-grpo"
_CLIPPED_LOSSES = {"grpo", "bnpo", "dr_grpo", "dapo", "luspo"}  # the others have no clipped surrogate
_MEASURED_BETTER = {"kl.reference.unknown.token": "kl.reference.k3.token"}  # TRL's, and ours of the same tokens
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


@dataclass(slots=True)
class Stop:
    """Why training is to end early; asked for by a finding, or by whoever holds this object."""

    outcome: Outcome | None = None
    reason: str = ""


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
) -> Recorder:
    """Let `trainer` emit RunStarted, MetricsLogged, FindingRaised, CheckpointSaved and RunEnded while it trains.

    Only the main process calls `emit`. `reward_bounds` are the lowest and highest reward there can be; a finding of
    `stop_on` or above ends training, and so does `stop` once its outcome is set; `folder` is what checkpoint paths are
    relative to; `ends=False` leaves RunEnded to the caller.
    """
    recorder = Recorder(trainer, emit, reward_bounds, stop_on, stop or Stop(), tuple(notes), folder, ends)
    _wrap_generation(trainer, recorder)
    _wrap_rewards(trainer, recorder)
    _wrap_loss(trainer, recorder.meter)
    trainer.add_callback(recorder)
    return recorder


@dataclass(eq=False)
class Recorder(TrainerCallback):
    """Turns the steps of a trainer into events, and follows them with the diagnostics engine.

    All of a step's metrics go into one MetricsLogged, when TRL logs that step or else when the next begins. The engine
    closes the step right after, so that a run stops before it samples from weights that are beyond repair.
    """

    trainer: GRPOTrainer
    emit: Emit
    reward_bounds: tuple[float, float] | None
    stop_on: Severity | None
    stop: Stop
    notes: tuple[str, ...]
    folder: Path
    ends: bool
    rollout: Rollout = field(default_factory=Rollout)

    def __post_init__(self) -> None:
        self.meter = Meter(self.reward_bounds)
        self._vocabulary, self._version = vocabulary(FRAMEWORK), parse_version(trl.__version__)
        self._main = self.trainer.accelerator.is_main_process
        self._watch: Watch | None = None
        self._metrics: Metrics = {}
        self._unmapped: Metrics = {}
        self._began = 0.0
        self._past: Sequence[MetricsLogged] = ()
        self.last_step = 0  # that anything was told of

    def recall(self, rows: Sequence[MetricsLogged]) -> None:
        """Take up what earlier attempts told, up to the checkpoint that training is about to go on from."""
        self._past = rows
        self.meter.generated = int(max((row.metrics.get("completions_generated", 0) for row in rows), default=0))

    def add(self, metrics: Mapping[str, float]) -> None:
        """Add canonical metrics to the current step."""
        self._metrics |= metrics

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say what is about to run, and what its settings alone tell."""
        settings, raw = run_settings(self.trainer, state.max_steps)
        notes = self.notes
        if self.trainer.beta == 0.0:
            notes += ("kl_coef is 0: TRL keeps no reference model, so KL to the reference is not measured",)
        if not self._main:
            return
        self._watch = Watch(settings=settings, reward_bounds=self.reward_bounds)
        for row in self._past:
            self._watch.add(row.step, row.metrics)
            self._watch.close()
        # The first step it will tell of: one that goes on from a checkpoint does not tell of the checkpoint's again.
        step = state.global_step + 1 if state.global_step else 0
        self.emit(RunStarted(step, FRAMEWORK, trl.__version__, settings, raw, self.reward_bounds, notes))
        self._tell(self._watch.lint(), step)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close what is left of the step before."""
        self._flush(state.global_step, control)
        self._began = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Read the meter: one reduction over processes and one copy from the device per step."""
        seconds = self.meter.seconds
        spent = time.perf_counter() - self._began
        seconds["update_seconds"] = spent - seconds["generation_seconds"] - seconds["reward_seconds"]
        self.add(self.meter.read(lambda sums: self.trainer.accelerator.reduce(sums, reduction="sum")))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float | None] | None = None,
        **_: Any,
    ) -> None:
        """Take what TRL logs under its canonical name, where it was not measured better, and close the step."""
        for name, value in (logs or {}).items():
            number = float("nan") if value is None else float(value)  # TRL writes None where every value was NaN
            metric = self._vocabulary.metric(name, self._version)
            if metric is not None and _MEASURED_BETTER.get(metric) not in self._metrics:
                self._metrics.setdefault(metric, number)
            elif metric is None and name not in self._vocabulary.understood:
                self._unmapped[name] = number
        self._flush(state.global_step, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say where the trainer's own checkpoint lies."""
        if self._main:
            path = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            self.emit(CheckpointSaved(state.global_step, os.path.relpath(path, self.folder)))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the last step."""
        self._flush(state.global_step, control)
        if self.ends and self._main:
            self.emit(RunEnded(state.global_step, self.stop.outcome or Outcome.FINISHED, self.stop.reason))

    def diverged(self) -> None:
        """Close the step that could not be sampled: its loss and gradient are no numbers, and the run has failed."""
        step = self.trainer.state.global_step
        if not self._metrics:  # the step before is closed, so this is the next one's rollout
            step += 1
        for metric in ("total_loss", "grad_norm"):
            self._metrics.setdefault(metric, math.nan)
        self._close(step)
        self.stop.outcome, self.stop.reason = Outcome.FAILED, DIVERGED

    def _flush(self, step: int, control: TrainerControl) -> None:
        if self._metrics or self._unmapped:
            self._close(step)
            control.should_training_stop = self.agree() or control.should_training_stop

    def _close(self, step: int) -> None:
        if self._watch is not None:
            self.emit(MetricsLogged(step, self._metrics, self._unmapped))
            self._tell(self._watch.add(step, self._metrics) + self._watch.close(), step)
        self.last_step = step
        self._metrics, self._unmapped = {}, {}

    def agree(self) -> bool:
        """Whether to stop, and why, the same in every process: all must leave the loop at the same step.

        What the first process that wants to stop wants holds for all, be it a finding, which only the main process
        knows of, or a signal that reached one of them. Every process must call it.
        """
        accelerator = self.trainer.accelerator
        if accelerator.num_processes > 1:
            wish = torch.tensor([float(self.stop.outcome is not None)], device=accelerator.device)
            if accelerator.reduce(wish, reduction="sum").item():  # seldom, so that a step costs one small reduction
                wishes: list[tuple[Outcome | None, str]] = gather_object([(self.stop.outcome, self.stop.reason)])
                self.stop.outcome, self.stop.reason = next(w for w in wishes if w[0] is not None)
        return self.stop.outcome is not None

    def _tell(self, findings: Sequence[Finding], step: int) -> None:
        for finding in findings:
            self.emit(FindingRaised(step, finding))
            if self.stop_on is not None and finding.severity >= self.stop_on and self.stop.outcome is None:
                self.stop.outcome = Outcome.STOPPED
                self.stop.reason = f"{finding.code} {finding.name}: {finding.message}"


def run_settings(trainer: GRPOTrainer, max_steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a trainer under canonical names, and as TRL calls them as far as they are plain JSON."""
    raw = {name: value for name, value in trainer.args.to_dict().items() if _is_plain(value)}
    data = trainer.train_dataset
    sized = hasattr(data, "__len__") and "prompt" in data.column_names  # a stream has no length, and is read only once
    settings = canonical_settings(raw, data["prompt"] if sized else None)
    settings |= {
        "max_steps": max_steps,
        "peft": hasattr(trainer.model, "peft_config"),
        "precision": _precision(trainer),
    }
    return settings, raw


def canonical_settings(options: Mapping[str, Any], prompts: Iterable[Any] | None) -> dict[str, Any]:
    """TRL's options and the training prompts, where they can be counted, under canonical names."""
    settings = vocabulary(FRAMEWORK).canonical_settings(options, parse_version(trl.__version__))
    least = (options.get("generation_kwargs") or {}).get("min_new_tokens")
    if least is not None:
        settings["min_completion_length"] = least
    if prompts is not None:
        texts = [str(prompt) for prompt in prompts]
        settings |= {"dataset_size": len(texts), "unique_prompts": len(set(texts))}
    return settings


def _precision(trainer: GRPOTrainer) -> str:
    if trainer.args.bf16 or trainer.model.dtype == torch.bfloat16:
        return "bf16"
    return "fp16" if trainer.args.fp16 or trainer.model.dtype == torch.float16 else "fp32"


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


# ---- wrappers around bound methods of one trainer; evaluation passes through untouched


def _wrap_generation(trainer: GRPOTrainer, recorder: Recorder) -> None:
    generate, meter = trainer._generate, recorder.meter

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            generated = generate(*args, **kwargs)
        except RuntimeError as error:
            if trainer.state.global_step == 0 or _CANNOT_SAMPLE not in str(error):
                raise  # a model that could not be sampled from the start has not diverged
            recorder.diverged()
            raise Diverged(DIVERGED) from error
        if trainer.model.training:
            meter.seconds["generation_seconds"] += time.perf_counter() - began
        return generated

    trainer._generate = timed


def _wrap_rewards(trainer: GRPOTrainer, recorder: Recorder) -> None:
    calculate: Callable[..., torch.Tensor] = trainer._calculate_rewards

    def measured(inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        began = time.perf_counter()
        per_function = calculate(inputs, prompts, completions, completion_ids_list)  # (completions everywhere, F)
        if not trainer.model.training:
            return per_function
        meter, n = recorder.meter, trainer.num_generations
        meter.seconds["reward_seconds"] += time.perf_counter() - began
        hashes = torch.tensor(completion_hashes(completion_ids_list), device=per_function.device)
        raw = weighted(per_function, trainer.reward_weights).double().cpu().numpy()
        meter.rollout(raw.reshape(-1, n), trainer.accelerator.gather(hashes).cpu().numpy().reshape(-1, n))
        own = trainer.accelerator.process_index * len(prompts)
        recorder.rollout = Rollout(prompts, completions, raw[own : own + len(prompts)])
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
