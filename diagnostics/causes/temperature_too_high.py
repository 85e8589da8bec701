"""Sampling is so hot that completions are noise."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import HOT, cooler

LOST_IN_NOISE = ("RWD004", "ENT002", "KL005", "RWD003", "GEN002")


@cause(
    "The sampling temperature is too high", signs=(*LOST_IN_NOISE, "RWD007", "GEN001"), settled_by=("entropy.token",)
)
def temperature_too_high(case: Case) -> Argument | None:
    """Sampling is so hot that completions are mostly noise.

    ## What it is
    Unlikely tokens are drawn so often that few completions say what the policy means; good ones are too rare, and the
    reward says more about luck than about the policy.

    ## What speaks for it
    A temperature above 1.3; an entropy that rises; a policy that moves and gains nothing.

    ## What speaks against it
    A usual temperature.

    ## What to change
    Sampling at temperature 1.
    """
    temperature = case.setting("temperature")
    if not case.loud(*LOST_IN_NOISE) or temperature is None or temperature <= HOT:
        return None
    _, _, amount = case.target(*LOST_IN_NOISE)
    return Argument(tuple(_reasons(case)), cooler("reward_mean", amount))


def _reasons(case: Case) -> Iterator[Reason]:
    yield supports(Weight.DECISIVE, case.is_set("temperature"))
    if case.loud("ENT002"):
        yield supports(Weight.HINT, "the entropy rises")
    if case.loud("RWD002"):
        yield against(Weight.STRONG, "the reward was lost, where noise only keeps it from rising")
