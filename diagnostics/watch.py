"""Runs the rules over a growing run, step by step: the same rule functions as over a finished one, the same findings.

A rule is shown only the first `warmup` and the last `lookback` points of its metrics, so that a step costs the same
however long the run is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from diagnostics.engine import order, report_on, rises
from diagnostics.finding import Finding, Report, Severity, Skip
from diagnostics.judging import Judges, judgeable, linted, rises_after
from diagnostics.rule import Catalogue, Failed, NotApplicable, Rule
from diagnostics.series import MetricSeries, RunHistory, Steps, Values

# A long run is checked every few steps, all of them at once: one more for each 100, and eight at most. What is
# raised, and at which step, does not depend on it.
STEPS_PER_CHECK, MOST = 100, 8


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
        self._judges = Judges.of(rules)
        self._rules = self._judges.rules
        self._warmup = max((rule.warmup for rule in self._rules), default=0)
        self._lookback = max((rule.lookback for rule in self._rules), default=0)
        self._read = {metric for rule in self._rules for metric in rule.metrics}
        self._run = judgeable(
            RunHistory({}, settings or {}, reward_bounds=reward_bounds, segment=segment, went_back=went_back)
        )
        self._series: dict[str, _Growing] = {}
        self._step: int | None = None
        self._checked_to, self._steps_seen, self._pending = -1, 0, 0
        self._touched: set[str] = set()
        self._worst: dict[str, Severity] = {}
        self._not_applicable: dict[str, str] = {}
        self.failed: dict[str, str] = {}  # why, by code: rules of others that had a fault, be it only once
        self._raised, self._lint_skips = linted(self._run, self._judges.lints)
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
        raised.sort(key=order)
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
        raised.sort(key=order)
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
        return report_on(history, self._judges, self._raised, skips)

    def _checked(self, rule: Rule, view: RunHistory) -> tuple[Finding, ...]:
        try:
            found = rises_after(rule, view, {}, after=self._checked_to, above=self._worst.get(rule.code))
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
