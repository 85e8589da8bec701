"""Turns the rows that a script logs into the events of its trial, and diagnoses them on the way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from autotune.launch.script_log import READS, SOME, ScriptLog
from diagnostics.catalogue import here, notes
from diagnostics.events import (
    EVENTS_FILE,
    Event,
    EventLog,
    FindingRaised,
    MetricsLogged,
    Outcome,
    RunEnded,
    RunStarted,
)
from diagnostics.finding import Finding
from diagnostics.metrics import settings
from diagnostics.naming import Names
from diagnostics.readers.rows import Row
from diagnostics.watch import Watch
from studies.command import CommandSpec
from studies.trial_log import TrialLog

UNKNOWN = "script"  # the framework of a log that shows none


class Translator:
    """The one writer of a trial's events, unless the script writes them itself (AutotuneCallback does).

    Nothing is written before the script has logged a row. Rows of a step that is past are left out and counted.
    """

    def __init__(self, directory: Path, spec: CommandSpec, attempt: int) -> None:
        self._directory, self._spec, self._attempt = directory, spec, attempt
        self._script = ScriptLog(directory.absolute(), spec.log_path(directory, attempt))
        self._rules = here()
        self._names: Names | None = None
        self._rows: deque[Row] = deque()
        self._events: EventLog | None = None
        self._watch: Watch | None = None
        self._framework = ""
        self._step = -1
        self._past = 0
        self._seen: dict[str, None] = {}  # names in the order in which they were logged
        self.log = TrialLog(directory, spec.objective)

    @property
    def findings(self) -> Iterable[Finding]:
        """What was found so far, the worst of each code."""
        return self.log.findings.values()

    @property
    def told(self) -> bool:
        """Whether anything was told of this attempt."""
        return self.log.attempt >= self._attempt

    def poll(self, until: float, *, ended: bool) -> bool:
        """Translate what is new until `until` on the monotonic clock; whether all there is was translated."""
        self.log.poll()
        if self._events is None and self.told:  # the script tells by itself
            return True
        while time.monotonic() < until:
            if not self._rows:
                self._rows.extend(self._script.poll(ended=ended))
            if not self._rows:
                self.log.poll()
                return True
            self._take(self._rows.popleft())
        self.log.poll()
        return False

    def end(self, outcome: Outcome, reason: str) -> None:
        """Say how it ended, unless the script has said so. Where it finished, the reason is what was left out."""
        self.log.poll()
        if self._events is None and self.told and self.log.ended is not None:
            return
        if outcome is Outcome.FINISHED:
            reason = "; ".join(self._notes())
        if not self.told:
            self._start(0)
        if self._watch is not None:
            self._tell(self._watch.close(), max(self._step, 0))
        self._emit(RunEnded(self.log.step, outcome, reason))
        self.log.poll()
        self.log.close()
        if self._events is not None:
            self._events.close()

    def missing(self) -> str:
        """What to say of a script that ended well without its objective; empty where it logged that."""
        if self.log.evaluations:
            return ""
        start = f"it logged no {self._spec.objective}: "
        if self.told:
            names = [*self._seen] or [*self.log.curves]
            some = f"{', '.join(names[:SOME])}{', ...' if len(names) > SOME else ''}" if names else "nothing"
            where = self._script.path.name if self._script.path else EVENTS_FILE
            return "; ".join([f"{start}{where} has {some}", *self._notes()])
        return f"{start}{self._script.what_it_wrote()}; what autotune reads: {READS}"

    def _notes(self) -> list[str]:
        notes = self._script.notes()
        if self._past:
            notes.append(f"{self._past} {'row' if self._past == 1 else 'rows'} of steps that were past left out")
        failed = self._watch.failed if self._watch is not None else {}
        return notes + [f"{code}: {why}" for code, why in failed.items()]

    def _take(self, row: Row) -> None:
        if row.step < self._step:
            self._past += 1
            return
        if self._names is None:
            self._names = Names(self._script.framework)
        metrics, unmapped = self._names.canonical(row.values)
        objective = self._spec.objective
        if objective in row.values and objective not in metrics and not self._means(objective, metrics):
            unmapped[objective] = row.values[objective]
        self._seen |= dict.fromkeys(row.values)
        framework = self._names.framework.framework if self._names.framework else UNKNOWN
        if self._watch is None or (framework != self._framework and row.step > self._step):
            self._framework = framework
            self._start(row.step)
        assert self._watch is not None
        raised, before = self._watch.add(row.step, metrics), self._step
        self._tell(raised, before)
        self._step = row.step
        self._emit(MetricsLogged(row.step, metrics, unmapped))

    def _means(self, name: str, metrics: dict[str, float]) -> bool:
        """Whether the framework's own word `name` is among the canonical `metrics`."""
        framework = self._names.framework if self._names else None
        return framework is not None and any(metric in metrics for metric in framework.meanings(name))

    def _start(self, step: int) -> None:
        """What is known of the run; said again where its framework shows only later."""
        asked = {name: value for name, value in self._spec.knobs.items() if name in settings()}
        known = asked | ({"max_steps": self._script.max_steps} if self._script.max_steps else {})
        path = self._script.path
        told = [f"run by a study as: {self._spec.command}", *(f"while it ran, {note}" for note in notes(self._rules))]
        if path is not None:
            words = "" if self._framework in ("", UNKNOWN) else f", names as in {self._framework}"
            told.append(f"metrics are read from {path.name}{words}")
        raw = {**self._spec.knobs, "seed": self._spec.seed}
        self._emit(RunStarted(step, self._framework or UNKNOWN, "", known, raw, None, tuple(told)))
        if self._watch is None:
            self._watch = Watch(settings=known, rules=self._rules)
            self._tell(self._watch.lint(), step)

    def _tell(self, raised: Iterable[Finding], step: int) -> None:
        for finding in raised:
            self._emit(FindingRaised(step, finding))

    def _emit(self, event: Event) -> None:
        if self._events is None:
            self._events = EventLog(self._directory / EVENTS_FILE, attempt=max(self._attempt, self.log.attempt))
        self._events.emit(event)
