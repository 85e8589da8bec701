"""How the reward stands against its own early life: what most rules ask before they call a number bad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diagnostics.series import MetricSeries, RunHistory, Steps, Values
from diagnostics.stats import (
    Mask,
    block_trend,
    lagged,
    mean,
    noise,
    rolling_max,
    rolling_mean,
    rolling_noise,
    wander,
)

REWARD = "reward_mean"
SUCCESS = "success_share"
# What is judged as the reward, the first of which there are points: a log may count successes alone, or tell only the
# reward less the KL penalty. A rule names all of them where it reads the reward by `reward_of` or `progress`.
REWARDS = (REWARD, SUCCESS, "reward_total")
# Per token, the best known estimate first; rules treat one whose estimator is not known as they treat k3.
KL_TOKEN = ("kl.reference.k3.token", "kl.reference.k1.token", "kl.reference.unknown.token")

# Points that freeze the early life, of which the first few show the model before the updates took hold: a learning
# rate that is far too high wrecks a policy within five steps.
WARMUP = 10
UNTOUCHED = 5
# Points of one recent level: averages the noise of a step down to a third.
RECENT = 10
# Points from which the noise of a step is taken: of 20 it is known to a fifth, of 10 only to a third.
NOISE = 20
# A trend is one of so many neighbouring means of so many points.
BLOCK, BLOCKS = 10, 5
# Points over which the wandering of such means is taken, and their best.
MEMORY = 100
# Points of one trend, within which a run's own falls are measured as well, and how far back a fall at once began.
TREND, LEAP = BLOCK * BLOCKS, 2 * BLOCK
# A run knows its own falls from so many points on, by those before the last trend; one so many times deeper is new.
OLD, PAST, DEEPER = 140, 250, 2.5
# A younger run's fall of so many times the span of all its means before is no wave: of 200 runs each that learn under
# AR(0.9) noise of a fifth of their gain, or noise smoothed over 20 or 50 steps, none of 100 steps has one.
PLUNGE = 2.0
# Times what neighbours differ by that noise of single steps scatters about a line at most (house default).
WHITE = 1.1
# What `Fall` looks back in all.
FALL_LOOKBACK = PAST + 2 * TREND + BLOCK
# Share of the range of the reward below its top that counts as the top: house default.
CEILING = 0.1


@dataclass(frozen=True, slots=True)
class Early:
    """The first points of a metric: their mean, their noise, and the step from which they are known."""

    level: float
    noise: float
    known_from: int


def early(series: MetricSeries, warmup: int) -> Early | None:
    """The early life of `series`, None before it has `warmup` points or where none of them is finite."""
    if len(series) < warmup or not np.isfinite(series.values[:warmup]).any():
        return None
    first = series.values[:warmup]
    return Early(mean(first), noise(first), int(series.steps[warmup - 1]))


@dataclass(frozen=True, slots=True)
class Progress:
    """The reward at each point (n,); NaN, which no comparison meets, until it is known.

    `recent` is the level of the last points, `scale` the noise of one step, `gain` how far `recent` lies above the
    early mean and `loss` how far below the best of the very first points, both in units of `scale`.
    """

    recent: Values
    scale: Values
    gain: Values
    loss: Values


def step_noise(series: MetricSeries) -> Values:
    """The noise of one step at each point (n,): the larger of the early and the recent one, NaN before `NOISE` points.

    The early one counts where it is known, so that a run that has gone still is not measured by its stillness.
    """
    recent = rolling_noise(series.values, NOISE)
    return np.maximum(recent, np.nan_to_num(recent[NOISE - 1])) if len(recent) >= NOISE else recent


def reward_of(run: RunHistory) -> MetricSeries:
    """The reward of a run, or what stands for it where it is not logged; empty where there is nothing."""
    return run.get(next(filter(run.points, REWARDS), REWARD))


def bounds_of(run: RunHistory) -> tuple[float, float] | None:
    """The lowest and highest that `reward_of` can be, None where nobody says. A share knows its own."""
    metric = reward_of(run).metric
    return (0.0, 1.0) if metric == SUCCESS else run.reward_bounds if metric == REWARD else None


def at_ceiling(run: RunHistory, level: Values, ceiling: float) -> Mask:
    """Whether the reward `level` (n,) is within `ceiling` of the top of its range; nowhere if that is not known."""
    bounds = bounds_of(run)
    if bounds is None:
        return np.zeros(len(level), dtype=bool)
    low, high = bounds
    return level >= ceiling * low + (1 - ceiling) * high


def progress(run: RunHistory) -> tuple[MetricSeries, Progress]:
    """The reward of a run (`reward_of`), and how it stands at each of its points."""
    return run.once(_progress)


def _progress(run: RunHistory) -> tuple[MetricSeries, Progress]:
    reward = reward_of(run)
    known = early(reward, WARMUP)
    if known is None:
        unknown = np.full(len(reward), np.nan)
        return reward, Progress(unknown, unknown, unknown, unknown)
    recent = rolling_mean(reward.values, RECENT)
    # A constant reward has no noise at all; the floor makes its gain 0, not unknown.
    scale = np.maximum(step_noise(reward), 1e-9 * max(1.0, abs(known.level)))
    untouched = reward.values[:UNTOUCHED]
    best = float(np.max(untouched[np.isfinite(untouched)], initial=-np.inf))
    recent = np.where(reward.steps >= known.known_from, recent, np.nan)
    with np.errstate(invalid="ignore"):
        return reward, Progress(recent, scale, (recent - known.level) / scale, (best - recent) / scale)


@dataclass(frozen=True, slots=True)
class Fall:
    """How the reward came down over the last `BLOCKS` blocks, at each point (n,).

    `before` and `level` are the means of the first and the last of the blocks, `trend` Kendall's tau of all, `scale`
    the noise of one step and `gained` how far the best mean of the last points lies above the early one. `usual` is
    the deepest fall of such a mean before these blocks, which is what this run does by itself, and `span` from the
    lowest to the highest of the means up to `LEAP` points ago.
    """

    reward: MetricSeries
    before: Values
    level: Values
    trend: Values
    scale: Values
    gained: Values
    usual: Values
    span: Values

    def steady(self, trend: float, drop: float, errors: float, part: float) -> Mask:
        """Where the trend is at most -`trend` and the fall more than `drop` times the noise of one step, and no wave
        of this run: more than `errors` standard errors of a difference of two blocks, and `DEEPER` than before.

        The run also has to lose the share `part` of what had been gained, where its history is too short to say more.
        """
        lost = self.before - self.level
        with np.errstate(invalid="ignore"):
            fell = (self.trend <= -trend) & (lost > drop * self.scale)
            return self._is_new(lost, fell, errors, part)

    def at_once(self, drop: float, errors: float, part: float) -> Mask:
        """Where the last block lies under the one two before by more than `drop` times the noise of one step, and each
        of its points by half of that, so that no dip of a few points counts; in a run old enough to know its waves.
        """
        before = lagged(self.level, LEAP)
        lost = before - self.level
        with np.errstate(invalid="ignore"):
            lowest = before - rolling_max(self.reward.values, BLOCK)
            fell = self.known & (lost > drop * self.scale) & (2 * lowest > drop * self.scale)
            return self._is_new(lost, fell, errors, part)

    def _is_new(self, lost: Values, fell: Mask, errors: float, part: float) -> Mask:
        """Which of the falls `fell` of the size `lost` (n,) are none of the run's own waves."""
        # Noise that is not independent from step to step moves whole blocks, which the noise of one step hides.
        error = np.sqrt(2) * np.nan_to_num(wander(self.reward.values, BLOCK, MEMORY, fell))
        beyond = fell & (lost > errors * error)
        much = lost >= part * self.gained
        alone = steps_alone(self.reward.values, beyond & ~(self.known & much))
        held: Mask = beyond & np.where(self.known, (much | alone) & (lost > DEEPER * self.usual), much & alone)
        return held

    def new(self, lost: Values, where: Mask) -> Mask:
        """Which of the falls `where` of the size `lost` (n,) are none of this run's waves: deeper by far than those it
        had before or, in a run too young to know them, from noise that has none, or larger by far than all that it
        had moved until then.
        """
        plunged = where & ~self.known & (lost > PLUNGE * self.span)
        alone = plunged | steps_alone(self.reward.values, where & ~self.known & ~plunged)
        held: Mask = where & np.where(self.known, lost > DEEPER * self.usual, alone)
        return held

    @property
    def known(self) -> Mask:
        """Where the run is old enough to know how deep it falls by itself."""
        return np.arange(len(self.level)) >= OLD


