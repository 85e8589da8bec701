"""The loop: ask, launch, follow, decide, tell. It knows no metric; findings come from the trials' own events.

A study is begun by writing its first line (`create`) and run by `run`, which is also how it goes on after a kill: what
the records hold is reconciled first (`autotune.recovery`), then trials run until the budget is spent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autotune import answers, journal, preflight, recovery
from autotune.ignored import ignored_knobs
from autotune.launch import Launcher
from autotune.ledger import Ledger
from autotune.live import Live
from autotune.outcome import conclude, fatal, has_ended
from autotune.prescribe import out_of_reach
from autotune.verdict import judge_trial
from diagnostics.errors import UserError
from diagnostics.events import Event, Outcome
from studies import command, requests
from studies.log import StudyLog, claim, read, trial_directory
from studies.record import Origin, Proposal, Search, State, StudyRecord, TrialRecord
from studies.spec import StudySpec, write_trial
from studies.trial_log import TrialLog

if TYPE_CHECKING:
    from autotune.from_run.started import FromRun

POLL_SECONDS = 0.1
# A trial that fails through no finding is tried once more with the same settings; a second failure is no accident.
ATTEMPTS = 2
USER_ERROR = 2  # exit status of a trainer whose settings cannot work


class View(Protocol):
    """What shows a study while it runs."""

    def waits(self, trial: TrialRecord) -> None:
        """A trial was proposed, and begins once a person accepts it."""

    def began(self, trial: TrialRecord) -> None:
        """A trial was proposed or accepted, or is tried again, and is about to start."""

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
            Loop(study, ledger, launcher, log, view).run()
    finally:
        log.close()
        study = read(directory)
        journal.write(study)
    return study


class Loop:
    """A study while it runs. `autotune.answers` has it do what people ask."""

    def __init__(self, study: StudyRecord, ledger: Ledger, launcher: Launcher, log: StudyLog, view: View) -> None:
        self.study, self.spec, self.how = study, study.spec, study.search
        self.directory = study.directory
        self.ledger, self.log, self.view = ledger, log, view
        self.live: dict[int, Live] = {}
        self.ready: list[TrialRecord] = []  # broken off in an earlier process, or accepted: they begin before new ones
        self.wanted: list[Proposal] = []  # persons' own settings that are still to be tried
        self.review = self.how.review  # proposals wait for a person
        self.ending = False  # no new trial begins
        self.stopping = False  # nor do the running ones run to their end
        self.of_command = isinstance(study.spec.trial, command.CommandSpec)
        self._launcher = launcher
        self._logs: dict[int, TrialLog] = {}
        self._answered = {d.data["request"] for d in study.decisions if d.kind == "request_answered"}
        self._noted = {d.data["text"] for d in study.decisions if d.kind == "noted" and "by" not in d.data}
        self._deadline = math.inf if self.how.timeout is None else time.monotonic() + self.how.timeout

    def run(self) -> None:
        """Trials until the budget is spent; how it ended is the last line of the record."""
        outcome = Outcome.FAILED
        try:
            recorded, known = self.study.recorded, self.ledger.trials()
            if recorded is not None and recorded.number not in known:
                self.ledger.adopt(recorded, self.spec.space)
            if len(self.study.trials) > (recorded is not None) or known:
                self._take_up()
            else:
                told = self.spec.notes if recorded is not None else ()
                about = command.notes(self.spec, recorded=recorded is not None)
                for text in (*told, *about, *preflight.check(self.spec)):
                    self._note(text)
            while True:
                self._answer_requests()
                while (record := self._next()) is not None:
                    self._begin(record)
                if not self.live and not self._waits():
                    break
                moved = [self._follow(live) for live in list(self.live.values())]
                if not any(moved):
                    time.sleep(POLL_SECONDS)
            outcome = Outcome.STOPPED if self.stopping or self._left() else Outcome.FINISHED
        except KeyboardInterrupt:
            outcome = Outcome.INTERRUPTED
            raise
        finally:
            for live in self.live.values():
                live.running.ask_to_stop()  # all at once, so that ending several takes no longer than ending one
            for live in self.live.values():
                live.running.stop()
                live.log.close()
            self._answer_requests("the study has ended; ask again once it goes on")
            self.log.finished(str(outcome))

    # ---- what is to run

    def _take_up(self) -> None:
        """Go on where an earlier process stopped."""
        self.log.resumed(self.spec, self.how)
        self._answer_requests("came when the study was not running; ask again")
        ended, broken_off, waiting = recovery.reconcile(self.study, self.ledger, self.log)
        for record in (*ended, *broken_off):
            self.study = self.study.with_trial(record)
        for record in ended:
            self._judge(record)
        for record in broken_off:
            again = replace(record, attempt=record.attempt + 1, paused=False)
            self.log.retried(again.number, again.attempt, "the study ended while it ran")
            self.ready.append(again)
        for record in waiting:
            self._begin(record)
        for request, proposal in self.study.tries.items():
            self.ledger.want(proposal, request)
        self.wanted = self.ledger.wanted()

    def _next(self) -> TrialRecord | None:
        """The trial to begin now; None where there is no place for one, or nothing to begin."""
        if self.ending or time.monotonic() > self._deadline or len(self.live) >= self.how.parallel:
            return None
        if self.ready:
            return self.ready.pop(0)
        # What waits for a person takes a place; that person's own settings are not to wait for it.
        if len(self.live) + len(self.study.waiting) >= self.how.parallel and not self.wanted:
            return None
        return self._ask() if self.study.begun < self.spec.trials else None

    def _waits(self) -> bool:
        """Whether the study goes on once a person says so."""
        return bool(self.study.waiting) and not self.ending and time.monotonic() <= self._deadline

    def _left(self) -> bool:
        """Whether a person left trials to be begun another time."""
        return bool(self.study.waiting) or (self.ending and (bool(self.ready) or self.study.begun < self.spec.trials))

    def _ask(self) -> TrialRecord:
        """A new trial, recorded with its reason before it begins."""
        start = Proposal(dict(self.spec.start), Origin.START, f"where the study {self.spec.name} starts")
        recorded = self.study.recorded
        as_recorded = (
            recorded is not None and recorded.proposal.knobs == start.knobs
        )  # then it is known what comes of it
        begun = any(t.state is not State.FAILED for t in self.study.trials if t is not recorded)
        number, proposal = self.ledger.ask(self.spec.space, None if begun or as_recorded else start)
        self.wanted = self.ledger.wanted()
        waits = self.review and proposal.origin is not Origin.PERSON
        state = State.WAITING if waits else State.RUNNING
        record = TrialRecord(number, 1, _seed(self.spec, number), proposal, state)
        self._folder(record).mkdir(parents=True, exist_ok=True)
        write_trial(self.spec.trial_with(proposal.knobs, record.seed), self._folder(record))
        self.log.proposed(number, record.seed, proposal, waits=waits)
        self.ledger.proposed(record)
        return record

    def _begin(self, record: TrialRecord) -> None:
        """Start the trial, or wait until a person accepts it."""
        if record.state is State.WAITING:
            self.study = self.study.with_trial(record)
            self.view.waits(record)
        else:
            self._start(record)

    def _start(self, record: TrialRecord, failures: int = 0) -> None:
        folder = self._folder(record)
        self.study = self.study.with_trial(record)
        self.view.began(record)
        began, log = time.monotonic(), TrialLog(folder, self.spec.objective)
        running = self._launcher.start(folder, attempt=record.attempt)
        self.live[record.number] = Live(record, log, running, began, failures)
        self._logs[record.number] = log

    # ---- a trial under way

    def _follow(self, live: Live) -> bool:
        """Take in what is new of a trial and decide on it; whether there was anything."""
        status = live.running.poll()  # before reading: what it wrote before it ended is then read below
        news = self._read(live)
        if news and status is None and not live.why_stopped:
            self._decide(live)
        if time.monotonic() > live.last_call:
            live.running.stop()
        # Our trainer has written all by then, and is on its way out; a script may still have its model to save.
        if status is not None or (not self.of_command and has_ended(live.record, live.log)):
            self._end(live)
            return True
        return bool(news)

    def _read(self, live: Live) -> Sequence[Event]:
        news = live.read()
        self.study = self.study.with_trial(live.record)
        self.view.moved(live.record, live.log, news)
        if live.record.max_steps and self.study.begun < self.spec.trials:  # it has begun, and its imports are over
            self._launcher.prepare()
        return news

    def _decide(self, live: Live) -> None:
        """End a trial early that a finding condemns, or that Optuna's pruner gives up."""
        number, record = live.record.number, live.record
        found = fatal(record.findings, self.spec.trial.stop_on)
        if found is not None and not live.condemned:
            live.condemn()
            self.log.stopped(number, f"{found.code} {found.name}", found)
            if self.of_command:  # our trainer ends by itself, at the same step in equal studies
                live.running.ask_to_stop()
        if len(record.evaluations) == live.reported or live.condemned:
            return
        live.reported = len(record.evaluations)
        self.ledger.report(number, record.evaluations)
        under_way = not record.max_steps or record.steps < record.max_steps
        if under_way and (why := self.ledger.given_up(number)):
            self.log.stopped(number, why)
            live.stop(why)

    # ---- the end of a trial

    def _end(self, live: Live) -> None:
        status = live.running.stop()
        self._read(live)
        live.log.close()
        del self.live[live.record.number]
        if status == USER_ERROR and not live.record.steps:  # the trainer's own word for what the user can put right
            message = live.running.last_words().removeprefix("trainers: error: ")
            self._tell(replace(live.record, state=State.FAILED, reason=message))
            raise UserError(f"trial {live.record.number}: {message}")
        record = conclude(
            live.record,
            live.log,
            objective=self.spec.objective,
            stop_on=self.spec.trial.stop_on,
            why_stopped=live.why_stopped,
            last_words=live.running.last_words(),
        )
        if self.stopping and record.state is not State.COMPLETE and not live.condemned:
            return  # it broke off, as was asked: a later run takes it up again
        if record.state is State.FAILED and live.failures + 1 < ATTEMPTS:
            again = replace(live.record, attempt=record.attempt + 1, seconds=0.0, paused=False)
            self.log.retried(again.number, again.attempt, record.reason)
            self._start(again, live.failures + 1)
            return
        self._tell(record)
        self.view.ended(record)
        if record.state is State.COMPLETE and live.log.ended is not None and live.log.ended.reason:
            self._note(f"trial {record.number}: {live.log.ended.reason}", trial=record.number)
        for text in (*ignored_knobs(self.study, self._logs, record.number), *out_of_reach(record, self.spec.space)):
            if text not in self._noted:
                self._note(text, trial=record.number)
        if record.state is State.FAILED:
            raise UserError(
                f"trial {record.number} failed {ATTEMPTS} times: {record.reason}",
                f"Mend it, then go on: autotune study resume {self.directory}",
            )
        for other in self.study.trials:
            if other.number == record.number or _bears_on(record, other, self.study):
                self._judge(other)
        self.ledger.summarise(self.study)
        journal.write(read(self.directory))

    def _tell(self, record: TrialRecord) -> None:
        self.ledger.tell(record)
        self.log.ended(record.number, record.state, record.reason, record.value, record.seconds)
        self.study = self.study.with_trial(record)

    def _judge(self, record: TrialRecord) -> None:
        """The verdict on a trial's hypothesis, written down where it is new."""
        if record.state is State.RUNNING or record.proposal.hypothesis is None:
            return
        for other in self.study.trials:
            if other.number not in self._logs:
                log = self._logs[other.number] = TrialLog(self._folder(other), self.spec.objective)
                log.poll()
                log.close()
        verdict = judge_trial(self.study, self._logs, record.number)
        if verdict is None or verdict == record.verdict:
            return
        self.ledger.judged(record, verdict)  # first: one that the record has is not told again after a kill
        self.log.judged(record.number, verdict)
        judged = replace(record, verdict=verdict)
        self.study = self.study.with_trial(judged)
        self.view.judged(judged)

    def _note(self, text: str, *, trial: int | None = None) -> None:
        self._noted.add(text)
        self.log.noted(text, trial=trial)
        self.view.noted(text)

    # ---- what people ask

    def _answer_requests(self, instead: str = "") -> None:
        """Do what people asked, or say that it cannot be done; with `instead` that is the answer, but for notes."""
        before = len(self._answered)
        for request in requests.pending(self.directory, self._answered):
            self._answered.add(answers.answer(self, request, instead))
        if len(self._answered) > before:
            journal.write(read(self.directory))

    def _folder(self, record: TrialRecord) -> Path:
        return trial_directory(self.directory, record.number)


def _bears_on(record: TrialRecord, other: TrialRecord, study: StudyRecord) -> bool:
    """Whether `record` is another seed of the settings that the verdict on `other` compares."""
    parent = study.trial(other.proposal.parent)
    settings = [t.proposal.knobs for t in (other, parent) if t is not None]
    return other.proposal.hypothesis is not None and record.proposal.knobs in settings


def _seed(spec: StudySpec, number: int) -> int:
    """Another seed for each trial, so that a study is not tuned to one."""
    return 1000 * spec.seed + number
