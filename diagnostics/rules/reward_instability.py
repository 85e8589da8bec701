"""RWD010: the reward falls and rises by turns, far beyond its noise."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from diagnostics.finding import Confidence, Direction, Evidence, Severity
from diagnostics.progress import NOISE, OLD, PAST, REWARD, REWARDS, SUCCESS, early, reward_of, step_noise
from diagnostics.remedies import fewer_epochs, slower
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import lagged, rolling_max, rolling_mean

# A swing is a change of the mean of so many points within so many; several count within the last ones.
MEAN, WITHIN, LAST = 5, 10, 70
EARLY = 10

# Once up, and then up and down by so much.
WAVES = "0.5~0.02*40 0.64~0.02*120 " + "0.5~0.02*20 {0}~0.02*20 " * 3
CHAOS = "0.5~0.02*40 0.9~0.05*20 0.1~0.05*20 0.8~0.05*20 0.2~0.05*20"


@rule(
    "RWD010",
    Severity.WARNING,
    needs=[REWARDS],
    warmup=NOISE,
    lookback=PAST + 2 * LAST + MEAN + WITHIN,
    min_points=40,
    fires=[
        Case(example({REWARD: CHAOS}), "warning@103"),
        Case(example({SUCCESS: CHAOS}), "warning@103"),
        Case(example({REWARD: WAVES.format(0.74)}), "warning@244"),
    ],
    quiet=[
        example({REWARD: "0.5~0.1*40 1~0.1*20 0.5~0.1*60"}),  # up and down once
        example({REWARD: "0.5~0.05*40 1~0.05*20 0.4~0.05*20 1~0.05*60"}),  # lost once, and found again
        example({REWARD: "0.5~0.05*40 " + "1~0.05*80 0.4~0.05*80 " * 3}),  # rarely
        example({REWARD: "0.4+0.02*10 0.6-0.02*10 " * 8}),  # waves, as from the beginning
        example({REWARD: WAVES.format(0.72)}),  # hardly more than it had moved before
        example({REWARD: "0.5~0.5*300"}),  # noise, however large
        example({REWARD: "0.5~0.1*40 0.9~0.1*20 0.4~0.1*20 0.85~0.1*20 0.4~0.1*20 0.9~0.1*20"}),  # hardly more
        example({REWARD: "0~0.02*20 0+0.05~0.05*40 " + "2~0.05*20 1.1~0.05*20 " * 2 + "2~0.05*20"}),  # of what it has
    ],
)
def reward_instability(
    run: RunHistory, *, swing: float = 4.0, part: float = 0.5, turns: int = 3, beyond: float = 1.5
) -> Iterator[Alarm]:
    """The reward swings up and down by much of its whole range.

    ## Meaning
    Within the last 70 points swings that go the other way than the one before came `turns` times. A swing is a change
    of the mean of 5 points within 10, by `swing` times the noise of one step, the early one about its trend included,
    and by the share `part` of the range that the reward has had: from the lowest such mean of these points, or the
    early mean where that is lower, to the highest. In a run of 140 points and more it is also `beyond` times the
    largest such change in the 250 points up to 70 ago: rewards in waves, or smoothed ones, have to swing more.

    ## Why it matters
    A policy that loses and finds its skill by turns is thrown about by updates that are too large. Such a run often
    ends in a lock: it stops where one answer earns enough, with no entropy left, and that looks like success.

    ## Look at
    The KL to the reference and the entropy at the turns; the clip fraction and the gradient norm; the learning rate.
    The samples at the best and the worst points: the best may be a degenerate answer that happens to be paid.

    ## What to change
    An eighth of the learning rate, from the beginning or a checkpoint before the first turn. With several update epochs
    on each batch, a quarter of them.

    ## When this is wrong
    Tasks that come in turns, of different difficulty, make the reward swing at equal skill.

    ## References
    - `swing` = 4.0: house default; independent noise moves such a mean by 0.63 times its own size.
    - `beyond` = 1.5: house default. Of runs of 1,000 steps that learn under AR(0.9) noise of a fifth of their gain 3 %
      raised this (8 % without it), and of flat ones of such noise 3 % (33 %).
    - `part` = 0.5, `turns` = 3: house defaults; a healthy run that loses much of its gain and recovers turns once.
    - Jones 2021, Debugging reinforcement learning systems (andyljones.com): oscillation asks for a lower learning rate.
    """
    reward = reward_of(run)
    known = early(reward, EARLY)
    if known is None:
        return
    level = rolling_mean(reward.values, MEAN)
    jump = level - lagged(level, WITHIN)
    low = np.fmin(-rolling_max(-level, LAST), known.level)
    size = np.fmax(rolling_max(level, LAST) - low, 0)
    with np.errstate(invalid="ignore"):
        scale = np.fmax(step_noise(reward), _about_a_line(reward.values[:NOISE]))
        swings = (np.abs(jump) > swing * scale) & (np.abs(jump) >= part * size)
    # Waves that were there before are the run's own, as of a log that smooths.
    before = lagged(rolling_max(np.abs(jump), PAST), LAST)
    swings &= ~((np.arange(len(jump)) >= OLD) & (np.abs(jump) <= beyond * before))
    within = _turns(np.where(swings, np.sign(jump), 0.0))
    yield Alarm(Severity.WARNING, reward.steps, within >= turns, partial(_told, run, reward, level, within, turns))


def _about_a_line(values: Values) -> float:
    """Standard deviation of `values` about a straight line, NaN where some are not finite.

    Unlike the differences of neighbours it also sees noise that is smooth, and an early life has no swings in it.
    """
    if len(values) < NOISE or not np.isfinite(values).all():
        return np.nan
    at = np.arange(NOISE) - (NOISE - 1) / 2
    centred = values - values.mean()
    return float(np.std(centred - at * (at @ centred) / (at @ at)))


def _turns(signs: Values) -> NDArray[np.int64]:
    """How often a swing went against the one before it, both among the last points, at each point (n,)."""
    at = np.flatnonzero(signs)
    first, second = at[:-1], at[1:]
    turn = signs[first] != signs[second]
    begun, ended = np.zeros((2, len(signs)), dtype=np.int64)
    begun[second[turn]] = 1
    ended[first[turn]] = 1
    gone = np.concatenate([np.zeros(LAST, dtype=np.int64), np.cumsum(ended)])[: len(signs)]
    turns: NDArray[np.int64] = np.cumsum(begun) - gone
    return turns


def _told(run: RunHistory, reward: MetricSeries, level: Values, within: NDArray[np.int64], turns: int, i: int) -> Told:
    lately = level[max(0, i - LAST + 1) : i + 1]
    first, last = int(reward.steps[max(0, i - LAST + 1)]), int(reward.steps[i])
    low, high = float(np.nanmin(lately)), float(np.nanmax(lately))
    because = "smaller updates keep what earlier ones have learned"
    remedies = [slower(reward.metric, Direction.UP, (high - low) / 4, because)]
    epochs = fewer_epochs(run, reward.metric, (high - low) / 4)
    if epochs is not None:
        remedies.append(epochs)
    return Told(
        f"the reward swung between {low:.3g} and {high:.3g} from step {first} to {last} and turned {within[i]} times",
        first,
        (Evidence(reward.metric, first, last, "turns within 70 points", float(within[i]), float(turns)),),
        tuple(remedies),
        Confidence.MEDIUM,
    )
