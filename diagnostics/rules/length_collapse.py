"""LEN002: completions have become far shorter than they were."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Severity
from diagnostics.narrowing import STALL, is_sudden, rise
from diagnostics.progress import CEILING, KL_TOKEN, NOISE, RECENT, REWARDS, at_ceiling, joined, progress
from diagnostics.remedies import setting, slower, tighter
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import mean, noise, rolling_mean

REWARD, LENGTH = "reward_mean", "completion_length_mean"

FIRST = 3  # points of the baseline: updates that are far too large end it within a few
ENDS = "4~0.2*60 1*40"
ROSE = 1.0  # times its noise that a reward has gained when completions may be short because that is better


@rule(
    "LEN002",
    Severity.WARNING,
    needs=[LENGTH],
    uses=[*REWARDS],
    warmup=NOISE,
    lookback=STALL + NOISE + 5,
    min_points=RECENT,
    fires=[
        Case(example({LENGTH: "200*20 200-5*36 20*20"}), "warning@57"),
        Case(example({LENGTH: "53 2.6~0.1*40"}), "warning@10"),  # gone after the first row of a log
        Case(example({LENGTH: "200*20 200-5*36 20*20", REWARD: "0.3+0.01~0.05*76"}), "warning@57"),
        Case(example({LENGTH: "200*20 200-5*25 75*40", REWARD: "0.5~0.05*40 0.3~0.05*45"}), "warning@45"),
        Case(example({LENGTH: "200*20 200-5*25 75*40", REWARD: "0.5~0.05*40 0.38~0.05*45"}), "warning@46"),
        Case(example({LENGTH: "4~0.2*60 1.4~0.02*40", REWARD: "0.3~0.05*100"}), "warning@69"),  # little but an end
        Case(example({LENGTH: ENDS, REWARD: "0.2 0.4 " * 30 + "0.32 0.52 " * 20}), "warning@68"),
        Case(example({LENGTH: ENDS, REWARD: "0.78~0.01*100"}, reward_bounds=(-1, 1)), "warning@68"),
        Case(example({LENGTH: "100~22*10 8*40"}), "warning@19"),
    ],
    quiet=[
        example({LENGTH: "200*20 200-5*30 46*60", REWARD: "0.3+0.01~0.05*110"}),  # shorter and better
        example({LENGTH: "200*20 200-5*18 107*60", REWARD: "0.5~0.05*40 0.3~0.05*58"}),  # lost, and hardly shorter
        example({LENGTH: "200*20 200-5*25 75*40", REWARD: "0.5~0.05*85"}),  # shorter, and as good as it was
        example({LENGTH: "150*30 2*3 150*40"}),  # a few steps, and over
        example({LENGTH: "4~0.2*60 1.6~0.02*40", REWARD: "0.3~0.05*100"}),  # an answer in a word
        example({LENGTH: ENDS, REWARD: "0.2 0.4 " * 30 + "0.36 0.56 " * 20}),  # and it pays
        example({LENGTH: ENDS, REWARD: "0.82~0.01*100"}, reward_bounds=(-1, 1)),  # and nothing more is asked for
        example({LENGTH: "100~28*10 8*40"}),  # lengths of single completions scatter as much as they are long
    ],
)
def length_collapse(
    run: RunHistory,
    *,
    gone: float = 0.2,
    shrunk: float = 0.5,
    lost: float = 2.0,
    empty: float = 1.5,
    climb: float = 1.0,
    errors: float = 6.0,
    ceiling: float = CEILING,
) -> Iterator[Alarm]:
    """Completions have shrunk to a small part of what they were.

    ## Meaning
    The mean length of the last 10 points is at most `gone` times that of the first 3; or at most `shrunk` times it
    while the reward lies below its start by more than `lost` times the noise of one step. Either has to be `errors`
    standard errors below those first ones. Or completions became an end and hardly more, at most `empty` tokens, half
    of what they were or more having gone within 20 points, while the reward climbs by no more than `climb` times its
    noise over 40 points and is not within `ceiling` of the top of its declared range.

    ## Why it matters
    A policy whose updates are too large, or whose reward pays for brevity, ends by saying one token or nothing. Such an
    end is stable: all completions are alike, nothing else is tried, and the reward may even be at its best.

    ## Look at
    The samples. The parts of the reward, and whether one of them pays for what is short; the held-out reward; the
    entropy and the KL to the reference, which tell a collapse from a policy that has learned to be brief.

    ## What to change
    Where the reward did not rise, an eighth of the learning rate, and a KL coefficient where there is none. Where it
    rose, read samples first: if they are empty of what was asked for, mend the reward.

    ## When this is wrong
    A base model that rambled to the limit and learned to stop is shorter and better, and so is one whose goal is
    brevity: a rising reward makes the confidence low. Half the length alone is not reported.

    ## References
    - `gone` = 0.2: house default; healthy runs whose reward paid for brevity were measured to keep 0.22 and more.
    - `shrunk` = 0.5: house default; half the length says something only beside a reward that was lost.
    - `lost` = 2.0: house default; a level of 10 points is known to a third of the noise of one.
    - `errors` = 6.0: house default; of 2,000-step runs that log the length of a single completion, exponentially
      distributed, 0.7 % reach `gone` by chance (40 % without it).
    - `empty` = 1.5: house default; one token is an end of sequence. `ceiling` = 0.1: house default, as for a plateau.
    - `climb` = 1.0: house default; a difference of two means of ten points has a standard error of 0.45.
    """
    length = run.get(LENGTH)
    start = mean(length.values[:FIRST])
    if len(length) < RECENT or not start > 0:
        return
    level = rolling_mean(length.values, RECENT)
    # The standard error of the difference, by the noise of the first points: a collapse among them moves no median.
    ten, twenty = noise(length.values[:RECENT]), noise(length.values[:NOISE])
    scatter = np.where(np.arange(len(length)) < NOISE - 1, ten, max(ten, twenty))
    shorter = start - level > errors * scatter * math.sqrt(1 / FIRST + 1 / RECENT)
    if not ((shorter & (level <= max(gone, shrunk) * start)) | (level <= empty)).any():
        return
    reward, standing = progress(run)
    fell = joined(reward, standing.loss, length.steps) > lost
    told = partial(_told, run, length, level, start)
    yield Alarm(Severity.WARNING, length.steps, shorter & (level <= gone * start), partial(told, gone))
    yield Alarm(Severity.WARNING, length.steps, shorter & (level <= shrunk * start) & fell, partial(told, shrunk))
    # An end is a token: who says only that says nothing, unless it is what pays or all that is asked for.
    nothing = (level <= empty) & is_sudden(level) & (joined(reward, rise(standing), length.steps) <= climb)
    nothing &= joined(reward, at_ceiling(run, standing.recent, ceiling).astype(float), length.steps) != 1
    yield Alarm(Severity.WARNING, length.steps, nothing, partial(told, shrunk))


def _told(run: RunHistory, length: MetricSeries, level: Values, start: float, limit: float, i: int) -> Told:
    first, last = int(length.steps[i - RECENT + 1]), int(length.steps[i])
    reward, standing = progress(run)
    rose = joined(reward, standing.gain, length.steps)[i] > ROSE
    message = (
        f"completions have {level[i]:.3g} tokens at step {last}, {level[i] / start:.0%} of the {start:.3g} at first"
    )
    evidence = Evidence(LENGTH, first, last, "mean of the last 10 points", float(level[i]), limit * start)
    advice = (
        "Read samples of now and of the start: are these still answers, and does a part of the reward pay for brevity?"
    )
    if rose:
        settle = "If eval_reward or success_share rises as well, the policy has learned to be brief, and all is well."
        return Told(f"{message}, while the reward rose", first, (evidence,), (), Confidence.LOW, (advice, settle))
    because = "smaller updates leave the policy able to say whole answers"
    remedies = [slower(LENGTH, Direction.UP, float(level[i]), because)]
    if setting(run, "kl_coef") == 0:
        remedies.append(tighter(run, KL_TOKEN[0], 0.0))
    return Told(message, first, (evidence,), tuple(remedies), Confidence.HIGH, (advice,))
