"""RWD003: the reward goes down steadily."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Prescription, Severity
from diagnostics.progress import NOISE, REWARD, step_noise
from diagnostics.remedies import fewer_epochs, looser, slower, strong
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import block_trend, lagged, rolling_mean

BLOCK = 10
BLOCKS = 5


@rule(
    "RWD003",
    Severity.WARNING,
    needs=[REWARD],
    warmup=NOISE,
    lookback=BLOCK * BLOCKS + 5,
    min_points=BLOCK * BLOCKS,
    fires=[
        Case(example({REWARD: "0.5~0.1*30 0.5-0.01~0.1*80"}), "warning@54"),
        Case(example({REWARD: "1~0.1*40 0.8~0.1*10 0.9~0.1*10 0.6~0.1*10 0.5~0.1*40"}), "warning@64"),
        Case(
            example({REWARD: "1~0.1*40 0.7~0.1*10 0.9~0.1*10 0.8~0.1*10 0.6~0.1*10 0.9~0.1*40"}), "warning@72"
        ),  # one pair of blocks against the trend
    ],
    quiet=[
        example({REWARD: "0.5~0.1*20 0.5-0.002~0.1*60"}),  # down, but by less than the noise of a step
        example({REWARD: "0.5~0.1*30 0.2~0.1*10 0.5~0.1*60"}),  # a dip that is made up for
        example({REWARD: "1*40 0.5*20 0.6*10 0.8*10 1*20"}),  # down, and up again
        example({REWARD: "0.1~0.1*20 0.1+0.02~0.1*30 0.7~0.1*90"}),  # up and then level
    ],
)
def reward_decline(run: RunHistory, *, drop: float = 2.0, trend: float = 0.8) -> Iterator[Alarm]:
    """The reward has gone down, step upon step, for fifty points.

    ## Meaning
    Of the last five blocks of 10 points nearly every later one has a lower mean than every earlier one (Kendall's tau
    of -`trend` or below), the last lies `drop` times the noise of one step under the first, and under the early mean of
    the run.

    ## Why it matters
    The optimizer works against the reward: a KL penalty that outweighs it, updates too large to keep what was learned,
    or a policy that drifts in what the reward does not see. The loss often falls meanwhile and looks like progress.

    ## Look at
    The KL to the reference: falling with the reward means that the penalty pulls the policy back; rising means that it
    drifts. The total loss; the reward's components; the KL coefficient and the learning rate.

    ## What to change
    With a KL coefficient of 0.5 and more: the usual one, 0.04. Otherwise an eighth of the learning rate, and a quarter
    of the update epochs where there are several.

    ## When this is wrong
    A curriculum or a stream of harder prompts lowers the reward at equal skill. A slow wave longer than fifty points,
    as in control tasks with few episodes a row, may look like a decline.

    ## References
    - `drop` = 2.0: house default; the difference of two blocks of 10 has a standard error of 0.45 times the noise.
    - `trend` = 0.8: house default; of 120 orders of five blocks five are as monotone as that.
    - Mann 1945, Nonparametric tests against trend; Kendall 1975, Rank correlation methods.
    """
    reward = run.get(REWARD)
    level = rolling_mean(reward.values, BLOCK)
    before = lagged(level, BLOCK * (BLOCKS - 1))
    scale = step_noise(reward)
    tau = block_trend(reward.values, BLOCK, BLOCKS)
    holds = (tau <= -trend) & (before - level > drop * scale)
    yield Alarm(Severity.WARNING, reward.steps, holds, partial(_told, run, reward, level, before, scale, drop))


def _told(
    run: RunHistory,
    reward: MetricSeries,
    level: np.ndarray,
    before: np.ndarray,
    scale: np.ndarray,
    drop: float,
    i: int,
) -> Told:
    first, last = int(reward.steps[max(0, i - BLOCK * BLOCKS + 1)]), int(reward.steps[i])
    lost = float(before[i] - level[i])
    fall = lost / float(scale[i]) if scale[i] > 0 else lost
    return Told(
        f"the reward fell steadily from {before[i]:.3g} to {level[i]:.3g} between steps {first} and {last}",
        first,
        (Evidence(REWARD, first, last, "fall in units of noise", fall, drop),),
        _remedies(run, lost),
    )


def _remedies(run: RunHistory, lost: float) -> tuple[Prescription, ...]:
    if strong(run):
        return (looser(REWARD, lost / 2),)
    because = "smaller updates keep what earlier ones have learned"
    epochs = fewer_epochs(run, REWARD, lost / 2)
    return (slower(REWARD, Direction.UP, lost / 2, because), *([epochs] if epochs else []))
