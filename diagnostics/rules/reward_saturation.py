"""RWD005: the reward is at its top, and nothing is left to learn."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Evidence, Severity
from diagnostics.progress import (
    CEILING,
    NOISE,
    REWARD,
    REWARDS,
    SUCCESS,
    at_ceiling,
    bounds_of,
    early,
    joined,
    reward_of,
)
from diagnostics.remedies import HARDER
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, lagged, mean, rolling_max, rolling_mean, rolling_noise, share

# How much completions of a step differ, the first of which is logged.
SPREADS = ("reward_std.group", "reward_std", "reward_std.batch")
STD = SPREADS[0]

EARLY = 10
WINDOW = 20
ROWS = 40  # points of which some must be at the highest reward so far
MEMORY = 70  # points of which the highest is remembered

DECLARE = "Declare the bounds of the reward, so that its top need not be guessed."


@rule(
    "RWD005",
    Severity.INFO,
    needs=[REWARDS],
    uses=SPREADS,
    warmup=NOISE,
    lookback=120,
    min_points=EARLY + WINDOW,
    fires=[
        Case(example({REWARD: "0.2+0.02*35 0.82~0.01*40"}, reward_bounds=(-1, 1)), "info@44"),
        Case(example({SUCCESS: "0.2+0.02*36 0.92~0.01*40"}), "info@50"),
        Case(example({REWARD: "0.6+0.01~0.05*35 0.98~0.014*40"}), "info@54"),  # near 1, and its noise is gone
        Case(example({REWARD: "0.6+0.01~0.02*35 0.97~0.01*40", STD: "0.4*35 0.12*40"}), "info@54"),
        Case(example({REWARD: "-0.3 0 -0.1 0 " * 20}), "info@39"),  # as often 0 as below
        Case(example({REWARD: "20+10*38 400*30 370~5*30"}), "info@55"),  # the limit of an episode
    ],
    quiet=[
        example({REWARD: "0.2+0.02*30 0.77~0.01*60"}, reward_bounds=(-1, 1)),
        example({REWARD: "0.6+0.01~0.02*35 0.97~0.01*40", STD: "0.4*35 0.15*40"}),  # completions still differ
        example({REWARD: "-0.3 0 -0.1 " * 30}),  # as often as not below
        example({REWARD: "20~5*20 20+1.6*20 52~0.3*50"}),  # the next round number is 60
        example({REWARD: "0*80"}),  # at its own top, and never anywhere else: nothing is learned
        example({REWARD: "1~0.1*20 0*80"}),  # lost
        example({REWARD: "0+0.01~0.001*90"}),  # at a new best each time
    ],
)
def reward_saturation(
    run: RunHistory, *, ceiling: float = CEILING, pinned: float = 0.5, calm: float = 0.33
) -> Iterator[Alarm]:
    """The reward is at the top of its range, and nothing is left to learn. This is success, or too easy a task.

    ## Meaning
    Where the bounds of the reward are declared, and for a share of successes: the mean of the last 20 points is within
    `ceiling` of the top of the range. Where nobody says what the top is, one of two signs of it. Pinned: a share of
    `pinned` of the last 40 points is exactly the highest reward that the run had shown, which was not where it began.
    Calm: the mean of the last 20 points covers all but `ceiling` of the way from the early mean to the next round
    number above the highest reward, and completions differ by less than `calm` of what they did at the start (or the
    reward from step to step, where their spread is not logged).

    ## Why it matters
    The same flat curve as of a run that learns nothing, with the opposite meaning. Groups that are all right carry no
    gradient: further steps cost time, and what they change is only noise and what the reward does not see.

    ## Look at
    The held-out reward: whether it followed. The completions: whether they earn the top as they should, and not by a
    short cut that the reward function allows. The share of groups without variance.

    ## What to change
    Nothing, where this was the goal: stop here. Otherwise harder prompts, or a reward that tells good from better.

    ## When this is wrong
    A round number above a plateau need not be the top of the reward: declare its bounds, and the confidence is high.
    A reward pinned at its best may be pinned by a penalty that is rarely due.

    ## References
    - `ceiling` = 0.1: house default, the level above which a flat reward is no plateau.
    - `pinned` = 0.5: house default; half of the steps have no completion left that could be better.
    - `calm` = 0.33: house default; of a share p of right answers the standard deviation is a third of its largest at
      p = 0.97.
    """
    reward = reward_of(run)
    known = early(reward, EARLY)
    if known is None:
        return
    level = rolling_mean(reward.values, WINDOW)
    confidence = Confidence.MEDIUM
    if bounds_of(run) is not None:
        confidence, holds = Confidence.HIGH, at_ceiling(run, level, ceiling)
    else:
        finite = np.where(np.isfinite(reward.values), reward.values, np.nan)
        best = np.fmax(rolling_max(finite, MEMORY), np.fmax.reduce(finite[:EARLY]))
        holds = _pinned(finite, best, known.level, pinned)
        round_top = _round_above(best)
        near = level >= round_top - ceiling * (round_top - known.level)
        holds |= near & (level > known.level) & _calm(run, reward, calm)
    yield Alarm(Severity.INFO, reward.steps, holds, partial(_told, reward, level, known.level, confidence))


def _pinned(values: Values, best: Values, start: float, pinned: float) -> Mask:
    """Where a share of `pinned` of the last points came up to the best before, and the run did not begin there (n,)."""
    tiny = 1e-9 * np.maximum(1.0, np.abs(best))
    again = (values >= best - tiny) & (best <= lagged(best, 1) + tiny)  # a new best is progress
    held: Mask = (share(again, ROWS) >= pinned) & (start < best - tiny)
    return held


def _round_above(best: Values) -> Values:
    """The next whole number from `best` (n,) upwards, above 10 the next with one digit and noughts."""
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(np.abs(best) > 10, 10.0 ** np.floor(np.log10(np.abs(best))), 1.0)
        whole: Values = np.ceil(best / unit - 1e-9) * unit
    return whole


def _calm(run: RunHistory, reward: MetricSeries, calm: float) -> Mask:
    """Where completions, or steps, differ by less than `calm` of what they did at the start (n,)."""
    spread = run.get(next(filter(run.points, SPREADS), STD))
    if len(spread) < EARLY:
        noise = rolling_noise(reward.values, NOISE)
        still: Mask = noise <= calm * noise[NOISE - 1] if len(noise) >= NOISE else np.zeros(len(noise), dtype=bool)
        return still
    usual = mean(spread.values[:EARLY])
    return joined(spread, rolling_mean(spread.values, WINDOW), reward.steps) <= calm * usual


def _told(reward: MetricSeries, level: Values, start: float, confidence: Confidence, i: int) -> Told:
    first, last = int(reward.steps[max(0, i - WINDOW + 1)]), int(reward.steps[i])
    known = confidence is Confidence.HIGH
    at, advice = ("at", (HARDER,)) if known else ("to all appearance at", (HARDER, DECLARE))
    return Told(
        f"the reward is {level[i]:.3g} at step {last}, {at} its top, and was {start:.3g} at the start",
        first,
        (Evidence(reward.metric, first, last, "mean of the last 20 points", float(level[i]), start),),
        confidence=confidence,
        advice=advice,
    )
