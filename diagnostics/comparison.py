"""What differs between runs: their settings, what was found in them, and where their metrics part.

Pure: the same runs and reports give the same comparison. `diagnostics.parting` has the statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from diagnostics import differences
from diagnostics.differences import Fate, FindingChange, Judged, SettingChange
from diagnostics.heldout import HELD_OUT
from diagnostics.metrics import metrics
from diagnostics.parting import Parting, Position, partings
from diagnostics.progress import REWARDS
from diagnostics.series import MetricSeries, RunHistory

COST = "completions_generated"
SEED = "seed"
# Metrics that are set, counted or a matter of the machine.
_NOT_MEASURED = {"rate", "weight", "completions", "s", "GiB", "cores", "share of time"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides of one run or more each, `before` and `after`, and what differs between them.

    `changed` are the settings that both log and that differ, `one_sided` those that only one logs, `others` those
    without a canonical name of either kind. Where `told` is False, a run logs no settings at all.

    `partings` are the metrics that could be compared, the surest first, along `unit`: steps, or completions where a
    step stands for another number of them on the other side. `doubles` (metric: another) have the same numbers as that
    in all runs, and are left out. `only` are the metrics of one side alone, `short` those with too few points in
    common, `broken` (metric: since which step on either side) those that cease to be finite on one side alone.
    """

    before: tuple[Judged, ...]
    after: tuple[Judged, ...]
    changed: tuple[SettingChange, ...]
    one_sided: tuple[SettingChange, ...]
    others: tuple[SettingChange, ...]
    told: bool
    findings: tuple[FindingChange, ...]
    partings: tuple[Parting, ...]
    doubles: dict[str, str]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    short: tuple[str, ...]
    broken: dict[str, tuple[int | None, int | None]]
    unit: str

    def changes(self) -> tuple[SettingChange, ...]:
        """What was changed: the settings that differ but for the seed."""
        return tuple(change for change in self.changed if change.name != SEED)

    def seeds(self) -> SettingChange | None:
        """The seeds, where they differ."""
        return next((change for change in self.changed if change.name == SEED), None)

    def of_fate(self, fate: Fate) -> tuple[FindingChange, ...]:
        """The findings of one fate, the worst first."""
        return tuple(finding for finding in self.findings if finding.fate is fate)

    def apart(self) -> tuple[Parting, ...]:
        """The metrics that part, in the order in which they do."""
        return tuple(sorted((p for p in self.partings if p.at is not None), key=lambda p: (p.at, p.chance)))

    def alike(self) -> tuple[Parting, ...]:
        """The metrics that do not part."""
        return tuple(p for p in self.partings if p.at is None)

    def reward(self) -> Parting | None:
        """What says whether it is better: the held-out reward, or the reward in training where that alone parts."""
        known = {p.metric.partition("[")[0]: p for p in reversed(self.partings)}
        rewards = [known[metric] for metric in (*HELD_OUT, *REWARDS) if metric in known]
        return next((p for p in rewards if p.at is not None), rewards[0] if rewards else None)


@np.errstate(all="ignore")  # a log may hold any number
def compare(before: Sequence[Judged], after: Sequence[Judged]) -> Comparison:
    """What differs between two sides; each has one run at least."""
    runs = [one.run for one in before], [one.run for one in after]
    settings = differences.settings(*runs)
    unit, positions = _axis([*runs[0], *runs[1]])
    logged = [_measured(run) for run in runs[0]], [_measured(run) for run in runs[1]]
    doubles = _doubles([one for side in logged for one in side])
    for one in (one for side in logged for one in side):
        for metric in doubles:
            del one[metric]
    common = set.intersection(*(set(one) for side in logged for one in side))
    compared = partings(*logged, positions)
    return Comparison(
        before=tuple(before),
        after=tuple(after),
        changed=tuple(setting for setting in settings if setting.before and setting.after),
        one_sided=tuple(setting for setting in settings if not (setting.before and setting.after)),
        others=tuple(differences.others(*runs)),
        told=all(run.settings for side in runs for run in side),
        findings=differences.findings(before, after, positions),
        partings=tuple(compared),
        doubles=doubles,
        only=(_only(logged[0], logged[1]), _only(logged[1], logged[0])),
        short=tuple(sorted(common - {parting.metric for parting in compared})),
        broken=_broken(*runs, common),
        unit=unit,
    )


