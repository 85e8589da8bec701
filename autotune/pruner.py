"""An Optuna pruner: a trial that cannot catch up with the best one at equal cost is stopped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from diagnostics.stats import median, noise

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

# How far luck may carry the end of a run: three standard deviations of the difference of two evaluations. Three and
# not two, because a trial is judged at every evaluation of its later half, against the luckiest of all trials.
MARGIN = 3 * math.sqrt(2)
EVALUATIONS = 3  # after the first: the least that a slope can be told from


@dataclass(frozen=True, slots=True)
class Curve:
    """The objective of one trial over its cost: `costs` (n,) ascending, `values` (n,) finite, higher is better."""

    costs: NDArray[np.float64]
    values: NDArray[np.float64]

    def upto(self, cost: float) -> Curve:
        """The evaluations until `cost`, that one included."""
        n = int(np.searchsorted(self.costs, cost, side="right"))
        return Curve(self.costs[:n], self.values[:n])

    @property
    def level(self) -> float:
        """Where it stands: the mean of the last tenth of the evaluations, as `TrialRecord.value` counts a trial."""
        return float(self.values[-max(1, len(self.values) // 10) :].mean())

    @property
    def slope(self) -> float:
        """What it gains per unit of cost of late: Theil-Sen over the later half of its evaluations, at least three.

        The median of the slopes between all pairs of evaluations: one lucky or unlucky evaluation does not move it.
        """
        n = max(3, (len(self.values) + 1) // 2)
        costs, values = self.costs[-n:], self.values[-n:]
        first, second = np.triu_indices(len(values), 1)
        return float(np.median((values[second] - values[first]) / (costs[second] - costs[first])))


@dataclass(frozen=True, slots=True)
class Forecast:
    """How far a trial may still get, in the units of the objective, and what it would have to reach.

    `reachable` is an optimistic value at the full `budget`; `target` is where trial `best` ended. `cost` and `budget`
    are in generated completions, or whatever the trials report their values at.
    """

    reachable: float
    target: float
    best: int
    cost: int
    budget: int
    maximize: bool = True

    @property
    def hopeless(self) -> bool:
        """Whether even that falls short of what the best trial reached."""
        return self.reachable < self.target if self.maximize else self.reachable > self.target

    def __str__(self) -> str:
        return (
            f"cannot catch up: at {self.cost:,} of {self.budget:,} completions it may still reach "
            f"{self.reachable:.3g}, and trial {self.best} ended at {self.target:.3g}"
        )


class CannotCatchUp(BasePruner):
    """Stops a trial when even a hopeful forecast of its end stays below where the best trial ended.

    With v(c) the objective of the trial at cost c and C the budget, which is the largest cost at which a finished trial
    was evaluated, the forecast is

        v(c) + max(G(c), S(c) (C - c), 0) + margin

    - G(c) is the most that any finished trial gained from cost c to its end: what is known to be possible on this task
      in what is left of the budget, a late jump included.
    - S(c) is the trial's own recent slope (`Curve.slope`), as if it went on without levelling off: curves of rewards do
      level off, and a slow starter that climbs steadily is carried to the end.
    - margin is 3 sqrt(2) sigma, as v(c) and the end of the best trial are evaluations both. sigma is the noise of one
      evaluation about its trend: that of this trial or of the typical finished one (`diagnostics.stats.noise`, the
      median of them), whichever is larger; or `noise` where it is given.

    The trial is stopped when the forecast falls short of the best end of a feasible trial. Nothing is stopped before
    half of the budget is spent, before three evaluations after the first, or before a trial has finished. Trials that
    Optuna counts as infeasible set no target: a reward that was hacked is nothing to catch up with.

    Unlike the median pruner it never asks whether a trial is among the better ones now, which slow starters are not,
    and it needs one finished trial instead of five. Values that are not finite are left out. How it does on recorded
    runs: tests/benchmarks/table_pruner.py.

    `noise` is the standard deviation of one evaluation, in the units of the objective; ValueError where it is none.
    """

    def __init__(self, *, noise: float | None = None) -> None:
        if noise is not None and not 0 <= noise < math.inf:
            raise ValueError(f"noise is {noise!r}; it takes a finite number from 0 upwards")
        self._noise = noise

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to be stopped now."""
        forecast = self.forecast(study, trial)
        return forecast is not None and forecast.hopeless

    def forecast(self, study: optuna.Study, trial: FrozenTrial) -> Forecast | None:
        """How far the trial may get; None where it is too early to say, or where there is nothing to compare with."""
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        own = _curve(trial, sign)
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        finished = {t.number: curve for t in complete if len((curve := _curve(t, sign)).costs)}
        feasible = [t.number for t in complete if t.number in finished and max(t.constraints.values(), default=0) <= 0]
        if len(own.costs) < 1 + EVALUATIONS or not feasible:
            return None
        cost, budget = own.costs[-1], max(curve.costs[-1] for curve in finished.values())
        if not budget / 2 <= cost < budget:
            return None
        pasts = [(curve, curve.upto(cost)) for curve in finished.values()]
        gains = [curve.level - past.level for curve, past in pasts if len(past.costs)]
        gain = max(0.0, own.slope * (budget - cost), *gains)
        best = max(feasible, key=lambda number: finished[number].level)
        reachable = own.level + gain + MARGIN * self._sigma(own, list(finished.values()))
        return Forecast(sign * reachable, sign * finished[best].level, best, int(cost), int(budget), sign > 0)

    def _sigma(self, own: Curve, finished: list[Curve]) -> float:
        """Noise of one evaluation, 0 where no curve is long enough to tell."""
        if self._noise is not None:
            return self._noise
        typical = median(np.array([noise(curve.values) for curve in finished]))
        return float(np.nanmax([0.0, noise(own.values), typical]))


def _curve(trial: FrozenTrial, sign: float) -> Curve:
    points = sorted((cost, sign * value) for cost, value in trial.intermediate_values.items() if math.isfinite(value))
    return Curve(np.array([cost for cost, _ in points], float), np.array([value for _, value in points], float))
