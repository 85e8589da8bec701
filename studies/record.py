"""The record of a study: `study.jsonl`, one line per decision, and what each trial's events say.

The file is append-only and written by the loop alone. Everything else (what `study show` prints, the journal, what the
next proposal rests on) is derived from it and from the trials' `events.jsonl`, so that a kill at any moment loses
nothing that was decided.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.events import (
    EVENTS_FILE,
    Event,
    FindingRaised,
    MetricsLogged,
    RunEnded,
    RunStarted,
    Tail,
    dumps,
)  # fmt: skip
from diagnostics.finding import Finding, Hypothesis, Severity, hypothesis_from_json, hypothesis_to_json
from studies.spec import StudySpec
from studies.spec import from_json as spec_from_json
from studies.spec import to_json as spec_to_json
from studies.trial import Knob

VERSION = 1
STUDY_FILE = "study.jsonl"
TRIALS = "trials"


class Origin(StrEnum):
    """Where a proposal comes from."""

    START = "start"  # the preset's start, or a person's --start
    FINDING = "finding"  # a prescription of a finding
    BRACKET = "bracket"  # between settings of which more is known
    SAMPLER = "sampler"  # Optuna's model


class State(StrEnum):
    """What became of a trial, as told to Optuna."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"  # stopped by a finding; its evaluations count
    FAILED = "failed"  # a fault of ours or of the machine; its settings are not judged


@dataclass(frozen=True, slots=True)
class Proposal:
    """The settings of a trial and why they were chosen.

    `knob`, `before` and `parent` say what was changed from which trial; `code` is the finding behind it.
    """

    knobs: Mapping[str, Knob]
    origin: Origin
    why: str
    parent: int | None = None
    code: str = ""
    knob: str = ""
    hypothesis: Hypothesis | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The objective at one step of a trial; `completions` is the cost until then."""

    step: int
    completions: int
    value: float


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial: what was proposed, what happened, what was found. `findings` holds the worst per code."""

    number: int
    attempt: int
    seed: int
    proposal: Proposal
    state: State = State.RUNNING
    reason: str = ""
    evaluations: tuple[Evaluation, ...] = ()
    findings: tuple[Finding, ...] = ()
    steps: int = 0
    max_steps: int = 0
    completions: int = 0
    seconds: float = 0.0

    @property
    def value(self) -> float | None:
        """The objective at the last evaluation, None before the first."""
        return self.evaluations[-1].value if self.evaluations else None

    @property
    def feasible(self) -> bool:
        """Whether it ran to its end with no finding at ERROR or above."""
        return self.state is State.COMPLETE and all(f.severity < Severity.ERROR for f in self.findings)


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as its files tell it."""

    directory: Path
    spec: StudySpec
    trials: tuple[TrialRecord, ...] = ()
    started: float = 0.0
    ended: str = ""
    unreadable: int = 0

    def changes(self, trial: TrialRecord) -> dict[str, tuple[Knob, Knob]]:
        """What `trial` changed, knob by knob, as (before, after): against its parent, else against the start."""
        parent = next((t for t in self.trials if t.number == trial.proposal.parent), None)
        before = parent.proposal.knobs if parent else self.spec.start
        return {k: (before[k], v) for k, v in trial.proposal.knobs.items() if k in before and before[k] != v}

    def with_trial(self, trial: TrialRecord) -> StudyRecord:
        """The study with `trial` added, or in the place of the trial of that number."""
        others = tuple(t for t in self.trials if t.number != trial.number)
        return replace(self, trials=(*others, trial))

    def best(self) -> TrialRecord | None:
        """The feasible trial with the highest objective, None where there is none."""
        candidates = [t for t in self.trials if t.feasible and t.value is not None]
        return max(candidates, key=lambda t: t.value or 0.0, default=None)


# ---- what a trial's events say


@dataclass(slots=True)
class TrialLog:
    """Follows the events of one trial and keeps what the study needs of them."""

    directory: Path
    objective: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evaluations: list[Evaluation] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    attempt: int = 0
    step: int = 0
    completions: int = 0
    ended: RunEnded | None = None
    first_time: float = 0.0
    last_time: float = 0.0
    _tail: Tail | None = None

    def poll(self) -> list[Event]:
        """The events since the last call, already taken in."""
        self._tail = self._tail or Tail(self.directory / EVENTS_FILE)
        events = []
        for envelope in self._tail.poll():
            self.first_time = self.first_time or envelope.time
            self.last_time, self.attempt = envelope.time, envelope.attempt
            self._take(envelope.event)
            events.append(envelope.event)
        return events

    @property
    def max_steps(self) -> int:
        """The steps that the run will take, 0 before it has begun."""
        return int(self.settings.get("max_steps") or 0)

    @property
    def unreadable(self) -> int:
        """Lines that were no events."""
        return self._tail.unreadable if self._tail else 0

    def close(self) -> None:
        """Stop following."""
        if self._tail:
            self._tail.close()

    def _forget_from(self, step: int) -> None:
        """A new attempt starts at `step`: what an earlier one told of that step and later did not happen."""
        self.evaluations = [e for e in self.evaluations if e.step < step]
        self.findings = {code: f for code, f in self.findings.items() if f.raised_at < step}
        self.curves = {name: [p for p in points if p[0] < step] for name, points in self.curves.items()}
        self.step, self.ended = step, None

    def _take(self, event: Event) -> None:
        self.step = max(self.step, event.step)
        match event:
            case RunStarted():
                self.settings, self.notes = event.settings, event.notes
                self._forget_from(event.step)
            case MetricsLogged():
                self.completions = int(event.metrics.get("completions_generated", self.completions))
                for metric, value in event.metrics.items():
                    self.curves.setdefault(metric, []).append((event.step, value))
                if self.objective in event.metrics:
                    self.evaluations.append(Evaluation(event.step, self.completions, event.metrics[self.objective]))
            case FindingRaised():
                self.findings[event.finding.code] = event.finding
            case RunEnded():
                self.ended = event
            case _:
                pass


# ---- study.jsonl


class StudyLog:
    """The one writer of `study.jsonl`. Raises OSError where it cannot be written."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file = (directory / STUDY_FILE).open("a", encoding="utf-8", buffering=1)
        self._clock, self._seq = clock, 0

    def started(self, spec: StudySpec) -> None:
        """The first line: everything the study is."""
        self._write("study_started", {"spec": spec_to_json(spec)})

    def proposed(self, number: int, attempt: int, seed: int, proposal: Proposal) -> None:
        """A trial is about to begin, for this reason."""
        h = proposal.hypothesis
        self._write(
            "trial_proposed",
            {
                "trial": number,
                "attempt": attempt,
                "seed": seed,
                "knobs": dict(proposal.knobs),
                "origin": str(proposal.origin),
                "why": proposal.why,
                "lineage": {"parent": proposal.parent, "forked_at": 0 if proposal.parent is not None else None},
                "code": proposal.code,
                "knob": proposal.knob,
                "hypothesis": h and hypothesis_to_json(h),
            },
        )

    def stopped(self, number: int, finding: Finding) -> None:
        """A finding ended a trial early."""
        self._write("trial_stopped", {"trial": number, "code": finding.code, "raised_at": finding.raised_at})

    def ended(self, number: int, state: State, reason: str, value: float | None, seconds: float) -> None:
        """A trial ended and Optuna was told."""
        self._write(
            "trial_ended",
            {"trial": number, "state": str(state), "reason": reason, "value": value, "seconds": round(seconds, 3)},
        )

    def finished(self, outcome: str) -> None:
        """The last line of a study that was not killed."""
        self._write("study_ended", {"outcome": outcome})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, kind: str, payload: Mapping[str, Any]) -> None:
        head = {"v": VERSION, "type": kind, "seq": self._seq, "time": round(self._clock(), 3)}
        self._file.write(dumps({**head, **payload}) + "\n")
        self._seq += 1


