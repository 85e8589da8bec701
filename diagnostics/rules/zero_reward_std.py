"""RWD001: most groups of completions all get the same reward."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, REWARD, WARMUP, at_ceiling, early, joined, progress
from diagnostics.remedies import AGREED, cold, more_contrast
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_mean

SHARE, GOOD, STD = "zero_std_share", "zero_std_share_ceiling", "reward_std.group"

WINDOW = 30
ROWS = 40  # of a log with one group a row, where each row says yes or no


@rule(
    "RWD001",
    Severity.ERROR,
    needs=[(SHARE, STD)],
    uses=[REWARD, GOOD, *KL_TOKEN],
    warmup=NOISE,
    lookback=ROWS + 5,
    min_points=WINDOW,
    fires=[
        Case(example({SHARE: "0.2+0.01*80 1*40"}), "warning@45 error@85"),
        Case(example({STD: "0.3*20 0*60"}), "warning@39 error@55"),
        Case(example({STD: "1.4e-6-1e-8*120"}), "warning@60 error@76"),
        Case(example({SHARE: "0.7*60", "reward_mean": "0.82~0.01*60"}, reward_bounds=(-1, 1)), "info@29"),  # learned
        Case(example({SHARE: "0.7*60", "reward_mean": "0.78~0.01*60"}, reward_bounds=(-1, 1)), "warning@29"),
        Case(example({SHARE: "0.3*30 0.7*60", "reward_mean": "0.1~0.1*30 0.37~0.1*60"}), "info@45 warning@48"),
        Case(example({SHARE: "0.7*60", GOOD: "0.4*60"}), "info@29"),
        Case(example({SHARE: "0.7*60", GOOD: "0.3*60"}), "warning@29"),
        Case(example({SHARE: "0.7*60", GOOD: "0.4*60"}, settings={"temperature": 0.3}), "warning@29"),
    ],
    quiet=[
        example({SHARE: "0.45~0.05*100"}),  # of small groups half agree by chance
        example({STD: "0.3 0 0.4 " * 30}),  # one group a row: a third of them agree
        example({SHARE: "0.1*20 1*12 0.1*40"}),  # a dozen steps, and over
    ],
)
def zero_reward_std(
    run: RunHistory,
    *,
    limit: float = AGREED,
    severe: float = 0.9,
    ceiling: float = CEILING,
    gain: float = 3.0,
    zero: float = 1e-6,
) -> Iterator[Alarm]:
    """Most groups of completions all get the same reward, and so teach nothing.

    ## Meaning
    Over the last 30 points the completions of at least `limit` of the groups all got the same reward (WARNING), or of
    `severe` (ERROR). Where most of these groups all got the highest reward there is, the task is learned: INFO. They
    are known by their own metric; without it by a mean reward within `ceiling` of the top of the declared bounds;
    without bounds by a reward that rose by more than `gain` times its noise while the share rose from below the limit.
    Where only the standard deviation is logged, the rows of the last 40 count in which it is below
    `zero`.

    ## Why it matters
    GRPO learns from differences within a group. A group without any has no advantage and no gradient: the batch is
    smaller than it looks, and what is left is noise and the KL penalty.

    ## Look at
    Whether the groups agree on good or on bad answers. The temperature and the number of distinct completions; the
    size of the groups against the success rate p (a group of n agrees with probability p^n + (1-p)^n); the KL to the
    reference.

    ## What to change
    The first of these that applies. Far from the reference (KL per token above 0.5), or a reward below its start by
    more than 4 times its noise: an eighth of the learning rate, since the policy collapsed onto bad answers. A
    temperature below 0.7: 1. Otherwise larger groups.

    ## When this is wrong
    A temperature below 0.7 makes groups agree on right answers that the policy has not learned: then agreement at the
    ceiling counts as well. Groups of two agree often and can learn all the same. With rewards scaled by the whole
    batch some TRL versions log 0 here whatever the groups do.

    ## References
    - `limit` = 0.5, `severe` = 0.9: rl-doctor warns at 0.30, 0.50 and 0.75, axolotl above 0.8; healthy runs with small
      groups were measured up to 0.45.
    - `ceiling` = 0.1, `gain` = 3.0: house defaults.
    - `zero` = 1e-6: what float32 leaves of the standard deviation of equal rewards.
    - Yu et al. 2025, DAPO (arXiv 2503.14476), section 3.2: dynamic sampling leaves such groups out.
    """
    for series, dead in _dead(run, zero):
        if not (dead >= limit).any():
            continue
        top = np.zeros(len(series)) if cold(run) else _at_the_top(run, series, dead, limit, ceiling, gain)
        learned = 2 * top > dead
        for severity, share in ((Severity.WARNING, limit), (Severity.ERROR, severe)):
            holds = (dead >= share) & ~learned
            yield Alarm(severity, series.steps, holds, partial(_told, run, series, dead, share, False))
        yield Alarm(Severity.INFO, series.steps, dead >= limit, partial(_told, run, series, dead, limit, True))


def _dead(run: RunHistory, zero: float) -> Iterator[tuple[MetricSeries, Values]]:
    """The share of groups without variance, from each metric that tells it."""
    share, std = run.get(SHARE), run.get(STD)
    yield share, rolling_mean(share.values, WINDOW)
    none = np.where(np.isnan(std.values), np.nan, std.values < zero)
    yield std, rolling_mean(none, ROWS)


def _at_the_top(
    run: RunHistory, series: MetricSeries, dead: Values, limit: float, ceiling: float, gain: float
) -> Values:
    """The share of groups that agree on the highest reward (n,), as far as the log tells."""
    counted = run.get(GOOD)
    known = joined(counted, rolling_mean(counted.values, WINDOW), series.steps)
    reward, standing = progress(run)
    if run.reward_bounds is not None:
        learned = at_ceiling(run, joined(reward, standing.recent, series.steps), ceiling)
    else:
        start = early(series, WARMUP)
        rose = start is not None and series.metric == SHARE and start.level < limit
        learned = (joined(reward, standing.gain, series.steps) > gain) & rose
    return np.where(np.isnan(known), np.where(learned, dead, 0.0), known)


def _told(run: RunHistory, series: MetricSeries, level: Values, limit: float, learned: bool, i: int) -> Told:
    points = WINDOW if series.metric == SHARE else ROWS
    first, last = int(series.steps[max(0, i - points + 1)]), int(series.steps[i])
    what = f"in {level[i]:.0%} of the groups all completions got the same reward between steps {first} and {last}"
    evidence = Evidence(series.metric, first, last, f"mean of the last {points} points", float(level[i]), limit)
    if learned:
        return Told(f"{what}, most of them the highest there is: the prompts are learned", first, (evidence,))
    return Told(what, first, (evidence,), (more_contrast(run, SHARE, Direction.DOWN, float(level[i]) / 3, last),))
