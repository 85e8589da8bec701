"""The loop: ask, launch, follow, decide, tell. It knows no metric; findings come from the trial's own events."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from autotune import journal
from autotune.launch.local import LOG_FILE, LocalLauncher, LocalTrial
from autotune.prescribe import prescribe, settled
from diagnostics.errors import UserError
from diagnostics.events import Event, Outcome
from diagnostics.finding import Finding, Severity
from studies import trial as trial_file
from studies.log import StudyLog, claim, read, trial_directory
from studies.record import Origin, Proposal, Search, State, StudyRecord, TrialRecord
from studies.space import Choices, Space
from studies.spec import StudySpec
from studies.trial_log import TrialLog

if TYPE_CHECKING:
    import optuna

DATABASE = "study.db"
POLL_SECONDS = 0.1
# A trial that fails through no finding is tried once more with the same settings; a second failure is no accident.
ATTEMPTS = 2
# What the trainer gets to end by itself at the step of a fatal finding, so that equal studies stop at equal steps.
PATIENCE_SECONDS = 30.0


class View(Protocol):
    """What shows a study while it runs."""

    def began(self, trial: TrialRecord) -> None:
        """A trial was proposed and is about to start."""

    def moved(self, trial: TrialRecord, log: TrialLog, events: Sequence[Event]) -> None:
        """Some time has passed; `events` are new."""

    def ended(self, trial: TrialRecord) -> None:
        """A trial ended and Optuna was told."""


def run_study(spec: StudySpec, directory: Path, view: View) -> StudyRecord:
    """Run the whole study in `directory` and return its record.

    UserError where `directory` holds anything, or where a trial fails twice. KeyboardInterrupt ends the running
    trial, is recorded and raised again.
    """
    import optuna

    claim(directory)
    log = StudyLog(directory)
    log.started(spec, Search())
    try:
        _run_trials(spec, directory, log, view)
    except optuna.exceptions.StorageInternalError as error:
        cause = error.__cause__ or error
        raise UserError(f"cannot write {directory / DATABASE}: {cause}", "Is the disk full or read-only?") from error
    finally:
        log.close()
        journal.write(read(directory))
    return read(directory)


def _run_trials(spec: StudySpec, directory: Path, log: StudyLog, view: View) -> None:
    """All trials of the study; how it ended is the last line of its record."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=spec.name,
        storage=_storage(directory),
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=spec.seed, multivariate=True, n_startup_trials=4),
        pruner=optuna.pruners.NopPruner(),
    )
    trials: list[TrialRecord] = []
    outcome = Outcome.FINISHED
    try:
        with LocalLauncher() as launcher:
            while len(trials) < spec.trials:
                trials.append(_run_trial(study, spec, directory, trials, launcher, log, view))
    except KeyboardInterrupt:
        outcome = Outcome.INTERRUPTED
        raise
    except BaseException:
        outcome = Outcome.FAILED
        raise
    finally:
        log.finished(str(outcome))


def _run_trial(
    study: optuna.Study,
    spec: StudySpec,
    directory: Path,
    trials: Sequence[TrialRecord],
    launcher: LocalLauncher,
    log: StudyLog,
    view: View,
) -> TrialRecord:
    asked, proposal = _ask(study, spec, trials)
    record = TrialRecord(asked.number, 0, _seed(spec, asked.number), proposal)
    folder = trial_directory(directory, record.number)
    try:
        folder.mkdir(parents=True)
        trial_file.write(spec.trial_with(proposal.knobs, record.seed), folder)
        for attempt in range(1, ATTEMPTS + 1):
            record = replace(record, attempt=attempt)
            log.proposed(record.number, record.seed, proposal) if attempt == 1 else log.retried(
                record.number, attempt, record.reason
            )
            view.began(record)
            record = _follow(record, folder, spec, launcher, log, view)
            if record.state is not State.FAILED:
                break
    except (KeyboardInterrupt, UserError) as error:
        record = replace(record, state=State.FAILED, reason=str(error) or "interrupted")
        _tell(study, asked, record)
        log.ended(record.number, record.state, record.reason, None, record.seconds)
        raise
    _tell(study, asked, record)
    log.ended(record.number, record.state, record.reason, record.value, record.seconds)
    view.ended(record)
    if record.state is State.FAILED:
        raise UserError(
            f"trial {record.number} failed {ATTEMPTS} times: {record.reason}", f"See {folder / LOG_FILE} and mend it."
        )
    return record


def _ask(study: optuna.Study, spec: StudySpec, trials: Sequence[TrialRecord]) -> tuple[optuna.Trial, Proposal]:
    """The next trial of Optuna and why it has these settings."""
    proposal = _start(spec) if not trials else prescribe(trials, spec.space, spec.objective)
    if proposal is None:
        proposal = _searched(trials, spec)
    # What is enqueued is fixed; Optuna's sampler chooses the knobs that are not.
    attributes = {"origin": str(proposal.origin), "why": proposal.why}
    study.enqueue_trial(dict(proposal.knobs), user_attrs=attributes)
    asked = study.ask({knob: _distribution(space) for knob, space in spec.space.items()})
    return asked, replace(proposal, knobs=dict(asked.params))