def is_study(directory: Path) -> bool:
    """Whether `directory` holds the record of a study."""
    return (directory / STUDY_FILE).is_file()


def claim(directory: Path) -> Path:
    """Make `directory`, or take it where it is empty; returns it. UserError where it holds anything."""
    directory.mkdir(parents=True, exist_ok=True)
    if is_study(directory):
        raise UserError(f"{directory} already holds a study", "Give another --dir, or see `autotune study show`.")
    if any(directory.iterdir()):
        raise UserError(f"{directory} is not empty", "Give another --dir: nothing in it shall be overwritten.")
    return directory


def trial_directory(study: Path, number: int) -> Path:
    """Where the trial `number` of a study writes."""
    return study / TRIALS / str(number)


def read(directory: Path) -> StudyRecord:
    """The study in `directory`.

    UserError where it is no study, or one that a newer version wrote.
    """
    try:
        lines = (directory / STUDY_FILE).read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{directory} is no study: it has no {STUDY_FILE}", "See `autotune study list`.") from None
    spec: StudySpec | None = None
    trials: dict[int, TrialRecord] = {}
    started, ended, unreadable = 0.0, "", 0
    for position, line in enumerate(lines):
        if not line.strip() or position == len(lines) - 1:  # a torn last line means "not yet"
            continue
        try:
            data = json.loads(line)
            version, kind = data["v"], data["type"]
        except (ValueError, KeyError, TypeError):
            unreadable += 1
            continue
        if version != VERSION:
            raise UserError(
                f"{directory / STUDY_FILE} has version {version}, this autotune reads version {VERSION}",
                "Upgrade autotune-rl, or use the version that wrote it.",
            )
        if kind == "study_started":
            spec, started = spec_from_json(data["spec"], str(directory / STUDY_FILE)), data["time"]
        elif kind == "trial_proposed" and spec is not None:
            trials[data["trial"]] = _proposed(data)
        elif kind == "trial_ended" and data["trial"] in trials:
            trials[data["trial"]] = _ended(trials[data["trial"]], data)
        elif kind == "study_ended":
            ended = data["outcome"]
    if spec is None:
        raise UserError(f"{directory / STUDY_FILE} does not say which study it is", "Its first line is damaged.")
    read_trials = []
    for record in trials.values():
        log = TrialLog(trial_directory(directory, record.number), spec.objective)
        log.poll()
        log.close()
        unreadable += log.unreadable
        read_trials.append(with_log(record, log))
    return StudyRecord(directory, spec, tuple(read_trials), started, ended, unreadable)


def with_log(record: TrialRecord, log: TrialLog) -> TrialRecord:
    """`record` with what the trial's events say by now."""
    return replace(
        record,
        evaluations=tuple(log.evaluations),
        findings=tuple(sorted(log.findings.values(), key=lambda f: (-f.severity, f.raised_at))),
        steps=log.step,
        max_steps=log.max_steps,
        completions=log.completions,
        seconds=record.seconds or max(0.0, log.last_time - log.first_time),
    )


def _proposed(data: Mapping[str, Any]) -> TrialRecord:
    proposal = Proposal(
        data["knobs"],
        Origin(data["origin"]),
        data["why"],
        data["lineage"]["parent"],
        data["code"],
        data["knob"],
        data["hypothesis"] and hypothesis_from_json(data["hypothesis"]),
    )
    return TrialRecord(data["trial"], data["attempt"], data["seed"], proposal)


def _ended(record: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(record, state=State(data["state"]), reason=data["reason"], seconds=data["seconds"])
