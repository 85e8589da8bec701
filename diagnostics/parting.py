"""Where two runs, or two groups of runs, part in a metric beyond noise.

Each run is cut into `STRETCHES` stretches. They part where the means of two stretches in a row lie further apart, on
the same side, than noise and another seed account for:

- The error of a mean is taken from the run's own means: from the median size of the second differences of neighbouring
  stretches (batch means: Law and Carson 1979), so that noise that is autocorrelated counts as such, and neither a trend
  nor a jump does. It is at least that of independent noise, from the differences of neighbouring points (von Neumann
  1941). Where it is more than `LASTING` times that, noise outlasts a stretch: neighbouring means have it in common,
  their differences do not show it all, and it is taken for larger in the same measure, up to `MOST_LASTING` times.
- Runs that differ in nothing but their seed part further than that: what is noise in one step is learned from in the
  next. Of one run a side this cannot be seen. An allowance stands for it, `SHARE` of the range that both sides together
  have covered until then. Of several runs a side it is what lies between these, beside which the allowance counts as
  `PRIOR` degrees of freedom (moderated t-test: Smyth 2004).

Of many metrics some would part by chance; the chances are corrected by Holm (1979).

`SHARE` is calibrated on recorded runs of equal settings and other seeds: of tenths the smallest with which fewer than 2
in 100 such pairs part in any metric, on the half of them that it was chosen on. tests/corpus/table_compare.py has the
figures of both halves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnostics.series import MetricSeries, Steps, Values
from diagnostics.stats import MAD_TO_SIGMA, rolling_mean
from diagnostics.student import bound

STRETCHES = 8
FINENESS = 4  # to which part of a stretch the first step is found
LEAST = 3  # points in a stretch
SHARE = 0.4
PRIOR = 4
# Under AR(1) noise of 0.95 a step, some of 20 metrics that differ in nothing part in 3 of 100 pairs of runs of 100
# steps with these, in half of them without. The second is for curves with little noise, whose bends look like it.
LASTING, MOST_LASTING = 2.0, 3.0
ALPHA = 0.05
RARE = 0.002  # the chance that the allowance leaves to seeds: what Holm leaves to one of 25 metrics
GAUSSIAN = 1.96  # standard errors beyond which, on either side, lie `ALPHA`
_ROUNDING = 1e-9  # of where a part begins
LARGEST = 1e100  # a divergence may be any number; the square of this one is still a float

Position = Callable[[Steps], Values]  # where steps lie on the axis along which runs are compared
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parting:
    """How far a metric lies apart.

    The sides part at the position `at` and lie apart until `until`; None where they do not, and where they do to the
    end. `before` and `after` are their means over the last stretch in which they lie apart, else over the last that all
    runs have, and `error` is half of the 95 % interval of their difference.
    """

    metric: str
    at: float | None
    until: float | None
    before: float
    after: float
    error: float
    chance: float

    @property
    def difference(self) -> float:
        """After less before."""
        return self.after - self.before


Series = Mapping[str, MetricSeries]


def partings(before: Sequence[Series], after: Sequence[Series], positions: Sequence[Position]) -> list[Parting]:
    """Each metric that all runs have points enough of, those first of which it is surest that they part.

    `positions` are those of the runs before, then of those after. That any metric of like runs parts has a chance of
    `ALPHA` at most, as far as the noise within them is concerned.
    """
    runs = [*before, *after]
    common = [metric for metric in runs[0] if all(metric in run for run in runs)]
    apart = [
        found
        for metric in common
        if (found := _apart(metric, [run[metric] for run in runs], positions, len(before))) is not None
    ]
    told = []
    level = ALPHA
    for rank, one in enumerate(sorted(apart, key=lambda one: one.chance)):
        own = ALPHA / (len(apart) - rank)
        level = own if level and one.chance <= own else 0.0  # once one does not part, none behind it does
        told.append(one.parting(level))
    return told


@dataclass(frozen=True, slots=True)
class _Apart:
    """A metric of two sides, stretch by overlapping stretch (n,): their means, and where each ends.

    A stretch has `per` parts, of which `parts` are the distances and `begins` where each begins (n + per - 1,).
    `excess` is by how much the distance exceeds the allowance at a stretch and at all after it up to the next that
    shares no point with it; stretches that come later have none (n - per,). `noise` is the error of the distance, and
    `between` what seeds add to it, with so many `degrees` of freedom.
    """

    metric: str
    before: Values
    after: Values
    ends: Values
    parts: Values
    begins: Values
    excess: Values
    noise: float
    between: Values
    degrees: int
    per: int

    @property
    def chance(self) -> float:
        """The chance of so large an excess anywhere, by the noise within the runs."""
        return float(self._chances().min())

    def _chances(self) -> Values:
        if not self.noise:
            return np.where(self.excess > 0, 0.0, 1.0)
        return np.array([math.erfc(max(x, 0.0) / self.noise / math.sqrt(2)) for x in self.excess])

    def parting(self, level: float) -> Parting:
        """What is told of it where chances up to `level` count, none where it is 0."""
        beyond = np.flatnonzero(self._chances() <= level) if level else np.empty(0, int)
        parts = len(beyond) > 0
        known = np.flatnonzero(np.isfinite(self.after - self.before))
        last = int(beyond[-1]) + self.per if parts else int(known[-1])
        at_the_end = last >= known[-1]
        return Parting(
            self.metric,
            self._onset(int(beyond[0])) if parts else None,
            float(self.ends[last]) if parts and not at_the_end else None,
            float(self.before[last]),
            float(self.after[last]),
            math.hypot(GAUSSIAN * self.noise, bound(ALPHA, self.degrees) * float(self.between[last])),
            self.chance if self.excess.max() > 0 else 1.0,
        )

    def _onset(self, stretch: int) -> float:
        """Where the first part of `stretch` begins in which the distance is half of that of the stretch, or more."""
        distance = self.after[stretch] - self.before[stretch]
        parts = self.parts[stretch : stretch + self.per] / distance
        return float(self.begins[stretch + int(np.argmax(parts >= 0.5))])


def _apart(metric: str, runs: Sequence[MetricSeries], positions: Sequence[Position], first: int) -> _Apart | None:
    """`metric` of the `first` runs and of those behind them; None where they have too few points in common."""
    points = [_finite(position(run.steps), run.values) for run, position in zip(runs, positions, strict=True)]
    if not all(len(x) for x, _ in points):
        return None
    low, high = max(x[0] for x, _ in points), min(x[-1] for x, _ in points)
    points = [(x[inside], v[inside]) for x, v in points for inside in [(x >= low) & (x <= high)]]
    count = min(len(x) for x, _ in points)
    if count < 2 * LEAST or high <= low:
        return None
    width = max(LEAST, count // STRETCHES)
    per = min(FINENESS, width)
    bins = count * per // width
    parts, means = (np.array([_means(x, v, (low, high), bins, n) for x, v in points]) for n in (1, per))
    errors = np.array([_error(v, max(1, round(width * len(v) / count))) for _, v in points])
    sides = means[:first], means[first:]
    before, after = (side.mean(axis=0) for side in sides)
    known = np.isfinite(after - before)
    if not known.any():
        return None
    starts = [v[0] for _, v in points]
    lowest = np.fmin.accumulate(np.fmin(np.fmin(before, after), min(starts)))
    highest = np.fmax.accumulate(np.fmax(np.fmax(before, after), max(starts)))
    weight = sum(1 / len(side) for side in sides)
    degrees = PRIOR + len(runs) - 2
    between = _spread(sides, highest - lowest, degrees) * math.sqrt(weight)
    noise = math.hypot(*(math.sqrt(float(e @ e)) / len(e) for e in (errors[:first], errors[first:])))
    edges = np.linspace(low, high, bins + 1)
    logged = np.unique(np.concatenate([x for x, _ in points]))
    return _Apart(
        metric,
        before,
        after,
        edges[per:],
        parts[first:].mean(axis=0) - parts[:first].mean(axis=0),
        logged[logged.searchsorted(edges[:-1] - _ROUNDING * (high - low))],
        _sustained(after - before, bound(RARE, degrees) * between, per),
        noise,
        between,
        degrees,
        per,
    )


def _finite(positions: Values, values: Values) -> tuple[Values, Values]:
    known = np.isfinite(positions) & (np.abs(values) < LARGEST)
    return positions[known], values[known]


def _means(positions: Values, values: Values, within: tuple[float, float], bins: int, per: int) -> Values:
    """Means of `per` neighbouring of `bins` equal parts of a range (bins - per + 1,), NaN without a point."""
    low, high = within
    part = np.minimum(((positions - low) / (high - low) * bins).astype(np.int64), bins - 1)
    sums, counts = (np.bincount(part, weights, bins) for weights in (values, None))
    window = np.ones(per)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Values = np.convolve(sums, window, "valid") / np.convolve(counts, window, "valid")
    return mean


def _error(values: Values, width: int) -> float:
    """Standard error of the mean of `width` neighbouring values, 0 for values that are all the same."""
    independent = math.sqrt(float(np.mean(np.diff(values) ** 2)) / 2 / width)
    means = rolling_mean(values, width)[width - 1 :]
    if len(means) <= 2 * width or not independent:
        return independent
    bends = np.abs(means[2 * width :] - 2 * means[width:-width] + means[: -2 * width])
    slow = MAD_TO_SIGMA * float(np.median(bends)) / math.sqrt(6)
    return max(independent, slow * min(max(1.0, slow / (LASTING * independent)), MOST_LASTING))


def _spread(sides: tuple[Matrix, Matrix], covered: Values, degrees: int) -> Values:
    """Standard deviation between runs of a side (n,), `covered` being the range behind them.

    Of one run a side it is what makes the allowance `SHARE` of that range.
    """
    prior = SHARE / (bound(RARE, PRIOR) * math.sqrt(2)) * covered
    squares = sum(((side - side.mean(axis=0)) ** 2).sum(axis=0) for side in sides)
    spread: Values = np.sqrt((PRIOR * prior**2 + squares) / degrees)
    return spread


def _sustained(difference: Values, allowance: Values, per: int) -> Values:
    """The least excess of `difference` over `allowance`, on one side, from each stretch on to the one `per` later."""
    excess = np.abs(difference) - allowance
    of_each_side = [
        np.lib.stride_tricks.sliding_window_view(np.where(side * difference > 0, excess, -np.inf), per + 1).min(axis=1)
        for side in (1, -1)
    ]
    least: Values = np.fmax(*of_each_side)
    return least
