"""The loss rises while the reward does."""

import math

from diagnostics.explaining import Seen, ends, first_logged, harmless
from diagnostics.progress import RECENT, progress
from diagnostics.series import RunHistory
from diagnostics.stats import noise

WITH_CRITIC = "total_loss"  # the critic's loss is part of it, where there is one
LOSSES = (WITH_CRITIC, "policy_loss.token", "policy_loss")
CLEAR = 4.0  # standard errors of the difference of two means


@harmless(
    "The loss rises while the reward rises",
    unless=("UPD003", "NUM001", "KL002", "KL005", "RWD002", "RWD003", "RWD008", "VAL001", "VAL003"),
)
def policy_loss_rising(run: RunHistory) -> Seen | None:
    """The loss is higher at the end than at the start, and so is the reward.

    ## What it looks like
    The mean loss of the last 10 points lies clearly above that of the first 10, while the reward has gained more than
    the noise of a step.

    ## Why it is harmless
    The loss of a policy gradient is no distance to a goal: each batch has its own. Where the KL penalty is part of it,
    it grows with the distance from the reference, which is what learning costs.

    ## When it is not
    The reward falls, or the KL explodes.
    """
    _, standing = progress(run)
    known = [metric for metric in LOSSES if metric != WITH_CRITIC or "value_loss" not in run]
    loss = first_logged(run, *known, least=2 * RECENT)
    if loss is None or not len(standing.gain) or not standing.gain[-1] > 1:
        return None
    start, end = ends(loss.values, RECENT)
    if not end - start > CLEAR * noise(loss.values) * math.sqrt(2 / RECENT):
        return None
    return Seen(
        f"{loss.metric} rose from {start:.2g} to {end:.2g} while the reward gained {standing.gain[-1]:.1f} times its "
        "noise. "
        "The loss of a policy gradient measures no distance to a goal, and a KL penalty in it grows as the policy "
        "learns.",
        loss,
    )
