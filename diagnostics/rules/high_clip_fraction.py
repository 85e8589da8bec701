"""UPD002: too many tokens are beyond the clip range."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Scale, Severity
from diagnostics.remedies import fewer_epochs
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import rolling_mean

CLIPPED, OF_SOMETHING = "clip_fraction.token", "clip_fraction"  # of tokens, and where the log does not say of what
OF_ACTIONS = "clip_fraction.action"

WINDOW = 4


@rule(
    "UPD002",
    Severity.ERROR,
    needs=[(CLIPPED, OF_SOMETHING, OF_ACTIONS)],
    lookback=WINDOW,
    min_points=WINDOW,
    fires=[
        Case(example({CLIPPED: "0+0.01*45"}), "warning@22 error@42"),
        Case(example({CLIPPED: "0.3 0.18 0.2 0.16 0.19 0.16*10"}), "warning@3"),
        Case(example({OF_SOMETHING: "0+0.01*45"}), "warning@22 error@42"),
        Case(example({OF_ACTIONS: "0+0.01*60"}), "warning@32"),
    ],
    quiet=[
        example({CLIPPED: "0.15~0.01*60"}),  # within what PPO does
        example({CLIPPED: "0.05*20 0.5 0.05*20"}),  # one step
        example({OF_ACTIONS: "0.25~0.01*60"}),  # ten epochs of continuous control
        example({CLIPPED: "0*50"}),  # one pass over each batch: nothing can be clipped
    ],
)
def high_clip_fraction(
    run: RunHistory, *, limit: float = 0.2, severe: float = 0.4, action_limit: float = 0.3
) -> Iterator[Alarm]:
    """For too many tokens the update wants to leave the trust region.

    ## Meaning
    The mean clip fraction of the last 4 points is above `limit` (WARNING) or `severe` (ERROR). One of which the log
    does not say whether it is of tokens is held to the same limits. Of actions in an environment, WARNING above
    `action_limit`: with ten epochs on each batch a quarter of them is usual.

    ## Why it matters
    Clipped tokens give no gradient: a large share means that the policy moves further on each batch than its data
    supports. Learning becomes slow and noisy, and the reward lower than with fewer passes over each batch.

    ## Look at
    The number of update epochs and mini-batches for each batch of rollouts; the learning rate; how the clip fraction
    grows within the epochs; the KL between the policy and the one that sampled.

    ## What to change
    With more than one update epoch: a quarter of them, at least one. Otherwise half the learning rate.

    ## When this is wrong
    The first steps of a run with a warm-started critic may clip much and settle. Where each row is an optimizer step
    and a rollout has more than 4 of them, its last ones clip most, and 4 points are not the mean of a rollout. Very
    short clip ranges, as in sequence-level methods, clip by design.

    ## References
    - `limit` = 0.2, `severe` = 0.4: the upper two of three levels that rl-doctor uses (0.10, 0.20, 0.40); axolotl calls
      above 0.3 bad and below 0.1 healthy.
    - `action_limit` = 0.3: PTT's limit for PPO.
    - Schulman et al. 2017, Proximal policy optimization (arXiv 1707.06347).
    """
    for series in (run.get(CLIPPED), run.get(OF_SOMETHING)):
        level = rolling_mean(series.values, WINDOW)
        yield Alarm(Severity.WARNING, series.steps, level > limit, partial(_told, run, series, level, limit))
        yield Alarm(Severity.ERROR, series.steps, level > severe, partial(_told, run, series, level, severe))
    actions = run.get(OF_ACTIONS)
    level = rolling_mean(actions.values, WINDOW)
    yield Alarm(
        Severity.WARNING, actions.steps, level > action_limit, partial(_told, run, actions, level, action_limit)
    )


def _told(run: RunHistory, series: MetricSeries, level: np.ndarray, limit: float, i: int) -> Told:
    first, last = int(series.steps[max(0, i - WINDOW + 1)]), int(series.steps[i])
    of = {CLIPPED: " of the tokens were", OF_ACTIONS: " of the actions were"}.get(series.metric, " of the ratios were")
    return Told(
        f"{level[i]:.0%}{of} clipped between steps {first} and {last} (limit {limit:.0%})",
        first,
        (Evidence(series.metric, first, last, "mean of the last 4 points", float(level[i]), limit),),
        (_remedy(run, series.metric, float(level[i])),),
    )


def _remedy(run: RunHistory, clipped: str, level: float) -> Prescription:
    epochs = fewer_epochs(run, clipped, level / 4)
    if epochs is not None:
        return epochs
    because = "smaller updates stay within the trust region"
    return Prescription("learning_rate", Scale(0.5), Hypothesis(clipped, Direction.DOWN, level / 4, 0.5, because))
