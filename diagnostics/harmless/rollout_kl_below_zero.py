"""The KL between the policy and the one that sampled is below zero at some points."""

import numpy as np

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import RECENT
from diagnostics.series import RunHistory

OLD_TO_NEW = ("kl.rollout.k1.token", "kl.rollout.k1.action", "kl.rollout.unknown.token", "kl.rollout.unknown")
SMALL = 0.02  # nats: the target of PPO implementations that stop an update by it is 0.01 to 0.03


@harmless("The KL of an update is below zero now and then", unless=("UPD001", "UPD004", "OFF001", "NUM001"))
def rollout_kl_below_zero(run: RunHistory) -> Seen | None:
    """The KL from the policy that sampled to the updated one is below zero at some points.

    ## What it looks like
    The approximate KL of PPO has negative values, where a KL cannot be negative.

    ## Why it is harmless
    It is the mean of log-ratios over one batch whose policy has just been changed by that very batch: an estimate with
    either sign, of a quantity near zero. The k3 estimate of the same batch is never negative.

    ## When it is not
    It is far from zero to either side: then the updates are too large, or the tokens are not those that were sampled
    (UPD001, OFF001).
    """
    kl = first_logged(run, *OLD_TO_NEW, least=RECENT)
    if kl is None or not (kl.values < 0).any() or np.median(np.abs(kl.values)) > SMALL:
        return None
    below = int((kl.values < 0).sum())
    return Seen(
        f"{kl.metric} is below zero at {below} of {len(kl)} points, {np.min(kl.values):.2g} at the lowest. It is a "
        "mean of log-ratios on one batch, near zero and of either sign.",
        kl,
    )
