"""RWD003: the reward goes down, steadily or at once."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Direction, Evidence, Prescription, Severity
from diagnostics.progress import BLOCK, BLOCKS, FALL_LOOKBACK, LEAP, NOISE, REWARD, REWARDS, SUCCESS, Fall, fall
from diagnostics.remedies import fewer_epochs, looser, slower, strong
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import RunHistory, Values, example
from diagnostics.stats import lagged

WAVES = " ".join(f"{level}~0.02*10" for level in (1.06, 0.94, 1.06, 1.06, 0.94, 0.94, 1.06, 0.94))


@rule(
    "RWD003",
    Severity.WARNING,
    needs=[REWARDS],
    warmup=NOISE,
    lookback=FALL_LOOKBACK + 5,
    min_points=BLOCK * BLOCKS,
    fires=[
        Case(example({REWARD: "0.5~0.1*30 0.5-0.01~0.1*80"}), "warning@94"),
        Case(example({REWARD: "1~0.1*40 0.8~0.1*10 0.9~0.1*10 0.6~0.1*10 0.5~0.1*40"}), "warning@64"),
        Case(
            example({REWARD: "1~0.1*50 0.8~0.1*10 0.85~0.1*10 0.65~0.1*10 0.5~0.1*40"}), "warning@74"
        ),  # one pair rises
        Case(example({REWARD: f"{WAVES} {WAVES} 1-0.01~0.02*60"}), "warning@203"),  # deeper than its waves
        Case(example({REWARD: "0+0.02~0.02*50 1~0.02*30 1-0.0081~0.02*50"}), "warning@121"),
        Case(example({REWARD: "0.3~0.1*20 1~0.1*130 0.62~0.1*40"}), "warning@160"),  # at once
        Case(example({SUCCESS: "0.5~0.1*30 0.5-0.01~0.1*50"}), "warning@57"),  # no reward is logged
    ],
    quiet=[
        example({REWARD: "0.5~0.1*30 0.5-0.004~0.1*50"}),  # down, but not surely
        example({REWARD: "0.5~0.1*20 0.5-0.002~0.1*60"}),  # down, but by less than the noise of a step
        example({REWARD: "0.5~0.1*30 0.2~0.1*10 0.5~0.1*60"}),  # a dip that is made up for
        example({REWARD: "1*150 0.5*6 1*30"}),  # a dip of a few points
        example({REWARD: "0.3~0.1*20 1~0.1*130 0.66~0.1*11"}),  # at once, and by little
        example({REWARD: "0.1~0.1*20 0.1+0.02~0.1*30 0.7~0.1*90"}),  # up and then level
        example({REWARD: "0+0.02~0.02*50 1~0.02*30 1-0.0065~0.02*50 0.75~0.02*5"}),  # a quarter of what was gained
        example(
            {REWARD: WAVES + " 1.06~0.02*10 1.03~0.02*10 1~0.02*10 0.97~0.02*10 0.94~0.02*10 1.06~0.02*10"}
        ),  # a wave
    ],
)
def reward_decline(
    run: RunHistory,
    *,
    drop: float = 2.0,
    trend: float = 0.8,
    errors: float = 3.5,
    part: float = 0.33,
    leap: float = 3.5,
) -> Iterator[Alarm]:
    """The reward has gone down, step upon step or at once, further than it ever does.

    ## Meaning
    Steadily: of the last five blocks of 10 points nearly every later one has a lower mean than every earlier one
    (Kendall's tau of -`trend` or below), and the last lies under the first by `drop` times the noise of one step. Or at
    once, in a run of 140 points and more: the mean of the last 10 points lies under that of the 10 before the previous
    10 by `leap` times that noise, and each of these points by half as much.

    Either is also `errors` standard errors of a difference of two blocks, from how such means wander about their trend
    in the last 100 points. In a run of 140 points and more it is 2.5 times deeper than any fall within 50 points that
    the run had in the 250 points up to 50 ago. And it is the share `part` of what the run had gained, unless the noise
    is one of single steps (in most stretches of 20 points they scatter about a line by no more than 1.1 times what
    neighbours differ by), where smaller falls are as sure. A younger run is judged only where its noise is such, and by
    that share. Where no reward is logged, the share of successes stands for it.

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
    A curriculum or a stream of harder prompts lowers the reward at equal skill. A single wave longer than fifty points,
    the first of its run, may look like a decline, and so may one smoothed over many steps.

    ## References
    - `drop` = 2.0: house default; the difference of two blocks of 10 has a standard error of 0.45 times the noise.
    - `trend` = 0.8: house default; of 120 orders of five blocks five are as monotone as that.
    - `errors` = 3.5: house default. With it all, none of 900 simulated runs that learn under white noise raised this,
      1 to 4 % of those of 300 and 1,000 steps under AR(0.9) noise of a tenth and a fifth of their gain, 1 % of those
      logged as the mean of the last 100 episodes, and up to 15 % under noise smoothed over 20 steps.
    - `leap` = 3.5: house default; the difference of two means of 10 has a standard error of 0.45 times the noise.
    - `part` = 0.33: house default; a run that keeps two thirds of its gain is past its best, not in decline.
    - Mann 1945, Nonparametric tests against trend; Kendall 1975, Rank correlation methods.
    - Law and Carson 1979, A sequential procedure for determining the length of a steady-state simulation: batch means.
    """
    falling = fall(run)
    holds = falling.steady(trend, drop, errors, part)
    slowly = partial(_told, run, falling, falling.before, BLOCK * BLOCKS, "steadily", drop)
    yield Alarm(Severity.WARNING, falling.reward.steps, holds, slowly)
    fell = falling.at_once(leap, errors, part)
    quickly = partial(_told, run, falling, lagged(falling.level, LEAP), LEAP + BLOCK, "at once", leap)
    yield Alarm(Severity.WARNING, falling.reward.steps, fell, quickly)


def _told(run: RunHistory, falling: Fall, before: Values, points: int, how: str, drop: float, i: int) -> Told:
    reward, level, scale = falling.reward, falling.level, falling.scale
    first, last = int(reward.steps[max(0, i - points + 1)]), int(reward.steps[i])
    lost = float(before[i] - level[i])
    drops = lost / float(scale[i]) if scale[i] > 0 else lost
    return Told(
        f"the reward fell {how} from {before[i]:.3g} to {level[i]:.3g} between steps {first} and {last}",
        first,
        (Evidence(reward.metric, first, last, "fall in units of noise", drops, drop),),
        _remedies(run, lost),
    )


def _remedies(run: RunHistory, lost: float) -> tuple[Prescription, ...]:
    if strong(run):
        return (looser(REWARD, lost / 2),)
    because = "smaller updates keep what earlier ones have learned"
    epochs = fewer_epochs(run, REWARD, lost / 2)
    return (slower(REWARD, Direction.UP, lost / 2, because), *([epochs] if epochs else []))
