"""Sampling is so cold that groups repeat one answer."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import COLD, FAR, warmer

AGREES = ("RWD001", "DIV001")
FEW = 1 / 3  # of the completions of a step are distinct: a group of 8 has fewer than three answers


@cause(
    "The sampling temperature is too low",
    signs=(*AGREES, "CFG007", "GRD002", "RWD004", "ENT001", "GEN001", "RWD005"),
    settled_by=("temperature", "unique_share"),
)
def temperature_too_low(case: Case) -> Argument | None:
    """Sampling is so cold that the completions of a group are all the same.

    ## What it is
    The most likely answer is drawn again and again. Where all of a group get the same reward there is no advantage, and
    the prompt teaches nothing, however good or bad the answer is.

    ## What speaks for it
    A temperature below 0.7; few distinct completions from the first steps on, before anything was learned; a policy
    that was still near the reference by then.

    ## What speaks against it
    The groups differed at first, or the policy is far from the reference: then it has collapsed. Completions differ and
    are rewarded alike: then the groups are too small or the reward too coarse.

    ## What to change
    Sampling at temperature 1.
    """
    if not case.loud(*AGREES):
        return None
    metric, direction, amount = case.target(*AGREES)
    return Argument(tuple(_reasons(case)), warmer(metric, direction, amount))


def _reasons(case: Case) -> Iterator[Reason]:
    temperature = case.setting("temperature")
    if temperature is not None and temperature < COLD:
        yield supports(Weight.DECISIVE, case.is_set("temperature"))
    elif temperature is not None:
        yield against(Weight.DECISIVE, case.is_set("temperature"))
    distinct = case.start("unique_share")
    if distinct < FEW:
        yield supports(Weight.STRONG, f"only {distinct:.0%} of the first completions were distinct")
        if case.kl() is not None and case.early_kl() <= FAR:
            yield supports(Weight.HINT, "the policy was still near the reference by then")
    elif distinct >= FEW:
        yield against(
            Weight.STRONG if temperature is None else Weight.HINT,
            f"{distinct:.0%} of the first completions were distinct",
        )
    if case.early_kl() > FAR or case.loud("KL002"):
        yield against(Weight.STRONG, "the policy went far from the reference")
