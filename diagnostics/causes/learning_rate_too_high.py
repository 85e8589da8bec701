"""The updates are so large that they carry the policy off."""

import numpy as np

from diagnostics.finding import Direction
from diagnostics.progress import KL_TOKEN, WARMUP
from diagnostics.reasoning import Argument, Case, Reason, Weight, cause
from diagnostics.remedies import FAR, slower

CARRIED_OFF = ("KL002", "UPD001", "UPD002", "UPD003", "GRD001", "NUM001")


@cause(
    "The learning rate is too high",
    explains=(*CARRIED_OFF, "KL003", "KL005", "ENT001", "RWD001", "RWD002", "RWD003", "RWD004"),
)
def learning_rate_too_high(case: Case) -> Argument | None:
    """The updates are so large that they carry the policy off before the reward can guide it.

    ## What it is
    x
    ## What speaks for it
    x
    ## What speaks against it
    x
    ## What to change
    x
    """
    if not case.loud(*CARRIED_OFF):
        return None
    reasons = []
    metric, level = _early_kl(case)
    if level > FAR:
        reasons.append(
            Reason(f"the KL to the reference reached {level:.2g} nats per token within {WARMUP} points", Weight.STRONG)
        )
    if case.loud("RWD002", "RWD003"):
        reasons.append(Reason("the reward fell", Weight.STRONG))
    because = "the updates are so large that they carry the policy off"
    return Argument(reasons, slower(metric, Direction.DOWN, level / 2, because))


def _early_kl(case: Case) -> tuple[str, float]:
    """The highest KL to the reference of the first points, with the metric that says it."""
    for metric in KL_TOKEN:
        values = case.run.get(metric).values[:WARMUP]
        finite = values[np.isfinite(values)]
        if len(finite):
            return metric, float(finite.max())
    return KL_TOKEN[0], 0.0
