"""RWD002: the reward fell back to where it started, or below."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.progress import REWARD, WARMUP, Progress, early, progress
from diagnostics.remedies import fewer_epochs, looser, setting, slower
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import rolling_max

# How far back a good level counts: a run that was good within so many points and is now no better than at its start.
MEMORY = 100


@rule(
    "RWD002",
    Severity.ERROR,
    needs=[REWARD],
    warmup=WARMUP,
    lookback=130,
    min_points=20,
    fires=[
        Case(example({REWARD: "0.1~0.1*20 0.1+0.02~0.1*30 0.7~0.1*20 -0.4~0.1*40"}), "error@78"),
        Case(example({REWARD: "0.5~0.1*30 0.5-0.01~0.1*80"}), "error@79"),
        Case(example({REWARD: "-0.2~0.05*2 -0.45 -0.65~0.05*60"}), "error@19"),  # lost within three steps
    ],
    quiet=[
        example({REWARD: "0.1~0.1*20 0.1+0.02~0.1*30 0.7~0.1*30 0.4~0.1*40"}),  # lost half of its gain, not all
        example({REWARD: "0.5~0.1*60 0.27~0.1*60"}),  # lower, but within what noise of this size does
        example({REWARD: "0.3~0.3*200"}),  # noise alone
    ],
)
def reward_collapse(run: RunHistory, *, drop: float = 4.5) -> Iterator[Alarm]:
    """The reward is no better than at the start of the run, and far below what it was.

    ## Meaning
    The mean of the last 10 points is at or below the mean of the first 10, and lies at least `drop` times the noise of
    one step under the best this run has shown: the best of its first 5 points, or the best such mean within the last
    100. Noise is the larger of the early and the recent one, both taken from the differences of neighbouring points.

    ## Why it matters
    What was learned is gone. Nearly always the updates were too large: the policy jumped out of the region where its
    own samples still earn reward, and groups that all fail give no gradient back.

    ## Look at
    The KL to the reference and the gradient norm at `first_step`; entropy; the samples of the steps after; whether the
    reward function itself failed (every completion at exactly the same value).

    ## What to change
    An eighth of the learning rate, from a checkpoint before `first_step`. With several update epochs on each batch,
    halve them. With a KL coefficient of 0.5 and more the penalty itself pulls the policy back to where it started: then
    a tenth of the coefficient comes first.

    ## When this is wrong
    A curriculum that becomes harder, a change of the reward function, or a restart with new data lowers the reward
    without any fault of the policy.

    ## References
    - `drop` = 4.5: house default; a flat run stands 1.2 below the best of its first five points, give or take 0.6, so
      that 4.5 leaves room for a noise that is underestimated by a third.
    - von Neumann 1941, The mean square successive difference: noise from differences.
    """
    reward, standing = progress(run)
    known = early(reward, WARMUP)
    if known is None:
        return
    fallen, best = _fallen(standing)
    yield Alarm(
        Severity.ERROR,
        reward.steps,
        (standing.recent <= known.level) & (fallen >= drop),
        partial(_told, run, reward, standing, best, known.level, drop),
    )


def _fallen(standing: Progress) -> tuple[np.ndarray, np.ndarray]:
    """How far the reward lies below its best, in units of noise (n,), and that best (n,)."""
    untouched = standing.recent + standing.loss * standing.scale
    best = np.fmax(untouched, rolling_max(standing.recent, MEMORY))
    return (best - standing.recent) / standing.scale, best


def _told(
    run: RunHistory, reward: MetricSeries, standing: Progress, best: np.ndarray, start: float, drop: float, i: int
) -> Told:
    now, top = float(standing.recent[i]), float(best[i])
    first, last = int(reward.steps[max(0, i - 9)]), int(reward.steps[i])
    lost = top - now
    remedies = [
        slower(REWARD, Direction.UP, lost / 2, "the updates were too large, and threw away what had been learned")
    ]
    epochs = fewer_epochs(run, REWARD, lost / 2)
    if epochs is not None:
        remedies.append(epochs)
    if (setting(run, "kl_coef") or 0) >= 0.5:
        remedies.insert(0, looser(REWARD, lost / 2))
    return Told(
        f"the reward fell from {top:.3g} to {now:.3g} by step {last}, no better than the {start:.3g} it started from",
        first,
        (
            Evidence(REWARD, first, last, "fall in units of noise", lost / float(standing.scale[i]), drop),
            Evidence(REWARD, first, last, "mean of the last 10 points", now, start),
        ),
        tuple(remedies),
    )
