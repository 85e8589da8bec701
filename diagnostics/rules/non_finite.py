"""NUM001: a number that training rests on is not finite."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Hypothesis, Prescription, Safety, Scale, Set, Severity
from diagnostics.progress import REWARD
from diagnostics.remedies import CLIPPED, setting
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import sustained

# A gradient or loss that is not finite writes NaN into the weights; anything else may be an accident of the log.
CORE = ("total_loss", "policy_loss.token", "policy_loss", "value_loss", "grad_norm")


@rule(
    "NUM001",
    Severity.FATAL,
    needs=[CORE],
    lookback=3,
    fires=[
        Case(example({"grad_norm": "1*5 nan 1*5"}), "error@5"),
        Case(example({"grad_norm": "1*5 nan*3"}), "error@5 fatal@7"),
        Case(example({"total_loss": "0*4 inf*9"}), "error@4 fatal@6"),
        Case(example({"value_loss": "0.4*4 nan*9"}), "error@4 fatal@6"),
    ],
    quiet=[
        example({"grad_norm": "1*20"}),
        example({"grad_norm": "1*9 1e30 1*5"}),  # absurd, but finite
        example({"grad_norm": "1*9", "validation_reward": "nan*9"}),  # NaN in what no gradient depends on
    ],
)
def non_finite(run: RunHistory, *, fatal_after: int = 3) -> Iterator[Alarm]:
    """A loss or gradient norm is NaN or infinite.

    ## Meaning
    At least one of the losses (total, policy, value) and the gradient norm is not a finite number. ERROR at the first
    such step, FATAL when it lasts for `fatal_after` steps: by then the weights are NaN, and every later step is wasted.

    ## Why it matters
    One optimizer step with a gradient that is not finite writes NaN into every weight it touches. Nothing that follows
    can recover it, and sampling from such a model raises an error or returns garbage that still gets a reward.

    ## Look at
    The gradient norm and the learning rate of the steps before; KL to the reference, which usually explodes first;
    whether gradients are clipped; fp16 without loss scaling.

    ## What to change
    A learning rate ten times lower. Clip the gradient norm at 1, if it is clipped above that or not at
    all. Prefer bf16 to fp16. Start again from a checkpoint
    before `first_step`: the weights after it are lost.

    ## When this is wrong
    A framework that skips steps with overflowing gradients (fp16 loss scaling) logs an infinite norm for a skipped step
    and goes on unharmed: hence ERROR, not FATAL, for less than `fatal_after` steps. NaN in auxiliary metrics is not
    looked at.

    ## References
    - `fatal_after` = 3: house default; fp16 loss scalers skip at most one or two steps in a row in a healthy run.
    - Micikevicius et al. 2018, Mixed Precision Training (arXiv 1710.03740), section 3.2.
    """
    for metric in CORE:
        series = run.get(metric)
        bad = ~np.isfinite(series.values)
        if bad.any():
            yield Alarm(Severity.ERROR, series.steps, bad, partial(_told, run, series, 1, fatal_after))
            lasting = sustained(bad, fatal_after)
            yield Alarm(Severity.FATAL, series.steps, lasting, partial(_told, run, series, fatal_after, fatal_after))


def _told(run: RunHistory, series: MetricSeries, count: int, limit: int, i: int) -> Told:
    first, last = int(series.steps[i - count + 1]), int(series.steps[i])
    span = f"at step {last}" if count == 1 else f"from step {first} to {last}"
    return Told(
        f"{series.metric} is {series.values[i]:g} {span}",
        first,
        (Evidence(series.metric, first, last, "non-finite points in a row", count, limit),),
        _remedies(run),
    )


def _remedies(run: RunHistory) -> tuple[Prescription, ...]:
    # Judged by the reward: what is not finite cannot be compared.
    smaller = Hypothesis(
        REWARD,
        Direction.UP,
        0.0,
        1.0,
        "updates ten times smaller leave the weights finite, and the policy able to learn",
    )
    remedies = [Prescription("learning_rate", Scale(0.1), smaller)]
    norm = setting(run, "max_grad_norm")
    if norm is None or not 0 < norm <= CLIPPED:  # 0 clips nothing
        clipped = Hypothesis(REWARD, Direction.UP, 0.0, 1.0, "clipping bounds the size of one update")
        remedies.append(Prescription("max_grad_norm", Set(CLIPPED), clipped, Safety.ADVICE))
    return tuple(remedies)
