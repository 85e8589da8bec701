"""The loop: ask, launch, follow, decide, tell. It knows no metric; findings come from the trials' own events.

A study is begun by writing its first line (`create`) and run by `run`, which is also how it goes on after a kill: what
the records hold is reconciled first (`autotune.recovery`), then trials run until the budget is spent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autotune import journal, preflight, recovery
from autotune.ignored import ignored_knobs
from autotune.launch import Launcher, Running
from autotune.ledger import Ledger
from autotune.outcome import conclude, fatal, has_ended
from autotune.prescribe import out_of_reach
from autotune.verdict import judge_trial
from diagnostics.errors import UserError
from diagnostics.events import Event, Outcome
from studies import command, requests
from studies.log import StudyLog, claim, read, trial_directory
from studies.record import Origin, Proposal, Search, State, StudyRecord, TrialRecord
from studies.requests import Action, Request
from studies.spec import StudySpec, write_trial
from studies.trial_log import TrialLog

if TYPE_CHECKING:
    from autotune.from_run.started import FromRun

POLL_SECONDS = 0.1
# A trial that fails through no finding is tried once more with the same settings; a second failure is no accident.
ATTEMPTS = 2
# What a trial gets to end by itself once it has no future: it finishes its step, and a script may save its model.
PATIENCE_SECONDS = 90.0
USER_ERROR = 2  # exit status of a trainer whose settings cannot work


class View(Protocol):
    """What shows a study while it runs."""

    def began(self, trial: TrialRecord) -> None:
        """A trial was proposed, or is tried again, and is about to start."""

    def moved(self, trial: TrialRecord, log: TrialLog, events: Sequence[Event]) -> None:
        """Some time has passed; `events` are new."""

    def ended(self, trial: TrialRecord) -> None:
        """A trial ended and Optuna was told."""

    def judged(self, trial: TrialRecord) -> None:
        """There is a verdict on its hypothesis, the first or another than before."""

    def noted(self, text: str) -> None:
        """Something a person should know."""


def create(spec: StudySpec, how: Search, directory: Path, first: FromRun | None = None) -> None:
    """Make the study: its folder and its first line; `study.db` is made when it runs, another storage must be there.

    The recorded run that it starts from, where there is one, is its first trial.

    UserError where `directory` holds anything; where the storage cannot be opened or has a study of that name.
    """
    claim(directory)
    if how.storage:
        Ledger.reserve(spec, how)
    log = StudyLog(directory)
    log.started(spec, how)
    if first is not None:
        _record(first, log, directory)
    log.close()


def _record(first: FromRun, log: StudyLog, directory: Path) -> None:
    trial = first.first
    folder = trial_directory(directory, trial.number)
    folder.mkdir(parents=True)
    first.run.write(folder)
    if not isinstance(first.spec.trial, command.CommandSpec):  # else nobody knows with which command it was run
        write_trial(first.spec.trial_with(trial.proposal.knobs, trial.seed), folder)
    log.proposed(trial.number, trial.seed, trial.proposal)
    log.ended(trial.number, trial.state, trial.reason, trial.value, trial.seconds)


def run(directory: Path, launcher: Launcher, view: View) -> StudyRecord:
    """Run the study in `directory` from where it stands to its end, and return its record.

    UserError where another process runs it, where its storage cannot be reached, or where a trial fails twice.
    KeyboardInterrupt stops the trials under way, which a later call takes up again, and is raised again.
    """
    log = StudyLog(directory)
    try:
        study = read(directory)
        with launcher, Ledger.open(study.spec, study.search, directory) as ledger:
            _Loop(study, ledger, launcher, log, view).run()
    finally:
        log.close()
        study = read(directory)
        journal.write(study)
    return study


@dataclass(slots=True)
class _Live:
    """A trial under way; `why_stopped` once it was asked to end early."""

    record: TrialRecord
    log: TrialLog
    running: Running
    began: float
    failures: int = 0
    reported: int = 0  # evaluations that Optuna knows of
    why_stopped: str = ""
    condemned: bool = False  # it was found to have no future
    last_call: float = math.inf  # when it is ended, should it not have ended by itself


class _Loop:
    def __init__(self, study: StudyRecord, ledger: Ledger, launcher: Launcher, log: StudyLog, view: View) -> None:
        self._study, self._spec, self._how = study, study.spec, study.search
        self._of_command = isinstance(study.spec.trial, command.CommandSpec)
        self._directory = study.directory
        self._ledger, self._launcher, self._log, self._view = ledger, launcher, log, view
        self._live: dict[int, _Live] = {}
        self._broken_off: list[TrialRecord] = []  # that an earlier process began, to be run before new ones
        self._logs: dict[int, TrialLog] = {}
        self._answered = {d.data["request"] for d in study.decisions if d.kind == "request_answered"}
        self._noted = {d.data["text"] for d in study.decisions if d.kind == "noted"}
        self._stopping = False
        self._deadline = math.inf if self._how.timeout is None else time.monotonic() + self._how.timeout

    def run(self) -> None:
        """Trials until the budget is spent; how it ended is the last line of the record."""
        outcome = Outcome.FAILED
        try:
            recorded, known = self._study.recorded, self._ledger.trials()
            if recorded is not None and recorded.number not in known:
                self._ledger.adopt(recorded, self._spec.space)
            if len(self._study.trials) > (recorded is not None) or known:
                self._take_up()
            else:
                told = self._spec.notes if recorded is not None else ()
                about = command.notes(self._spec, recorded=recorded is not None)
                for text in (*told, *about, *preflight.check(self._spec)):
                    self._note(text)
            while True:
                self._answer_requests()
                while self._may_start():
                    self._start(self._broken_off.pop(0) if self._broken_off else self._ask())
                if not self._live:
                    break
                moved = [self._follow(live) for live in list(self._live.values())]
                if not any(moved):
                    time.sleep(POLL_SECONDS)
            outcome = Outcome.STOPPED if self._stopping else Outcome.FINISHED
        except KeyboardInterrupt:
            outcome = Outcome.INTERRUPTED
            raise
        finally:
            for live in self._live.values():
                live.running.ask_to_stop()  # all at once, so that ending several takes no longer than ending one
            for live in self._live.values():
                live.running.stop()
                live.log.close()
            self._log.finished(str(outcome))

    # ---- what is to run

    def _take_up(self) -> None:
        """Go on where an earlier process stopped."""
        self._log.resumed(self._spec, self._how)
        for request in requests.pending(self._directory, self._answered):
            self._answer(request, "came when the study was not running; ask again")
        ended, broken_off = recovery.reconcile(self._study, self._ledger, self._log)
        for record in (*ended, *broken_off):
            self._study = self._study.with_trial(record)
        for record in ended:
            self._judge(record)
        for record in broken_off:
            again = replace(record, attempt=record.attempt + 1)
            self._log.retried(again.number, again.attempt, "the study ended while it ran")
            self._broken_off.append(again)

    def _may_start(self) -> bool:
        if self._stopping or len(self._live) >= self._how.parallel or time.monotonic() > self._deadline:
            return False
        begun = sum(t.state is not State.FAILED for t in self._study.trials)
        return bool(self._broken_off) or begun < self._spec.trials

    def _ask(self) -> TrialRecord:
        """A new trial, recorded with its reason before it begins."""
        start = Proposal(dict(self._spec.start), Origin.START, f"where the study {self._spec.name} starts")
        recorded = self._study.recorded
        as_recorded = (
            recorded is not None and recorded.proposal.knobs == start.knobs
        )  # then it is known what comes of it
        begun = any(t.state is not State.FAILED for t in self._study.trials if t is not recorded)
        number, proposal = self._ledger.ask(self._spec.space, None if begun or as_recorded else start)
        record = TrialRecord(number, 1, _seed(self._spec, number), proposal)
        self._folder(record).mkdir(parents=True, exist_ok=True)
        write_trial(self._spec.trial_with(proposal.knobs, record.seed), self._folder(record))
        self._log.proposed(number, record.seed, proposal)
        self._ledger.proposed(record)
        return record

    def _start(self, record: TrialRecord, failures: int = 0) -> None:
        folder = self._folder(record)
        self._study = self._study.with_trial(record)
        self._view.began(record)
        began, log = time.monotonic(), TrialLog(folder, self._spec.objective)
        running = self._launcher.start(folder, attempt=record.attempt)
        self._live[record.number] = _Live(record, log, running, began, failures)
        self._logs[record.number] = log

    # ---- a trial under way

    def _follow(self, live: _Live) -> bool:
        """Take in what is new of a trial and decide on it; whether there was anything."""
        status = live.running.poll()  # before reading: what it wrote before it ended is then read below
        news = self._read(live)
        if news and status is None and not live.why_stopped:
            self._decide(live)
        if time.monotonic() > live.last_call:
            live.running.stop()
        # Our trainer has written all by then, and is on its way out; a script may still have its model to save.
        if status is not None or (not self._of_command and has_ended(live.record, live.log)):
            self._end(live)
            return True
        return bool(news)

    def _read(self, live: _Live) -> list[Event]:
        news = live.log.poll()
        live.record = replace(live.record.with_log(live.log), seconds=time.monotonic() - live.began)
        self._study = self._study.with_trial(live.record)
        self._view.moved(live.record, live.log, news)
        if live.record.max_steps and self._more_to_come():  # it has begun, and its own imports are over
            self._launcher.prepare()
        return news

    def _more_to_come(self) -> bool:
        return len(self._study.trials) < self._spec.trials

    def _decide(self, live: _Live) -> None:
        """End a trial early that a finding condemns, or that Optuna's pruner gives up."""
        number, record = live.record.number, live.record
        found = fatal(record.findings, self._spec.trial.stop_on)
        if found is not None and not live.condemned:
            live.condemned, live.last_call = True, time.monotonic() + PATIENCE_SECONDS
            self._log.stopped(number, f"{found.code} {found.name}", found)
            if self._of_command:  # our trainer ends by itself, at the same step in equal studies
                live.running.ask_to_stop()
        if len(record.evaluations) == live.reported or live.condemned:
            return
        live.reported = len(record.evaluations)
        self._ledger.report(number, record.evaluations)
        under_way = not record.max_steps or record.steps < record.max_steps
        if under_way and (why := self._ledger.given_up(number)):
            self._stop(live, why)

    def _stop(self, live: _Live, why: str) -> None:
        live.why_stopped, live.condemned, live.last_call = why, True, time.monotonic() + PATIENCE_SECONDS
        self._log.stopped(live.record.number, why)
        live.running.ask_to_stop()

    # ---- the end of a trial

    def _end(self, live: _Live) -> None:
        status = live.running.stop()
        self._read(live)
        live.log.close()
        del self._live[live.record.number]
        if status == USER_ERROR and not live.record.steps:  # the trainer's own word for what the user can put right
            message = live.running.last_words().removeprefix("trainers: error: ")
            self._tell(replace(live.record, state=State.FAILED, reason=message))
            raise UserError(f"trial {live.record.number}: {message}")
        record = conclude(
            live.record,
            live.log,
            objective=self._spec.objective,
            stop_on=self._spec.trial.stop_on,
            why_stopped=live.why_stopped,
            last_words=live.running.last_words(),
        )
        if self._stopping and record.state is not State.COMPLETE and not live.condemned:
            return  # it broke off, as was asked: a later run takes it up again
        if record.state is State.FAILED and live.failures + 1 < ATTEMPTS:
            again = replace(live.record, attempt=record.attempt + 1, seconds=0.0)
            self._log.retried(again.number, again.attempt, record.reason)
            self._start(again, live.failures + 1)
            return
        self._tell(record)
        self._view.ended(record)
        if record.state is State.COMPLETE and live.log.ended is not None and live.log.ended.reason:
            self._note(f"trial {record.number}: {live.log.ended.reason}", trial=record.number)
        for text in (*ignored_knobs(self._study, self._logs, record.number), *out_of_reach(record, self._spec.space)):
            if text not in self._noted:
                self._note(text, trial=record.number)
        if record.state is State.FAILED:
            raise UserError(
                f"trial {record.number} failed {ATTEMPTS} times: {record.reason}",
                f"Mend it, then go on: autotune study resume {self._directory}",
            )
        for other in self._study.trials:
            if other.number == record.number or _bears_on(record, other, self._study):
                self._judge(other)
        self._ledger.summarise(self._study)
        journal.write(read(self._directory))

    def _tell(self, record: TrialRecord) -> None:
        self._ledger.tell(record)
        self._log.ended(record.number, record.state, record.reason, record.value, record.seconds)
        self._study = self._study.with_trial(record)

    def _judge(self, record: TrialRecord) -> None:
        """The verdict on a trial's hypothesis, written down where it is new."""
        if record.state is State.RUNNING or record.proposal.hypothesis is None:
            return
        for other in self._study.trials:
            if other.number not in self._logs:
                log = self._logs[other.number] = TrialLog(self._folder(other), self._spec.objective)
                log.poll()
                log.close()
        verdict = judge_trial(self._study, self._logs, record.number)
        if verdict is None or verdict == record.verdict:
            return
        self._ledger.judged(record, verdict)  # first: one that the record has is not told again after a kill
        self._log.judged(record.number, verdict)
        judged = replace(record, verdict=verdict)
        self._study = self._study.with_trial(judged)
        self._view.judged(judged)

    def _note(self, text: str, *, trial: int | None = None) -> None:
        self._noted.add(text)
        self._log.noted(text, trial=trial)
        self._view.noted(text)

    # ---- what people ask

    def _answer_requests(self) -> None:
        for request in requests.pending(self._directory, self._answered):
            if isinstance(request, str):
                self._answer(request, "is no request that this autotune understands")
            elif request.action is Action.STOP_STUDY:
                self._stopping = True
                for live in self._live.values():
                    live.last_call = time.monotonic() + PATIENCE_SECONDS
                    live.running.ask_to_stop()
                self._answer(request, "the study ends with the step its trials are at; resume takes them up again")
            else:
                live_one = self._live.get(-1 if request.trial is None else request.trial)
                if live_one is None or live_one.why_stopped:
                    self._answer(request, f"trial {request.trial} is not running")
                else:
                    self._stop(live_one, f"a person stopped it at step {live_one.record.steps}")
                    self._answer(request, f"trial {request.trial} ends after its step")

    def _answer(self, request: Request | str, answer: str) -> None:
        name, action, trial = (
            (request, "", None) if isinstance(request, str) else (request.id, str(request.action), request.trial)
        )
        self._answered.add(name)
        self._log.answered(name, action, answer, trial=trial)

    def _folder(self, record: TrialRecord) -> Path:
        return trial_directory(self._directory, record.number)


def _bears_on(record: TrialRecord, other: TrialRecord, study: StudyRecord) -> bool:
    """Whether `record` is another seed of the settings that the verdict on `other` compares."""
    parent = study.trial(other.proposal.parent)
    settings = [t.proposal.knobs for t in (other, parent) if t is not None]
    return other.proposal.hypothesis is not None and record.proposal.knobs in settings


def _seed(spec: StudySpec, number: int) -> int:
    """Another seed for each trial, so that a study is not tuned to one."""
    return 1000 * spec.seed + number
