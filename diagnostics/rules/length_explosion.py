"""LEN003: completions grow without getting better, or grow into the length limit."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Direction, Evidence, Prescription, Severity
from diagnostics.progress import KL_TOKEN, NOISE, RECENT, REWARDS, early, joined, progress, recent_median
from diagnostics.remedies import FAR, LOST, slower
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import block_trend, lagged, mean, rolling_max, rolling_mean, rolling_noise, wander

REWARD, LENGTH, CUT = "reward_mean", "completion_length_mean", "truncated_share"

WINDOW = 20  # points of a level of the length, which is noisy where completions are few
BLOCKS = 5  # of 10 points each, whose trend is asked
PAST = 200  # points that tell how far completions shrink by themselves
SPAN = 80  # points over which completions grow while the reward stands still
FIRST = 3  # points of the baseline of truncation: updates that are far too large fill the limit within a few


@rule(
    "LEN003",
    Severity.WARNING,
    needs=[(LENGTH, CUT)],
    uses=[*REWARDS, LENGTH, CUT, *KL_TOKEN],
    warmup=NOISE,
    lookback=PAST + SPAN + WINDOW,
    min_points=RECENT,
    fires=[
        Case(example({LENGTH: "100*20 100+1*100", REWARD: "0.3~0.05*120"}), "warning@107"),
        Case(example({LENGTH: "100+2*80", REWARD: "0.3~0.05*80"}), "warning@64"),
        Case(  # it learned, and then only grew
            example({LENGTH: "100*80 100+1.5*80", REWARD: "0.3+0.01~0.05*60 0.9~0.05*100"}), "warning@142"
        ),
        Case(example({LENGTH: "100*20 100+0.5*240", REWARD: "0.3~0.05*260"}), "warning@230"),  # slowly
        Case(example({CUT: "0.1~0.02*20 0.1+0.02*42 0.92*20"}), "warning@66"),
        Case(example({LENGTH: "100*20 100+2*60", REWARD: "0.2 0.4 " * 5 + "0.262 0.462 " * 35}), "warning@67"),
        Case(  # it rose by half of its noise, and never again
            example({LENGTH: "100*20 100+2*80", REWARD: "0.2 0.4 " * 5 + "0.28 0.48 " * 45}), "warning@91"
        ),
        Case(example({CUT: "0.72*20 0.72+0.01*22 0.94*20"}), "warning@46"),
        Case(example({CUT: "0 0.6 1*20", LENGTH: "4 12 16*20", REWARD: "-2+0.03~0.05*22"}), "warning@10"),
        Case(  # the reward is lost long after the growth, which had just ended
            example({LENGTH: "100*20 205*10 210*10 225*10 230*10 220*10", REWARD: "0.3*20 0.8*40 0.31*10"}),
            "warning@69",
        ),
        Case(  # it had shrunk before
            example({LENGTH: "100*20 100+2.5*20 150*20 150-2.4*20 102+1*133", REWARD: "0.3~0.05*213"}), "warning@190"
        ),
        Case(example({LENGTH: "100~54*20 100+1.4~54*80", REWARD: "0.3~0.05*100"}), "warning@65"),
    ],
    quiet=[
        example({LENGTH: "100*20 100+1*100", REWARD: "0.3+0.01~0.05*120"}),  # longer and better
        example({LENGTH: "100*20 100+1*60 160*60", REWARD: "0.3~0.05*140"}),  # by three fifths
        example({LENGTH: "100*20 100+0.5*180 190*60", REWARD: "0.3~0.05*260"}),  # slowly, and not to twice as much
        example({LENGTH: "100*20 100+2*60", REWARD: "0.2 0.4 " * 5 + "0.28 0.48 " * 35}),  # it rose with it
        example({LENGTH: "100+2*80"}),  # no reward is logged
        example(  # as above, and no longer growing
            {LENGTH: "100*20 215*10 210*10 225*10 230*10 220*10", REWARD: "0.3*20 0.8*40 0.31*10"}
        ),
        example(  # by less than it had shrunk before
            {LENGTH: "100*20 100+2.5*20 150*20 150-2.4*20 102+0.7*144 203*20", REWARD: "0.3~0.05*244"}
        ),
        example({LENGTH: "100~60*20 100+1.4~60*80", REWARD: "0.3~0.05*100"}),  # noise
        example({CUT: "0.93~0.02*60"}),  # truncated from the start, which is not growth
        example({CUT: "0.77*20 0.77+0.01*17 0.94*30"}),
        example({CUT: "0.1*20 0.1+0.02*35 0.8*30"}),  # much, and some still end
    ],
)
def length_explosion(
    run: RunHistory,
    *,
    growth: float = 1.75,
    in_all: float = 2.0,
    trend: float = 0.5,
    errors: float = 5.0,
    beyond: float = 2.5,
    climb: float = 0.5,
    cut: float = 0.9,
    more: float = 0.2,
) -> Iterator[Alarm]:
    """Completions become longer and longer, and nothing comes of it.

    ## Meaning
    Either the mean length of the last 20 points is at least `growth` times what it was 80 points before (in a younger
    run: that of the first 20) and above that of the first 20, or `in_all` times that of the first 20. It is above what
    it is compared with by `errors` standard errors and by `beyond` times what such a mean ever lost within 80 points
    (in the last 200); it still rises (Kendall's tau of 5
    blocks of 10 points is at least `trend`), and the reward has gained no more than `climb` times the noise of one step
    since then. Or completions grow into the limit: a share of `cut` or more was truncated over the last 10
    points, and that is `more` above the share of the first 3.

    ## Why it matters
    Length without reward is padding: it costs memory and time in proportion, and hides the answer. A policy that fills
    the limit no longer ends its answers at all, so that they are judged without their end.

    ## Look at
    Samples: repetition, hedging, a second and a third answer. How long the correct and the wrong completions are: a
    loss that divides by the length of a completion punishes long wrong ones less. The KL to the reference.

    ## What to change
    Far from the reference (KL per token above 0.5), or a reward below its start by more than 4 times its noise: an
    eighth of the learning rate. Otherwise a loss without division by length, or a reward that counts length.

    ## When this is wrong
    Reasoning models need length to get better, and at times grow before they do. Lengths that wander by a fifth and
    more over hundreds of steps come by such growth by chance.

    ## References
    - `growth` = 1.75, `in_all` = 2.0: house defaults; rl-doctor reports growth of 50% (rlprobe 1.4 times) without gain
      in reward, by which lengths that go up and down by a fifth raised this in 11 % of runs, now in none.
    - `trend` = 0.5: house default; rl-doctor asks a rank correlation of 0.6.
    - `errors` = 5.0: house default; of 2,000-step runs that log the length of a single completion, exponentially
      distributed, 1 % reach it by chance (13 % by the wandering of means alone, which few points tell badly).
    - `beyond` = 2.5: house default. Of 2,000-step runs whose lengths wander over hundreds of steps with a standard
      deviation of a fifth 7 % raise this, and 13 % without it.
    - `climb` = 0.5: house default, the same as entropy_collapse's.
    - `cut` = 0.9: house default; axolotl's GRPO guide calls above 0.8 bad.
    - `more` = 0.2: house default; shares of tens of completions are known to a tenth.
    - Liu et al. 2025, Understanding R1-Zero-like training (arXiv 2503.20783): division by length favours long wrong
      answers.
    """
    yield from _padding(run, growth, in_all, trend, errors, beyond, climb)
    yield from _into_the_limit(run, cut, more)


def _padding(
    run: RunHistory, growth: float, in_all: float, trend: float, errors: float, beyond: float, climb: float
) -> Iterator[Alarm]:
    length = run.get(LENGTH)
    known = early(length, WINDOW)
    if known is None or not known.level > 0:
        return
    level = rolling_mean(length.values, WINDOW)
    first, earlier = np.full(len(level), known.level), _since(lagged(level, SPAN), known.level)
    slowly, quickly = level >= in_all * first, (level >= growth * earlier) & (level > first)
    if not (slowly | quickly).any():
        return
    reward, standing = progress(run)
    climbed = _since((standing.recent - lagged(standing.recent, SPAN)) / standing.scale, standing.gain)
    rises = block_trend(length.values, RECENT, BLOCKS) >= trend
    shrank = np.nan_to_num(rolling_max(rolling_max(level, SPAN) - level, PAST))
    for grew, start, gain, times in (
        (quickly, earlier, climbed, growth),
        (slowly, first, standing.gain, in_all),
    ):
        grew &= rises & (joined(reward, gain, length.steps) <= climb)
        # A run whose lengths come and go has to grow by more than it ever shrank.
        grew &= level - start > beyond * shrank
        # The standard error of a difference of two means of 20 points is that of one mean of 10.
        error = np.fmax(
            wander(length.values, RECENT, SPAN, grew), rolling_noise(length.values, SPAN) / math.sqrt(RECENT)
        )
        grew &= level - start > errors * error
        yield Alarm(Severity.WARNING, length.steps, grew, partial(_longer, run, length, level, start, times))


def _since(ago: Values, start: Values | float) -> Values:
    """What is measured against `ago` (n,), or against the start in a run that is not so old."""
    return np.where(np.isnan(ago), start, ago)


def _into_the_limit(run: RunHistory, cut: float, more: float) -> Iterator[Alarm]:
    share = run.get(CUT)
    start = mean(share.values[:FIRST])
    level = rolling_mean(share.values, RECENT)
    filled = (level >= cut) & (level >= start + more)
    yield Alarm(Severity.WARNING, share.steps, filled, partial(_filled, run, share, level, start, cut))


def _longer(run: RunHistory, length: MetricSeries, level: Values, starts: Values, growth: float, i: int) -> Told:
    first, last, start = int(length.steps[i - WINDOW + 1]), int(length.steps[i]), float(starts[i])
    return Told(
        f"completions have grown from {start:.3g} to {level[i]:.3g} tokens by step {last}; the reward has not risen",
        first,
        (Evidence(LENGTH, first, last, "mean of the last 20 points", float(level[i]), growth * start),),
        _remedies(run, LENGTH, float(level[i]) - start, last),
        Confidence.MEDIUM,
        ("Read the longest samples: what repeats or hedges is padding, which a loss without division by the length of "
         "a completion (dr_grpo, dapo) or a reward that counts length takes away.",),
    )  # fmt: skip


def _filled(run: RunHistory, share: MetricSeries, level: Values, start: float, cut: float, i: int) -> Told:
    first, last = int(share.steps[i - RECENT + 1]), int(share.steps[i])
    return Told(
        f"completions grow into the length limit: {level[i]:.0%} of them are cut at step {last}, {start:.0%} at first",
        first,
        (Evidence(CUT, first, last, "mean of the last 10 points", float(level[i]), cut),),
        _remedies(run, CUT, float(level[i]) / 2, last),
        Confidence.HIGH,
        ("Read samples that were cut: where they repeat themselves a longer limit only costs more; where they still "
         "work towards an answer, raise it.",),
    )  # fmt: skip


def _remedies(run: RunHistory, metric: str, amount: float, step: int) -> tuple[Prescription, ...]:
    """Slower where the policy was carried off; what else lengthens completions no knob mends."""
    reward, standing = progress(run)
    lost = joined(reward, standing.loss, np.array([step]))[0] > LOST
    if not lost and not recent_median(run, KL_TOKEN, step) > FAR:
        return ()
    because = "smaller updates leave the policy able to end its answers"
    return (slower(metric, Direction.DOWN, amount, because),)
