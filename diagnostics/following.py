"""Diagnoses a log while it is written, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diagnostics.engine import diagnose, merged
from diagnostics.finding import Finding, Report, Severity
from diagnostics.logs import Log
from diagnostics.rule import Catalogue
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.watch import Watch

AT_ONCE = 200  # steps; one by one they cost what 20,000 cost that are taken in all at once

Known = tuple[str, int, int, Severity]  # what makes a finding the same one


class Following:
    """Follows `log`, which stays its owner's to close.

    What was raised once is not raised again, also where rows that came later changed what is known of earlier steps.
    """

    def __init__(self, log: Log, rules: Catalogue | None = None) -> None:
        self.runs: Sequence[RunHistory] = ()
        self._log, self._rules = log, rules
        self._watched: list[_Watched] = []
        self._raised: set[Known] = set()
        self._finished = False

    @property
    def ended(self) -> bool:
        """Whether the log says that its run is over."""
        return self._log.ended

    def poll(self) -> tuple[Finding, ...]:
        """Read what is new; what that raised. OSError where the log can no longer be read."""
        return self._look() if self._log.poll() or not self.runs else ()

    def catch_up(self) -> tuple[Finding, ...]:
        """Read all there is by now; what that raised."""
        while self._log.poll():
            pass
        return self._look()

    def finish(self) -> tuple[Finding, ...]:
        """Nothing more will come: what its last rows raise."""
        self._log.finish()
        self._finished = True
        return self._new((*self._look(), *(f for watched in self._watched for f in watched.watch.close())))

    def report(self) -> Report:
        """What is known by now; `poll` comes first. How long a finding held is known when the log is finished."""
        if self._finished:
            return diagnose(self.runs, self._rules)
        pairs = zip(self._watched, self.runs, strict=True)
        return merged([watched.watch.report(run) for watched, run in pairs])

    def _look(self) -> tuple[Finding, ...]:
        runs = self._log.histories()
        if len(runs) < len(self._watched):  # what looked like another run was none
            self._watched = []
        raised: list[Finding] = []
        for i, run in enumerate(runs):
            if i == len(self._watched) or self._watched[i].is_behind(run) or not self._watched[i].goes_on_in(run):
                raised += self._begin(i, run)
            else:
                raised += self._watched[i].take(run)
            if i + 1 < len(runs):  # another run begins after it
                raised += self._watched[i].watch.close()
        self.runs = runs
        return self._new(raised)

    def _begin(self, i: int, run: RunHistory) -> Sequence[Finding]:
        watched = _Watched(run, self._rules)
        self._watched[i : i + 1] = [watched]
        return (*watched.watch.lint(), *watched.load(run))

    def _new(self, raised: Sequence[Finding]) -> tuple[Finding, ...]:
        new = []
        for finding in raised:
            known = (finding.code, finding.segment, finding.raised_at, finding.severity)
            if known not in self._raised:
                self._raised.add(known)
                new.append(finding)
        return tuple(new)


@dataclass(frozen=True, slots=True)
class _Taken:
    """How many points of a metric were seen, and the last of them; its value in bytes, so that NaN equals itself."""

    points: int
    step: int
    value: bytes


NOTHING = _Taken(0, -1, b"")


def _taken(series: MetricSeries, points: int) -> _Taken:
    """The first `points` points of `series`, `NOTHING` where there are fewer."""
    if not 0 < points <= len(series):
        return NOTHING
    return _Taken(points, int(series.steps[points - 1]), series.values[points - 1].tobytes())


class _Watched:
    """One segment of a log and the watch that sees it grow."""

    def __init__(self, run: RunHistory, rules: Catalogue | None) -> None:
        self._settings = run.settings
        self.watch = Watch(
            settings=run.settings,
            reward_bounds=run.reward_bounds,
            segment=run.segment,
            went_back=run.went_back,
            rules=rules,
        )
        self._taken: dict[str, _Taken] = {}
        self._step = -1

    def load(self, run: RunHistory) -> tuple[Finding, ...]:
        self._remember(run)
        return self.watch.load(run) if run.last_step >= 0 else ()

    def goes_on_in(self, run: RunHistory) -> bool:
        """Whether `run` is what is watched with points at its last step or after it, and nothing else."""
        if run.settings != self._settings or not self._taken.keys() <= run.series.keys():
            return False
        for name, series in run.series.items():
            taken = self._taken.get(name, NOTHING)
            if taken.points and _taken(series, taken.points) != taken:
                return False
            if len(series) > taken.points and int(series.steps[taken.points]) < self._step:
                return False
        return self._step >= 0

    def is_behind(self, run: RunHistory) -> bool:
        """Whether so much is new that all of it is better taken in at once."""
        points = max(map(len, run.series.values()), default=0)
        return points - max((taken.points for taken in self._taken.values()), default=0) > AT_ONCE + points // 100

    def take(self, run: RunHistory) -> Sequence[Finding]:
        """Add what is new, step by step."""
        rows: dict[int, dict[str, float]] = {}
        for name, series in run.series.items():
            taken = self._taken.get(name, NOTHING).points
            for step, value in zip(series.steps[taken:].tolist(), series.values[taken:].tolist(), strict=True):
                rows.setdefault(step, {})[name] = value
        self._remember(run)
        return [finding for step in sorted(rows) for finding in self.watch.add(step, rows[step])]

    def _remember(self, run: RunHistory) -> None:
        self._taken = {name: _taken(series, len(series)) for name, series in run.series.items() if len(series)}
        self._step = run.last_step
