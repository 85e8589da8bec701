"""ENT002: the policy becomes random, and the reward does not show for it."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Severity
from diagnostics.narrowing import BEFORE, ENTROPY, LOOKBACK, STALL, rise
from diagnostics.progress import KL_TOKEN, NOISE, RECENT, REWARDS, UNTOUCHED, early, joined, progress
from diagnostics.remedies import setting, slower, tighter
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import lagged, rolling_max, rolling_mean

TOKEN, UNSAID, ACTION = ENTROPY
REWARD = "reward_mean"

RISES = "1*20 1+0.01*200"  # doubled at 125 in its last ten points
STEADY = "0.2 0.4 " * 20  # a noise of sqrt(2) / 10 exactly


@rule(
    "ENT002",
    Severity.WARNING,
    needs=[ENTROPY],
    uses=REWARDS,
    warmup=NOISE,
    lookback=LOOKBACK,
    min_points=2 * RECENT,
    fires=[
        Case(example({TOKEN: RISES, REWARD: "0.3~0.05*220"}), "warning@125"),
        Case(example({UNSAID: RISES}), "warning@125"),
        Case(example({ACTION: RISES, REWARD: "-0.002-0.002*220"}), "warning@125"),
        Case(example({TOKEN: "3*10 0.6*40 0.6+0.02*60 1.8*60"}), "warning@85"),  # it had fallen before
        Case(example({TOKEN: "0.2*20 0.2+0.02*80"}), "warning@65"),  # not before it is high
        Case(example({TOKEN: RISES, REWARD: STEADY + "0.71 0.91 " * 90}), "warning@125"),
        Case(example({TOKEN: "1*100 2.5*40", REWARD: STEADY + "0.9 1.1 " * 50}), "warning@106"),  # gained before that
    ],
    quiet=[
        example({TOKEN: "1*90 1+0.05*30 2.5*20", REWARD: "0.3~0.05*90 0.3+0.02~0.05*50"}),  # gained with it
        example({TOKEN: RISES, REWARD: STEADY + "0.83 1.03 " * 90}),  # exploration that pays
        example({TOKEN: "1.7+0.01*120 2.9*80", REWARD: "0.3~0.05*200"}),  # up by two thirds
        example({TOKEN: "0.2*20 0.2+0.01*70 0.9*60"}),  # sharp at first, and still not random
        example({TOKEN: "1~0.05*80 9 1~0.05*80"}),  # one point
        example({ACTION: "-1+0.02*200"}),  # continuous actions: below 0 no ratio says a thing
    ],
)
def entropy_explosion(
    run: RunHistory, *, times: float = 2.0, high: float = 1.0, gained: float = 4.0
) -> Iterator[Alarm]:
    """The policy becomes more and more random, and gets nothing for it.

    ## Meaning
    The mean entropy of the last 10 points is at least `times` times the mean of the first 5 points, or the lowest level
    of the last 60, and above `high` nats, while the reward stands less than `gained` times the noise of one step above
    its early mean; where the entropy rose that much within 40 points, above what it was before these. A run that logs
    no reward is judged without it.

    ## Why it matters
    Entropy that rises without a better reward is not exploration: large or badly scaled updates wash out what the model
    knew, up to text that is nearly uniform over the vocabulary. An entropy of 10 to 12 nats per token is exactly that:
    the logarithm of a vocabulary of 32,000 is 10.4, of one of 150,000 11.9.

    ## Look at
    The samples: words of all languages side by side. The KL to the reference, which is far from it or, where sampling
    and scoring differ, below 0; the entropy bonus; the learning rate; temperature and top-p in sampling.

    ## What to change
    An eighth of the learning rate, and a KL coefficient where there is none. An entropy bonus, where there is one, is
    the first suspect: a tenth of it, or none.

    ## When this is wrong
    A model that starts very sure of itself, after much supervised training, may double its entropy and be the better
    for it: what stays below `high` is not reported. Some methods want the entropy up (a higher upper clip range); the
    reward then rises as well.

    ## References
    - `times` = 2.0: house default; healthy runs were measured to rise to 1.6 times their lowest level at most.
    - `high` = 1.0: axolotl's GRPO guide (above 1.0 it does not converge); rllm issue 116 (fine below 1).
    - `gained` = 4.0: house default, as many times its noise as a reward must lose to count as lost.
    - Yu et al. 2025, DAPO (arXiv 2503.14476): the controlled rise of entropy under a higher upper clip range.
    """
    for entropy in filter(len, map(run.get, ENTROPY)):
        first = early(entropy, UNTOUCHED)
        if first is None:
            continue
        level = rolling_mean(entropy.values, RECENT)
        lowest = np.fmin(-rolling_max(-level, BEFORE), first.level)
        exploded = (level >= times * lowest) & (level > high) & (lowest > 0)
        if not exploded.any():
            continue
        reward, standing = progress(run)
        gain, climbed = (joined(reward, it, entropy.steps) for it in (standing.gain, rise(standing)))
        # What rose just now is paid for by what was gained since then, not by what was gained before.
        better = np.where(level >= times * lagged(level, STALL), climbed, gain) >= gained
        yield Alarm(
            Severity.WARNING, entropy.steps, exploded & ~better, partial(_told, run, entropy, level, times * lowest)
        )


def _told(run: RunHistory, entropy: MetricSeries, level: Values, limit: Values, i: int) -> Told:
    first, last = int(entropy.steps[max(0, i - RECENT + 1)]), int(entropy.steps[i])
    now, least = float(level[i]), float(limit[i])
    because = "smaller updates leave what the model knew in place"
    remedies = [slower(entropy.metric, Direction.DOWN, now / 2, because)]
    if setting(run, "kl_coef") == 0:
        remedies.append(tighter(run, KL_TOKEN[0], 0.0))
    of = " per token" if entropy.metric == TOKEN else ""
    fruitless = ", and the reward has not" if any(map(run.points, REWARDS)) else ""
    return Told(
        f"the entropy has risen to {now:.3g} nats{of} at step {last} (limit {least:.3g}){fruitless}",
        first,
        (Evidence(entropy.metric, first, last, "mean of the last 10 points", now, least),),
        tuple(remedies),
        Confidence.HIGH if entropy.metric == TOKEN else Confidence.MEDIUM,
        ("Cut the entropy bonus (entropy_coef) to a tenth.",) if setting(run, "entropy_coef") else (),
    )
