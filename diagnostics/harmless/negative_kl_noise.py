"""Single points of the k1 estimate lie below zero."""

import numpy as np

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import RECENT
from diagnostics.series import RunHistory

K1 = ("kl.reference.k1.token", "kl.reference.k1.sequence")


@harmless("The KL to the reference is below zero now and then", unless=("KL001", "NUM001"))
def negative_kl_noise(run: RunHistory) -> Seen | None:
    """Single points of the KL to the reference lie below zero.

    ## What it looks like
    A KL cannot be negative, yet the log has negative values, mostly in the first steps.

    ## Why it is harmless
    The k1 estimate is the mean of log-ratios over samples. It is right on average and has either sign on a batch, and
    the more so the nearer the policy is to the reference. What counts is its mean, which is not below zero here.

    ## When it is not
    The mean itself is below zero: then what is sampled is not what is scored (KL001).
    """
    kl = first_logged(run, *K1, least=RECENT)
    if kl is None:
        return None
    below, mean = int((kl.values < 0).sum()), float(kl.values.mean())
    if not below or mean < 0:
        return None
    return Seen(
        f"{kl.metric} is below zero at {below} of {len(kl)} points, {np.min(kl.values):.2g} at the lowest, and "
        f"{mean:.2g} on average. This estimate is a mean of log-ratios and has either sign on one batch; only a mean "
        "below zero would be wrong.",
        kl,
    )
