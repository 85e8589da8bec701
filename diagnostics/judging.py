"""What one rule says of one run: its alarms as findings, the lints of its settings, and whose fault a failure is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diagnostics import metrics as canonical
from diagnostics.catalogue import notes
from diagnostics.contract import unsound
from diagnostics.errors import described
from diagnostics.finding import Finding, Severity, Skip
from diagnostics.rule import Alarm, Catalogue, Failed, Lint, NotApplicable, Rule, Told, shipped
from diagnostics.series import RunHistory, are_bounds

BEFORE_THE_RUN = 0  # `raised_at` of what the configuration alone tells


@dataclass(frozen=True, slots=True)
class Judges:
    """A catalogue taken apart."""

    rules: tuple[Rule, ...]
    lints: tuple[Lint, ...]
    ignored: tuple[Skip, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, rules: Catalogue | None) -> Judges:
        """The parts of `rules` that judge runs, without them of what comes with autotune."""
        every = shipped() if rules is None else rules
        of_runs = [judge for judge in every.values() if not (isinstance(judge, Lint) and judge.ahead)]
        asked = [judge for judge in of_runs if not judge.ignored]
        return cls(
            tuple(judge for judge in asked if isinstance(judge, Rule)),
            tuple(judge for judge in asked if isinstance(judge, Lint)),
            tuple(Skip(j.code, f"left out by {j.tuning.where}") for j in of_runs if j.tuning and j.ignored),
            notes(every),
        )

    def __len__(self) -> int:
        return len(self.rules) + len(self.lints) + len(self.ignored)


def judgeable(run: RunHistory) -> RunHistory:
    """`run` with what cannot be true of it unknown: settings that are none, reward bounds that bound nothing."""
    known = canonical.settings()
    kept = {name: v for name, v in run.settings.items() if v is None or name not in known or known[name].accepts(v)}
    bounds = run.reward_bounds if run.reward_bounds is not None and are_bounds(run.reward_bounds) else None
    return replace(run, settings=kept, reward_bounds=bounds)


def rises_after(
    rule: Rule, run: RunHistory, thresholds: Mapping[str, Any], *, after: int, above: Severity | None
) -> tuple[Finding, ...]:
    """What the rule raises after step `after`, where it rises above `above`."""
    thresholds = {**rule.changed, **thresholds}
    if rule.origin is None:
        return _first(rule, run, rule.check(run, **thresholds), after=after, above=above)
    with _blamed(rule):
        found = _first(rule, run, rule.check(run, **thresholds), after=after, above=above)
        _see_that_sound(found)
        return found


def _first(
    rule: Rule, run: RunHistory, alarms: Iterable[Alarm], *, after: int, above: Severity | None
) -> tuple[Finding, ...]:
    """The first point after step `after` of each alarm, those kept that rise above `above` and all before them."""
    first: list[tuple[int, int, Alarm, int]] = []
    found: list[Finding] = []
    worst = -1 if above is None else int(above)
    with np.errstate(all="ignore"):  # a log may hold any numbers; what overflows is infinite or NaN, and judged as such
        for alarm in alarms:
            start = int(alarm.steps.searchsorted(after, side="right"))
            held = alarm.holds[start:].nonzero()[0]
            if len(held):
                i = start + int(held[0])
                first.append((int(alarm.steps[i]), -alarm.severity, alarm, i))
        for step, _, alarm, i in sorted(first, key=lambda entry: entry[:2]):
            severity = rule.counted(alarm.severity)
            if severity > worst:
                worst = int(severity)
                found.append(_finding(rule, run, severity, step, _last(alarm, i), alarm.tell(i)))
    return tuple(found)


def _last(alarm: Alarm, i: int) -> int:
    """The last step of the unbroken stretch that begins at point i."""
    broken = np.flatnonzero(~alarm.holds[i:])
    return int(alarm.steps[i + int(broken[0]) - 1] if len(broken) else alarm.steps[-1])


def _finding(rule: Rule | Lint, run: RunHistory, severity: Severity, raised_at: int, last: int, told: Told) -> Finding:
    return Finding(
        rule.code,
        rule.name,
        severity,
        told.confidence,
        told.first_step,
        last,
        raised_at,
        told.message,
        told.evidence,
        told.prescriptions,
        run.segment,
        told.advice,
    )


def linted(run: RunHistory, lints: Iterable[Lint]) -> tuple[list[Finding], list[Skip]]:
    """What the settings alone tell; of a log with several segments the first one tells it."""
    raised: list[Finding] = []
    skips = []
    for lint in lints:
        reason = lint.missing(run.settings)
        if reason:
            skips.append(Skip(lint.code, reason))
        elif run.segment == 1:
            try:
                raised += _told_by(lint, run)
            except Failed as why:
                skips.append(Skip(lint.code, str(why)))
    return raised, skips


def _told_by(lint: Lint, run: RunHistory) -> list[Finding]:
    if lint.origin is None:
        return [
            _finding(lint, run, lint.highest, BEFORE_THE_RUN, BEFORE_THE_RUN, told)
            for told in lint.check(run.settings, **lint.changed)
        ]
    with _blamed(lint):
        found = _told_by(replace(lint, origin=None), run)
        _see_that_sound(found)
        return found


@contextmanager
def _blamed(judge: Rule | Lint) -> Iterator[None]:
    """Whatever a rule of somebody else raises is said of it, and the report goes on; one of ours is never run so."""
    try:
        yield
    except NotApplicable:
        raise
    except Exception as error:
        assert judge.origin is not None
        where, file = judge.origin.where, judge.check.__code__.co_filename
        raise Failed(f"the rule of {where} failed: {described(error, file)}") from error


def _see_that_sound(found: Iterable[Finding]) -> None:
    """TypeError for the first that cannot be reported."""
    fault = next(filter(None, map(unsound, found)), "")
    if fault:
        raise TypeError(fault)
