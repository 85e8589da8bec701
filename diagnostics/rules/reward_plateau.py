"""RWD004: the reward has not moved since the run began."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Prescription, Severity
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, REWARD, Early, at_ceiling, early, recent_median
from diagnostics.remedies import AGREED, MOVED, cooler, faster, hot, larger_groups, looser, slower, strong
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import rolling_mean, rolling_noise

ZERO_STD = "zero_std_share"

BASELINE = 20
WINDOW = 20


@rule(
    "RWD004",
    Severity.WARNING,
    needs=[REWARD],
    uses=[*KL_TOKEN, ZERO_STD],
    warmup=BASELINE,
    lookback=WINDOW + 5,
    min_points=BASELINE + WINDOW,
    fires=[
        Case(example({REWARD: "-0.33~0.1*120"}, reward_bounds=(-1, 1)), "warning@80"),
        Case(example({REWARD: "-0.33~0.3*103"}, reward_bounds=(-1, 1)), "warning@91"),  # noise delays the verdict
        Case(example({REWARD: "0.2~0.3*100"}), "warning@86"),  # without bounds the noise is the only scale
        Case(example({REWARD: "0*100"}), "warning@80"),
        Case(example({REWARD: "0.79~0.001*120"}, reward_bounds=(-1, 1)), "warning@80"),  # just below the ceiling
    ],
    quiet=[
        example({REWARD: "-0.33+0.003~0.1*120"}, reward_bounds=(-1, 1)),  # slow, but it learns
        example({REWARD: "0.81~0.01*120"}, reward_bounds=(-1, 1)),  # at the ceiling
        example({REWARD: "0*40 0+0.01~0.02*80"}),  # starts late
        example({REWARD: "0.2~0.3*70"}),  # too early to say
    ],
)
def reward_plateau(
    run: RunHistory,
    *,
    min_steps: int = 80,
    errors: float = 2.0,
    worthwhile: float = 0.8,
    worthwhile_share: float = 0.15,
    ceiling: float = CEILING,
) -> Iterator[Alarm]:
    """The reward is where it was at the start, and precise enough to say so.

    ## Meaning
    At least `min_steps` steps after the first, the mean of the last 20 points exceeds the mean of the first 20, even
    with `errors` standard errors added, by less than a gain worth having: `worthwhile_share` of what was left to the
    top of its range where its bounds are known, else `worthwhile` times the noise of a step. A run within `ceiling` of
    the top of that range is saturated, which is not this.

    ## Why it matters
    The budget is spent and nothing is learned: the learning rate is too low, the KL penalty too strong, the samples too
    noisy, or no group holds a reward to learn from.

    ## Look at
    The KL to the reference: near 0 means that the weights hardly move. The best of the completions of a prompt against
    their mean: a gap is a signal that is not used. The share of groups without reward variance. The reward function on
    an answer that is known to be right.

    ## What to change
    The first of these that applies. Away from the reference (KL per token above 0.1): an eighth of the learning rate,
    since the policy moves and is not held back. A KL coefficient of 0.5 and more: 0.04, the usual one. A temperature
    above 1.3: 1. More than half of the groups without variance: larger groups. Otherwise ten times the learning rate.

    ## When this is wrong
    A run resumed at the top of what its task allows is flat by right; declare the bounds of the reward. Without bounds
    the confidence is lower. A task with a very long incubation can still start.

    ## References
    - `min_steps` = 80: house default; of published healthy runs the slowest to start rises within 80 steps.
    - `errors` = 2.0: the usual 95 % interval.
    - `worthwhile` = 0.8, `worthwhile_share` = 0.15: house defaults; a smaller gain is not seen by eye.
    - `ceiling` = 0.1: house default.
    """
    reward = run.get(REWARD)
    known = early(reward, BASELINE)
    if known is None:
        return
    level = rolling_mean(reward.values, WINDOW)
    scale = rolling_noise(reward.values, NOISE)
    # Both estimates from twenty points are rough, and too large a one would hide a plateau for good.
    first = np.fmin(known.noise, rolling_noise(reward.values[:BASELINE], NOISE)[-1])
    error = np.sqrt(first**2 / BASELINE + scale**2 / WINDOW)
    gain = level - known.level
    useful = worthwhile * np.maximum(first, scale)
    if run.reward_bounds is not None:
        useful = np.full(len(reward), worthwhile_share * (run.reward_bounds[1] - known.level))
    late = reward.steps >= reward.steps[0] + min_steps
    late[: BASELINE + WINDOW - 1] = False
    flat = gain + errors * error <= useful
    yield Alarm(
        Severity.WARNING,
        reward.steps,
        late & flat & ~at_ceiling(run, level, ceiling),
        partial(_told, run, reward, level, known, useful),
    )


def _told(run: RunHistory, reward: MetricSeries, level: np.ndarray, known: Early, useful: np.ndarray, i: int) -> Told:
    start, first, last = int(reward.steps[0]), int(reward.steps[max(0, i - WINDOW + 1)]), int(reward.steps[i])
    gain, limit = float(level[i] - known.level), float(useful[i])
    return Told(
        f"the reward is {level[i]:.3g} at step {last} and was {known.level:.3g} at the start: no gain in "
        f"{last - start} steps",
        start,
        (Evidence(REWARD, first, last, "gain over the first 20 points", gain, limit),),
        (_remedy(run, max(limit, 0.0), last),),
        Confidence.HIGH if run.reward_bounds is not None else Confidence.MEDIUM,
    )


def _remedy(run: RunHistory, gain: float, step: int) -> Prescription:
    """The page's list, in its order."""
    if recent_median(run, KL_TOKEN, step) > MOVED:
        because = "the policy moves and gains nothing by it, as with updates that are too large"
        return slower(REWARD, Direction.UP, gain, because)
    if strong(run):
        return looser(REWARD, gain)
    if hot(run):
        return cooler(REWARD, gain)
    if recent_median(run, (ZERO_STD,), step) > AGREED:
        return larger_groups(run, REWARD, Direction.UP, gain)
    return faster(REWARD, gain, "the updates are too small to turn the signal that is there into skill")
