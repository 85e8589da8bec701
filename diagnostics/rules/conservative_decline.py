"""RWD008: the loss falls, and the reward falls with it."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Prescription, Severity
from diagnostics.progress import BLOCK, BLOCKS, FALL_LOOKBACK, NOISE, REWARD, REWARDS, Fall, fall, joined, step_noise
from diagnostics.remedies import USUAL, looser, setting, slower
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import block_trend, lagged, rolling_mean

LOSSES = ("total_loss", "policy_loss.token", "policy_loss")
LOSS = LOSSES[0]

FALLS = "0.5~0.1*30 0.5-0.01~0.1*50"
FASTER, LONG = "0.5-0.004~0.03*80", "0.9-0.004~0.03*130"
WAVES = " ".join(
    f"{level}~0.02*10" for level in (1.06, 0.94, 1.06, 1.06, 0.94, 0.94, 1.06, 0.94, 1.1, 1.05, 1, 0.95, 0.9)
)


@rule(
    "RWD008",
    Severity.WARNING,
    needs=[REWARDS, LOSSES],
    warmup=NOISE,
    lookback=FALL_LOOKBACK + 5,
    min_points=BLOCK * BLOCKS,
    fires=[
        Case(example({REWARD: FALLS, LOSS: FASTER}), "warning@57"),
        Case(example({REWARD: FALLS, LOSS: FASTER}, settings={"kl_coef": 2.0}), "warning@57"),
        Case(example({REWARD: "0.5~0.1*30 0.5-0.0043~0.1*50", LOSS: FASTER}), "warning@69"),
        Case(example({REWARD: "1~0.1*40 0.8~0.1*10 0.6~0.1*10 0.7~0.1*10 0.65~0.1*10", LOSS: FASTER}), "warning@51"),
        Case(example({REWARD: FALLS, "policy_loss": "0.5-0.0003~0.03*80"}), "warning@62"),
        Case(example({REWARD: "0+0.02~0.02*50 1~0.02*30 1-0.0081~0.02*50", LOSS: LONG}), "warning@121"),
    ],
    quiet=[
        example({REWARD: FALLS, LOSS: "0.5+0.004~0.03*80"}),  # the loss rises: a decline, but no misleading one
        example({REWARD: FALLS, LOSS: "0.001~0.001*80"}),  # a loss near 0 that says nothing, as of GRPO
        example({REWARD: "0.5+0.002~0.1*80", LOSS: FASTER}),  # what it should do
        example({REWARD: "0.5~0.1*80", LOSS: FASTER}),
        example({REWARD: "0+0.02~0.02*50 1~0.02*30 1-0.0065~0.02*50", LOSS: LONG}),  # a quarter of what was gained
        example({REWARD: WAVES, LOSS: LONG}),  # lower than it has been, as often before
    ],
)
def conservative_decline(
    run: RunHistory,
    *,
    trend: float = 0.5,
    drop: float = 1.5,
    errors: float = 3.5,
    part: float = 0.33,
    loss_drop: float = 0.5,
) -> Iterator[Alarm]:
    """The loss falls as it should, and the reward falls with it.

    ## Meaning
    Over the last five blocks of 10 points both go down: Kendall's tau of the blocks' means is -`trend` or below, and
    the last mean lies under the first by `drop` times the noise of one step for the reward and by `loss_drop` times for
    the loss. The fall of the reward is no wave of its own either, as for a decline of the reward alone (RWD003): by
    `errors` standard errors of a difference of two blocks, taken from how such means wander, by the share `part` of
    what had been gained where its noise does not exclude waves, and in a run of 140 points and more 2.5 times deeper
    than it fell before. Both together tell more than either: a fall of the reward alone has to be steadier and larger.

    ## Why it matters
    A falling loss looks like progress. Here the optimizer gets what it was told to get, and that is not the reward:
    nearly always a KL penalty that outweighs it, so that what was learned is given back for being near the reference.

    ## Look at
    The KL to the reference: it falls with the reward where the penalty does it. The KL coefficient times that KL
    against the size of the reward. The value loss, where it is part of the loss.

    ## What to change
    The usual KL coefficient, 0.04, where it is larger; otherwise an eighth of the learning rate.

    ## When this is wrong
    A curriculum that becomes harder lowers the reward at equal skill. Where the loss holds the error of a critic, it
    falls because the critic learns, and only the reward is a matter of concern.

    ## References
    - `trend` = 0.5, `drop` = 1.5: house defaults, each weaker than for a decline of the reward alone.
    - `loss_drop` = 0.5: the standard error of a difference of two blocks of 10, 0.45 times the noise.
    - `errors` = 3.5, `part` = 0.33: as for a decline of the reward alone.
    - Mann 1945, Nonparametric tests against trend; Kendall 1975, Rank correlation methods.
    """
    falling = fall(run)
    down = falling.steady(trend, drop, errors, part)
    loss = run.get(next(filter(run.points, LOSSES), LOSS))
    before, level = _ends(loss)
    fell = (block_trend(loss.values, BLOCK, BLOCKS) <= -trend) & (before - level > loss_drop * step_noise(loss))
    holds = down & (joined(loss, fell.astype(np.float64), falling.reward.steps) == 1)
    yield Alarm(Severity.WARNING, falling.reward.steps, holds, partial(_told, run, falling, loss, drop))


def _ends(series: MetricSeries) -> tuple[Values, Values]:
    """The means of the first and of the last block at each point (n,)."""
    level = rolling_mean(series.values, BLOCK)
    return lagged(level, BLOCK * (BLOCKS - 1)), level


def _told(run: RunHistory, falling: Fall, loss: MetricSeries, drop: float, i: int) -> Told:
    reward, before, level = falling.reward, falling.before, falling.level
    first, last = int(reward.steps[max(0, i - BLOCK * BLOCKS + 1)]), int(reward.steps[i])
    was, now = (float(ends[-1]) for ends in _ends(loss.upto(last)))
    lost = float(before[i] - level[i])
    drops = lost / float(falling.scale[i]) if falling.scale[i] > 0 else lost
    return Told(
        f"{loss.metric} fell from {was:.3g} to {now:.3g} between steps {first} and {last}, and the reward with it from "
        f"{before[i]:.3g} to {level[i]:.3g}",
        first,
        (Evidence(reward.metric, first, last, "fall in units of noise", drops, drop),),
        (_remedy(run, lost / 2),),
    )


def _remedy(run: RunHistory, amount: float) -> Prescription:
    """The page's list, in its order."""
    if (setting(run, "kl_coef") or 0) > USUAL:
        return looser(REWARD, amount)
    return slower(REWARD, Direction.UP, amount, "smaller updates keep what earlier ones have learned")
