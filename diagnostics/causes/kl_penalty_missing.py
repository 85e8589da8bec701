"""Nothing holds the policy at the reference."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import FAR, USUAL, tighter

ADRIFT = (
    "ENT001", "ENT002", "LEN001", "LEN002", "LEN003", "LEN004", "RWD002", "RWD003", "RWD009", "RWD010", "KL002",
    "KL005", "DIV001",
)  # fmt: skip
HACKED = ("RWD009", "LEN002", "LEN003", "DIV001", "ENT001", "RWD010")


@cause(
    "The KL penalty is too weak or absent",
    signs=(*ADRIFT, "RWD001", "RWD004", "RWD005", "GRD002", "UPD001", "UPD002", "VAL001", "VAL002"),
    settled_by=("kl_coef", "kl.reference.k3.token"),
)
def kl_penalty_missing(case: Case) -> Argument | None:
    """Nothing, or too little, holds the policy at the reference.

    ## What it is
    Without a penalty the policy goes wherever the reward leads: to the shortest or the longest text, to one answer for
    all prompts, or from one extreme to another. Many exact-answer tasks do well without one; where text matters, or the
    learning rate is high, they do not.

    ## What speaks for it
    A coefficient of 0, or a KL that is 0 throughout and so was not measured; a reward that first rose and was then
    lost; a reward that rises while the text becomes shorter, longer or all the same.

    ## What speaks against it
    A policy far from the reference within the first steps was carried off by the updates. Completions cut from the very
    first step on were not cut because of what was learned.

    ## What to change
    The usual coefficient of 0.04 where there is none, else four times as much.
    """
    weak = case.setting("kl_coef")
    if not case.loud(*ADRIFT) or (weak is not None and weak >= USUAL):
        return None
    if weak is None and case.unmeasured_kl():
        weak = 0.0
    if weak is None or (weak > 0 and not case.loud("KL002", "KL005")):
        return None
    metric, direction, amount = case.target(*ADRIFT)
    return Argument(tuple(_reasons(case, weak)), tighter(case.informed, metric, amount, direction))


def _reasons(case: Case, weak: float) -> Iterator[Reason]:
    gain, best = case.gain()
    if case.setting("kl_coef") == 0:
        yield supports(Weight.STRONG, f"{case.is_set('kl_coef')}: nothing holds the policy at the reference")
    elif weak == 0:
        yield supports(Weight.STRONG, "the KL to the reference is 0 throughout: it is not measured, and holds nothing")
    if case.loud(*HACKED) and gain > 1:
        yield supports(Weight.STRONG, "the reward rose while the text came apart")
    if best > 1 and case.loud("RWD002", "RWD003", "RWD010"):
        yield supports(Weight.STRONG, "the reward first rose and was then lost")
    if case.loud("LEN001", "LEN004") and not case.cut_from_the_start():
        yield supports(Weight.HINT, "completions came to be cut, where the first ones had room enough")
    if case.early_kl() > FAR:
        yield against(Weight.STRONG, "the policy was far from the reference within the first steps")
    if weak > 0:
        yield supports(Weight.HINT, f"{case.is_set('kl_coef')}, and the policy went far from the reference")
    if case.cut_from_the_start() and not case.loud(*HACKED, "RWD002", "RWD003"):
        yield against(Weight.DECISIVE, "the completions were cut before anything was learned")
