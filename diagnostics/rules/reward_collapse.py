"""RWD002: the reward fell back to where it started, or below."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.progress import (
    FALL_LOOKBACK,
    NOISE,
    REWARD,
    REWARDS,
    UNTOUCHED,
    WARMUP,
    Fall,
    early,
    fall,
    progress,
)
from diagnostics.remedies import fewer_epochs, looser, slower, strong
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import Mask, rolling_max, sustained

LASTING = 15  # points for which it has to stay below where it began: a dip at the start is none
SURE = 60  # points before which a run has not learned what it could lose

WAVES = " ".join(f"{level}~0.02*10" for level in (1, 1.06, 0.94, 1.06, 1.06, 0.94, 0.94, 1.06, 0.94))


@rule(
    "RWD002",
    Severity.ERROR,
    needs=[REWARDS],
    warmup=NOISE,
    lookback=FALL_LOOKBACK + LASTING,
    min_points=20,
    fires=[
        Case(example({REWARD: "0.1~0.1*20 0.1+0.02~0.1*30 0.7~0.1*20 -0.4~0.1*40"}), "error@78"),
        Case(example({REWARD: "0.5~0.1*30 0.5-0.01~0.1*80"}), "warning@94"),  # it had nothing to lose
        Case(example({REWARD: "-0.2~0.05*2 -0.45 -0.65~0.05*60"}), "warning@36"),  # lost within three steps
        Case(example({REWARD: "-0.6 -0.55 -0.5 -0.2 -0.2 -0.42 -0.65*60"}), "warning@39"),  # good up to the fifth point
        Case(example({REWARD: "0.1~0.1*20 0.9~0.1*20 0.3~0.1*80 0~0.1*30"}), "error@128"),  # good 90 points ago
        Case(example({REWARD: f"{WAVES} -0.2~0.02*20"}), "warning@96"),  # waves, and then far below them all
        Case(example({REWARD: f"{WAVES} 0.65~0.02*20"}), "warning@94"),  # three times as far as they went
        Case(example({REWARD: "0.1~0.1*20 0.9~0.1*20 0.9-0.0057~0.1*105 0~0.1*30"}), "error@152"),  # slowly at first
    ],
    quiet=[
        example({REWARD: "0.1~0.1*20 0.1+0.02~0.1*30 0.7~0.1*30 0.4~0.1*40"}),  # lost half of its gain, not all
        example({REWARD: "0.5~0.1*60 0.27~0.1*60"}),  # lower, but within what noise of this size does
        example({REWARD: "0.3~0.3*200"}),  # noise alone
        example({REWARD: WAVES}),  # lower than it has been, as often before
        example({REWARD: f"{WAVES} 0.88~0.02*20"}),  # lower than ever, by a wave and a half
        example({REWARD: "-0.65 -0.6 -0.55 -0.5 -0.42 -0.2 -0.2 -0.65*60"}),  # good from the sixth point on only
        example({REWARD: "1~0.02*10 1.1~0.02*10 0.98~0.02*10 1.08~0.02*10 1~0.02*10"}),  # waves, not known for it yet
        example({REWARD: "0.5 0*80"}),  # a lucky first step
        example({REWARD: "0.1~0.1*20 0.9~0.1*20 0.3~0.1*105 0~0.1*30"}),  # good 115 points ago
    ],
)
def reward_collapse(run: RunHistory, *, drop: float = 4.5, memory: int = 100) -> Iterator[Alarm]:
    """The reward is no better than at the start of the run, and far below what it was.

    ## Meaning
    The mean of the last 10 points is at or below the mean of the first 10, and lies at least `drop` times the noise of
    one step under the best this run has shown: under the best but one of its first 5 points, for 15 points on end
    (WARNING), or, in a run of 60 points and more, under the best such mean within the last `memory` points: ERROR
    where half of what was lost, or twice `drop` times the noise, had been gained before, else WARNING. Noise is the
    larger of that of the first 20 points and of the last 20, both taken from the differences of neighbouring points.
    Where no reward is logged, the share of successes stands for it.

    Rewards that come in waves, or were smoothed by whoever logged them, hide how far they wander by themselves. In a
    run of 140 points and more the fall is therefore 2.5 times deeper than any within 50 points that the run had in the
    250 points up to 50 ago. A younger run is judged where its noise is one of single steps (in most stretches of 20
    points it scatters about a line by no more than 1.1 times what neighbours differ by), or where the fall is twice the
    span of all that its means had moved over until 20 points ago.

    ## Why it matters
    What was learned is gone. Nearly always the updates were too large: the policy jumped out of the region where its
    own samples still earn reward, and groups that all fail give no gradient back.

    ## Look at
    The KL to the reference and the gradient norm at `first_step`; entropy; the samples of the steps after; whether the
    reward function itself failed (every completion at exactly the same value).

    ## What to change
    An eighth of the learning rate, from a checkpoint before `first_step`. With several update epochs on each batch,
    a quarter of them. With a KL coefficient of 0.5 and more the penalty itself pulls the policy back to where it
    started: then the usual coefficient, 0.04, comes first.

    ## When this is wrong
    A curriculum that becomes harder, a change of the reward function, or a restart with new data lowers the reward
    without any fault of the policy.

    ## References
    - `drop` = 4.5: house default; none of 10,000 flat runs of 100 steps and 4,000 of 1,000 steps of Gaussian noise
      raised this. Of runs of 1,000 steps that learn under AR(0.9) noise of a fifth of their gain 2 % raised it, and
      13 % under noise smoothed over 20 steps.
    - `memory` = 100: house default; the runs that are tested here are a few hundred steps long.
    - von Neumann 1941, The mean square successive difference: noise from differences.
    """
    reward, standing = progress(run)
    known = early(reward, WARMUP)
    if known is None:
        return
    began = np.full(len(reward), _second_best(reward.values[:UNTOUCHED]))
    peak = rolling_max(standing.recent, memory)
    back = (standing.recent <= known.level) & (np.fmax(began, peak) - standing.recent >= drop * standing.scale)
    # Rewards that come in waves have to fall further than they ever did.
    falling = fall(run)
    scale = standing.scale
    told = partial(_told, run, reward, standing.recent, scale=scale, start=known.level, drop=drop)
    early_on = _lost(began, standing.recent, back, drop * scale, falling)
    yield Alarm(Severity.WARNING, reward.steps, sustained(early_on, LASTING), partial(told, began))
    lost = _lost(peak, standing.recent, back, drop * scale, falling) & (np.arange(len(reward)) >= SURE - 1)
    gained = peak - known.level
    had_learned = (gained >= (peak - standing.recent) / 2) | (gained >= 2 * drop * scale)
    yield Alarm(Severity.WARNING, reward.steps, lost, partial(told, peak))
    yield Alarm(Severity.ERROR, reward.steps, lost & had_learned, partial(told, peak))


def _lost(best: Values, recent: Values, back: Mask, least: Values, falling: Fall) -> Mask:
    """Where the reward is `back` at its start, and has come down from `best` by `least` and as it never did before."""
    fell = best - recent
    return falling.new(fell, back & (fell >= least))


def _second_best(values: Values) -> float:
    """The highest of `values` but one: a single lucky step is no level that a run could fall from."""
    finite = np.sort(values[np.isfinite(values)])
    return float(finite[-2]) if len(finite) > 1 else -np.inf


def _told(
    run: RunHistory,
    reward: MetricSeries,
    recent: Values,
    best: Values,
    i: int,
    *,
    scale: Values,
    start: float,
    drop: float,
) -> Told:
    now, top = float(recent[i]), float(best[i])
    first, last = int(reward.steps[max(0, i - 9)]), int(reward.steps[i])
    lost = top - now
    remedies = [
        slower(REWARD, Direction.UP, lost / 2, "the updates were too large, and threw away what had been learned")
    ]
    epochs = fewer_epochs(run, REWARD, lost / 2)
    if epochs is not None:
        remedies.append(epochs)
    if strong(run):
        remedies.insert(0, looser(REWARD, lost / 2))
    return Told(
        f"the reward fell from {top:.3g} to {now:.3g} by step {last}, no better than the {start:.3g} it started from",
        first,
        (
            Evidence(reward.metric, first, last, "fall in units of noise", lost / float(scale[i]), drop),
            Evidence(reward.metric, first, last, "mean of the last 10 points", now, start),
        ),
        tuple(remedies),
    )
