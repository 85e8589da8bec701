"""Turns what a trainer logs into events, and follows them with the diagnostics engine.

`trainers.callback` puts this beside anyone's trainer, `trainers.instrument` adds what TRL keeps to itself.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from diagnostics.catalogue import here, notes
from diagnostics.events import CheckpointSaved, Emit, FindingRaised, MetricsLogged, Outcome, RunEnded, RunStarted, Tail
from diagnostics.finding import Finding, Severity
from diagnostics.readers.table import flat
from diagnostics.rule import Catalogue
from diagnostics.text import visible
from diagnostics.vocabulary import parse_version, vocabulary
from diagnostics.watch import Watch
from trainers.preflight import GRPO, PPO

# By the class that the arguments are made of, ours or TRL's.
_FRAMEWORKS = {
    ("trainers", "PPOConfig"): PPO,
    ("trl", "GRPOConfig"): GRPO,
    ("trl", "PPOConfig"): "trl-ppo",
    ("trl", "RLOOConfig"): "trl-rloo",
}
PAUSE_SECONDS = 0.2  # between two looks whether a trial that stands still is to go on
_MEASURED_BETTER = {"kl.reference.unknown.token": "kl.reference.k3.token"}  # TRL's, and ours of the same tokens


@dataclass(slots=True)
class Stop:
    """Why training is to end early; asked for by a finding, or by whoever holds this object."""

    outcome: Outcome | None = None
    reason: str = ""


class Recorder(TrainerCallback):
    """Emits RunStarted, MetricsLogged, FindingRaised, CheckpointSaved and RunEnded while a trainer trains.

    Only the main process calls `emit`. All metrics of a step go into one MetricsLogged once nothing more can be logged
    for it, the rows of an evaluation included. The engine closes the step right after, so that a run stops before it
    samples from weights that are beyond repair. What is logged outside of `train()` belongs to no run.

    The run is judged by `rules`, by default those of the project of the current folder, as it is when this is made.
    `reward_bounds` are the lowest and highest reward there can be; a finding of `stop_on` or above ends training, and
    so does `stop` once its outcome is set; `folder` is what checkpoint paths are relative to; `ends=False` leaves
    RunEnded to the caller. While there is a file `pause`, training stands still at the end of a step.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        reward_bounds: tuple[float, float] | None = None,
        stop_on: Severity | None = None,
        stop: Stop | None = None,
        pause: Path | None = None,
        notes: Sequence[str] = (),
        folder: Path = Path(),
        ends: bool = True,
        rules: Catalogue | None = None,
    ) -> None:
        self.emit, self.reward_bounds, self.stop_on = emit, reward_bounds, stop_on
        self.stop, self.notes, self.folder, self.ends = stop or Stop(), tuple(notes), folder, ends
        self._rules = here() if rules is None else rules
        self._failed: set[str] = set()  # rules of others whose fault was told
        self.last_step = 0  # that anything was told of
        self._stoppable = stop is not None or stop_on is not None
        self._pause = pause
        self._training = False
        self._past: Sequence[MetricsLogged] = ()
        self._watch: Watch | None = None  # of the main process
        self._metrics: dict[str, float] = {}
        self._unmapped: dict[str, float] = {}

    def recall(self, rows: Sequence[MetricsLogged]) -> None:
        """Take up what earlier attempts told, up to the checkpoint that training is about to go on from."""
        self._past = rows

    def add(self, metrics: Mapping[str, float]) -> None:
        """Add canonical metrics to the current step."""
        self._metrics |= metrics

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        train_dataloader: Any = None,
        **_: Any,
    ) -> None:
        """Say what is about to run, and what its settings alone tell."""
        framework, version = framework_of(args)
        self._vocabulary, self._version = vocabulary(framework), parse_version(version)
        self._training = True
        if not state.is_world_process_zero:
            return
        settings, raw = run_settings(args, model, getattr(train_dataloader, "dataset", None))
        self._vocabulary = self._vocabulary.given(raw)
        settings["max_steps"] = state.max_steps
        said = self.notes + tuple(f"while it ran, {note}" for note in notes(self._rules))
        if settings.get("kl_coef") == 0:
            said += ("kl_coef is 0: TRL keeps no reference model, so KL to the reference is not measured",)
        self._watch = Watch(settings=settings, reward_bounds=self.reward_bounds, rules=self._rules)
        for row in self._past:
            self._watch.add(row.step, row.metrics)
            self._watch.close()
        # The first step it will tell of: one that goes on from a checkpoint does not tell of the checkpoint's again.
        step = state.global_step + 1 if state.global_step else 0
        self.emit(RunStarted(step, framework, version, settings, raw, self.reward_bounds, said))
        self._tell(self._watch.lint(), step)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close what is left of the step before."""
        self._flush(state.global_step, control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Take what is logged under its canonical name, where it was not measured better, and close the step."""
        if not self._training:
            return
        for name, value in (logs or {}).items():
            metric = self._vocabulary.metric(name, self._version)
            if metric is not None and _MEASURED_BETTER.get(metric) not in self._metrics:
                self._metrics.setdefault(metric, _number(value))
            elif metric is None and not self._vocabulary.understands(name):
                self._unmapped[name] = _number(value)
        if not control.should_evaluate:
            self._flush(state.global_step, control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the step that was evaluated."""
        self._flush(state.global_step, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say where the trainer's own checkpoint lies."""
        if self._watch is not None:
            path = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            self.emit(CheckpointSaved(state.global_step, os.path.relpath(path, self.folder)))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Close the last step."""
        self._flush(state.global_step, control)
        self._training = False
        if self.ends and self._watch is not None:
            self.emit(RunEnded(state.global_step, self.stop.outcome or Outcome.FINISHED, self.stop.reason))

    def agree(self) -> bool:
        """Whether to stop, and why, the same in every process: all must leave the loop at the same step.

        What the first process that wants to stop wants holds for all, be it a finding, which only the main process
        knows of, or a signal that reached one of them. Every process must call it. It returns once training is to go
        on or to stop: while it is paused, the processes ask each other again and again, since one that waited for the
        others all the while would take them for lost.
        """
        stops, pauses = self._wishes()
        while pauses and not stops:
            time.sleep(PAUSE_SECONDS)
            stops, pauses = self._wishes()
        if stops and PartialState().num_processes > 1:  # seldom, so that a step costs one small reduction
            wishes: list[tuple[Outcome | None, str]] = gather_object([(self.stop.outcome, self.stop.reason)])
            self.stop.outcome, self.stop.reason = next(w for w in wishes if w[0] is not None)
        return self.stop.outcome is not None

    def _wishes(self) -> tuple[bool, bool]:
        """Whether any process wants to stop, and whether any is to stand still."""
        stops, pauses = self.stop.outcome is not None, self._pause is not None and self._pause.exists()
        processes = PartialState()
        if processes.num_processes > 1:
            both = torch.tensor([float(stops), float(pauses)], device=processes.device)
            stops, pauses = (wish > 0 for wish in reduce(both, reduction="sum").tolist())
        return stops, pauses

    def _flush(self, step: int, control: TrainerControl) -> None:
        if self._training and (self._metrics or self._unmapped):
            self._close(step)
            if self._stoppable:
                control.should_training_stop = self.agree() or control.should_training_stop

    def _close(self, step: int) -> None:
        if self._watch is not None:
            self.emit(MetricsLogged(step, self._metrics, self._unmapped))
            self._tell(self._watch.add(step, self._metrics) + self._watch.close(), step)
            for code in self._watch.failed.keys() - self._failed:
                self._failed.add(code)
                self._say(f"{code} at step {step}: {self._watch.failed[code]}")
        self.last_step = step
        self._metrics, self._unmapped = {}, {}

    def _say(self, text: str) -> None:
        """One line on stderr."""
        print(visible(f"autotune: {text}"), file=sys.stderr, flush=True)

    def _tell(self, findings: Sequence[Finding], step: int) -> None:
        for finding in findings:
            self.emit(FindingRaised(step, finding))
            if self.stop_on is not None and finding.severity >= self.stop_on and self.stop.outcome is None:
                self.stop.outcome = Outcome.STOPPED
                self.stop.reason = f"{finding.code} {finding.name}: {finding.message}"


def framework_of(args: TrainingArguments) -> tuple[str, str]:
    """The vocabulary that speaks of a trainer with these arguments, and the version of the package behind it."""
    for kind in type(args).__mro__:
        if (kind.__module__.partition(".")[0], kind.__name__) in _FRAMEWORKS:
            import trl

            return _FRAMEWORKS[kind.__module__.partition(".")[0], kind.__name__], trl.__version__
    return "transformers", transformers.__version__


def run_settings(args: TrainingArguments, model: Any, dataset: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a trainer under canonical names, and as its framework calls them as far as they are plain."""
    raw = {name: value for name, value in args.to_dict().items() if _is_plain(value)}
    # A stream has no length, and is read only once.
    prompted = hasattr(dataset, "__len__") and "prompt" in (getattr(dataset, "column_names", None) or ())
    # The slice is read at once; the column by itself would be read row by row, a hundred times as slowly.
    settings = canonical_settings(*framework_of(args), raw, dataset["prompt"][:] if prompted else None)
    return settings | {"peft": hasattr(model, "peft_config"), "precision": _precision(args, model)}, raw


def canonical_settings(
    framework: str, version: str, options: Mapping[str, Any], prompts: Iterable[Any] | None
) -> dict[str, Any]:
    """A framework's options and the training prompts, where they can be counted, under canonical names."""
    settings = vocabulary(framework).canonical_settings(dict(flat(options)), parse_version(version))
    if prompts is not None:
        texts = [str(prompt) for prompt in prompts]
        settings |= {"dataset_size": len(texts), "unique_prompts": len(set(texts))}
    return settings


def _precision(args: TrainingArguments, model: Any) -> str:
    dtype = getattr(model, "dtype", None)
    if args.bf16 or dtype == torch.bfloat16:
        return "bf16"
    return "fp16" if args.fp16 or dtype == torch.float16 else "fp32"


def _number(value: Any) -> float:
    """A logged value as a number; NaN for None, which TRL writes where every value was NaN, and for what is none."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        return math.nan


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


def told_before(events: Path, step: int) -> tuple[int, list[MetricsLogged]]:
    """The number of the last attempt in an event file, 0 without any, and the rows told up to `step`, in order."""
    attempt, rows, tail = 0, list[MetricsLogged](), Tail(events)
    for envelope in tail.poll():
        attempt = max(attempt, envelope.attempt)
        match envelope.event:
            case RunStarted(first):  # what was told of this step and later did not happen
                rows = [row for row in rows if row.step < first]
            case MetricsLogged() as row:
                rows.append(row)
    tail.close()
    return attempt, [row for row in rows if row.step <= step]
