"""One trial from its `config.json` to its last event."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE, SAMPLES_FILE, CheckpointSaved, Emit, Event, EventLog, Outcome, RunEnded
from studies.trial import PAUSE_FILE, TrialSpec, read
from trainers.supported import require_trl

if TYPE_CHECKING:
    from trainers.instrument import Instruments
    from trainers.recorder import Stop
    from trainers.tasks import Task

CHECKPOINTS = "checkpoints"
FINAL = "final"
PARENT_SECONDS = 1.0  # between two looks for the parent process
# How long an attempt waits for the one before, whose parent was killed, to end its step and leave.
ORPHAN_SECONDS = 300.0
LOCK_SECONDS = 0.1  # between two looks whether it has
_PARENT_GONE = "the process that started it is gone"
_SIGNALS = {signal.SIGINT: Outcome.INTERRUPTED, signal.SIGTERM: Outcome.STOPPED}


def run_trial(directory: Path, *, attempt: int = 1, parent: int | None = None) -> RunEnded:
    """Train what `directory/config.json` says; write events.jsonl, samples.jsonl and checkpoints/ beside it.

    Returns the last event. Raises UserError for what the user can mend, and whatever training raises; both are told as
    RunEnded(failed) first. Under `accelerate launch` every process calls it, and only the main one writes files. With
    `parent`, the id of the process that started this one, the trial ends after its step once that one is gone.

    A second attempt goes on from the last complete checkpoint, where `spec.trl` had any saved (`save_strategy`,
    `save_steps`), and else begins anew. It waits for a process of an earlier attempt that still writes.

    While `directory/pause` is there, it stands still at the end of a step.
    """
    spec = read(directory)
    require_training_extra()
    import torch
    from accelerate import PartialState

    gpu = torch.cuda.is_available() and not spec.trl.get("use_cpu", False)
    # Without `cpu` accelerate overlooks that there are several processes, and each would train alone.
    state = PartialState(cpu=not gpu and int(os.environ.get("WORLD_SIZE", "1")) > 1)
    if not gpu and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # the order of sums, and so the last digits of a run, depends on it
    if state.is_main_process:
        with _only_writer(directory / EVENTS_FILE, parent):
            events = EventLog(directory / EVENTS_FILE, attempt=attempt)
            samples = EventLog(directory / SAMPLES_FILE, attempt=attempt)
            try:
                ended = _run(spec, directory, events.emit, samples.emit, attempt, parent)
            finally:
                events.close()
                samples.close()
    else:
        ended = _run(spec, directory, _silent, _silent, attempt, parent)
    if state.num_processes > 1:  # one that leaves while others still talk to it brings them all down
        state.wait_for_everyone()
        state.destroy_process_group()
    return ended


def exit_status(directory: Path, *, attempt: int, parent: int | None) -> int:
    """`run_trial` as a program: 0 where the trial finished or was stopped, 2 for an error of the user's, 130 where a
    person interrupted it.
    """
    try:
        ended = run_trial(directory, attempt=attempt, parent=parent)
    except UserError as error:
        print(f"trainers: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 130 if ended.outcome is Outcome.INTERRUPTED else 0


def require_training_extra() -> None:
    """UserError where the packages of the `train` extra are not installed, or not the TRL that it asks for."""
    for name in ("torch", "transformers", "trl", "accelerate", "datasets"):
        if find_spec(name) is None:  # in the words of autotune.extras, which this folder may not import
            raise UserError(
                f"this command needs {name}, which is not installed", "Install it: pip install 'autotune-rl[train]'"
            )
    require_trl()


def task_of(spec: TrialSpec) -> Task:
    """What a trial trains on what, built in or the user's own. UserError for what is missing."""
    from trainers import data, rewards
    from trainers.tasks import Task, built_in

    if spec.task is not None:
        return built_in(spec.task)
    reward = rewards.load(str(spec.reward))
    train = data.read_rows(Path(str(spec.dataset)))
    if spec.validation is None:
        train, validation, test = data.hold_out(train)
        notes: tuple[str, ...] = ("validation and test: a tenth each of the dataset's distinct prompts, held out",)
    else:
        validation, test = data.read_rows(Path(spec.validation)), ()
        notes = ("no test split: the dataset came with a validation file of its own",)
        seen = {str(row["prompt"]) for row in train}
        known = sum(str(row["prompt"]) in seen for row in validation)
        if known:
            notes += (f"{known} of {len(validation)} validation prompts are also trained on",)
    return Task(str(spec.model), train, data.few(validation), data.few(test), reward, spec.reward_bounds, notes=notes)


