"""GRD002: the gradient is zero, or next to nothing, most of the time."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, REWARDS, at_ceiling, bounds_of, joined, progress
from diagnostics.remedies import AGREED, more_contrast
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, median, rolling_mean, share

GRAD, GROUPS = "grad_norm", "zero_std_share"

BASELINE = 10
WINDOW = 20

# A reward with a noise of 0.14 that rises by 3.3 and by 2.8 times as much.
ROSE, NEARLY = "0.2 0.4 " * 5 + "0.66 0.86 " * 30, "0.2 0.4 " * 5 + "0.6 0.8 " * 30


@rule(
    "GRD002",
    Severity.WARNING,
    needs=[GRAD],
    uses=[*REWARDS, GROUPS, *KL_TOKEN],
    warmup=NOISE,
    lookback=WINDOW + 5,
    min_points=WINDOW,
    fires=[
        Case(example({GRAD: "1~0.1*30 0*40"}), "warning@39"),
        Case(example({GRAD: "1*10 0.0013-0.00001*120"}), "warning@49"),
        Case(
            example({GRAD: "0*6 0.001*4 1.4e-8-1e-10*120"}), "warning@59"
        ),  # nothing from the start: the absolute limit
        Case(example({GRAD: "1*5 100*5 0.03*40"}), "warning@19"),  # against the first ten, no fewer and no more
        # Learned, and so nothing is left to learn: by the bounds of the reward, or by groups that came to agree.
        Case(example({GRAD: "1*30 0*40", "reward_mean": "0.81~0.01*70"}, reward_bounds=(-1, 1)), "info@39"),
        Case(example({GRAD: "1*30 0*40", "reward_mean": "0.78~0.01*70"}, reward_bounds=(-1, 1)), "warning@39"),
        Case(example({GRAD: "1*30 0*40", "reward_mean": ROSE, GROUPS: "0.1*20 0.9*50"}), "info@39"),
        Case(example({GRAD: "1*30 0*40", "reward_mean": NEARLY, GROUPS: "0.1*20 0.9*50"}), "warning@39"),
        Case(example({GRAD: "1*30 0*40", "reward_mean": ROSE, GROUPS: "0.1*70"}), "warning@39"),
    ],
    quiet=[
        example({GRAD: "1 0 1 1 0.5 1 0 1 1 1 0 1 1 0 1 1 0 1 1 1 0 1 0 1 1 1 0 1 1 0 1"}),  # a group a row: some are 0
        example({GRAD: "1~0.1*30 0.01~0.001*60"}),  # a hundredth of what it was still learns
    ],
)
def dead_gradient(
    run: RunHistory,
    *,
    tiny: float = 1e-3,
    zero: float = 1e-8,
    limit: float = 0.5,
    ceiling: float = CEILING,
    gain: float = 3.0,
) -> Iterator[Alarm]:
    """No gradient reaches the weights any more.

    ## Meaning
    In at least `limit` of the last 20 points the gradient norm was at most `tiny` times the median of the first 10, or
    at most `zero`, whatever the first were. INFO where the task is learned: the reward is within `ceiling` of the top
    of its range, or, where that is not known, has risen by more than `gain` times its noise while most groups came to
    get one reward.

    ## Why it matters
    Steps without gradient cost as much as any other and change nothing. They say that every advantage is zero (groups
    without variance of reward), that all tokens are clipped or masked, or that the policy is so sure of itself that its
    log-probabilities no longer move.

    ## Look at
    The share of groups without variance of reward; the entropy; the share of truncated completions (some losses mask
    them); frozen parameters, a detached loss, gradient checkpointing without inputs that require gradients.

    ## What to change
    The first of these that applies. Far from the reference (KL per token above 0.5), or a reward below its start by
    more than 4 times its noise: an eighth of the learning rate. A temperature below 0.7: 1. Otherwise larger groups.

    ## When this is wrong
    A task that is learned to the last prompt has no gradient left either: the run is finished, not broken, and is
    taken for broken where the log shows neither bounds nor groups. A log with one group a row shows a zero for each
    group that agrees.

    ## References
    - `limit` = 0.5: house default within the 0.2, 0.4 and 0.7 at which rl-doctor reports steps without gradient.
    - `tiny` = 1e-3: house default; axolotl's range of healthy norms, 0.001 to 1, spans as much.
    - `zero` = 1e-8: house default; what a sum of float32 gradients that cancel leaves.
    - `ceiling` = 0.1, `gain` = 3.0: house defaults, the same as zero_reward_std's.
    """
    grad = run.get(GRAD)
    if len(grad) < BASELINE:
        return
    # A run whose first gradients were 0 has only the absolute limit.
    floor = max(zero, tiny * float(np.nan_to_num(median(grad.values[:BASELINE]))))
    still = share(grad.values <= floor, WINDOW)
    dead = still >= limit
    if dead.any():
        learned = _learned(run, grad, ceiling, gain)
        told = partial(_told, run, grad, still, limit, floor)
        yield Alarm(Severity.WARNING, grad.steps, dead & ~learned, partial(told, False))
        yield Alarm(Severity.INFO, grad.steps, dead & learned, partial(told, True))


def _learned(run: RunHistory, grad: MetricSeries, ceiling: float, gain: float) -> Mask:
    """Whether nothing is left to learn (n,)."""
    reward, standing = progress(run)
    groups = run.get(GROUPS)
    agree = joined(groups, rolling_mean(groups.values, WINDOW), grad.steps) >= AGREED
    top = at_ceiling(run, joined(reward, standing.recent, grad.steps), ceiling)
    return top | (bounds_of(run) is None) & agree & (joined(reward, standing.gain, grad.steps) > gain)


def _told(
    run: RunHistory, grad: MetricSeries, still: Values, limit: float, floor: float, learned: bool, i: int
) -> Told:
    first, last = int(grad.steps[max(0, i - WINDOW + 1)]), int(grad.steps[i])
    message = (
        f"the gradient norm was below {floor:.2g} in {still[i]:.0%} of the points between steps {first} and {last}"
    )
    evidence = Evidence(GRAD, first, last, "share of points without gradient", float(still[i]), limit)
    if learned:
        done = "Stop here, or go on with harder prompts: these have nothing left to teach."
        return Told(f"{message}: the task is learned", first, (evidence,), advice=(done,))
    return Told(message, first, (evidence,), (more_contrast(run, GRAD, Direction.UP, floor, last),))
