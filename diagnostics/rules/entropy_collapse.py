"""ENT001: the policy has become nearly deterministic, and something else suffers."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Severity
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
    is_sudden,
    rise,
    usual,
)
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, RECENT, REWARDS, WARMUP, at_ceiling, joined, progress
from diagnostics.remedies import FAR, cold, setting, slower, tighter, warmer
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Steps, Values, example
from diagnostics.stats import Mask, rolling_mean

TOKEN, UNSAID, ACTION = ENTROPY
ZERO_STD, REWARD = "zero_std_share", "reward_mean"
STALLED = "the reward no longer gains"

FALLS = "1*20 1-0.01*95 0.05*40"  # to 0.2 at 105 in its last ten points, to 0.15 at 110, to 0.25 at 100
GONE = "20*20 20-0.16*120 0.9*15"  # lengths
LEARNS = "0.3+0.002~0.02*100 0.5~0.02*55"


@rule(
    "ENT001",
    Severity.WARNING,
    needs=[ENTROPY],
    uses=[*REWARDS, ZERO_STD, LENGTH, *KL_TOKEN, *KL_SUM],
    warmup=NOISE,
    lookback=LOOKBACK,
    min_points=WARMUP,
    fires=[
        Case(example({TOKEN: FALLS, REWARD: "0.3*155"}), "warning@105"),
        Case(example({UNSAID: FALLS, REWARD: "0.3*155"}), "warning@105"),
        Case(example({ACTION: FALLS, REWARD: "0.3*155"}), "warning@105"),
        Case(example({TOKEN: FALLS, REWARD: "0.3+0.0006~0.05*155"}), "warning@116"),
        Case(example({TOKEN: FALLS, REWARD: "0.2 0.4 " * 20 + "0.44 0.64 " * 58}), "warning@105"),  # gained too little
        Case(example({TOKEN: FALLS, REWARD: "0.2 0.4 " * 20 + "0.52 0.72 " * 58}), "info@105"),
        Case(example({TOKEN: "1*100 0.05*40", REWARD: "0.2 0.4 " * 20 + "0.6 0.8 " * 50}), "warning@108"),  # at once
        Case(example({TOKEN: "1*60 1-0.02*47 0.05*40", REWARD: "0.2 0.4 " * 20 + "0.6 0.8 " * 54}), "info@105"),
        Case(example({TOKEN: FALLS, ZERO_STD: "0.1+0.0065*155"}), "warning@113"),
        Case(example({TOKEN: FALLS, LENGTH: GONE}), "warning@119"),
        Case(example({TOKEN: FALLS, REWARD: LEARNS, KL_TOKEN[0]: "0+0.0042*155"}), "warning@127"),
        Case(example({UNSAID: FALLS, REWARD: LEARNS, KL_SUM[3]: "0+0.084*155"}), "warning@127"),
        Case(example({UNSAID: "2*10 2+0.25*40 12*20 12-0.3*38 0.9*30", REWARD: "0.3*138"}), "warning@107"),
        Case(example({TOKEN: "0.04-0.0005*78 0.001*20"}), "warning@65"),  # below the floor nothing else is asked
        Case(example({TOKEN: "0.04-0.0005*78 0.001*20", REWARD: "0.3+0.005~0.05*98"}), "info@65"),  # it climbs
        Case(example({TOKEN: "0.005*120", REWARD: "0.81~0.01*120"}, reward_bounds=(-1, 1)), "info@9"),
        Case(example({TOKEN: "0.005*120", REWARD: "0.79~0.01*120"}, reward_bounds=(-1, 1)), "info@9 warning@19"),
        Case(example({TOKEN: "0.005*30", REWARD: "0.3~0.05*10 0.3+0.04~0.05*20"}), "info@9"),  # too young to stall
        Case(example({TOKEN: FALLS, REWARD: "0.81~0.01*155"}, reward_bounds=(-1, 1)), "info@105"),  # learned
        Case(example({TOKEN: FALLS, REWARD: "0.79~0.01*155"}, reward_bounds=(-1, 1)), "warning@105"),
        Case(example({TOKEN: FALLS, LENGTH: GONE, REWARD: "0.9*155"}, reward_bounds=(-1, 1)), "info@105 warning@119"),
        Case(example({TOKEN: FALLS, LENGTH: "20*155", REWARD: "0.9*155"}, reward_bounds=(-1, 1)), "info@105"),
        Case(example({TOKEN: FALLS, REWARD: LEARNS}), "info@137"),  # learned, of a reward whose top is not known
    ],
    quiet=[
        example({TOKEN: FALLS, REWARD: "0.3+0.005~0.05*155"}),  # low, and the reward still climbs
        example({TOKEN: "1*20 1-0.01*75 0.25*60", REWARD: "0.3~0.05*155"}),  # stalled, and still exploring
        example({TOKEN: FALLS}),  # low, and no second symptom is logged
        example({ACTION: "1.4-0.03*155", REWARD: "0+0.01~0.05*155"}),  # continuous actions: below 0, and it climbs
        example({UNSAID: "-1-0.02*155", REWARD: "0.3~0.05*155"}),  # below 0 from the start: no ratio says a thing
        example({UNSAID: "0.005*120", REWARD: "0.3~0.05*120"}),  # the floor is one of tokens
    ],
)
def entropy_collapse(
    run: RunHistory,
    *,
    low: float = NARROW,
    floor: float = 0.01,
    dead: float = 0.8,
    shrunk: float = SHORT,
    far: float = FAR,
    far_sum: float = FAR_SUM,
    climb: float = 0.5,
    gained: float = GAINED,
    ceiling: float = CEILING,
) -> Iterator[Alarm]:
    """The policy says nearly the same thing every time, and does not do so because it learned the task.

    ## Meaning
    The mean entropy of the last 10 points is at most `low` times what was usual, the mean of the first 5 points or the
    highest level of the last 60, and there is a second symptom. Either the reward neither climbs (by more than
    `climb` times the noise of one step over 40 points) nor ever gained `gained` times that noise, which counts only
    for what did not come at once (half of the usual level lost within 20 of these points); or, without such a
    gain, in a share of `dead` of the groups all rewards are equal; or completions are at most `shrunk` times as long as
    at first; or the KL to the reference is above `far` nats per token, or `far_sum` per completion or where the log
    does not say of what. An entropy below `floor` nats per token needs no second symptom, unless the reward climbs or
    has gained. INFO where the reward has gained and stands still, and where it is within `ceiling` of the top of its
    declared range while completions keep their length: the task is learned, and there is nothing left to be unsure of.

    ## Why it matters
    Without entropy all completions of a prompt are alike: no contrast, no gradient, no way to find a better answer.
    What the policy says by then is what it will say at the end.

    ## Look at
    The samples: one answer repeated, empty completions, a phrase that the reward likes. The learning rate; the KL
    coefficient (0 lets a policy collapse onto whatever is rewarded); the sampling temperature.

    ## What to change
    A temperature below 0.7: 1. Otherwise an eighth of the learning rate, and a KL coefficient where there is none. For
    an agent in an environment a larger entropy bonus as well.

    ## When this is wrong
    Entropy falls in every good run, by nine tenths and more, and the reward climbs while it does: hence the second
    symptom. The entropy of continuous actions has no zero that means anything, and a ratio to it little. A policy that
    gained while it collapsed onto a degenerate answer, and shows it neither in length nor in KL, is told as INFO.

    ## References
    - `floor` = 0.01: axolotl's GRPO guide (below 0.01 collapsed, 0.05 to 0.5 healthy).
    - `low` = 0.2: house default; healthy runs of a hundred steps were measured to keep 0.3 and more.
    - `dead` = 0.8: axolotl's limit of the share of groups without variance.
    - `far` = 0.5: axolotl's GRPO guide. `far_sum` = 10: TRL's PPO guide (keep the summed KL between 0 and 10).
    - `shrunk` = 0.25, `climb` = 0.5, `ceiling` = 0.1: house defaults.
    - `gained` = 2.0: house default; the mean of ten points against the mean of ten has a standard error of 0.45.
    - Cui et al. 2025, The entropy mechanism of reinforcement learning for reasoning (arXiv 2505.22617).
    """
    for entropy in filter(len, map(run.get, ENTROPY)):
        steps, level, limit = entropy.steps, rolling_mean(entropy.values, RECENT), low * usual(entropy)
        collapsed = level <= limit
        gone = (level < floor) & (entropy.metric == TOKEN)
        if not (collapsed.any() or gone.any()):
            continue
        reward, standing = progress(run)
        climbed, gain = joined(reward, rise(standing), steps), joined(reward, standing.gain, steps)
        # What fell just now is paid for by what was gained since then, not by what was gained before.
        still = climbed <= climb
        better = (gain >= gained) & ~(still & is_sudden(level))
        short = is_short(run, steps, shrunk)
        symptoms = {
            "completions are far shorter than at first": short,
            "the policy is far from the reference": is_far(run, steps, far, far_sum),
            "most groups get all the same reward": _groups_agree(run, steps, dead) & ~better,
        }
        degenerate = np.logical_or.reduce(list(symptoms.values()))
        learned = (joined(reward, at_ceiling(run, standing.recent, ceiling).astype(float), steps) == 1) & ~short
        # Until the noise of the reward is known give it the doubt.
        logged = ~np.isnan(joined(reward, np.ones(len(reward)), steps))
        excused = learned | (better & ~degenerate) | (logged & ~still)
        told = partial(_told, run, entropy, level, symptoms | {STALLED: still})
        ill = collapsed & (degenerate | (still & ~better)) & ~learned
        yield Alarm(Severity.WARNING, steps, ill, partial(told, limit))
        yield Alarm(Severity.INFO, steps, collapsed & (degenerate | still), partial(told, limit))
        yield Alarm(Severity.WARNING, steps, gone & ~excused, partial(told, np.full(len(steps), floor)))
        yield Alarm(Severity.INFO, steps, gone, partial(told, np.full(len(steps), floor)))


def _groups_agree(run: RunHistory, steps: Steps, dead: float) -> Mask:
    groups = run.get(ZERO_STD)
    return joined(groups, rolling_mean(groups.values, RECENT), steps) >= dead


def _told(
    run: RunHistory, entropy: MetricSeries, level: Values, symptoms: Mapping[str, Mask], limit: Values, i: int
) -> Told:
    first, last = int(entropy.steps[max(0, i - RECENT + 1)]), int(entropy.steps[i])
    now, at_most = float(level[i]), float(limit[i])
    because = "smaller updates sharpen the policy no faster than it finds better answers"
    amount = max(now, at_most)
    remedies = [slower(entropy.metric, Direction.UP, amount, because)]
    if cold(run):
        remedies = [warmer(entropy.metric, Direction.UP, amount)]
    elif setting(run, "kl_coef") == 0:
        remedies.append(tighter(run, KL_TOKEN[0], 0.0))
    seen = [what for what, holds in symptoms.items() if holds[i]]
    of = " per token" if entropy.metric == TOKEN else ""
    return Told(
        ", and ".join([f"the entropy is {now:.3g} nats{of} at step {last} (limit {at_most:.3g})", *seen]),
        first,
        (Evidence(entropy.metric, first, last, "mean of the last 10 points", now, at_most),),
        tuple(remedies),
        Confidence.MEDIUM if seen in ([], [STALLED]) else Confidence.HIGH,
        ("A larger entropy bonus (entropy_coef) keeps an agent exploring.",) if entropy.metric == ACTION else (),
    )