def sides(runs: Sequence[Judged]) -> list[tuple[Judged, ...]]:
    """Runs in groups of equal settings but for the seed, in the order of their first ones.

    Each by itself where that makes one group of all, and a run that logs no settings too.
    """
    groups: dict[str, list[Judged]] = {}
    for place, one in enumerate(runs):
        known = {name: value for name, value in one.run.settings.items() if name != SEED}
        key = repr(sorted(known.items())) + one.run.framework if known else f"unknown {place}"
        groups.setdefault(key, []).append(one)
    return [tuple(group) for group in groups.values()] if len(groups) > 1 else [(one,) for one in runs]


def _measured(run: RunHistory) -> dict[str, MetricSeries]:
    """The metrics of a run that came of training."""
    known = metrics()
    return {
        name: series
        for name, series in run.series.items()
        if len(series) and known[name.partition("[")[0]].unit not in _NOT_MEASURED
    }


def _axis(runs: Sequence[RunHistory]) -> tuple[str, list[Position]]:
    """What runs are compared along: steps, or completions where steps stand for different numbers of them."""
    rates = [_rate(run) for run in runs]
    if any(math.isnan(rate) for rate in rates) or max(rates) <= 1.01 * min(rates):
        return "steps", [lambda steps: steps.astype(np.float64) for _ in runs]
    return "completions", [_completions(run[COST]) for run in runs]


def _completions(cost: MetricSeries) -> Position:
    return lambda steps: np.interp(steps, [0, *cost.steps], [0, *cost.values])


def _rate(run: RunHistory) -> float:
    """Completions for a step; NaN where they are not counted."""
    cost = run.get(COST)
    known = len(cost) > 1 and cost.steps[-1] > 0 and bool(np.all(np.diff(cost.values) >= 0))
    return float(cost.values[-1] / cost.steps[-1]) if known and math.isfinite(cost.values[-1]) else math.nan


def _doubles(runs: Sequence[dict[str, MetricSeries]]) -> dict[str, str]:
    """Metrics with the same numbers as another in all of `runs`, such as the only component of a reward."""
    first: dict[tuple[bytes, ...], str] = {}
    found = {}
    rewards = {*HELD_OUT, *REWARDS}
    for metric in sorted(runs[0], key=lambda name: (name not in rewards, "[" in name, name)):
        if all(metric in run for run in runs):
            numbers = tuple(run[metric].steps.tobytes() + run[metric].values.tobytes() for run in runs)
            other = first.setdefault(numbers, metric)
            if other != metric:
                found[metric] = other
    return found


def _only(mine: Sequence[dict[str, MetricSeries]], others: Sequence[dict[str, MetricSeries]]) -> tuple[str, ...]:
    return tuple(sorted({name for run in mine for name in run} - {name for run in others for name in run}))


def _broken(
    before: Sequence[RunHistory], after: Sequence[RunHistory], common: Iterable[str]
) -> dict[str, tuple[int | None, int | None]]:
    """The metrics of `common` that cease to be finite on one side, each with the step from which on they are not."""
    found = {metric: (_end(before, metric), _end(after, metric)) for metric in sorted(common)}
    return {metric: ends for metric, ends in found.items() if (ends[0] is None) != (ends[1] is None)}


def _end(runs: Sequence[RunHistory], metric: str) -> int | None:
    """The first step from which on `metric` is finite in none of `runs`, None where it is to the end of one."""
    ends = []
    for run in runs:
        series = run[metric]
        finite = np.flatnonzero(np.isfinite(series.values))
        if len(finite) and finite[-1] == len(series) - 1:
            return None
        ends.append(int(series.steps[finite[-1] + 1 if len(finite) else 0]))
    return max(ends)
