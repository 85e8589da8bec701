"""GRD002: the gradient is zero, or next to nothing, most of the time."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.progress import KL_TOKEN, NOISE, REWARD
from diagnostics.remedies import more_contrast
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import median, share

GRAD = "grad_norm"

BASELINE = 10
WINDOW = 20


@rule(
    "GRD002",
    Severity.WARNING,
    needs=[GRAD],
    uses=[REWARD, *KL_TOKEN],
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
    ],
    quiet=[
        example({GRAD: "1 0 1 1 0.5 1 0 1 1 1 0 1 1 0 1 1 0 1 1 1 0 1 0 1 1 1 0 1 1 0 1"}),  # a group a row: some are 0
        example({GRAD: "1~0.1*30 0.01~0.001*60"}),  # a hundredth of what it was still learns
    ],
)
def dead_gradient(run: RunHistory, *, tiny: float = 1e-3, zero: float = 1e-8, limit: float = 0.5) -> Iterator[Alarm]:
    """No gradient reaches the weights any more.

    ## Meaning
    In at least `limit` of the last 20 points the gradient norm was at most `tiny` times the median of the first 10, or
    at most `zero`, whatever the first were.

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
    A task that is learned to the last prompt has no gradient left either; then the run is finished, not broken. A log
    with one group a row shows a zero for each group that agrees.

    ## References
    - `limit` = 0.5: house default within the 0.2, 0.4 and 0.7 at which rl-doctor reports steps without gradient.
    - `tiny` = 1e-3: house default; axolotl's range of healthy norms, 0.001 to 1, spans as much.
    - `zero` = 1e-8: house default; what a sum of float32 gradients that cancel leaves.
    """
    grad = run.get(GRAD)
    if len(grad) < BASELINE:
        return
    # A run whose first gradients were 0 has only the absolute limit.
    floor = max(zero, tiny * float(np.nan_to_num(median(grad.values[:BASELINE]))))
    still = share(grad.values <= floor, WINDOW)
    yield Alarm(Severity.WARNING, grad.steps, still >= limit, partial(_told, run, grad, still, limit, floor))


def _told(run: RunHistory, grad: MetricSeries, still: Values, limit: float, floor: float, i: int) -> Told:
    first, last = int(grad.steps[max(0, i - WINDOW + 1)]), int(grad.steps[i])
    return Told(
        f"the gradient norm was below {floor:.2g} in {still[i]:.0%} of the points between steps {first} and {last}",
        first,
        (Evidence(GRAD, first, last, "share of points without gradient", float(still[i]), limit),),
        (more_contrast(run, GRAD, Direction.UP, floor, last),),
    )
