"""KL005: the policy drifts away from the reference, and the reward does not gain by it."""

from collections.abc import Iterator
from functools import partial

from diagnostics.finding import Confidence, Direction, Evidence, Severity
from diagnostics.kl import ALL, COEFFICIENT, OF_SOMETHING, SUMMED, coefficient, measured
from diagnostics.progress import CEILING, NOISE, REWARDS, WARMUP, at_ceiling, early, joined, progress, recent_median
from diagnostics.remedies import MOVED, slower, tighter
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_mean, share, sustained

K3, K1_SUM, UNKNOWN = "kl.reference.k3.token", "kl.reference.k1.sequence", OF_SOMETHING

# k3 is heavy-tailed: one step of 13 says nothing, so most of the last points must have drifted.
WINDOW = 10
MOST = 0.8

FLAT = {"reward_mean": "0.3~0.05*100"}


@rule(
    "KL005",
    Severity.WARNING,
    needs=[ALL, REWARDS],
    uses=[COEFFICIENT],
    warmup=NOISE,
    lookback=60,
    min_points=NOISE,
    fires=[
        Case(example({K3: "0+0.002~0.002*100"} | FLAT), "warning@87"),
        Case(example({K3: "0.011*30 0.085~0.001*30 0.115~0.001*40"} | FLAT), "warning@96"),
        Case(example({K1_SUM: "0.01+0.05~0.01*100"} | FLAT), "warning@76"),
        Case(example({UNKNOWN: "0.005~0.002*20 0.005+0.005~0.01*80", "success_share": "0*100"}), "warning@77"),
        Case(example({K3: "0+0.004*100", "reward_mean": "0.2 0.4 " * 10 + "0.25 0.45 " * 40}), "warning@73"),
        Case(example({K3: "0+0.004*100", "reward_mean": "0.78~0.02*100"}, reward_bounds=(-1, 1)), "warning@73"),
    ],
    quiet=[
        example({K3: "0+0.004*100", "reward_mean": "0.2 0.4 " * 10 + "0.28 0.48 " * 40}),  # the drift bought reward
        example({K3: "0+0.0008~0.001*100"} | FLAT),  # not far yet
        example({K3: "0.02*20 0.15*80"} | FLAT),  # far, and it began nearly as far: resumed, or the first steps took it
        example({K3: "0~0.001*50 9 0~0.001*49"} | FLAT),  # one spike
        example({K1_SUM: "0.01+0.015~0.01*100"} | FLAT),  # a sum is larger
        example({K3: "0+0.004*100", "reward_mean": "0.82~0.02*100"}, reward_bounds=(-1, 1)),  # nothing left to gain
    ],
)
def kl_drift_without_reward(
    run: RunHistory,
    *,
    moved: float = MOVED,
    moved_sum: float = 2.0,
    times: float = 8.0,
    gain: float = 0.5,
    ceiling: float = CEILING,
    patience: int = 30,
) -> Iterator[Alarm]:
    """The KL to the reference has grown many times over while the reward stayed where it was.

    ## Meaning
    Drifted: in 8 of the last 10 points the KL was above `times` its mean over the first 10, and above `moved` nats per
    token or `moved_sum` nats summed over a completion; where the log does not say which, above `moved`. WARNING: it has
    drifted for `patience` points, over which the reward (without one: the share of successes) stood on average less
    than `gain` times the noise of one step above the mean of its first 10 points, and is not within `ceiling` of the
    top of its range. How far is too far whatever the start was, is for kl_explosion to say.

    ## Why it matters
    Distance from the reference is what a reward is bought with. A policy that moves and gains nothing follows noise:
    groups that all fail, a reward that cannot tell answers apart, or an advantage of the wrong sign. What the model
    could do before is lost on the way, and the longer it lasts the less of it is left.

    ## Look at
    The reward itself: do completions of one prompt get different ones, and would an expert agree with it? The share of
    groups without variance, the gradient norm, and samples from before and after the drift.

    ## What to change
    Repair the reward first where it tells nothing apart. Else a stronger KL penalty, or an eighth of the learning rate.

    ## When this is wrong
    A task whose reward comes late: exact answers may take a hundred steps of drift until the first one is right. A
    gain far smaller than the noise of a step is not seen.

    ## References
    - `times` = 8.0: rlprobe's limit, of the early median.
    - `moved` = 0.1: house default; ten times what a policy that hardly moves was measured at, and a fifth of the limit
      that axolotl's GRPO guide calls healthy. `moved_sum` = 2.0: the same fifth of TRL's 10 for sums.
    - `gain` = 0.5: house default; a mean of thirty points against one of ten has a standard error of 0.37.
    - `ceiling` = 0.1: house default, as for a plateau. `patience` = 30: house default, as for kl_explosion.
    - Gao et al. 2022, Scaling laws for reward model overoptimization (arXiv 2210.10760): reward against distance.
    """
    for series in measured(run):
        known = early(series, WARMUP)
        if known is None:
            continue
        limit = max(times * known.level, moved_sum if series.metric in SUMMED else moved)
        above = series.values > limit
        if not above.any():
            continue
        reward, standing = progress(run)
        drifted = sustained(share(above, WINDOW) >= MOST, patience)
        gained = joined(reward, rolling_mean(standing.gain, patience), series.steps)
        done = at_ceiling(run, joined(reward, standing.recent, series.steps), ceiling)
        told = partial(_told, run, series, limit, known.level, gained, patience)
        yield Alarm(Severity.WARNING, series.steps, drifted & (gained < gain) & ~done, told)


def _told(
    run: RunHistory, series: MetricSeries, limit: float, before: float, gained: Values, patience: int, i: int
) -> Told:
    first, last = int(series.steps[i - patience + 1]), int(series.steps[i])
    level = recent_median(run, (series.metric,), last)
    reward, _ = progress(run)
    because = "smaller updates follow less noise, and the same distance buys more reward"
    remedies = [slower(series.metric, Direction.DOWN, level / 2, because)]
    if coefficient(run, last) != 0:  # a coefficient of 0 is a choice; to tighten it would change the objective
        remedies.insert(0, tighter(run, series.metric, level / 2))
    return Told(
        f"{series.metric} drifted from {before:.3g} at first to {level:.3g} at step {last}, while over {patience} "
        f"points {reward.metric} stood {gained[i]:+.1f} times its noise from its early mean",
        first,
        (Evidence(series.metric, first, last, "median of the last 10 points", level, limit),),
        tuple(remedies),
        Confidence.MEDIUM,
        ("Check first that the reward tells the completions of one prompt apart: without that no drift can buy any.",),
    )
