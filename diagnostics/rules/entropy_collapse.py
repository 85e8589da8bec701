"""ENT001: the policy has become nearly deterministic, and something else suffers."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from diagnostics.finding import Direction, Evidence, Severity
from diagnostics.progress import (
    CEILING,
    KL_TOKEN,
    NOISE,
    RECENT,
    REWARD,
    WARMUP,
    Progress,
    at_ceiling,
    early,
    joined,
    progress,
)
from diagnostics.remedies import cold, setting, slower, tighter, warmer
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Steps, Values, example
from diagnostics.stats import Mask, lagged, rolling_mean

ENTROPY, ZERO_STD, LENGTH = "entropy.token", "zero_std_share", "completion_length_mean"

STALL = 40  # points over which a reward that no longer climbs counts as stalled


@rule(
    "ENT001",
    Severity.WARNING,
    needs=[ENTROPY],
    uses=[REWARD, ZERO_STD, LENGTH],
    warmup=NOISE,
    lookback=STALL + NOISE + 5,
    min_points=WARMUP,
    fires=[
        Case(example({ENTROPY: "1*20 1-0.01*95 0.05*40", REWARD: "0.3*155"}), "warning@105"),
        Case(example({ENTROPY: "1*20 1-0.01*95 0.05*40", REWARD: "0.3+0.0006~0.05*155"}), "warning@116"),
        Case(example({ENTROPY: "1*20 1-0.01*95 0.05*40", ZERO_STD: "0.1+0.0065*155"}), "warning@113"),
        Case(example({ENTROPY: "1*20 1-0.01*95 0.05*40", LENGTH: "20*20 20-0.1*135"}), "warning@125"),
        Case(example({ENTROPY: "0.04-0.0005*78 0.001*20"}), "warning@65"),  # below the floor nothing else is asked
        Case(example({ENTROPY: "0.04-0.0005*78 0.001*20", REWARD: "0.3+0.005~0.05*98"}), "info@65"),  # it climbs
        Case(
            example({ENTROPY: "0.04-0.0005*78 0.001*60", REWARD: "0.3+0.005~0.05*70 0.65~0.05*68"}),
            "info@65 warning@110",
        ),
        Case(example({ENTROPY: "0.005*120", REWARD: "0.81~0.01*120"}, reward_bounds=(-1, 1)), "info@9"),
        Case(example({ENTROPY: "0.005*120", REWARD: "0.79~0.01*120"}, reward_bounds=(-1, 1)), "info@9 warning@19"),
        Case(example({ENTROPY: "0.005*30", REWARD: "0.3~0.05*10 0.3+0.04~0.05*20"}), "info@9"),  # too young to stall
        Case(
            example({ENTROPY: "1*20 1-0.01*95 0.05*40", REWARD: "0.81~0.01*155"}, reward_bounds=(-1, 1)), "info@105"
        ),  # learned
        Case(
            example({ENTROPY: "1*20 1-0.01*95 0.05*40", REWARD: "0.79~0.01*155"}, reward_bounds=(-1, 1)), "warning@105"
        ),
    ],
    quiet=[
        example({ENTROPY: "1*20 1-0.01*95 0.05*40", REWARD: "0.3+0.005~0.05*155"}),  # low, and the reward still climbs
        example({ENTROPY: "1*20 1-0.01*75 0.25*60", REWARD: "0.3~0.05*155"}),  # stalled, and still exploring
        example({ENTROPY: "1*20 1-0.01*95 0.05*40"}),  # low, and no second symptom is logged
    ],
)
def entropy_collapse(
    run: RunHistory,
    *,
    low: float = 0.2,
    floor: float = 0.01,
    dead: float = 0.8,
    shrunk: float = 0.5,
    climb: float = 0.5,
    ceiling: float = CEILING,
) -> Iterator[Alarm]:
    """The policy says nearly the same thing every time, and does not do so because it learned the task.

    ## Meaning
    The mean entropy per token of the last 10 points is at most `low` times that of the first 10, and there is a second
    symptom: in a share of `dead` of the groups all rewards are equal, or completions are at most `shrunk` times as long
    as at first, or over 40 points the reward climbed by less than `climb` times the noise of one step. An entropy
    below `floor` nats needs no second symptom, unless the reward climbs. INFO where it does, and where the reward is
    within `ceiling` of the top of its declared range: the task is learned, and there is nothing left to be unsure of.

    ## Why it matters
    Without entropy all completions of a prompt are alike: no contrast, no gradient, no way to find a better answer.
    What the policy says by then is what it will say at the end.

    ## Look at
    The samples: one answer repeated, empty completions, a phrase that the reward likes. The learning rate; the KL
    coefficient (0 lets a policy collapse onto whatever is rewarded); the sampling temperature.

    ## What to change
    A temperature below 0.7: 1. Otherwise an eighth of the learning rate, and a KL coefficient where there is none.

    ## When this is wrong
    Entropy falls in every good run, by nine tenths and more, and the reward climbs while it does: hence the second
    symptom. A run that has learned its task ends with little entropy and a flat reward, and may be
    reported at its end where the bounds of the reward are not declared.

    ## References
    - `floor` = 0.01: axolotl's GRPO guide (below 0.01 collapsed, 0.05 to 0.5 healthy).
    - `low` = 0.2: house default; healthy runs of a hundred steps were measured to keep 0.3 and more.
    - `dead` = 0.8: axolotl's limit of the share of groups without variance.
    - `shrunk` = 0.5, `climb` = 0.5, `ceiling` = 0.1: house defaults.
    - Cui et al. 2025, The entropy mechanism of reinforcement learning for reasoning (arXiv 2505.22617).
    """
    entropy = run.get(ENTROPY)
    known = early(entropy, WARMUP)
    if known is None:
        return
    level = rolling_mean(entropy.values, RECENT)
    gone = level < floor
    collapsed = (level <= low * known.level) & (entropy.steps >= known.known_from)
    if not (gone.any() or collapsed.any()):
        return
    reward, standing = progress(run)
    rise = joined(reward, _rise(standing), entropy.steps)
    symptoms = {
        "the reward no longer gains": rise <= climb,
        "most groups get all the same reward": _groups_agree(run, entropy.steps, dead),
        "completions are far shorter than at first": _lengths_shrank(run, entropy.steps, shrunk),
    }
    ill = np.logical_or.reduce(list(symptoms.values()))
    learned = joined(reward, at_ceiling(run, standing.recent, ceiling).astype(float), entropy.steps) == 1
    # Before `STALL` points count from the start, and until the noise of the reward is known give it the doubt.
    logged = ~np.isnan(joined(reward, np.ones(len(reward)), entropy.steps))
    climbs = logged & ~(np.where(np.isnan(rise), joined(reward, standing.gain, entropy.steps), rise) <= climb)
    told = partial(_told, run, entropy, level, symptoms)
    for limit, low_now, excused in ((low * known.level, collapsed & ill, learned), (floor, gone, learned | climbs)):
        yield Alarm(Severity.WARNING, entropy.steps, low_now & ~excused, partial(told, limit))
        yield Alarm(Severity.INFO, entropy.steps, low_now, partial(told, limit))


def _rise(standing: Progress) -> Values:
    """How far the reward climbed over the last `STALL` points, in units of its noise (n,); NaN until it is known."""
    return (standing.recent - lagged(standing.recent, STALL)) / standing.scale


def _groups_agree(run: RunHistory, steps: Steps, dead: float) -> Mask:
    groups = run.get(ZERO_STD)
    return joined(groups, rolling_mean(groups.values, RECENT), steps) >= dead


def _lengths_shrank(run: RunHistory, steps: Steps, shrunk: float) -> Mask:
    length = run.get(LENGTH)
    known = early(length, WARMUP)
    if known is None:
        return np.zeros(len(steps), dtype=bool)
    recent = joined(length, rolling_mean(length.values, RECENT), steps)
    return (recent <= shrunk * known.level) & (steps >= known.known_from)


def _told(
    run: RunHistory, entropy: MetricSeries, level: Values, symptoms: Mapping[str, Mask], limit: float, i: int
) -> Told:
    first, last = int(entropy.steps[max(0, i - RECENT + 1)]), int(entropy.steps[i])
    now = float(level[i])
    because = "smaller updates sharpen the policy no faster than it finds better answers"
    remedies = [slower(ENTROPY, Direction.UP, max(now, limit), because)]
    if cold(run):
        remedies = [warmer(ENTROPY, Direction.UP, max(now, limit))]
    elif setting(run, "kl_coef") == 0:
        remedies.append(tighter(run, KL_TOKEN[0], 0.0))
    seen = [what for what, holds in symptoms.items() if holds[i]]
    return Told(
        ", and ".join([f"the entropy is {now:.3g} nats per token at step {last} (limit {limit:.3g})", *seen]),
        first,
        (Evidence(ENTROPY, first, last, "mean of the last 10 points", now, limit),),
        tuple(remedies),
    )
