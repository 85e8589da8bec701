"""What a policy that has gone narrow looks like: the rules on entropy, diversity and hacked rewards ask it alike."""

from __future__ import annotations

import numpy as np

from diagnostics.kl import OF_SOMETHING, SUMMED
from diagnostics.progress import KL_TOKEN, RECENT, UNTOUCHED, Progress, early, joined
from diagnostics.series import MetricSeries, RunHistory, Steps, Values
from diagnostics.stats import Mask, lagged, rolling_max, rolling_mean, share

# Per token, of a log that does not say of what, and of an agent's actions: there it may be negative.
ENTROPY = ("entropy.token", "entropy", "entropy.action")
LENGTH = "completion_length_mean"
# Summed over a completion, or of a log that does not say: it is held to the limit of the sum, which is the larger one.
KL_SUM = (*SUMMED, OF_SOMETHING)

# Points whose highest level counts as usual beside the start, so that a fall from a high that came later is seen.
BEFORE = 60
STALL = 40  # points over which a reward that no longer climbs counts as stalled
SUDDEN, AT_ONCE = 0.5, 20  # share of its usual level that a metric loses at once, and within how many points
LOOKBACK = BEFORE + STALL - AT_ONCE + RECENT

NARROW = 0.2  # of its usual level: healthy runs of a hundred steps were measured to keep 0.3 and more
SHORT = 0.25  # of the first lengths; healthy runs that learned to be brief were measured to keep 0.3
FAR_SUM = 10.0  # nats summed over a completion: TRL's PPO guide (keep it between 0 and 10)
GAINED = 2.0  # times its noise: the mean of ten points against the mean of ten has a standard error of 0.45
MOST = 0.8  # of the last points: the estimators of the KL are heavy-tailed


def usual(entropy: MetricSeries) -> Values:
    """The entropy that a low one is measured by (n,): the highest of the first points and of the last `BEFORE` levels.

    NaN, which no comparison meets, where it is not above 0: a ratio to it says nothing.
    """
    first = early(entropy, UNTOUCHED)
    if first is None:
        return np.full(len(entropy), np.nan)
    highest = np.fmax(rolling_max(rolling_mean(entropy.values, RECENT), BEFORE), first.level)
    return np.where(highest > 0, highest, np.nan)


def is_short(run: RunHistory, steps: Steps, short: float) -> Mask:
    """Whether completions have become at most `short` times as long as the first ones were."""
    length = run.get(LENGTH)
    first = early(length, UNTOUCHED)
    if first is None:
        return np.zeros(len(steps), dtype=bool)
    return joined(length, rolling_mean(length.values, RECENT), steps) <= short * first.level


def is_far(run: RunHistory, steps: Steps, far: float, far_sum: float) -> Mask:
    """Whether most of the last KLs to the reference are above `far` per token, or above `far_sum` per completion."""
    away = np.zeros(len(steps), dtype=bool)
    for limit, metrics in ((far, KL_TOKEN), (far_sum, KL_SUM)):
        for kl in filter(len, map(run.get, metrics)):
            away |= joined(kl, share(kl.values > limit, RECENT), steps) >= MOST
    return away


def is_sudden(level: Values) -> Mask:
    """Whether a level fell at once within the last `STALL` points: what was gained before then was not gained by it."""
    with np.errstate(invalid="ignore"):
        fell = lagged(level, AT_ONCE) - level >= SUDDEN * rolling_max(level, BEFORE)
    sudden: Mask = rolling_max(fell.astype(float), STALL - AT_ONCE) == 1
    return sudden


def rise(standing: Progress) -> Values:
    """How far the reward climbed over the last `STALL` points, in units of its noise (n,); NaN until that is known.

    Of fewer points it is how far it climbed since the start.
    """
    climbed = (standing.recent - lagged(standing.recent, STALL)) / standing.scale
    return np.where(np.isnan(climbed), standing.gain, climbed)
