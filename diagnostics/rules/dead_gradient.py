"""GRD002: the gradient is zero, or next to nothing, most of the time."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Prescription, Severity
from diagnostics.progress import joined, progress, recent_median
from diagnostics.remedies import COLD, larger_groups, setting, slower, warmer
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import median, share

GRAD, ZERO_STD = "grad_norm", "zero_std_share"
KL = ("kl.reference.k3.token", "kl.reference.k1.token")

BASELINE = 10
WINDOW = 20
NOTHING = 1e-8  # whatever the early gradients were


@rule(
    "GRD002",
    Severity.WARNING,
    needs=[GRAD],
    uses=["reward_mean", ZERO_STD, *KL],
    warmup=BASELINE,
    lookback=WINDOW + 5,
    min_points=WINDOW,
    fires=[
        Case(example({GRAD: "1~0.1*30 0*40"}), "warning@39"),
        Case(example({GRAD: "1*10 0.0013-0.00001*120"}), "warning@49"),
    ],
    quiet=[
        example({GRAD: "1 0 1 1 0.5 1 0 1 1 1 0 1 1 0 1 1 0 1 1 1 0 1 0 1 1 1 0 1 1 0 1"}),  # a group a row: some are 0
        example({GRAD: "1~0.1*30 0.01~0.001*60"}),  # a hundredth of what it was still learns
    ],
)
def dead_gradient(run: RunHistory, *, tiny: float = 1e-3, limit: float = 0.5) -> Iterator[Alarm]:
    """No gradient reaches the weights any more.

    ## Meaning
    In at least `limit` of the last 20 points the gradient norm was at most `tiny` times the median of the first 10, or
    0 outright.

    ## Why it matters
    Steps without gradient cost as much as any other and change nothing. They say that every advantage is zero (groups
    without variance of reward), that all tokens are clipped or masked, or that the policy is so sure of itself that its
    log-probabilities no longer move.

    ## Look at
    The share of groups without variance of reward; the entropy; the share of truncated completions (some losses mask
    them); frozen parameters, a detached loss, gradient checkpointing without inputs that require gradients.

    ## What to change
    The first of these that applies. Far from the reference (KL per token above 0.5), or a reward well below its start:
    an eighth of the learning rate. A temperature below 0.7: 1. Otherwise larger groups.

    ## When this is wrong
    A task that is learned to the last prompt has no gradient left either; then the run is finished, not broken. A log
    with one group a row shows a zero for each group that agrees.

    ## References
    - `limit` = 0.5: house default within the 0.2, 0.4 and 0.7 at which rl-doctor reports steps without gradient.
    - `tiny` = 1e-3: house default; axolotl's range of healthy norms, 0.001 to 1, spans as much.
    """
    grad = run.get(GRAD)
    if len(grad) < BASELINE:
        return
    # A run whose first gradients were 0 has only the absolute limit.
    floor = max(NOTHING, tiny * float(np.nan_to_num(median(grad.values[:BASELINE]))))
    still = share(grad.values <= floor, WINDOW)
    yield Alarm(Severity.WARNING, grad.steps, still >= limit, partial(_told, run, grad, still, limit, floor))


def _told(run: RunHistory, grad: MetricSeries, still: Values, limit: float, floor: float, i: int) -> Told:
    first, last = int(grad.steps[max(0, i - WINDOW + 1)]), int(grad.steps[i])
    return Told(
        f"the gradient norm was below {floor:.2g} in {still[i]:.0%} of the points between steps {first} and {last}",
        first,
        (Evidence(GRAD, first, last, "share of points without gradient", float(still[i]), limit),),
        (_remedy(run, floor, last),),
    )


def _remedy(run: RunHistory, floor: float, step: int) -> Prescription:
    """The page's list, in its order."""
    reward, standing = progress(run)
    lost = joined(reward, standing.loss, np.array([step]))[0]
    if recent_median(run, KL, step) > 0.5 or lost > 2.5:
        because = "the policy collapsed onto answers it is sure of because the updates were too large"
        return slower(GRAD, Direction.UP, floor, because)
    if (setting(run, "temperature") or 1) < COLD:
        return warmer(GRAD, Direction.UP, floor)
    return larger_groups(run, GRAD, Direction.UP, floor)
