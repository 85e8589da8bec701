"""RWD009: the reward is locked at its best while the policy has shrunk to a corner."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Prescription, Severity
from diagnostics.narrowing import (
    ENTROPY,
    FAR_SUM,
    GAINED,
    KL_SUM,
    LENGTH,
    LOOKBACK,
    NARROW,
    SHORT,
    is_far,
    is_short,
    usual,
)
from diagnostics.progress import KL_TOKEN, NOISE, RECENT, REWARDS, at_ceiling, joined, progress, recent_median
from diagnostics.remedies import FAR, setting, slower, tighter
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Steps, Values, example
from diagnostics.stats import Mask, rolling_mean, rolling_noise

SIGNS = 2  # of the three that a narrow policy shows; one alone is in many good runs

TOKEN, REWARD = ENTROPY[0], "reward_mean"
COLLAPSED, SHRUNK = "the entropy has collapsed", "completions are far shorter than at first"
AWAY = "the policy is far from the reference"


def swinging(until: int, size: float = 0.1, gain: float = 0.6) -> str:
    """A reward around 0.3 with a swing of 0.1 that rises by `gain` at `until`, and swings by `size` from then on."""
    before = [f"{0.3 + 0.1 * (-1) ** i:.4f}" for i in range(until)]
    return " ".join(before + [f"{0.3 + gain + size * (-1) ** i:.4f}" for i in range(until, 120)])


LOCKED = {REWARD: swinging(40, 0.0)}
AT_ONCE = {REWARD: "0.6 1.0 0.7 1.0 0.8 1.0*115"}  # learned before there is an early mean
SURE, BRIEF, FAR_AWAY = {TOKEN: "2*40 0.3*80"}, {LENGTH: "100*40 5*80"}, {KL_TOKEN[0]: "0.1*40 2*80"}


@rule(
    "RWD009",
    Severity.ERROR,
    needs=[REWARDS],
    uses=[*ENTROPY, LENGTH, *KL_TOKEN, *KL_SUM],
    warmup=NOISE,
    lookback=LOOKBACK,
    min_points=2 * NOISE,
    fires=[
        Case(example(LOCKED | SURE | BRIEF), "error@59"),
        Case(example(LOCKED | SURE | FAR_AWAY), "warning@59"),
        Case(example(LOCKED | BRIEF | FAR_AWAY), "warning@59"),
        Case(example(LOCKED | SURE | BRIEF | FAR_AWAY, settings={"kl_coef": 0.0}), "error@59"),
        Case(example({REWARD: swinging(40, 0.009)} | SURE | BRIEF), "error@59"),
        Case(example({REWARD: swinging(40, 0.0, gain=0.32)} | SURE | BRIEF), "error@59"),
        Case(example(LOCKED | BRIEF | {ENTROPY[1]: "2*40 0.36*80"}), "error@59"),
        Case(example(LOCKED | SURE | {LENGTH: "100*40 22*80"}), "error@59"),
        Case(example(LOCKED | SURE | {KL_TOKEN[0]: "0.1*40 0.55*80"}), "warning@59"),
        Case(example(LOCKED | SURE | {KL_SUM[3]: "2*40 11*80"}), "warning@59"),
        Case(example(AT_ONCE | {TOKEN: "2*5 0.3*115", LENGTH: "100*5 5*115"}, reward_bounds=(0.0, 1.047)), "error@24"),
    ],
    quiet=[
        example(LOCKED | SURE),  # learned: of one mind, and nothing else
        example(LOCKED | BRIEF),
        example(LOCKED | FAR_AWAY),
        example({REWARD: swinging(40)} | SURE | BRIEF | FAR_AWAY),  # not locked
        example({REWARD: swinging(40, 0.011)} | SURE | BRIEF),
        example({REWARD: swinging(40, 0.0, gain=-0.3)} | SURE | BRIEF),  # locked at a bad answer: no hacking
        example({REWARD: swinging(40, 0.0, gain=0.25)} | SURE | BRIEF),
        example({REWARD: "0.9*120"} | SURE | BRIEF),  # it never moved
        example(LOCKED | BRIEF | {TOKEN: "2*40 0.44*80"}),
        example(LOCKED | SURE | {LENGTH: "100*40 28*80"}),
        example(LOCKED | SURE | {KL_TOKEN[0]: "0.1*40 0.45*80"}),
        example(LOCKED | SURE | {KL_SUM[3]: "2*40 9*80"}),
        example(AT_ONCE | {TOKEN: "2*5 0.3*115", LENGTH: "100*5 5*115"}, reward_bounds=(0.0, 1.058)),  # not at its best
        example(AT_ONCE | {TOKEN: "2*5 0.3*115", LENGTH: "100*5 90*115"}, reward_bounds=(0.0, 1.0)),
    ],
)
def reward_hacking(
    run: RunHistory,
    *,
    still: float = 0.1,
    gained: float = GAINED,
    top: float = 0.05,
    low: float = NARROW,
    short: float = SHORT,
    far: float = FAR,
    far_sum: float = FAR_SUM,
) -> Iterator[Alarm]:
    """The reward has gone still at the best it ever was, and the policy looks as if it had found a trick.

    ## Meaning
    The noise of the reward over the last 20 points is at most `still` times that of the first 20, and its level stands
    `gained` times that early noise above its early mean, or within the share `top` of the best there can be: what is
    learned within the first points has no early mean to stand above. Two of three signs are there as well: the mean
    entropy of the last 10 points is at most `low` times what was usual; completions are at most `short` times as long
    as the first ones; the KL to the reference is above `far` nats per token, or `far_sum` per completion or where the
    log does not say of what. ERROR where both entropy and length have collapsed: whatever the reward says, such answers
    are alike.

    ## Why it matters
    A reward without noise says that every prompt gets the same score, whatever it asks. If the answers are degenerate
    (one word, a phrase that the reward likes, nothing at all), the model is lost although its curve looks like success.

    ## Look at
    The completions, before anything else. A score that the reward does not see: accuracy by hand, another reward model,
    a held-out set; the components of the reward one by one; the length of completions and the KL.

    ## What to change
    The reward: what is exploited has to cost something. A KL penalty, or four times the one there is; where the policy
    is far from the reference all the same, an eighth of the learning rate.

    ## When this is wrong
    It audits, it does not warn early: by the time a reward is locked the trick is learned. An easy task that is solved
    looks the same, with a short answer and a sharp policy. A trick that keeps the reward noisy is not seen at all, nor
    one that trades a component of the reward for another: no curve tells that from learning.

    ## References
    - `still` = 0.1: house default. A reward logged as a moving average goes as still without any fault, which is why
      it is never enough.
    - `gained` = 2.0: house default; the mean of ten points against the mean of ten has a standard error of 0.45.
    - `top` = 0.05: house default; a reward that is locked at its best has hardly any of its range left.
    - `low` = 0.2, `short` = 0.25: house defaults, as for an entropy collapse.
    - `far` = 0.5: axolotl's GRPO guide. `far_sum` = 10: TRL's PPO guide (keep the summed KL between 0 and 10).
    - Gao et al. 2022, Scaling laws for reward model overoptimization (arXiv 2210.10760): the true reward falls again
      with the distance from the reference while the one that is optimised still rises.
    """
    reward, standing = progress(run)
    noise = rolling_noise(reward.values, NOISE)
    first = noise[NOISE - 1] if len(noise) >= NOISE else np.nan
    high = (standing.gain >= gained) | at_ceiling(run, standing.recent, top)
    locked = (noise <= still * first) & (first > 0) & high
    if not locked.any():
        return
    steps = reward.steps
    signs = {
        COLLAPSED: _is_sure(run, steps, low),
        SHRUNK: is_short(run, steps, short),
        AWAY: is_far(run, steps, far, far_sum),
    }
    holds, degenerate = locked & (np.sum(list(signs.values()), axis=0) >= SIGNS), signs[COLLAPSED] & signs[SHRUNK]
    told = partial(_told, run, reward, noise, still * first, signs)
    yield Alarm(Severity.WARNING, steps, holds, told)
    yield Alarm(Severity.ERROR, steps, holds & degenerate, told)


def _is_sure(run: RunHistory, steps: Steps, low: float) -> Mask:
    """Whether any entropy has fallen to at most `low` times what was usual."""
    sure = np.zeros(len(steps), dtype=bool)
    for entropy in filter(len, map(run.get, ENTROPY)):
        fallen = rolling_mean(entropy.values, RECENT) <= low * usual(entropy)
        sure |= joined(entropy, fallen.astype(float), steps) == 1
    return sure


def _told(
    run: RunHistory, reward: MetricSeries, noise: Values, limit: float, signs: Mapping[str, Mask], i: int
) -> Told:
    first, last = int(reward.steps[max(0, i - NOISE + 1)]), int(reward.steps[i])
    seen = [what for what, holds in signs.items() if holds[i]]
    level = float(reward.values[i])
    return Told(
        ", and ".join([f"the reward has stood at {level:.3g} since step {first}", *seen]),
        first,
        (Evidence(reward.metric, first, last, "noise of a step", float(noise[i]), limit),),
        tuple(_remedies(run, bool(signs[AWAY][i]), last)),
        Confidence.MEDIUM if len(seen) == len(signs) else Confidence.LOW,
        (
            "Read the completions, and score them by something that this reward does not see.",
            "A validation_reward from another scorer, logged beside this reward, would settle it.",
        ),
    )


def _remedies(run: RunHistory, away: bool, step: int) -> Iterator[Prescription]:
    metric = next((metric for metric in (*KL_TOKEN, *KL_SUM) if run.points(metric)), KL_TOKEN[0])
    yield tighter(run, metric, 0.0)
    if away and setting(run, "kl_coef") != 0:
        because = "smaller updates stay where the reward still means something"
        yield slower(metric, Direction.DOWN, recent_median(run, (metric,), step) / 2, because)
