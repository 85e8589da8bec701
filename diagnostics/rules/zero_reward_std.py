"""RWD001: most groups of completions all get the same reward."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.narrowing import STALL, rise
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, REWARDS, WARMUP, at_ceiling, bounds_of, joined, progress
from diagnostics.remedies import AGREED, HARDER, cold, more_contrast
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, lagged, mean, rolling_mean

SHARE, GOOD, STD = "zero_std_share", "zero_std_share_ceiling", "reward_std.group"
# What is 0 in a step of which no group has a variance: a log of one group a row has no share.
SPREADS = (STD, "reward_std", "reward_std.batch", "advantage_std")

WINDOW = 30
ROWS = 40  # of a log with one group a row, where each row says yes or no

GAINED = "0.2 0.4 " * 10  # and then much more
ONE_OF_FOUR = "0 0.4 0 0 " * 20


@rule(
    "RWD001",
    Severity.ERROR,
    needs=[(SHARE, *SPREADS)],
    uses=[*REWARDS, GOOD, *KL_TOKEN],
    warmup=NOISE,
    lookback=ROWS + STALL + 5,
    min_points=WINDOW,
    fires=[
        Case(example({SHARE: "0.2+0.01*80 1*40"}), "warning@45 error@85"),
        Case(example({STD: "0.3*20 0*60"}), "warning@39 error@55"),
        Case(example({STD: "1.4e-6-1e-8*120"}), "warning@60 error@76"),
        Case(example({"advantage_std": ONE_OF_FOUR}), "warning@39"),
        Case(example({"reward_std": ONE_OF_FOUR, "reward_mean": "0.2 0.4 " * 10 + "0.32 0.52 " * 30}), "warning@39"),
        Case(example({SHARE: "1*80"}), "warning@29"),  # it may be that nothing was found yet
        Case(example({SHARE: "0.1*40 0.7*40", "reward_mean": GAINED + "0.6 0.8 " * 30}), "warning@59"),  # at once
        Case(example({SHARE: "0.1*40 0.7*40", "reward_mean": GAINED + "0.6 0.8 " * 10 + "0.8 1 " * 20}), "info@59"),
        Case(example({SHARE: "0.7*60", "reward_mean": "0.82~0.01*60"}, reward_bounds=(-1, 1)), "info@29"),  # learned
        Case(example({SHARE: "0.7*60", "success_share": "0.95~0.01*60"}), "info@29"),  # no reward is logged
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
        example({"reward_std": ONE_OF_FOUR, "reward_mean": "0.2 0.4 " * 10 + "0.36 0.56 " * 30}),  # and it learns
        example({STD: "0*25 0.3 0.2 0.1*40", "reward_mean": "0*25 0+0.01~0.02*42"}),  # nothing is found at first
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
    rising: float = 1.0,
) -> Iterator[Alarm]:
    """Most groups of completions all get the same reward, and so teach nothing.

    ## Meaning
    Over the last 30 points the completions of at least `limit` of the groups all got the same reward (WARNING), or of
    `severe` (ERROR). Where most of these groups all got the highest reward there is, the task is learned: INFO. They
    are known by their own metric; without it by a mean reward within `ceiling` of the top of the declared bounds;
    without bounds by a reward that rose by more than `gain` times its noise while the share rose from below the limit;
    if the share rose that much within 40 points, also by more than `rising` times its noise over these. They are an
    ERROR only where fewer than `limit` of the groups agreed over the first 10 points: a sparse reward may take long to
    be found, and then there is nothing to lose.

    Where only a standard deviation is logged, of rewards or of advantages, the rows of the last 40 count in which it is
    below `zero`. Such a row is often a single group, and these agree half of the time in runs that learn: it is no
    finding where the reward stands more than `rising` times its noise above its early mean.

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
    - `rising` = 1.0: house default; two means of ten points differ by less than half the noise where nothing changed.
    - Yu et al. 2025, DAPO (arXiv 2503.14476), section 3.2: dynamic sampling leaves such groups out.
    """
    for series, equal, dead in _dead(run, zero):
        if not (dead >= limit).any():
            continue
        varied = mean(equal[:WARMUP]) < limit
        top = np.zeros(len(series))
        if not cold(run):
            gained = _gained(run, series, dead, limit, gain, rising) & varied
            top = _at_the_top(run, series, dead, gained, ceiling)
        open_below = ~(2 * top > dead)
        if series.metric != SHARE:
            reward, standing = progress(run)
            open_below &= ~(joined(reward, standing.gain, series.steps) > rising)
        for severity, share, holds in (
            (Severity.WARNING, limit, open_below),
            (Severity.ERROR, severe, open_below & varied),
        ):
            holds &= dead >= share
            yield Alarm(severity, series.steps, holds, partial(_told, run, series, dead, share, False))
        learned = (dead >= limit) & (2 * top > dead)
        yield Alarm(Severity.INFO, series.steps, learned, partial(_told, run, series, dead, limit, True))


def _dead(run: RunHistory, zero: float) -> Iterator[tuple[MetricSeries, Values, Values]]:
    """Each metric that tells it, the share of groups without variance at each of its points, and of the last ones."""
    for metric in (SHARE, *SPREADS):
        series = run.get(metric)
        equal = series.values
        if metric != SHARE:
            equal = np.where(np.isnan(equal), np.nan, equal < zero)
        yield series, equal, rolling_mean(equal, _window(series))


def _window(series: MetricSeries) -> int:
    return WINDOW if series.metric == SHARE else ROWS


def _gained(run: RunHistory, series: MetricSeries, dead: Values, limit: float, gain: float, rising: float) -> Mask:
    """Whether the reward has gained (n,), and also since the groups came to agree where they did so just now."""
    reward, standing = progress(run)
    gained, climbed = (joined(reward, it, series.steps) for it in (standing.gain, rise(standing)))
    just_now = dead - lagged(dead, STALL) >= limit
    return (gained > gain) & ~(just_now & (climbed <= rising))


def _at_the_top(run: RunHistory, series: MetricSeries, dead: Values, gained: Mask, ceiling: float) -> Values:
    """The share of groups that agree on the highest reward (n,), as far as the log tells."""
    counted = run.get(GOOD)
    known = joined(counted, rolling_mean(counted.values, WINDOW), series.steps)
    reward, standing = progress(run)
    if bounds_of(run) is not None:
        learned = at_ceiling(run, joined(reward, standing.recent, series.steps), ceiling)
    else:
        learned = gained
    return np.where(np.isnan(known), np.where(learned, dead, 0.0), known)


def _told(run: RunHistory, series: MetricSeries, level: Values, limit: float, learned: bool, i: int) -> Told:
    points = _window(series)
    first, last = int(series.steps[max(0, i - points + 1)]), int(series.steps[i])
    what = f"in {level[i]:.0%} of the groups all completions got the same reward between steps {first} and {last}"
    of_them = "mean" if series.metric == SHARE else "share without a spread"
    evidence = Evidence(series.metric, first, last, f"{of_them} of the last {points} points", float(level[i]), limit)
    if learned:
        what += ", most of them the highest there is: the prompts are learned"
        return Told(what, first, (evidence,), advice=(HARDER,))
    return Told(what, first, (evidence,), (more_contrast(run, SHARE, Direction.DOWN, float(level[i]) / 3, last),))
