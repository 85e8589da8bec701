"""Makes a GRPOTrainer, or a PPOTrainer, tell more than it logs.

from diagnostics.events import EventLog
from trainers.instrument import instrument
instrument(trainer, EventLog(Path("events.jsonl")).emit)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerControl, TrainerState, TrainingArguments

from diagnostics.events import Emit, MetricsLogged, Outcome
from diagnostics.finding import Severity
from trainers.attach import attach_loss, attach_sampling
from trainers.measure import Meter
from trainers.ppo import PPOTrainer
from trainers.recorder import Recorder, Stop
from trainers.seams import GRPOTrainer
from trainers.usage import Usage

BEFORE_UPDATE = ("generation_seconds", "reward_seconds", "scoring_seconds")  # the phases of a step that are measured
DIVERGED = "the policy's probabilities are not finite: it has diverged"
# What torch says when it samples from such on a CPU. On a GPU a kernel asserts it without saying what, as it does for
# an index out of range, so there the error is passed on as it is.
_CANNOT_SAMPLE = "probability tensor contains either"


class Diverged(RuntimeError):
    """The probabilities are not finite after a step was taken: nothing can be sampled any more."""


def instrument(
    trainer: GRPOTrainer,
    emit: Emit,
    *,
    reward_bounds: tuple[float, float] | None = None,
    stop_on: Severity | None = None,
    stop: Stop | None = None,
    pause: Path | None = None,
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
        pause=pause,
        notes=notes,
        folder=folder,
        ends=ends,
    )
    if not isinstance(trainer, PPOTrainer):  # which is measured from the start
        attach_sampling(trainer, instruments.meter)
        attach_loss(trainer, instruments.meter)
    _wrap_generation(trainer, instruments)
    trainer.add_callback(instruments)
    return instruments


class Instruments(Recorder):
    """A Recorder that also reads a meter at every step."""

    def __init__(self, trainer: GRPOTrainer, emit: Emit, **options: Any) -> None:
        super().__init__(emit, **options)
        self.trainer = trainer
        self.meter = trainer.meter if isinstance(trainer, PPOTrainer) else Meter()
        self.meter.reward_bounds = self.reward_bounds
        self._began = 0.0
        self._usage = Usage(trainer.accelerator.device)

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
        for phase in BEFORE_UPDATE:
            seconds[phase] += 0.0  # a step may go on with the rollout of an earlier one
        seconds["update_seconds"] = spent - sum(seconds[phase] for phase in BEFORE_UPDATE)
        seconds["step_seconds"] = spent
        self.add(self._usage.read())
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


def _wrap_generation(trainer: GRPOTrainer, instruments: Instruments) -> None:
    """Tell a policy that cannot be sampled any more from any other error."""
    generate: Callable[..., Any] = trainer._generate

    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return generate(*args, **kwargs)
        except RuntimeError as error:
            if trainer.state.global_step == 0 or _CANNOT_SAMPLE not in str(error):
                raise  # a model that could not be sampled from the start has not diverged
            instruments.diverged()
            raise Diverged(DIVERGED) from error

    trainer._generate = told
