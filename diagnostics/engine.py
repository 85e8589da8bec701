"""Runs the rules: over a finished run at once, or over a growing one step by step, with the same result.

A finding is raised at the first step at which its condition holds, and again where its severity rises. Both ways call
the same rule functions. Following a run, a rule is shown only the first `warmup` and the last `lookback` points of its
metrics, so that a step costs the same however long the run is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diagnostics import metrics as canonical
from diagnostics.catalogue import notes
from diagnostics.contract import unsound
from diagnostics.errors import described
from diagnostics.excerpt import excerpt
from diagnostics.explaining import explained
from diagnostics.finding import Finding, Report, Severity, Skip
from diagnostics.reasoning import causes
from diagnostics.rule import Alarm, Catalogue, Failed, Lint, NotApplicable, Rule, Told, shipped
from diagnostics.series import MetricSeries, RunHistory, Steps, Values, are_bounds

BEFORE_THE_RUN = 0  # `raised_at` of what the configuration alone tells
# A long run is checked every few steps, all of them at once: one more for each 100, and eight at most. What is
# raised, and at which step, does not depend on it.
STEPS_PER_CHECK, MOST = 100, 8


def rises(rule: Rule, run: RunHistory, **thresholds: Any) -> tuple[Finding, ...]:
    """What `rule` raises on `run`, each rise of severity once, in the order of the steps.

    Raises NotApplicable where the rule says it cannot judge this run, Failed where one that is not ours has a fault.
    """
    return _rises(rule, run, thresholds, after=-1, above=None)


def diagnose(runs: RunHistory | Sequence[RunHistory], rules: Catalogue | None = None) -> Report:
    """Every finding of a finished run, or of all segments of one log, and every rule that could not judge it.

    `rules` are all that it is judged by; without them it is what comes with autotune.
    """
    segments = [runs] if isinstance(runs, RunHistory) else runs
    judges = _Judges.of(rules)
    return _with_suggestions(merged([_diagnosed(run, judges) for run in segments]))


def merged(reports: Sequence[Report]) -> Report:
    """The reports on the segments of one log as one; at least one is needed.

    What is said of the log as a whole, such as its notes, is taken from the last one.
    """
    if len(reports) == 1:
        return reports[0]
    skipped = [{skip.code for skip in report.skips} for report in reports]
    everywhere = set.intersection(*skipped)
    longest = max(reports, key=lambda report: report.steps)
    return replace(
        reports[-1],
        findings=tuple(sorted((f for report in reports for f in report.findings), key=_worst_first)),
        raised=tuple(f for report in reports for f in report.raised),
        skips=tuple(skip for skip in longest.skips if skip.code in everywhere),
        segments=len(reports),
        excerpts=tuple(shown for report in reports for shown in report.excerpts),
        causes=tuple(sorted((c for report in reports for c in report.causes), key=lambda cause: -cause.confidence)),
        explained=tuple(e for report in reports for e in report.explained),
    )


def _with_suggestions(report: Report) -> Report:
    """`report` with what names that nobody knows may mean, of the metrics that no other name was read as."""
    if not report.unmapped:
        return report
    from diagnostics.suggest import suggest  # reads every vocabulary

    likely = {name: [metric for metric in suggest(name) if metric not in report.names] for name in report.unmapped}
    return replace(report, suggestions={name: tuple(metrics) for name, metrics in likely.items() if metrics})


@dataclass(frozen=True, slots=True)
class _Judges:
    """A catalogue taken apart."""

    rules: tuple[Rule, ...]
    lints: tuple[Lint, ...]
    ignored: tuple[Skip, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, rules: Catalogue | None) -> _Judges:
        every = shipped() if rules is None else rules
        asked = [judge for judge in every.values() if not judge.ignored]
        return cls(
            tuple(judge for judge in asked if isinstance(judge, Rule)),
            tuple(judge for judge in asked if isinstance(judge, Lint)),
            tuple(Skip(j.code, f"left out by {j.tuning.where}") for j in every.values() if j.tuning and j.ignored),
            notes(every),
        )

    def __len__(self) -> int:
        return len(self.rules) + len(self.lints) + len(self.ignored)


def _diagnosed(run: RunHistory, judges: _Judges) -> Report:
    run = _judgeable(run)
    raised, skips = _linted(run, judges.lints)
    for rule in judges.rules:
        reason = rule.missing(run)
        found: tuple[Finding, ...] = ()
        try:
            found = rises(rule, run) if rule.logged(run) else ()
        except NotApplicable as why:
            reason = reason or str(why)
        raised += found
        if reason and not found:
            skips.append(Skip(rule.code, reason))
    return _report(run, judges, raised, skips)


class Watch:
    """Diagnoses a run while it is written.

    Points are added step by step; a step is closed when the next one begins or the run ends, so that late rows of a
    step still belong to it. Steps must not decrease.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Any] | None = None,
        reward_bounds: tuple[float, float] | None = None,
        segment: int = 1,
        went_back: tuple[int, int] | None = None,
        rules: Catalogue | None = None,
    ) -> None:
        self._judges = _Judges.of(rules)
        self._rules = self._judges.rules
        self._warmup = max((rule.warmup for rule in self._rules), default=0)
        self._lookback = max((rule.lookback for rule in self._rules), default=0)
        self._read = {metric for rule in self._rules for metric in rule.metrics}
        self._run = _judgeable(
            RunHistory({}, settings or {}, reward_bounds=reward_bounds, segment=segment, went_back=went_back)
        )
        self._series: dict[str, _Growing] = {}
        self._step: int | None = None
        self._checked_to, self._steps_seen, self._pending = -1, 0, 0
        self._touched: set[str] = set()
        self._worst: dict[str, Severity] = {}
        self._not_applicable: dict[str, str] = {}
        self.failed: dict[str, str] = {}  # why, by code: rules of others that had a fault, be it only once
        self._raised, self._lint_skips = _linted(self._run, self._judges.lints)
        self._from_settings = tuple(self._raised)

    @property
    def raised(self) -> tuple[Finding, ...]:
        """Everything raised so far, in order."""
        return tuple(self._raised)

    def lint(self) -> tuple[Finding, ...]:
        """What the settings alone tell, before the first step."""
        return self._from_settings

    def add(self, step: int, metrics: Mapping[str, float]) -> tuple[Finding, ...]:
        """Add points of `step`; returns what closing the steps before it raised. ValueError for a step that is past."""
        raised: tuple[Finding, ...] = ()
        if self._step is not None and step < self._step:
            raise ValueError(f"step {step} after step {self._step}: a new attempt needs a new watch")
        if self._step is not None and step > self._step:
            self._steps_seen, self._pending = self._steps_seen + 1, self._pending + 1
            if self._pending >= min(MOST, 1 + self._steps_seen // STEPS_PER_CHECK):
                raised = self.close()
        self._step = step
        for metric, value in metrics.items():
            self._series.setdefault(metric, _Growing()).put(step, float(value))
            self._touched.add(metric.partition("[")[0])
        return raised

    def load(self, run: RunHistory) -> tuple[Finding, ...]:
        """Take in all of `run` at once, as if its points had been added step by step to this new watch.

        Its last step stays open. Returns what the steps before it raised.
        """
        self._step = run.last_step
        closed = run.upto(self._step - 1)
        known = self._run.with_series(closed.series)
        raised: list[Finding] = []
        for rule in self._rules:
            if not rule.logged(known):
                continue
            try:
                found = rises(rule, known)
            except NotApplicable as why:
                self._cannot_judge(rule, why)
                continue
            if found:
                self._worst[rule.code] = found[-1].severity
            raised += found
        for name, series in run.series.items():
            self._series[name] = _Growing.holding(series)
            if len(series) and series.steps[-1] == self._step:
                self._touched.add(name.partition("[")[0])
        self._checked_to, self._steps_seen = self._step - 1, int(max(map(len, closed.series.values()), default=0))
        raised.sort(key=_order)
        self._raised += raised
        return tuple(raised)

    def close(self) -> tuple[Finding, ...]:
        """Close the current step, as at the end of the run; returns what that and the steps not checked yet raised."""
        raised: list[Finding] = []
        if self._step is not None:
            view = self._view()
            for rule in self._rules:
                if self._worst.get(rule.code) == rule.highest:
                    continue  # severity only rises, and this rule has none above
                if (not rule.metrics or not self._touched.isdisjoint(rule.metrics)) and rule.logged(view):
                    raised += self._checked(rule, view)
            self._checked_to, self._pending = self._step, 0
        self._touched.clear()
        raised.sort(key=_order)
        self._raised += raised
        return tuple(raised)

    def history(self, run: RunHistory | None = None) -> RunHistory:
        """All points so far as a run; what else is known of it is taken from `run`."""
        series = {name: MetricSeries(name, *grown.points()) for name, grown in self._series.items()}
        return (run or self._run).with_series(series)

    def report(self, run: RunHistory | None = None) -> Report:
        """What is known by now; source, framework and notes are taken from `run`."""
        history = self.history(run)
        skips = list(self._lint_skips)
        for rule in self._rules:
            reason = rule.missing(history) or self._not_applicable.get(rule.code, "")
            failed = self.failed.get(rule.code, "")
            if failed or (reason and rule.code not in self._worst):
                skips.append(Skip(rule.code, failed or reason))
        return _report(history, self._judges, self._raised, skips)

    def _checked(self, rule: Rule, view: RunHistory) -> tuple[Finding, ...]:
        try:
            found = _rises(rule, view, {}, after=self._checked_to, above=self._worst.get(rule.code))
        except NotApplicable as why:
            self._cannot_judge(rule, why)
            return ()
        self._not_applicable.pop(rule.code, None)
        if found:
            self._worst[rule.code] = found[-1].severity
        return found

    def _cannot_judge(self, rule: Rule, why: NotApplicable) -> None:
        self._not_applicable[rule.code] = str(why)
        if isinstance(why, Failed):
            self.failed.setdefault(rule.code, str(why))

    def _view(self) -> RunHistory:
        """The first and the last points of each metric, as many as the rules look at: one for all of them, so that
        what several rules compute of it is computed once.

        Metrics of other cadences reach back as far as the rarest one of this step, so that joins see what they need; a
        metric that was not logged at this step does not hold the others back.
        """
        lookback = self._lookback + self._pending
        points = {name: grown.points() for name, grown in self._series.items() if name.partition("[")[0] in self._read}
        since = min(
            (
                int(steps[max(0, len(steps) - lookback - 1)])
                for name, (steps, _) in points.items()
                if name.partition("[")[0] in self._touched
            ),
            default=0,
        )
        series = {}
        for name, (steps, values) in points.items():
            tail = min(int(steps.searchsorted(since)), len(steps) - lookback - 1)
            if self._warmup < tail:
                steps = np.concatenate([steps[: self._warmup], steps[tail:]])
                values = np.concatenate([values[: self._warmup], values[tail:]])
            series[name] = MetricSeries(name, steps, values)
        return self._run.with_series(series)


class _Growing:
    """A series that grows at its end, in arrays that double; the points are views."""

    __slots__ = ("_n", "_steps", "_values")

    def __init__(self) -> None:
        self._steps, self._values, self._n = np.empty(64, np.int64), np.empty(64), 0

    @classmethod
    def holding(cls, series: MetricSeries) -> _Growing:
        grown = cls()
        grown._steps, grown._values, grown._n = series.steps.copy(), series.values.copy(), len(series)
        return grown

    def put(self, step: int, value: float) -> None:
        if self._n and self._steps[self._n - 1] == step:  # logged twice in one step: the later row corrects the earlier
            self._n -= 1
        if self._n == len(self._steps):
            more = max(self._n, 64)
            self._steps = np.concatenate([self._steps, np.empty(more, np.int64)])
            self._values = np.concatenate([self._values, np.empty(more)])
        self._steps[self._n], self._values[self._n] = step, value
        self._n += 1

    def points(self) -> tuple[Steps, Values]:
        return self._steps[: self._n], self._values[: self._n]


def _judgeable(run: RunHistory) -> RunHistory:
    """`run` with what cannot be true of it unknown: settings that are none, reward bounds that bound nothing."""
    known = canonical.settings()
    kept = {name: v for name, v in run.settings.items() if v is None or name not in known or known[name].accepts(v)}
    bounds = run.reward_bounds if run.reward_bounds is not None and are_bounds(run.reward_bounds) else None
    return replace(run, settings=kept, reward_bounds=bounds)


def _rises(
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


def _linted(run: RunHistory, lints: Iterable[Lint]) -> tuple[list[Finding], list[Skip]]:
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


def _worst_first(finding: Finding) -> tuple[int, int, int, str]:
    return (-finding.severity, finding.segment, finding.raised_at, finding.code)


def _order(finding: Finding) -> tuple[float, str, int]:
    return (finding.raised_at, finding.code, finding.severity)


@np.errstate(all="ignore")  # causes and explanations read the same numbers as the rules
def _report(run: RunHistory, judges: _Judges, raised: Iterable[Finding], skips: Iterable[Skip]) -> Report:
    ordered = sorted(raised, key=_order)
    worst: dict[str, Finding] = {}
    for finding in ordered:  # severity only rises, so the last of a code is its worst
        worst[finding.code] = finding
    findings = tuple(sorted(worst.values(), key=_worst_first))
    return Report(
        source=run.source,
        framework=run.framework,
        steps=run.last_step,
        findings=findings,
        raised=tuple(ordered),
        skips=tuple(sorted((*skips, *judges.ignored), key=lambda s: s.code)),
        unmapped=run.unmapped,
        notes=(*run.notes, *judges.notes),
        format=run.format,
        version=run.version,
        recognised=run.recognised,
        names=run.names,
        rules=len(judges),
        excerpts=tuple(shown for finding in worst.values() if (shown := excerpt(finding, run)) is not None),
        causes=causes(findings, run),
        explained=explained(findings, run),
    )
