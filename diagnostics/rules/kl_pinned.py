"""KL004: the KL penalty dominates, so the policy stays at the reference and learns nothing."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Confidence, Evidence, Severity
from diagnostics.kl import ALL, COEFFICIENT, OF_SOMETHING, SUMMED, coefficient, coefficients, measured
from diagnostics.progress import CEILING, NOISE, REWARDS, at_ceiling, joined, progress
from diagnostics.remedies import STRONG, looser
from diagnostics.rule import Alarm, Case, NotApplicable, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.stats import rolling_mean, sustained

K3, K1_SUM, UNKNOWN = "kl.reference.k3.token", "kl.reference.k1.sequence", OF_SOMETHING
WINDOW = 10  # points of one level: k1 scatters about a KL near zero

FLAT = {"reward_mean": "0.3~0.05*60"}


@rule(
    "KL004",
    Severity.WARNING,
    needs=[ALL, REWARDS],
    uses=[COEFFICIENT],
    warmup=NOISE,
    lookback=60,
    min_points=NOISE,
    fires=[
        Case(example({K3: "0.016~0.001*60"} | FLAT, settings={"kl_coef": 0.55}), "warning@48"),
        Case(example({K1_SUM: "0.32~0.02*60", COEFFICIENT: "1*60"} | FLAT), "warning@48"),
        Case(example({UNKNOWN: "0.01~0.001*60", COEFFICIENT: "1*60"} | FLAT), "warning@48"),
        Case(
            example({K3: "0.005*60", "reward_mean": "0.2 0.4 " * 5 + "0.265 0.465 " * 25}, settings={"kl_coef": 1}),
            "warning@48",
        ),
        Case(
            example({K3: "0.005*60", "reward_mean": "0.77 0.79 " * 30}, settings={"kl_coef": 1}, reward_bounds=(-1, 1)),
            "warning@48",
        ),
    ],
    quiet=[
        example({K3: "0.005*60"} | FLAT, settings={"kl_coef": 0.45}),  # other reasons than the penalty
        example({K3: "0.024~0.001*60"} | FLAT, settings={"kl_coef": 1}),  # it moves
        example({K1_SUM: "0.48~0.02*60", COEFFICIENT: "1*60"} | FLAT),
        example({K3: "0.005*60", "reward_mean": "0.2 0.4 " * 5 + "0.28 0.48 " * 25}, settings={"kl_coef": 1}),  # gains
        example({K3: "0.005*60", "reward_mean": "0.81 0.83 " * 30}, settings={"kl_coef": 1}, reward_bounds=(-1, 1)),
    ],
)
def kl_pinned(
    run: RunHistory,
    *,
    strong: float = STRONG,
    near: float = 0.02,
    near_sum: float = 0.4,
    gain: float = 0.5,
    ceiling: float = CEILING,
    patience: int = 30,
) -> Iterator[Alarm]:
    """A strong KL penalty holds the policy at the reference, and the reward does not move.

    ## Meaning
    The KL coefficient is at least `strong`; for `patience` points the mean KL of the last 10 was below `near` nats per
    token (`near_sum` summed over a completion; where the log does not say which, `near`); and over these points the
    reward (without one: the share of successes) stood on average less than `gain` times the noise of one step above
    the mean of its first 10, and is not within `ceiling` of the top of its range.

    ## Why it matters
    A reward can only be gained by moving away from the reference. With a coefficient as large as the reward itself
    every step away costs more than it can bring: the run takes its time and gives back the model it began with.

    ## Look at
    The coefficient beside the spread of the reward; the KL penalty beside the reward, where both are logged; the
    gradient norm, which is not small: the two pull against each other.

    ## What to change
    The KL coefficient to a usual one (0.04), in one step: each step on the way there would cost a run.

    ## When this is wrong
    A learning rate that is far too low holds a policy where it is as well; then a looser penalty changes nothing, and
    the KL is smaller still. A task that the reference cannot do at all gains nothing whatever the penalty.

    ## References
    - `strong` = 0.5: house default; TRL's defaults are 0.04 for GRPO, 0.05 for PPO and 0.2 at most. On our tasks a
      coefficient of 1 kept 0.39 of a reward of 0.92.
    - `near` = 0.02, `near_sum` = 0.4: house defaults; runs that learned on the same tasks had ten times as much. What
      rl-doctor calls pinned (1e-4) is a policy that does not move at all, for which the penalty is one reason of many.
    - `gain` = 0.5: house default; a mean of thirty points against one of ten has a standard error of 0.37.
    - `ceiling` = 0.1: house default, as for a plateau. `patience` = 30: house default, as for kl_explosion.
    """
    present = measured(run)
    if np.isnan(coefficient(run, run.last_step)):
        raise NotApplicable("the KL coefficient is neither logged nor known as a setting")
    for series in present:
        limit = near_sum if series.metric in SUMMED else near
        held = coefficients(run, series.steps) >= strong
        if not held.any():
            continue
        reward, standing = progress(run)
        level = rolling_mean(series.values, WINDOW)
        flat = joined(reward, rolling_mean(standing.gain, patience), series.steps) < gain
        done = at_ceiling(run, joined(reward, standing.recent, series.steps), ceiling)
        pinned = sustained(held & (np.abs(level) < limit), patience) & flat & ~done
        yield Alarm(Severity.WARNING, series.steps, pinned, partial(_told, run, series, level, limit, patience))


def _told(run: RunHistory, series: MetricSeries, level: Values, limit: float, patience: int, i: int) -> Told:
    first, last = int(series.steps[i - patience + 1]), int(series.steps[i])
    reward, standing = progress(run)
    weight, noise = coefficient(run, last), joined(reward, standing.scale, series.steps[i : i + 1])[0]
    return Told(
        f"{series.metric} stays at {level[i]:.3g} under a KL coefficient of {weight:g}, and {reward.metric} does not "
        f"gain for {patience} points",
        first,
        (Evidence(series.metric, first, last, "mean of the last 10 points", float(level[i]), limit),),
        (looser(reward.metric, noise),),
        Confidence.MEDIUM,
    )
