"""The critic explains nothing at first, and then does."""

import numpy as np

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import RECENT
from diagnostics.series import RunHistory

CRITIC = "explained_variance"
USEFUL = 0.1  # of the variance of the returns, clearly more than a constant explains


@harmless("The critic explains nothing at first", unless=("VAL001", "VAL002", "VAL003", "NUM001"))
def critic_warm_up(run: RunHistory) -> Seen | None:
    """The explained variance is at or below zero in the first steps and above it later.

    ## What it looks like
    The median explained variance of the first 10 points is 0 or less, and the value loss is at its highest there.

    ## Why it is harmless
    A value head starts at random. Until it has seen some batches it is no better than a constant; here it came to
    explain the returns.

    ## When it is not
    It never does (VAL002), or its loss rises (VAL001, VAL003).
    """
    critic = first_logged(run, CRITIC, least=3 * RECENT)
    if critic is None:
        return None
    start, end = float(np.median(critic.values[:RECENT])), float(np.median(critic.values[-RECENT:]))
    if start > 0 or end < USEFUL:
        return None
    return Seen(
        f"{critic.metric} was {start:.2g} in the first {RECENT} points and is {end:.2g} in the last: the critic began "
        "without knowing anything of the returns, and has learned.",
        critic,
    )
