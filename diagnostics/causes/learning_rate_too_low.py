"""The updates are too small for the budget."""

from collections.abc import Iterator

from diagnostics.finding import Direction
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import COLD, HOT, MOVED, STRONG, faster

STANDS_STILL = ("RWD004", "RWD007")
STILL = MOVED / 10  # nats per token: what a policy that hardly moves is measured at
GROWS = 3.0  # times its early level that the KL of a slow policy grows, while that of a held one stands still
LOW = "CFG009"


@cause(
    "The learning rate is too low",
    signs=(*STANDS_STILL, LOW),
    settled_by=("kl_coef", "temperature", "kl.reference.k3.token"),
)
def learning_rate_too_low(case: Case) -> Argument | None:
    """The updates are so small that the policy hardly moves within the budget.

    ## What it is
    The reward has a signal, and the gradient a norm, but what a step changes is too little to show. Nothing breaks.

    ## What speaks for it
    The KL to the reference is below a hundredth of a nat per token at the end, and still growing;
    best-of-n stays far above the mean.

    ## What speaks against it
    The policy has moved and gained nothing. A strong KL penalty holds it. Most groups agree, so that there is no
    signal. Sampling is hot or cold.

    ## What to change
    Ten times the learning rate.
    """
    if not case.loud(*STANDS_STILL):
        return None
    metric, _, amount = case.target(*STANDS_STILL)
    because = "larger updates turn the signal that is there into skill"
    return Argument(tuple(_reasons(case)), faster("reward_mean", amount if metric == "reward_mean" else 0.0, because))


def _reasons(case: Case) -> Iterator[Reason]:
    if case.beyond(LOW) is Direction.DOWN:
        yield supports(Weight.STRONG, f"{case.is_set('learning_rate')}, below what is usual")
    kl = case.kl()
    if kl is not None:
        start, end = case.start(kl.metric), case.end(kl.metric)
        if end < STILL:
            yield supports(Weight.STRONG, f"the policy hardly moved: {end:.2g} nats per token from the reference")
            if end > GROWS * max(start, 0.0):
                yield supports(Weight.HINT, "the KL to the reference still grows: the policy is slow, not held")
        elif end > MOVED:
            yield against(Weight.STRONG, f"the policy moved, by {end:.2g} nats per token, and gained nothing by it")
    if case.loud("RWD007"):
        yield supports(Weight.HINT, "best-of-n stays far above the mean: there is something to learn from")
    penalty = case.setting("kl_coef")
    if penalty is not None and penalty >= STRONG:
        yield against(Weight.STRONG, f"{case.is_set('kl_coef')}: a penalty that can hold the policy by itself")
    temperature = case.setting("temperature")
    if temperature is not None and not COLD <= temperature <= HOT:
        yield against(Weight.STRONG, case.is_set("temperature"))
    if case.loud("RWD001", "LEN001", "LEN004"):
        yield against(Weight.STRONG, "the completions give it too little to learn from, at any learning rate")
    if case.loud("KL002", "KL005", "UPD001", "UPD002", "RWD002"):
        yield against(Weight.STRONG, "the updates were large enough to do damage")