@contextmanager
def _only_writer(events: Path, parent: int | None) -> Iterator[None]:
    """Hold the trial's event file for this process alone, as the kernel sees it: a lock that no dead process keeps.

    An orphan of an earlier attempt is waited for; UserError where it does not end. KeyboardInterrupt where the process
    `parent` is gone meanwhile.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    with events.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if parent is not None and os.getppid() != parent:
                    raise KeyboardInterrupt(_PARENT_GONE) from None
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another process has been writing {events} for {ORPHAN_SECONDS:.0f} s",
                        "It is of an earlier attempt at this trial: end it.",
                    ) from None
            time.sleep(LOCK_SECONDS)
        yield


def _run(
    spec: TrialSpec, directory: Path, emit: Emit, emit_samples: Emit, attempt: int, parent: int | None
) -> RunEnded:
    """Train between the first event and the last, whatever happens."""
    from accelerate import PartialState

    from trainers.recorder import Stop

    stop, recorder, several = Stop(), None, PartialState().num_processes > 1
    try:
        with _Signals(stop, together=several) as signals, _with_parent(stop, parent):
            recorder = _prepare(spec, directory, emit, emit_samples, stop)
            trainer = recorder.trainer
            checkpoint = _go_on(recorder, directory) if attempt > 1 else None
            with signals.deferred():
                trainer.train(resume_from_checkpoint=checkpoint)
            if not recorder.agree() and spec.save_model:  # saving is done by all processes together, or by none
                trainer.save_model(str(directory / CHECKPOINTS / FINAL))
                emit(CheckpointSaved(trainer.state.global_step, f"{CHECKPOINTS}/{FINAL}"))
            recorder.agree()
    except KeyboardInterrupt:
        stop.outcome = stop.outcome or Outcome.INTERRUPTED
        if several:  # the others may wait for this one, and their launcher ends them only when it sees it fail
            emit(RunEnded(_step(recorder), stop.outcome, stop.reason))
            raise
    except BaseException as error:
        reason = stop.reason if stop.outcome is Outcome.FAILED else f"{type(error).__name__}: {error}"
        emit(RunEnded(_step(recorder), Outcome.FAILED, reason))
        raise
    ended = RunEnded(_step(recorder), stop.outcome or Outcome.FINISHED, stop.reason)
    emit(ended)
    return ended


def _prepare(spec: TrialSpec, directory: Path, emit: Emit, emit_samples: Emit, stop: Stop) -> Instruments:
    """The recorder of a trial, whose trainer is ready to train and to tell of it."""
    from accelerate import PartialState

    from trainers import preflight
    from trainers.build import build, steps_per_rollout
    from trainers.evaluate import Evaluator
    from trainers.instrument import instrument

    preflight.check(spec, PartialState().num_processes)  # before a model is made or loaded
    with PartialState().main_process_first():  # which makes the model of a built-in task, for all
        task = task_of(spec)
    trainer = build(spec, task, directory / CHECKPOINTS)
    recorder = instrument(
        trainer,
        emit,
        reward_bounds=spec.reward_bounds or task.reward_bounds,
        stop_on=spec.stop_on,
        stop=stop,
        pause=directory / PAUSE_FILE,
        notes=task.notes,
        folder=directory,
        ends=False,
    )
    splits = {"validation": task.validation} | ({"test": task.test} if spec.test and task.test else {})
    evaluator = Evaluator(
        recorder,
        splits,
        every=max(1, round(spec.eval_every * steps_per_rollout(trainer.args))),
        temperature=spec.eval_temperature,
        emit_samples=emit_samples,
    )
    trainer.add_callback(evaluator)
    return recorder


def _go_on(recorder: Instruments, directory: Path) -> str | None:
    """The checkpoint to go on from, for which all is made ready; None where there is none."""
    from trainers import resume
    from trainers.recorder import told_before

    checkpoint = resume.latest_checkpoint(directory / CHECKPOINTS, recorder.trainer.args.max_steps)
    if checkpoint is None:
        return None
    resume.align(recorder.trainer, checkpoint)
    recorder.recall(told_before(directory / EVENTS_FILE, resume.step_of(checkpoint))[1])
    return str(checkpoint)


def _step(recorder: Instruments | None) -> int:
    return max(recorder.trainer.state.global_step, recorder.last_step) if recorder is not None else 0


def _silent(event: Event) -> None:
    """What the other processes emit to."""


@contextmanager
def _with_parent(stop: Stop, parent: int | None) -> Iterator[None]:
    """Ask for a stop once the process `parent` is not the parent of this one any more; None asks for nothing."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(PARENT_SECONDS):
            if os.getppid() != parent and stop.outcome is None:
                stop.outcome, stop.reason = Outcome.INTERRUPTED, _PARENT_GONE

    if parent is not None:
        threading.Thread(target=watch, name="parent", daemon=True).start()
    try:
        yield
    finally:
        done.set()


class _Signals:
    """SIGINT and SIGTERM end a trial in order: at once, or after the step when one is under way.

    Among several processes (`together`) always after the step: one that left alone would leave the others waiting. A
    second signal ends it at once in any case. Only the main thread may handle signals; elsewhere nothing changes.
    """

    def __init__(self, stop: Stop, *, together: bool) -> None:
        self._stop, self._together, self._deferred, self._asked = stop, together, together, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the trainer finish its step before a signal counts."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = self._together

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._asked = self._asked, True
        if self._stop.outcome is None:
            self._stop.outcome, self._stop.reason = _SIGNALS[signal.Signals(number)], signal.Signals(number).name
        if again or not self._deferred:
            raise KeyboardInterrupt
