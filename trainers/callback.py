"""Diagnoses anyone's own training while it runs: two lines in a script with a trainer of transformers or TRL.

from trainers.callback import AutotuneCallback
trainer = GRPOTrainer(..., callbacks=[AutotuneCallback()])
"""

from __future__ import annotations

import atexit
import itertools
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import transformers.trainer
from tqdm import tqdm
from transformers import TrainerControl, TrainerState, TrainingArguments

from diagnostics import catalogue
from diagnostics.errors import UserError
from diagnostics.events import (
    EVENTS_FILE,
    Event,
    EventLog,
    FindingRaised,
    Outcome,
    RunEnded,
)
from diagnostics.finding import Finding, Severity
from diagnostics.text import visible
from trainers import alerts
from trainers.cost import Completions
from trainers.recorder import Recorder, Stop, told_before

RUNS = Path("autotune-runs")  # where a run goes that is told no folder, beside the studies
TRIAL_DIR = "AUTOTUNE_TRIAL_DIR"  # set for a script that is the trial of a study: the trial's folder
ATTEMPT = "AUTOTUNE_ATTEMPT"  # and how often the trial was begun


class AutotuneCallback(Recorder):
    """Writes what a trainer logs as events, says what is wrong as soon as it is known, and stops the run if asked.

    Events go to `directory`, by default a new folder in autotune-runs/; where a study runs the script, to the folder of
    its trial. Each call of `train()` is an attempt of its own in that file. Findings are lines on stderr, and where a
    wandb run is active alerts (from WARNING on) and fields of its summary. A finding of severity `stop_on` or above
    ends training after the step: `stop_on="fatal"`. `reward_bounds` are the lowest and the highest reward there can be.
    `rules` are Python files with rules of your own; what the project of the current folder says of rules counts.

    Among several processes only the main one writes. UserError for a severity that does not exist, or for such rules.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        stop_on: Severity | str | None = None,
        reward_bounds: tuple[float, float] | None = None,
        rules: str | Path | Iterable[str | Path] = (),
    ) -> None:
        files = [rules] if isinstance(rules, str | Path) else rules
        super().__init__(
            self._hear, stop_on=_severity(stop_on), reward_bounds=reward_bounds, rules=catalogue.here(files)
        )
        trial = os.environ.get(TRIAL_DIR)
        self._directory = Path(trial) if trial else None if directory is None else Path(directory)
        self._log: EventLog | None = None
        self._cost = Completions()
        self._worst: dict[str, Finding] = {}
        self._state = TrainerState()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Open the next attempt; one before it that did not end has failed."""
        self._broke_off()
        self.stop, self._state, self._worst = Stop(), state, {}
        self._cost.begin(args, state.global_step)
        if state.is_world_process_zero:
            self._open(args)
        super().on_train_begin(args, state, control, **others)

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count a batch whose gradient is accumulated."""
        self._cost.batch()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count the batch that completes an optimizer step."""
        self._cost.batch()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """End the attempt."""
        super().on_train_end(args, state, control)
        self._shut()

    def _close(self, step: int) -> None:
        """Say with a step what it has cost so far."""
        if self._cost.generated is not None:
            self.add({"completions_generated": float(self._cost.generated)})
        super()._close(step)

    def _open(self, args: TrainingArguments) -> None:
        if self._directory is None:
            self._directory = _new_directory(Path(args.run_name or args.output_dir or "run").name)
        self.folder = self._directory
        path = self.folder / EVENTS_FILE
        try:
            attempt, rows = told_before(path, self._state.global_step)
            self._log = EventLog(path, attempt=max(int(os.environ.get(ATTEMPT, "1")), attempt + 1))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error}", "Give another directory.") from error
        self.recall(rows if self._state.global_step else ())
        atexit.register(self._broke_off)
        self._say(f"events in {self.folder}; all that is known of the run: autotune diagnose {self.folder}")

    def _shut(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        self._watch = None
        atexit.unregister(self._broke_off)
        if self._state.is_world_process_zero:
            alerts.summarise(self._worst.values())

    def _hear(self, event: Event) -> None:
        """Write an event, and tell people of a finding."""
        if self._log is not None:
            try:
                self._log.emit(event)
            except OSError as error:  # a full disk is no reason to end somebody's training
                self._say(f"{self.folder} cannot be written any more, the run is diagnosed all the same: {error}")
                self._log = None
        if isinstance(event, FindingRaised):
            finding = event.finding
            self._worst[finding.code] = finding
            self._say(alerts.line(finding))
            alerts.alert(finding)
            alerts.summarise(self._worst.values())

    def _say(self, text: str) -> None:
        """One line on stderr, above progress bars if there are any."""
        tqdm.write(visible(f"autotune: {text}"), file=sys.stderr)

    def _broke_off(self) -> None:
        """Tell the end of an attempt whose `train()` never returned; nobody calls a callback when it raises."""
        if not self._training:
            return
        self._training = False
        step, error = self._state.global_step, _what_training_raised()
        if self._metrics or self._unmapped:
            self._close(step)
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "training did not return" if error is None else f"{type(error).__name__}: {error}"
        self._hear(RunEnded(step, Outcome.INTERRUPTED if interrupted else Outcome.FAILED, reason))
        self._shut()


def _severity(given: Severity | str | None) -> Severity | None:
    if given is None or isinstance(given, Severity):
        return given
    try:
        return Severity.parse(given)
    except ValueError as error:
        raise UserError(f"stop_on: {error}", 'Most runs want stop_on="fatal", or none.') from None


def _new_directory(name: str) -> Path:
    """Makes the first of `name-1`, `name-2`, ... that does not exist yet."""
    for number in itertools.count(1):
        try:
            (RUNS / f"{name}-{number}").mkdir(parents=True)
        except FileExistsError:
            continue
        return RUNS / f"{name}-{number}"
    raise AssertionError("unreachable: the count has no end")


def _what_training_raised() -> BaseException | None:
    """The exception that nobody caught, where it came out of a trainer."""
    error: BaseException | None = getattr(sys, "last_value", None)
    frames = traceback.walk_tb(error.__traceback__) if error is not None else ()
    return error if any(f.f_code.co_filename == transformers.trainer.__file__ for f, _ in frames) else None
