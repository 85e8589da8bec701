"""What the events of one trial say, followed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diagnostics.events import (
    EVENTS_FILE,
    Event,
    FindingRaised,
    KnobChanged,
    MetricsLogged,
    RunEnded,
    RunStarted,
    Tail,
)
from diagnostics.finding import Finding
from diagnostics.vocabulary import meanings
from studies.points import Points


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The objective at one step of a trial; `completions` is the cost until then, in steps where nobody counts them."""

    step: int
    completions: int
    value: float


@dataclass(slots=True)
class TrialLog:
    """Follows the events of one trial and keeps what the study needs of them.

    `times` are the steps that were logged, rising, each with its time (seconds since the epoch). `knobs` are the
    settings that changed while running, as (step, knob, value). `whole` says that all points are there.
    """

    directory: Path
    objective: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evaluations: list[Evaluation] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    curves: dict[str, Points] = field(default_factory=dict)
    times: Points = field(default_factory=Points)
    knobs: list[tuple[int, str, float]] = field(default_factory=list)
    attempt: int = 0
    step: int = 0
    completions: int = 0
    ended: RunEnded | None = None
    first_time: float = 0.0
    last_time: float = 0.0
    whole: bool = True
    _tail: Tail | None = None
    _objectives: tuple[str, ...] = ()  # the canonical metrics that the run's framework means by the objective
    _counts: bool = False  # whether it logs how many completions it has generated

    def poll(self) -> list[Event]:
        """The events since the last call, already taken in."""
        self._tail = self._tail or Tail(self.directory / EVENTS_FILE)
        events = []
        for envelope in self._tail.poll():
            self.first_time = self.first_time or envelope.time
            self.last_time, self.attempt = envelope.time, envelope.attempt
            self._take(envelope.event)
            if isinstance(envelope.event, MetricsLogged):
                self._take_time(envelope.event.step, envelope.time)
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

    @property
    def points(self) -> int:
        """How many are kept, of all curves."""
        return sum(map(len, self.curves.values()))

    def thin(self, stretches: int) -> None:
        """Keep of each curve what can be seen of it on so many stretches of steps."""
        for points in (*self.curves.values(), self.times):
            points.thin(stretches)
        self.whole = False

    def close(self) -> None:
        """Stop following."""
        if self._tail:
            self._tail.close()

    def _forget_from(self, step: int) -> None:
        """A new attempt starts at `step`: what an earlier one told of that step and later did not happen."""
        self.evaluations = [e for e in self.evaluations if e.step < step]
        self.findings = {code: f for code, f in self.findings.items() if f.raised_at < step}
        self.curves = {name: _before(step, points) for name, points in self.curves.items()}
        self.times = _before(step, self.times)
        self.knobs = [changed for changed in self.knobs if changed[0] < step]
        self.step, self.ended = step, None

    def _take(self, event: Event) -> None:
        self.step = max(self.step, event.step)
        match event:
            case RunStarted():
                self.settings, self.notes = event.settings, event.notes
                self._objectives = meanings(self.objective, event.framework)
                self._forget_from(event.step)
            case MetricsLogged():
                self._take_row(event)
            case FindingRaised(finding=finding):
                milder = self.findings.get(finding.code, finding)  # it began when it was less severe
                first = min(finding.first_step, milder.first_step)
                self.findings[finding.code] = replace(finding, first_step=first)
            case KnobChanged(step, knob, _, after):
                self.knobs.append((step, knob, after))
            case RunEnded():
                self.ended = event
            case _:
                pass

    def _take_time(self, step: int, time: float) -> None:
        """When `step` was logged last."""
        if self.times and self.times[-1][0] == step:
            self.times.pop()
        if not self.times or self.times[-1][0] < step:
            self.times.append((step, time))

    def _take_row(self, event: MetricsLogged) -> None:
        """Metrics under canonical names, and those of a script under its own."""
        values = {**event.unmapped, **event.metrics}
        generated = event.metrics.get("completions_generated")
        if generated is not None:
            self.completions, self._counts = int(generated), True
        elif not self._counts:  # of a script that does not tell, the cost is counted in steps
            self.completions = event.step
        for metric, value in values.items():
            if metric not in self.curves:
                self.curves[metric] = Points()
            self.curves[metric].append((event.step, value))
        objective = next((name for name in (self.objective, *self._objectives) if name in values), None)
        if objective is not None:
            self.evaluations.append(Evaluation(event.step, self.completions, values[objective]))


def _before(step: int, points: Points) -> Points:
    """Those before a step."""
    return Points(point for point in points if point[0] < step)
