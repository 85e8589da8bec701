"""KL006: one step's KL to the reference stands far above the rest, and the next one does not."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from diagnostics.finding import Evidence, Severity
from diagnostics.kl import ALL, SUMMED, measured
from diagnostics.rule import Alarm, Case, Told, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.spikes import EARLIEST, LOOKBACK, Spikes, spikes

K3, K1_SUM, UNKNOWN = "kl.reference.k3.token", "kl.reference.k1.sequence", "kl.reference.unknown"

WIDE = "1 1.6 0.4 " * 20  # its median absolute deviation is 0.6: eight of them above 1 are 5.8


@rule(
    "KL006",
    Severity.INFO,
    needs=[ALL],
    lookback=LOOKBACK + 2,
    min_points=EARLIEST,
    fires=[
        Case(example({K3: "0.02~0.002*40 0.115 0.02~0.002*20"}), "info@41"),
        Case(example({K1_SUM: "0.2~0.02*40 2.2 0.2~0.02*20"}), "info@41"),
        Case(example({UNKNOWN: "0.1~0.002*40 0.55 0.19 0.1~0.002*20"}), "info@41"),
        Case(example({K3: WIDE + "6.5 1 1.6 0.4"}), "info@61"),
    ],
    quiet=[
        example({K3: WIDE + "5.4 1 1.6 0.4"}),  # not so far beyond how it scatters
        example({K3: "0.015~0.001*40 0.085 0.015~0.001*20"}),  # too near to matter
        example({K1_SUM: "0.2~0.02*40 1.8 0.2~0.02*20"}),
        example({UNKNOWN: "0.1~0.002*40 0.45 0.1~0.002*20"}),  # not so far above what is usual
        example({UNKNOWN: "0.1~0.002*40 0.55 0.24 0.1~0.002*20"}),  # and not back at once
        example({K3: "0.02~0.002*40 1.5*20"}),  # it stays there: no spike
        example({K3: "0.02~0.002*40 1.5 1.5 0.02~0.002*20"}),  # two steps
        example({K3: "0.02~0.002*30 0.5 1 1.5 2*20"}),
        example({"kl.rollout.k3.token": "0.02~0.002*40 1.5 0.02~0.002*20", K3: "0.02*61"}),  # is approx_kl_spike's
    ],
)
def kl_spike(
    run: RunHistory,
    *,
    times: float = 5.0,
    deviations: float = 8.0,
    floor: float = 0.1,
    floor_sum: float = 2.0,
    back: float = 0.25,
) -> Iterator[Alarm]:
    """The KL of a single step is many times what is usual, and gone at the next one. This is harmless.

    ## Meaning
    INFO: a step's KL was at least `times` what was usual before it and more than `deviations` median absolute
    deviations above that, beyond `floor` nats per token or `floor_sum` summed over a completion (where the log does
    not say which, `floor`), the step before it was not, and at the next step no more than a share of `back` of the
    height is left.

    ## Why it matters
    It does not, but it looks as if it did. k3 is heavy-tailed: one token that the policy finds likely and the reference
    does not can outweigh all others of a batch, and most often a single odd completion holds several of them. The KL of
    the next batch shows that the policy is where it was. The loss jumps with it where the KL is part of the loss.

    ## Look at
    Whether the gradient norm spiked too; the completions of that step, if they were kept.

    ## What to change
    Nothing. If spikes come often, bound the norm of the gradient, so that no one batch moves the policy.

    ## When this is wrong
    A spike that stays is none: kl_explosion and kl_drift_without_reward find those. The first of several spikes is told
    like a single one.

    ## References
    - `deviations` = 8.0: rl-doctor's spike rule (6 to 8 median absolute deviations). `times` = 5.0: house default;
      rl-doctor asks for 3, which k3 reaches in healthy runs again and again.
    - `floor` = 0.1, `floor_sum` = 2.0: house defaults, from which on kl_drift_without_reward calls a policy moved.
    - `back` = 0.25: house default.
    - Schulman 2020, Approximating KL divergence (joschu.net/blog/kl-approx.html): the estimators and their variance.
    """
    for series in measured(run):
        least = floor_sum if series.metric in SUMMED else floor
        if not (series.values > least).any():
            continue
        seen = spikes(series, times=times, deviations=deviations, floor=least)
        left = seen.size[1:] - seen.usual[:-1] <= back * (seen.size[:-1] - seen.usual[:-1])
        single = seen.found[:-1] & ~np.concatenate([[False], seen.found[:-2]]) & (series.values[:-1] > 0)
        gone = np.concatenate([[False], single & left])
        yield Alarm(Severity.INFO, series.steps, gone, partial(_told, series, seen, times))


def _told(series: MetricSeries, seen: Spikes, times: float, i: int) -> Told:
    at, after = int(series.steps[i - 1]), int(series.steps[i])
    size, usual = float(seen.size[i - 1]), float(seen.usual[i - 1])
    return Told(
        f"{series.metric} was {size:.3g} at step {at}, {size / usual:.0f} times what is usual, and back at "
        f"{seen.size[i]:.3g} at step {after}: a few unlikely tokens make such a step, and the policy is where it was",
        at,
        (Evidence(series.metric, at, at, "value", size, times * usual),),
        advice=("Do nothing about a single spike. If they come often, bound the norm of the gradient.",),
    )