def _searched(trials: Sequence[TrialRecord], spec: StudySpec) -> Proposal:
    """A proposal of the sampler; its knobs are those that it may not choose."""
    why = "no finding calls for a change: Optuna's TPE suggests this from the trials so far"
    known = settled(trials, spec.space)
    if known is None or not known[1]:
        return Proposal({}, Origin.SAMPLER, why)
    best, held = known
    return Proposal(
        held, Origin.SAMPLER, f"{why}, with {', '.join(held)} held at what is best so far", parent=best.number
    )


def _start(spec: StudySpec) -> Proposal:
    return Proposal(dict(spec.start), Origin.START, f"where the study {spec.name} starts")


def _follow(
    record: TrialRecord, folder: Path, spec: StudySpec, launcher: LocalLauncher, log: StudyLog, view: View
) -> TrialRecord:
    """Launch the trial and follow its events until it ends; returns what became of it."""
    began = time.monotonic()
    events = TrialLog(folder, spec.objective)
    running = launcher.start(folder, attempt=record.attempt)
    condemned_at: float | None = None
    try:
        while running.poll() is None:
            news = events.poll()
            record = replace(record.with_log(events), seconds=time.monotonic() - began)
            view.moved(record, events, news)
            if record.max_steps and record.number + 1 < spec.trials:  # it has begun, and its own imports are over
                launcher.prepare()
            fatal = _fatal(record.findings, spec)
            if fatal and condemned_at is None:
                condemned_at = time.monotonic()
                log.stopped(record.number, fatal.name, fatal)
            if condemned_at is not None and time.monotonic() - condemned_at > PATIENCE_SECONDS:
                running.stop()
            ended = events.ended if events.attempt == record.attempt else None  # an earlier attempt's says nothing
            if ended is not None and ended.outcome in (Outcome.FINISHED, Outcome.STOPPED):
                break  # all is written: what is left is the interpreter taking two seconds to leave
            if not news:
                time.sleep(POLL_SECONDS)
    finally:
        status = running.stop()
        news = events.poll()
        events.close()
    view.moved(record, events, news)
    record = replace(record.with_log(events), seconds=time.monotonic() - began)
    if status == 2:  # the trainer's own word for something the user can put right
        raise UserError(running.last_words().removeprefix("trainers: error: "))
    return _judge(record, events, spec, running)


def _judge(record: TrialRecord, events: TrialLog, spec: StudySpec, running: LocalTrial) -> TrialRecord:
    """State and reason of a trial that has ended."""
    fatal = _fatal(record.findings, spec)
    if fatal is not None:
        return replace(record, state=State.PRUNED, reason=f"{fatal.code} {fatal.name} at step {fatal.raised_at}")
    finished = events.ended is not None and events.ended.outcome is Outcome.FINISHED
    if finished and record.value is not None and math.isfinite(record.value):
        return replace(record, state=State.COMPLETE, reason="ran to its end")
    grave = next((f for f in record.findings if f.severity >= Severity.ERROR), None)
    if grave is not None:  # it broke down after a finding: a diverged run, not a fault of ours
        return replace(record, state=State.PRUNED, reason=f"broke down after {grave.code} {grave.name}")
    if finished:
        return replace(record, state=State.FAILED, reason=f"it logged no finite {spec.objective}")
    return replace(record, state=State.FAILED, reason=running.last_words())


def _fatal(findings: Sequence[Finding], spec: StudySpec) -> Finding | None:
    limit = spec.trial.stop_on
    return next((f for f in findings if limit is not None and f.severity >= limit), None)


def _tell(study: optuna.Study, asked: optuna.Trial, record: TrialRecord) -> None:
    """Report every evaluation, then the end. A collapse is PRUNED, never FAIL: samplers ignore failed trials."""
    import optuna

    for evaluation in record.evaluations:
        if math.isfinite(evaluation.value):
            asked.report(evaluation.value, evaluation.completions)
    asked.set_user_attr("findings", {f.code: f.severity.name.lower() for f in record.findings})
    match record.state:
        case State.COMPLETE:
            study.tell(asked, record.value)
        case State.PRUNED:
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        case _:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)


def _seed(spec: StudySpec, number: int) -> int:
    """Another seed for each trial, so that a study is not tuned to one."""
    return 1000 * spec.seed + number


def _storage(directory: Path) -> str:
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(directory.absolute() / DATABASE)).render_as_string()


def _distribution(space: Space) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(space, Choices):
        return CategoricalDistribution(space.values)
    if space.integer:
        return IntDistribution(int(space.low), int(space.high), log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)
