"""The KL penalty outweighs the reward."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import FAR, MOVED, STRONG, looser

HELD = ("KL004", "RWD004", "RWD003", "RWD002", "RWD008")
PENALTY = "CFG005"  # the coefficient is out of scale with the reward
BACK = 0.5  # of its early level to which the KL falls when the policy is pulled back


@cause(
    "The KL penalty is too strong",
    signs=(*HELD, "RWD007", "ENT002", PENALTY),
    settled_by=("kl_coef", "kl.reference.k3.token"),
)
def kl_penalty_too_strong(case: Case) -> Argument | None:
    """The KL penalty outweighs the reward, so the policy stays at the reference or is pulled back to it.

    ## What it is
    What a better answer earns is less than what its distance from the reference costs. A fresh policy stands still; one
    that was trained before and is resumed with a larger coefficient gives back what it had learned.

    ## What speaks for it
    A coefficient of 0.5 or more for a reward of unit size; a KL that falls together with the reward; a KL that stands
    still from the first steps on while nothing is gained.

    ## What speaks against it
    The policy is far from the reference all the same. The KL is below zero, so that the penalty is none. There is no
    penalty.

    ## What to change
    The usual coefficient of 0.04 for a reward of unit size.
    """
    if not case.loud(*HELD):
        return None
    _, _, amount = case.target("RWD002", "RWD003", "RWD008", "RWD004", "KL004")
    return Argument(tuple(_reasons(case)), looser("reward_mean", amount))


def _reasons(case: Case) -> Iterator[Reason]:
    penalty = case.setting("kl_coef")
    if penalty == 0:
        yield against(Weight.DECISIVE, f"{case.is_set('kl_coef')}: there is no penalty")
    elif PENALTY in case.found or (penalty is not None and penalty >= STRONG):
        yield supports(Weight.STRONG, f"{case.is_set('kl_coef')}, strong for a reward of unit size")
    risen = case.raised_before("kl_coef", *HELD)
    if risen is not None:
        yield supports(Weight.STRONG, f"{case.called('kl_coef')} was raised to {risen[1]:g} at step {risen[0]}")
    if case.loud("KL004"):
        yield supports(Weight.STRONG, "the penalty takes most of what the reward gives")
    kl = case.kl()
    if kl is not None:
        start, end = case.start(kl.metric), case.end(kl.metric)
        if end < BACK * start and start > MOVED and case.loud("RWD002", "RWD003", "RWD008"):
            yield supports(
                Weight.DECISIVE,
                f"the KL to the reference fell from {start:.2g} to {end:.2g} nats per token, and the reward with "
                "it: the policy is pulled back",
            )
        elif BACK <= end / max(start, 1e-12) <= 1 / BACK and end < MOVED and case.loud("RWD004"):
            yield supports(Weight.HINT, f"the KL to the reference stands still at {end:.2g} nats per token")
        if max(start, end) > FAR:
            yield against(Weight.STRONG, f"the policy is {max(start, end):.2g} nats per token from the reference")
    if case.loud("KL001"):
        yield against(Weight.DECISIVE, "the KL is below zero: the penalty pays for leaving the reference")
