"""Each batch is used too often."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import fewer_epochs, slower

CLIPPED = ("UPD001", "UPD002", "UPD004")
PER_BATCH = ("kl.rollout.k1.token", "kl.rollout.k2.token", "kl.rollout.k3.token", "kl.rollout.unknown.token")
OF_THE_WAY = 0.1  # share of its distance from the reference that a policy covers on one batch: far too much
MANY = 4  # update epochs: what PPO for language models is usually run with; GRPO uses one
LASTS = 1 / 3  # of its early level at which a clip fraction lasts


@cause(
    "Too many updates on each batch",
    signs=(*CLIPPED, "UPD003"),
    leads_to=("KL002", "KL005", "RWD003", "RWD004", "RWD010", "ENT001", "RWD001", "VAL001"),
    settled_by=("update_epochs", "kl.rollout.k3.token"),
)
def too_many_epochs(case: Case) -> Argument | None:
    """The policy is updated so often on one batch of rollouts that it leaves the policy that sampled it.

    ## What it is
    Later passes over a batch follow samples that the policy would no longer draw. Clipping takes most of their gradient
    away; what is left is noise. The same happens where rollouts are stale for another reason.

    ## What speaks for it
    Four update epochs or more; a clip fraction that stays high all through the run; a policy that covers much of its
    distance from the reference on a single batch.

    ## What speaks against it
    One pass over each batch. A clip fraction that was high in the first steps only.

    ## What to change
    A quarter of the update epochs.
    """
    epochs = case.setting("update_epochs")
    if not case.loud(*CLIPPED) and not (case.loud("KL002", "KL005") and epochs is not None and epochs >= MANY):
        return None
    metric, direction, amount = case.target(*CLIPPED, "KL002", "KL005")
    fewer = fewer_epochs(case.informed, metric, amount)
    because = "smaller updates stay within the trust region"
    change = fewer if fewer is not None or epochs is None else slower(metric, direction, amount, because)
    advice = "" if fewer is not None else f"use each batch of rollouts less often: lower {case.called('update_epochs')}"
    return Argument(tuple(_reasons(case)), change, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    epochs = case.setting("update_epochs")
    if epochs is not None and epochs >= MANY:
        yield supports(Weight.DECISIVE if epochs >= 2 * MANY else Weight.STRONG, case.is_set("update_epochs"))
    elif epochs == 1 and not case.loud("UPD004"):
        yield against(Weight.DECISIVE, case.is_set("update_epochs"))
    if case.loud("UPD002") and epochs != 1:
        yield supports(
            Weight.HINT, "the policy wants to leave the trust region, as it does on a batch it has seen before"
        )
    if case.loud("UPD004"):
        yield supports(Weight.STRONG, "tokens are clipped where the first pass over a batch can clip none")
    clipped = ("clip_fraction.token", "clip_fraction", "clip_fraction.action")
    start, end = case.start(*clipped), case.end(*clipped)
    if case.loud("UPD002") and end > LASTS * start:
        yield supports(Weight.STRONG, f"{end:.0%} of the tokens are clipped to the end")
    elif case.loud("UPD002"):
        weight = Weight.STRONG if epochs is None else Weight.HINT
        yield against(weight, f"the clip fraction fell from {start:.0%} to {end:.0%} by itself")
    kl = case.kl()
    per_batch, far = case.end(*PER_BATCH), case.end(kl.metric) if kl is not None else 0.0
    if per_batch > OF_THE_WAY * far > 0:
        yield supports(
            Weight.STRONG,
            f"one batch moves the policy by {per_batch:.2g} nats per token, of {far:.2g} that it is from the reference",
        )
