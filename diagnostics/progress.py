"""How the reward stands against its own early life: what most rules ask before they call a number bad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diagnostics.series import MetricSeries, RunHistory, Steps, Values
from diagnostics.stats import Mask, mean, noise, rolling_mean, rolling_noise

REWARD = "reward_mean"
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


def at_ceiling(run: RunHistory, level: Values, ceiling: float) -> Mask:
    """Whether the reward `level` (n,) is within `ceiling` of the top of its range; nowhere if that is not known."""
    if run.reward_bounds is None:
        return np.zeros(len(level), dtype=bool)
    low, high = run.reward_bounds
    return level >= ceiling * low + (1 - ceiling) * high


def progress(run: RunHistory) -> tuple[MetricSeries, Progress]:
    """The reward of a run, and how it stands at each of its points."""
    return run.once(_progress)


def _progress(run: RunHistory) -> tuple[MetricSeries, Progress]:
    reward = run.get(REWARD)
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
