"""Single points of the KL stand out and the next are back."""

import numpy as np

from diagnostics.explaining import Seen, first_logged, harmless
from diagnostics.progress import NOISE
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.stats import Mask

HEAVY_TAILED = ("kl.reference.k3.token", "kl.reference.unknown.token", "kl.reference.unknown")
HIGH = 5.0  # times the median of the run
BACK = 3.0  # times the median at which the neighbours of an isolated point are
FEW = 0.1  # of the points: more are no exception


@harmless("The KL spikes at single points", unless=("KL001", "KL006", "KL002", "KL005", "UPD001", "NUM001"))
def isolated_kl_spikes(run: RunHistory) -> Seen | None:
    """Single points of the KL to the reference stand far out, and the next ones are back where it was.

    ## What it looks like
    A KL of 0.1 that is 7 at one step.

    ## Why it is harmless
    The k3 estimate holds the ratio of two probabilities: one token that the policy has made unlikely and still drew can
    weigh as much as thousands of others. The policy itself has not moved, or the next point would be high too.

    ## When it is not
    The points after it stay high (KL002), or the reward breaks off.
    """
    kl = first_logged(run, *HEAVY_TAILED, least=NOISE)
    if kl is None:
        return None
    usual = float(np.median(kl.values))
    spikes = _isolated(kl, usual)
    count = int(spikes.sum())
    if usual <= 0 or not count or count > FEW * len(kl):
        return None
    highest = int(np.argmax(np.where(spikes, kl.values, -np.inf)))
    points = "one point" if count == 1 else f"{count} single points"
    return Seen(
        f"{kl.metric} is {usual:.2g} at the median and far above it at {points}, {kl.values[highest]:.2g} at step "
        f"{kl.steps[highest]}, and back at the next. One unlikely token can do that to this estimate; the policy has "
        "not moved.",
        MetricSeries(kl.metric, kl.steps[spikes], kl.values[spikes]),
    )


def _isolated(kl: MetricSeries, usual: float) -> Mask:
    """The points that are high while those beside them are not; the last point may yet turn out to be no spike."""
    high, back = kl.values > HIGH * usual, kl.values <= BACK * usual
    alone: Mask = np.zeros(len(kl), dtype=bool)
    alone[1:-1] = high[1:-1] & back[:-2] & back[2:]
    return alone
