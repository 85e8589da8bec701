"""RWD007: the best of n completions is good, the average stays poor."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Evidence, Prescription, Severity
from diagnostics.progress import KL_TOKEN, REWARD, early, joined, step_noise
from diagnostics.remedies import cooler, faster, hot, looser, setting, strong
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import rolling_mean

BEST = "reward_best_of_n"

BASELINE = 20
WINDOW = 20

STILL = {REWARD: "-0.33~0.1*100", BEST: "0.85~0.1*100"}

HIGH = "0.85~0.02*120"


@rule(
    "RWD007",
    Severity.WARNING,
    needs=[REWARD, BEST],
    uses=KL_TOKEN,
    warmup=BASELINE,
    lookback=WINDOW + 5,
    min_points=BASELINE + WINDOW,
    fires=[
        Case(example(STILL | {KL_TOKEN[0]: "0.045*100"}, reward_bounds=(-1, 1)), "warning@60"),
        Case(example(STILL, reward_bounds=(-1, 1)), "warning@60"),
        Case(example({REWARD: "-0.33~0.1*120", BEST: "0.85~0.1*120"}, settings={"max_steps": 400}), "warning@100"),
        Case(example({REWARD: "-0.33+0.0015~0.05*120", BEST: HIGH}, reward_bounds=(-1, 1)), "warning@60"),
        Case(example({REWARD: "-0.33+0.001~0.3*120", BEST: HIGH}, reward_bounds=(-1, 1)), "warning@60"),
        Case(example({REWARD: "-0.33~0.1*100", BEST: "0.15~0.02*100"}, reward_bounds=(-1, 1)), "warning@66"),
        Case(example({REWARD: "0.2~0.1*100", BEST: "0.45~0.02*100"}), "warning@78"),  # no bounds: against the noise
        Case(example({REWARD: "0*120", BEST: "0+0.01*120"}, reward_bounds=(-1, 1)), "warning@60"),  # a gap that opens
    ],
    quiet=[
        example(STILL | {KL_TOKEN[0]: "0.055*100"}, reward_bounds=(-1, 1)),  # it moves, and gains nothing by it
        example({REWARD: "-0.33+0.005~0.1*100", BEST: "0.85~0.1*100"}, reward_bounds=(-1, 1)),  # the mean follows
        example({REWARD: "-0.33+0.002*120", BEST: HIGH}, reward_bounds=(-1, 1)),  # slowly, but it does
        example({REWARD: "-0.33+0.0008~0.05*120", BEST: HIGH}, reward_bounds=(-1, 1)),  # by more than its error
        example({REWARD: "-0.33+0.0008~0.2*120", BEST: HIGH}, reward_bounds=(-1, 1)),  # it may be noise, but is enough
        example({REWARD: "-0.6~0.1*100", BEST: "-0.3~0.1*100"}, reward_bounds=(-1, 1)),  # nothing better to learn from
        example({REWARD: "-0.2*9 -0.6~0.1*91", BEST: "0.8*20 0.1~0.1*80"}, reward_bounds=(-1, 1)),  # both fell
    ],
)
def best_of_n_gap(
    run: RunHistory,
    *,
    min_steps: int = 60,
    budget: float = 0.25,
    converted: float = 0.1,
    errors: float = 2.0,
    gap_share: float = 0.25,
    gap_noise: float = 3.0,
    moved: float = 0.05,
) -> Iterator[Alarm]:
    """Good completions are among the samples, and the policy does not learn from them.

    ## Meaning
    At least `min_steps` steps after the first, and `budget` of the steps that the run will take where that is known
    (`max_steps`), the best completion of a prompt is still far better than the average one (by `gap_share` of the
    reward's range, or by `gap_noise` times the noise of a step where its bounds are not known), and the average gained
    less than `converted` of that gap since the start, and no more than `errors` standard errors. The best has not
    become worse: then there is less to learn from, which other rules say. And the policy has hardly moved: its KL to
    the reference is at most `moved` nats per token, as far as it is logged; one that moves without gaining is not too
    slow.

    ## Why it matters
    The group contrast is the whole signal of GRPO, and here it is large. What fails is turning it into weights: a
    learning rate that is too low, or a KL penalty that holds the policy where it is.

    ## Look at
    The KL to the reference: near 0 means that the weights hardly move. The learning rate and the gradient norm; the KL
    coefficient; whether advantages are scaled or masked away.

    ## What to change
    The first of these that applies. A KL coefficient of 0.5 and more: 0.04, the usual one. A temperature above 1.3: 1,
    since the gap may be noise. Otherwise ten times the learning rate.

    ## When this is wrong
    Noisy rewards have a best of n without any skill in it: of Gaussian noise the best of 8 lies 1.4 standard deviations
    above the mean. A hard task learned slowly looks the same at `min_steps`.

    ## References
    - `min_steps` = 60, `converted` = 0.1, `gap_share` = 0.25, `gap_noise` = 3.0: house defaults; a run that learns
      converts a fifth of its gap by then, one that does not, none.
    - `budget` = 0.25: house default, as for RWD004; of 210 healthy runs of 2,000 steps, made from recorded ones, none
      was told with it, and 5 where `max_steps` is not known.
    - `errors` = 2.0: the usual 95 % interval; a slow gain that is sure is learning.
    - `moved` = 0.05: house default; policies that learn were measured between 0.02 early and 0.25 late.
    - Gao et al. 2022, Scaling laws for reward model overoptimization (arXiv 2210.10760): best of n as the reachable.
    """
    reward, best = run.get(REWARD), run.get(BEST)
    known, known_best = early(reward, BASELINE), early(best, BASELINE)
    if known is None or known_best is None:
        return
    level = rolling_mean(reward.values, WINDOW)
    top = joined(best, rolling_mean(best.values, WINDOW), reward.steps)
    gap, gain = top - level, level - known.level
    noise = step_noise(reward)
    if run.reward_bounds is not None:
        needed = np.full(len(reward), gap_share * (run.reward_bounds[1] - run.reward_bounds[0]))
    else:
        needed = gap_noise * noise
    wait = max(min_steps, budget * (setting(run, "max_steps") or 0))
    late = reward.steps >= max(int(reward.steps[0]) + wait, known_best.known_from)
    late[: BASELINE + WINDOW - 1] = False
    for metric in KL_TOKEN:
        kl = run.get(metric)
        late &= ~(joined(kl, rolling_mean(kl.values, WINDOW), reward.steps) > moved)
    stuck = (gain < converted * gap) & (gain <= errors * noise * np.sqrt(2 / WINDOW))
    holds = late & (gap > needed) & stuck & (top >= known_best.level - known_best.noise)
    yield Alarm(Severity.WARNING, reward.steps, holds, partial(_told, run, reward, gap, gain, converted))


def _told(run: RunHistory, reward: MetricSeries, gap: np.ndarray, gain: np.ndarray, converted: float, i: int) -> Told:
    start, first, last = int(reward.steps[0]), int(reward.steps[max(0, i - WINDOW + 1)]), int(reward.steps[i])
    return Told(
        f"the best completion of a prompt earns {gap[i]:.3g} more than the average one, and in {last - start} steps "
        f"the average gained {gain[i]:.3g}",
        start,
        (Evidence(REWARD, first, last, "gain over the gap to the best", float(gain[i] / gap[i]), converted),),
        (_remedy(run, float(gap[i]) * converted),),
        Confidence.MEDIUM,
    )


def _remedy(run: RunHistory, gain: float) -> Prescription:
    """The page's list, in its order."""
    if strong(run):
        return looser(REWARD, gain)
    if hot(run):
        return cooler(REWARD, gain)
    return faster(REWARD, gain, "the good samples are there, and the updates are too small to learn from them")