def fall(run: RunHistory) -> Fall:
    """How the reward of a run (`reward_of`) comes down, where it does."""
    return run.once(_fall)


def _fall(run: RunHistory) -> Fall:
    reward = reward_of(run)
    level = rolling_mean(reward.values, BLOCK)
    start = level[BLOCK - 1] if len(level) >= BLOCK else np.nan
    return Fall(
        reward,
        lagged(level, BLOCK * (BLOCKS - 1)),
        level,
        block_trend(reward.values, BLOCK, BLOCKS),
        step_noise(reward),
        np.nan_to_num(rolling_max(level, MEMORY) - start),
        np.nan_to_num(lagged(rolling_max(rolling_max(level, TREND) - level, PAST), TREND)),
        np.nan_to_num(lagged(rolling_max(level, MEMORY) + rolling_max(-level, MEMORY), LEAP), nan=np.inf),
    )


def steps_alone(values: Values, where: Mask) -> Mask:
    """Whether the noise of `values` is of single steps, at the points (n,) `where` holds: whether in most stretches of
    `NOISE` of the last `MEMORY` points they scatter about a line hardly more than neighbours differ.
    """
    alone = np.zeros(len(values), dtype=bool)
    at = np.arange(NOISE) - (NOISE - 1) / 2
    for i in np.flatnonzero(where):
        known = values[max(0, i - MEMORY + 1) : i + 1]
        stretches = np.lib.stride_tricks.sliding_window_view(known, NOISE)[:: -NOISE // 4]
        centred = stretches - stretches.mean(axis=1, keepdims=True)
        about_a_line = (np.sum(centred**2, axis=1) - (centred @ at) ** 2 / (at @ at)) / (NOISE - 2)
        of_a_step = np.mean(np.diff(stretches, axis=1) ** 2, axis=1) / 2
        still = 1e-12 * np.mean(stretches**2, axis=1)  # what rounding leaves of a constant
        alone[i] = np.mean(about_a_line <= WHITE**2 * of_a_step + still) >= 0.5
    return alone


def joined(series: MetricSeries, values: Values, steps: Steps) -> Values:
    """`values`, one for each point of `series`, as last known at each of `steps`."""
    return MetricSeries(series.metric, series.steps, values).at(steps)


def recent_median(run: RunHistory, metrics: tuple[str, ...], step: int) -> float:
    """Median of the last points up to `step` of the first of `metrics` that has any; NaN where none has."""
    for metric in metrics:
        values = run.get(metric).upto(step).values[-RECENT:]
        finite = values[np.isfinite(values)]
        if len(finite):
            return float(np.median(finite))
    return float("nan")
