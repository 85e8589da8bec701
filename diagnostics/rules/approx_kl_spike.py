"""UPD001: one batch moves the policy far from the one that sampled it."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.remedies import smaller_updates
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, Values, example
from diagnostics.spikes import LOOKBACK, USUAL, in_a_row, spike_alarms, spikes
from diagnostics.stats import running_median

EACH = (
    "kl.rollout.k3.token", "kl.rollout.k2.token", "kl.rollout.k1.token", "kl.rollout.unknown.token",
    "kl.rollout.k3.action", "kl.rollout.k1.action",
)  # fmt: skip
# One of which the log does not say whether it is of a token or a sum is held to the limits of the sum.
SUMMED = ("kl.rollout.k2.sequence", "kl.rollout.unknown")

RECENT = 9  # points of one level, a running median


@rule(
    "UPD001",
    Severity.ERROR,
    needs=[EACH + SUMMED],
    warmup=USUAL,
    lookback=LOOKBACK,
    min_points=RECENT,
    fires=[
        Case(example({EACH[1]: "0.01~0.002*40 0.5 0.01~0.002*9 0.4 0.6 0.01~0.002*20"}), "info@40 warning@51"),
        Case(example({EACH[1]: "0.04*10 0.1 0.04*29 0.2 0.04*9 0.2 0.2 0.04*9"}), "info@40 warning@51"),
        Case(example({EACH[1]: "0.04*10 0.1 0.04*29 0.15 0.04*9 0.15 0.15 0.04*9"}), "info@40"),  # it has reached 0.1
        Case(example({EACH[2]: "0.01 -0.01 " * 15 + "-0.5 " + "0.01 -0.01 " * 9}), "info@30"),  # k1: its size
        Case(example({EACH[0]: "0.04~0.005*30 0.13 0.04~0.005*9"}), "info@30"),
        Case(example({EACH[0]: "0.02 0.04 0.06 " * 10 + "0.22 " + "0.02 0.04 0.06 " * 9}), "info@30"),
        Case(example({EACH[4]: "0.12~0.001*30"}), "warning@8"),
        Case(example({EACH[2]: "-0.2~0.01*30"}), "warning@8"),
        Case(example({EACH[1]: "1.2~0.1*30"}), "error@8"),
        Case(example({EACH[1]: "0.1+0.05*40"}), "warning@8 error@23"),
        Case(example({SUMMED[1]: "0.3~0.01*30 1.2 0.3~0.01*20"}), "info@30"),
        Case(example({SUMMED[1]: "1.2~0.1*30"}), "warning@8"),
        Case(example({SUMMED[0]: "12~1*30"}), "error@8"),
        Case(example({SUMMED[0]: "8.5~0.1*30"}), "warning@8"),
    ],
    quiet=[
        example({EACH[0]: "0.01~0.002*60"}),
        example({EACH[0]: "0.09~0.005*60"}),  # what several epochs do
        example({EACH[1]: "0.005~0.001*30 0.09 0.005~0.001*20"}),  # small, although far above the usual
        example({EACH[0]: "0.04~0.005*30 0.11 0.04~0.005*9"}),  # less than three times as much
        example({EACH[0]: "0.02 0.04 0.06 " * 10 + "0.19 " + "0.02 0.04 0.06 " * 9}),  # within its own scatter
        example({EACH[2]: "-0.003~0.002*60"}),  # k1 below 0 is noise
        example({EACH[0]: "2 1 0.5 0.02~0.002*40"}),  # the first updates
        example({SUMMED[1]: "0.9~0.02*60"}),
        example({EACH[2]: "0*20 0.001 -0.006 0*30"}),  # rounded to nothing
    ],
)
def approx_kl_spike(
    run: RunHistory,
    *,
    times: float = 3.0,
    deviations: float = 8.0,
    beyond: float = 1.75,
    limit: float = 0.1,
    severe: float = 1.0,
    sequence_limit: float = 1.0,
    sequence_severe: float = 10.0,
) -> Iterator[Alarm]:
    """One batch moves the policy far from the one that sampled it.

    ## Meaning
    Of the KL between the policy that sampled and the policy after its updates, by its size: k1 may well be negative. A
    spike is a point above `limit` nats (`sequence_limit` for a sum over a completion, or where the log does not say
    which), at least `times` the running median of the 27 points before it and more than `deviations` median absolute
    deviations above that. INFO: one. WARNING: a third one within 30 points, the three largest of which are at least
    `beyond` times what one in fifty of the 200 points before had exceeded; or a seventh one, where these had a third of
    that share at most; or a running median of 9 points above the limit. ERROR: such a median above `severe` or
    `sequence_severe`.

    ## Why it matters
    The surrogate is true only near the policy that sampled. Far from it the clip has stopped most tokens and the rest
    are trained on advantages that no longer hold: the update overshoots, and the next batch shows it.

    ## Look at
    The clip fraction and the largest probability ratio; how the KL grows from epoch to epoch; the value loss and the
    gradient norm at the same steps; the number of mini-batches.

    ## What to change
    With more than one update epoch: a quarter of them. Otherwise half the learning rate. Gradients clipped at 1. Some
    trainers end the passes over a batch early at a target KL: set one.

    ## When this is wrong
    Asynchronous training compares with a policy of several updates ago, which is further away by design. The old-to-new
    k1 of a mini-batch is noise of either sign where it is small.

    ## References
    - `limit` = 0.1: house default, five times the usual target of 0.02 (PTT) at which trainers stop the epochs (at 1.5
      times the target in Stable-Baselines3, and in Spinning Up).
    - `severe` = 1.0, `sequence_limit` = 1.0: the target of classic TRL's early stopping.
    - `sequence_severe` = 10.0: house default, the same ratio.
    - `times` = 3.0, `deviations` = 8.0: rl-doctor's rule for spikes (8 deviations, and three times the median).
    - `beyond` = 1.75: house default, as for the value loss, whose page has the measurements.
    - Schulman 2020, Approximating KL divergence (joschu.net/blog/kl-approx.html): the estimators.
    """
    for name in EACH + SUMMED:
        if name not in run:
            continue
        series = run[name]
        low, high = (limit, severe) if name in EACH else (sequence_limit, sequence_severe)
        with np.errstate(invalid="ignore"):
            if not (np.abs(series.values) > low).any():
                continue
        seen = spikes(series, times=times, deviations=deviations, floor=low)
        row = in_a_row(seen.size, seen.found, beyond)
        yield from spike_alarms(series, seen, row, times, partial(smaller_updates, run, name))
        level = running_median(np.abs(series.values), threes=2)
        level[: RECENT - 1] = np.nan
        yield Alarm(Severity.WARNING, series.steps, level > low, partial(_told, run, series, level, low))
        yield Alarm(Severity.ERROR, series.steps, level > high, partial(_told, run, series, level, high))


def _told(run: RunHistory, series: MetricSeries, level: Values, limit: float, i: int) -> Told:
    first, last, now = int(series.steps[max(0, i - RECENT + 1)]), int(series.steps[i]), float(level[i])
    return Told(
        f"{series.metric} has a size of {now:.3g} between steps {first} and {last} (limit {limit:g})",
        first,
        (Evidence(series.metric, first, last, "median size of the last 9 points", now, limit),),
        smaller_updates(run, series.metric, now, last),
    )
