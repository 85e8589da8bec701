"""RWD004: the reward has not moved since the run began."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Prescription, Severity
from diagnostics.progress import (
    CEILING,
    KL_TOKEN,
    NOISE,
    REWARD,
    REWARDS,
    Early,
    at_ceiling,
    early,
    joined,
    recent_median,
    reward_of,
)
from diagnostics.remedies import AGREED, MOVED, cooler, faster, hot, larger_groups, looser, setting, slower, strong
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import Mask, median, rolling_max, rolling_mean, rolling_noise, share, sustained

ZERO_STD, GRADIENT = "zero_std_share", "grad_norm"

BASELINE = 20
WINDOW = 20
# Points among which the best level is looked for.
PAST = 250
# Points for which a run without gradient has to stand still, and the share of their gradients that must be nil.
LOCKED = 40
MOST = 0.8

CHECK = (
    "Check what the reward gives for an answer known to be right; where it does reward it, begin with easier prompts."
)

GAINED = "-2~0.1*10 -1.4~0.1*50 -1.2~0.1*80"
NARROW = "-2~0.1*10 -1.4~0.1*50 -1.2~0.028*80"


@rule(
    "RWD004",
    Severity.WARNING,
    needs=[REWARDS],
    uses=[*KL_TOKEN, ZERO_STD, GRADIENT],
    warmup=BASELINE,
    lookback=PAST + WINDOW,
    min_points=BASELINE + WINDOW,
    fires=[
        Case(example({REWARD: "-0.33~0.1*120"}, reward_bounds=(-1, 1)), "warning@80"),
        Case(example({REWARD: "-0.33~0.3*103"}, reward_bounds=(-1, 1)), "warning@91"),  # noise delays the verdict
        Case(example({REWARD: "0.2~0.3*100"}), "warning@86"),  # without bounds the noise is the only scale
        Case(example({REWARD: "0*100"}), "warning@80"),
        Case(example({"success_share": "0*100"}), "warning@80"),  # no reward is logged
        Case(example({REWARD: GAINED, GRADIENT: "4~0.5*60 0.0035*80"}), "warning@95"),  # locked, above its start
        Case(example({REWARD: NARROW, GRADIENT: "4~0.5*60 0*80"}), "warning@98"),  # less noise, but some
        Case(example({REWARD: "0.79~0.001*120"}, reward_bounds=(-1, 1)), "warning@80"),  # just below the ceiling
        Case(example({REWARD: "-0.33~0.1*200"}, settings={"max_steps": 400}, reward_bounds=(-1, 1)), "warning@100"),
        Case(example({REWARD: "-0.33+0.001~0.1*120"}, reward_bounds=(-1, 1)), "warning@80"),  # no more than its noise
    ],
    quiet=[
        example({REWARD: "-0.33+0.003~0.1*120"}, reward_bounds=(-1, 1)),  # slow, but it learns
        example({REWARD: "-0.33+0.001~0.03*120"}, reward_bounds=(-1, 1)),  # slower still, and sure to
        example({REWARD: "-0.33~0.15*30 -0.13~0.15*30 -0.33~0.15*90"}, reward_bounds=(-1, 1)),  # it rose, and fell back
        example({REWARD: "0.81~0.01*120"}, reward_bounds=(-1, 1)),  # at the ceiling
        example({REWARD: "0*40 0+0.01~0.02*80"}),  # starts late
        example({REWARD: "0.2~0.3*70"}),  # too early to say
        example({REWARD: GAINED, GRADIENT: "4~0.5*140"}),  # flat for long, after a gain
        example({REWARD: GAINED, GRADIENT: "4~0.5*60 0.0045*80"}),  # small gradients, no more
        example(
            {REWARD: "-2~0.1*10 -1.4~0.1*50 1~0.02*80", GRADIENT: "4~0.5*60 0*80"}
        ),  # its noise is gone too: learned
        example({REWARD: GAINED, GRADIENT: "4~0.5*60 0*80"}, reward_bounds=(-2.2, -1.2)),  # at the ceiling
        example({"success_share": "0.05~0.01*20 0.05+0.001~0.01*100"}),  # few successes, but ever more
        example({"success_share": "0.05~0.01*20 0.05+0.001~0.01*100"}, reward_bounds=(-1, 1)),  # of something else
    ],
)
def reward_plateau(
    run: RunHistory,
    *,
    min_steps: int = 80,
    budget: float = 0.25,
    errors: float = 2.0,
    learned: float = 4.0,
    worthwhile: float = 0.8,
    worthwhile_share: float = 0.15,
    ceiling: float = CEILING,
    vanished: float = 1e-3,
    alive: float = 0.25,
) -> Iterator[Alarm]:
    """The reward is where it was at the start, and precise enough to say so.

    ## Meaning
    At least `min_steps` steps after the first, and `budget` of the steps that the run will take where that is known
    (`max_steps`), the mean of the last 20 points exceeds the mean of the first 20, even with `errors` standard errors
    added, by less than a gain worth having: `worthwhile_share` of what was left to the top of its range where its
    bounds are declared, else `worthwhile` times the noise of a step. Nor did any such mean among the last 250 points
    lie more than `learned` standard errors above the first: a run that learns slowly is not flat, and one that lost
    what it had gained is for other rules. A run within `ceiling` of the top of that range is saturated, which is not
    this. Where no reward is logged, the share of successes stands for it.

    A run that gained something and then locked is one too: for 40 points the gradient norm was less than `vanished` of
    its early median in four of five, while rewards still differ from step to step by `alive` of their early noise or
    more. There would be something to learn, and nothing is.

    ## Why it matters
    The budget is spent and nothing is learned: the learning rate is too low, the KL penalty too strong, the samples too
    noisy, or no group holds a reward to learn from.

    ## Look at
    The KL to the reference: near 0 means that the weights hardly move. The best of the completions of a prompt against
    their mean: a gap is a signal that is not used. The share of groups without reward variance. The reward function on
    an answer that is known to be right.

    ## What to change
    The first of these that applies. Away from the reference (KL per token above 0.1): an eighth of the learning rate,
    since the policy moves and is not held back. A KL coefficient of 0.5 and more: 0.04, the usual one. A temperature
    above 1.3: 1. More than half of the groups without variance: larger groups. A reward that lies as far below its
    start as a gain worth having would lie above: an eighth of the learning rate. One that is the same number at every
    point: the reward function, for no learning rate learns from it. Otherwise ten times the learning rate.

    ## When this is wrong
    A run resumed at the top of what its task allows is flat by right; declare the bounds of the reward. Without bounds
    the confidence is lower. A task with a very long incubation can still start.

    ## References
    - `min_steps` = 80: house default; of published healthy runs the slowest to start rises within 80 steps.
    - `budget` = 0.25: house default; of 210 healthy runs of 2,000 steps, made from recorded ones, 1 was told with it, 7
      with a tenth, and 18 where `max_steps` is not known: they dip early on to where they began.
    - `errors` = 2.0: the usual 95 % interval.
    - `learned` = 4.0: house default; the best of many means of a flat run lies three above its start by luck.
    - `worthwhile` = 0.8, `worthwhile_share` = 0.15: house defaults; a smaller gain is not seen by eye.
    - `ceiling` = 0.1: house default.
    - `vanished` = 1e-3, `alive` = 0.25: house defaults; gradients of runs that learn stay within a tenth of their early
      size, and of a policy without entropy a hundred-thousandth was measured.
    """
    reward = reward_of(run)
    known = early(reward, BASELINE)
    if known is None:
        return
    level = rolling_mean(reward.values, WINDOW)
    scale = rolling_noise(reward.values, NOISE)
    # Both estimates from twenty points are rough, and too large a one would hide a plateau for good.
    first = np.fmin(known.noise, rolling_noise(reward.values[:BASELINE], NOISE)[-1])
    error = np.sqrt(first**2 / BASELINE + scale**2 / WINDOW)
    gain = level - known.level
    useful = worthwhile * np.maximum(first, scale)
    if run.reward_bounds is not None and reward.metric == REWARD:
        useful = np.full(len(reward), worthwhile_share * (run.reward_bounds[1] - known.level))
    with np.errstate(invalid="ignore"):
        unmoved = rolling_max(level, PAST) - known.level <= learned * error
    late = reward.steps >= reward.steps[0] + max(min_steps, budget * (setting(run, "max_steps") or 0))
    late[: BASELINE + WINDOW - 1] = False
    flat = gain + errors * error <= useful
    open_above = ~at_ceiling(run, level, ceiling)
    holds = late & flat & unmoved & open_above
    yield Alarm(Severity.WARNING, reward.steps, holds, partial(_told, run, reward, level, known, useful))
    locked = late & open_above & _still(run, reward, vanished) & (scale >= alive * first)
    yield Alarm(Severity.WARNING, reward.steps, locked, partial(_told_locked, run, reward, level, vanished))


def _still(run: RunHistory, reward: MetricSeries, vanished: float) -> Mask:
    """Where hardly any of the last gradients was more than `vanished` of the early ones, at points of `reward` (n,)."""
    norm = run.get(GRADIENT)
    usual = median(norm.values[:BASELINE])
    nil = share(norm.values <= vanished * usual, WINDOW) >= MOST
    still: Mask = joined(norm, sustained(nil, LOCKED - WINDOW + 1).astype(np.float64), reward.steps) == 1
    return still


def _told(run: RunHistory, reward: MetricSeries, level: np.ndarray, known: Early, useful: np.ndarray, i: int) -> Told:
    start, first, last = int(reward.steps[0]), int(reward.steps[max(0, i - WINDOW + 1)]), int(reward.steps[i])
    gain, limit = float(level[i] - known.level), float(useful[i])
    finite = reward.values[: i + 1][np.isfinite(reward.values[: i + 1])]
    remedy = _remedy(run, max(limit, 0.0), last, fallen=gain < -limit, constant=bool((finite == finite[:1]).all()))
    return Told(
        f"the reward is {level[i]:.3g} at step {last} and was {known.level:.3g} at the start: no gain in "
        f"{last - start} steps",
        start,
        (Evidence(reward.metric, first, last, "gain over the first 20 points", gain, limit),),
        (remedy,) if remedy else (),
        Confidence.HIGH if run.reward_bounds is not None else Confidence.MEDIUM,
        () if remedy else (CHECK,),
    )


def _told_locked(run: RunHistory, reward: MetricSeries, level: np.ndarray, vanished: float, i: int) -> Told:
    last = int(reward.steps[i])
    norm = run.get(GRADIENT).upto(last)
    first = int(norm.steps[max(0, len(norm) - LOCKED)])
    now, usual = median(norm.values[-LOCKED:]), median(norm.values[:BASELINE])
    because = "updates that were too large have collapsed the policy onto a few answers"
    return Told(
        f"the reward stands at {level[i]:.3g} from step {first} to {last}: it still differs from step to step, and the "
        f"gradient norm of {now:.3g} ({usual:.3g} at the start) changes nothing",
        first,
        (Evidence(GRADIENT, first, last, "median of the last 40 points", now, vanished * usual),),
        (slower(REWARD, Direction.UP, 0.0, because),),
        Confidence.MEDIUM,
    )


def _remedy(run: RunHistory, gain: float, step: int, *, fallen: bool, constant: bool) -> Prescription | None:
    """The page's list, in its order."""
    if recent_median(run, KL_TOKEN, step) > MOVED:
        because = "the policy moves and gains nothing by it, as with updates that are too large"
        return slower(REWARD, Direction.UP, gain, because)
    if strong(run):
        return looser(REWARD, gain)
    if hot(run):
        return cooler(REWARD, gain)
    if recent_median(run, (ZERO_STD,), step) > AGREED:
        return larger_groups(run, REWARD, Direction.UP, gain)
    if fallen:
        because = "updates that take the reward below its start are not too small"
        return slower(REWARD, Direction.UP, gain, because)
    if constant:
        return None
    return faster(REWARD, gain, "the updates are too small to turn the signal that is there into skill")
