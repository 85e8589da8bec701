"""The clip fraction is zero throughout."""

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import RECENT
from diagnostics.series import RunHistory

CLIPPED = ("clip_fraction.token", "clip_fraction", "clip_fraction.sequence")


@harmless("The clip fraction is zero", unless=("UPD001", "UPD002", "UPD004", "RWD004", "NUM001", "GRD002"))
def nothing_clipped(run: RunHistory) -> Seen | None:
    """The clip fraction is zero at every step.

    ## What it looks like
    Clipping is configured and never happens.

    ## Why it is harmless
    With one update on each batch the policy that is updated is the one that sampled: the ratio is 1 for every token,
    and there is nothing to clip. GRPO is usually run so.

    ## When it is not
    The reward does not move either: then the updates may be too small (RWD004).
    """
    clipped = first_logged(run, *CLIPPED, least=RECENT)
    if clipped is None or clipped.values.any():
        return None
    return Seen(
        f"{clipped.metric} is 0 at all {len(clipped)} points: with one update on each batch the ratio is 1 for every "
        "token, and nothing can be clipped.",
        clipped,
    )
