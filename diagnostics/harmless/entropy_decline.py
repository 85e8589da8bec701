"""The entropy declines while the reward rises."""

from diagnostics.explaining import Seen, ends, first_logged, harmless
from diagnostics.progress import RECENT, progress
from diagnostics.series import RunHistory

ENTROPY = ("entropy.token", "entropy", "entropy.sequence", "entropy.action")
CLEAR = 0.1  # of its early level


@harmless(
    "The entropy declines",
    unless=("ENT001", "ENT002", "DIV001", "RWD001", "RWD002", "RWD003", "RWD009", "LEN002", "KL002", "KL005", "GEN002"),
)
def entropy_decline(run: RunHistory) -> Seen | None:
    """The entropy declines while the reward rises.

    ## What it looks like
    The mean entropy of the last 10 points is a tenth or more below that of the first 10.

    ## Why it is harmless
    A policy that learns what is right is less uncertain: some of its entropy is what the reward was bought with. While
    groups still differ there is enough of it left to go on.

    ## When it is not
    It falls faster than the reward rises, groups come to agree, or the held-out reward falls (ENT001, RWD001, GEN002).
    """
    _, standing = progress(run)
    entropy = first_logged(run, *ENTROPY, least=2 * RECENT)
    if entropy is None or not len(standing.gain) or not standing.gain[-1] > 1:
        return None
    start, end = ends(entropy.values, RECENT)
    if not 0 < end < (1 - CLEAR) * start:
        return None
    return Seen(
        f"{entropy.metric} went from {start:.3g} to {end:.3g} while the reward gained {standing.gain[-1]:.1f} times "
        "its noise: a policy that learns what is right is less uncertain.",
        entropy,
    )
