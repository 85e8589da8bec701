"""VAL003: the value loss has grown far beyond what the rewards can explain, and stays there."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.progress import KL_TOKEN, NOISE, REWARD, joined, progress
from diagnostics.remedies import LOST, calmer_critic
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_max, running_median

VALUE_LOSS, SOLVED = "value_loss", "success_share"

EARLY = 10  # points that show the critic before it diverges, and the rewards it began with
RECENT = 9  # points of one level, a running median
AT_ONCE = 3  # points of one level where the loss is beyond all measure
REWARDS = 50  # points of reward that a loss is compared with


@rule(
    "VAL003",
    Severity.ERROR,
    needs=[VALUE_LOSS, (REWARD, SOLVED)],
    uses=KL_TOKEN,
    warmup=NOISE,
    lookback=REWARDS + RECENT,
    min_points=EARLY,
    fires=[
        Case(example({VALUE_LOSS: "0.2~0.02*20 40~5*40", REWARD: "1~0.1*60"}), "warning@24"),
        Case(example({VALUE_LOSS: "0.2 1000 900 300*40", REWARD: "0.5 0.1 1.9*41"}), "warning@2"),
        Case(example({VALUE_LOSS: "0.2~0.02*20 40~5*60", REWARD: "1~0.1*20 0.1~0.1*60"}), "warning@24 error@25"),
        Case(example({VALUE_LOSS: "0.2*20 11*40", REWARD: "1*60"}), "warning@24"),
        Case(example({VALUE_LOSS: "2*20 22*40", REWARD: "1*60"}), "warning@24"),
        Case(example({VALUE_LOSS: "0.2*20 20*60", REWARD: "0.3 0.5 " * 10 + "-0.1 0.1 " * 30}), "warning@24"),
        Case(
            example({VALUE_LOSS: "0.2*20 20*60", REWARD: "0.3 0.5 " * 10 + "-0.24 -0.04 " * 30}), "warning@24 error@39"
        ),
        Case(example({VALUE_LOSS: "0.1*20 20*40", SOLVED: "0.5*60"}), "warning@24"),
        Case(example({VALUE_LOSS: "0.1 500 1400 70 1.3 0.6~0.1*40", REWARD: "0.3*3 0*42"}), "warning@2"),
        Case(example({VALUE_LOSS: "0.1*20 110*40", REWARD: "1*60"}), "warning@21"),
        Case(example({VALUE_LOSS: "0.1*20 90*40", REWARD: "1*60"}), "warning@24"),
    ],
    quiet=[
        example({VALUE_LOSS: "0.5+0.6*60", REWARD: "-5+1.1*60"}),  # rises with the square of the returns
        example({VALUE_LOSS: "14 16 8 2.4 1 0.5 0.3 0.2 0.1~0.01*60", REWARD: "0.3*68"}),  # a critic that warms up
        example({VALUE_LOSS: "0.2*20 9*40", REWARD: "1*60"}),  # beyond its start, and not beyond the rewards
        example({VALUE_LOSS: "2*20 18*40", REWARD: "1*60"}),  # beyond the rewards, and not far beyond its start
        example({VALUE_LOSS: "0.01*20 20*40", REWARD: "0.01*20 0.5*40"}),  # rewards that were not found at first
        example({VALUE_LOSS: "0.2~0.02*30 40 50 0.2~0.02*30", REWARD: "1~0.1*62"}),  # two spikes
    ],
)
def value_loss_divergence(
    run: RunHistory, *, beyond: float = 10.0, growth: float = 10.0, at_once: float = 10.0, loss: float = LOST
) -> Iterator[Alarm]:
    """The value loss has grown far beyond what the rewards can explain, and stays there.

    ## Meaning
    The running median of 9 points is more than `beyond` times the square of the largest mean reward of the first 20
    and the last 50 points, and more than `growth` times the lowest value loss of the first 10, where that is scaled
    by the square of how much the rewards have grown since. The median of 3 points suffices where it is more than
    `at_once` times both: a policy that breaks at its second update does not leave 9. ERROR where the reward lies more
    than `loss` times its noise below the best of its first 5 points as well.

    ## Why it matters
    A critic that always predicted 0 would have about the square of the rewards as its loss. A loss of many times that
    means that the critic runs away, or that something other than the reward makes up the returns: usually a KL penalty
    that has exploded. The advantages are then its noise.

    ## Look at
    The KL to the reference and the penalty in the returns; the mean of the values against that of the returns; the
    learning rates of policy and critic; whether rewards or returns are normalised.

    ## What to change
    Far from the reference (KL per token above 0.5): an eighth of the learning rate. Otherwise a tenth of the critic's
    own learning rate where it has one, or half the weight of the value loss.

    ## When this is wrong
    Where the log's reward is that of one step and the returns sum over hundreds, the square of the reward is too small
    a measure; the growth is what is left then. A value loss that is summed instead of averaged is no fault.

    ## References
    - `beyond` = 10.0, `growth` = 10.0: house defaults; a squared error beyond ten times the square of the rewards needs
      values three times as large as any of them.
    - `at_once` = 10.0: house default.
    - `loss` = 4.0: as for a KL explosion, whose page has the measurements.
    """
    series = run.get(VALUE_LOSS)
    lowest = _lowest(series)
    level, latest = running_median(series.values, threes=2), running_median(series.values, threes=1)
    level[: RECENT - 1], latest[: AT_ONCE - 1] = np.nan, np.nan
    with np.errstate(invalid="ignore"):
        if not (np.fmax(level, latest) > growth * lowest).any():
            return
    size, early = _rewards(run, series)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        explained = np.maximum(beyond * size**2, growth * lowest * np.maximum(1.0, (size / early) ** 2))
        diverged = (level > explained) | (latest > at_once * explained)
        level = np.where(level > explained, level, latest)
    told = partial(_told, run, series, level, explained)
    yield Alarm(Severity.WARNING, series.steps, diverged, told)
    reward, standing = progress(run)
    yield Alarm(Severity.ERROR, series.steps, diverged & (joined(reward, standing.loss, series.steps) > loss), told)


def _lowest(series: MetricSeries) -> Values:
    """The lowest of the first value losses known at each point (n,), NaN before one is above 0.

    One below 0 is an artefact of half precision.
    """
    if not len(series):
        return series.values
    first = series.values[:EARLY]
    known = np.fmin.accumulate(np.where(np.isfinite(first) & (first > 0), first, np.nan))
    return known[np.minimum(np.arange(len(series)), EARLY - 1)]


def _rewards(run: RunHistory, series: MetricSeries) -> tuple[Values, Values]:
    """The largest size of the mean reward known at each point of `series`, and that of its first points (n,)."""
    reward = run.get(REWARD if REWARD in run else SOLVED)
    sizes = np.where(np.isfinite(reward.values), np.abs(reward.values), np.nan)
    begun, at = np.fmax.accumulate(sizes[:NOISE]), np.arange(len(sizes))
    largest = np.fmax(rolling_max(sizes, REWARDS), begun[np.minimum(at, NOISE - 1)])
    early = begun[np.minimum(at, EARLY - 1)]
    return joined(reward, largest, series.steps), joined(reward, early, series.steps)


def _told(run: RunHistory, series: MetricSeries, level: Values, explained: Values, i: int) -> Told:
    first, last = int(series.steps[max(0, i - RECENT + 1)]), int(series.steps[i])
    now, limit = float(level[i]), float(explained[i])
    return Told(
        f"the value loss is {now:.3g} at step {last}; rewards of this size explain {limit:.3g} at most",
        first,
        (Evidence(series.metric, first, last, "median of the last points", now, limit),),
        calmer_critic(run, VALUE_LOSS, now, last),
    )
