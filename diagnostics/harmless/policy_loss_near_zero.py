"""The loss of GRPO is about zero."""

import numpy as np

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import RECENT
from diagnostics.remedies import setting
from diagnostics.series import RunHistory

LOSSES = ("policy_loss.token", "policy_loss", "total_loss")
SMALL = 0.05  # of advantages of unit size


@harmless("The policy loss is about zero", unless=("UPD001", "UPD002", "UPD003", "NUM001", "GRD002", "RWD001"))
def policy_loss_near_zero(run: RunHistory) -> Seen | None:
    """The policy loss is about zero, from the first step to the last.

    ## What it looks like
    The median of the loss is within 0.05 of zero where rewards are compared within groups, and its sign changes.

    ## Why it is harmless
    On the batch that was just sampled the probability ratio is 1, and the advantages of a group sum to zero: the value
    of the loss is zero whatever there is to learn, plus the KL penalty. Its gradient is not zero. The loss of GRPO says
    nothing of progress; the reward does.

    ## When it is not
    The gradient norm is zero too: then the groups agree and nothing is learned (GRD002, RWD001).
    """
    if "value_loss" in run or not _in_groups(run):
        return None
    loss = first_logged(run, *LOSSES, least=RECENT)
    if loss is None or abs(np.median(loss.values)) > SMALL:
        return None
    return Seen(
        f"{loss.metric} is {np.median(loss.values):.2g} at the median. Advantages within a group sum to zero, and "
        "the ratio "
        "is 1 on a fresh batch: the value of the loss is about zero whatever is learned, only its gradient is not. "
        "Watch the reward instead.",
        loss,
    )


def _in_groups(run: RunHistory) -> bool:
    """Whether rewards are compared within the completions of a prompt, as GRPO and RLOO do."""
    logged = ("zero_std_share", "reward_std.group", "reward_best_of_n")
    return any(run.points(metric) for metric in logged) or (setting(run, "num_generations") or 1) > 1
