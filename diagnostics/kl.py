"""What the rules on the KL to the reference share: its identities, and the coefficient of its penalty."""

from __future__ import annotations

import numpy as np

from diagnostics.progress import RECENT, joined
from diagnostics.remedies import setting
from diagnostics.rule import NotApplicable
from diagnostics.series import MetricSeries, RunHistory, Steps, Values
from diagnostics.stats import rolling_mean

PER_TOKEN = (
    "kl.reference.k3.token", "kl.reference.k1.token", "kl.reference.k2.token", "kl.reference.unknown.token",
)  # fmt: skip
SUMMED = ("kl.reference.k1.sequence", "kl.reference.k3.sequence", "kl.reference.unknown.sequence")
OF_SOMETHING = "kl.reference.unknown"  # the log says neither which estimator nor whether per token or summed
ALL = (*PER_TOKEN, *SUMMED, OF_SOMETHING)
# What these estimate cannot be below zero, and neither can they.
NEVER_NEGATIVE = ("kl.reference.k2.token", "kl.reference.k3.token", "kl.reference.k3.sequence")
COEFFICIENT = "kl_coef"
LENGTH = "completion_length_mean"


def measured(run: RunHistory) -> list[MetricSeries]:
    """The KLs to the reference that `run` logs. NotApplicable where all are 0 throughout."""
    present = [run[metric] for metric in ALL if metric in run]
    if not any(series.values.any() for series in present):
        raise NotApplicable("the KL to the reference is 0 throughout: it is not measured (a KL coefficient of 0?)")
    return present


def coefficients(run: RunHistory, steps: Steps) -> Values:
    """The weight of the KL penalty at each of `steps`: as logged, else as set; NaN where neither is known."""
    logged, known = run.get(COEFFICIENT).at(steps), setting(run, COEFFICIENT)
    return np.where(np.isnan(logged), np.nan if known is None else known, logged)


def coefficient(run: RunHistory, step: int) -> float:
    """The weight of the KL penalty at `step`, NaN where it is not known."""
    return float(coefficients(run, np.array([step]))[0])


def tokens(run: RunHistory, steps: Steps) -> Values:
    """The recent mean length of completions at each of `steps`, with which a sum grows; NaN where it is not logged."""
    length = run.get(LENGTH)
    return joined(length, rolling_mean(length.values, RECENT), steps)
