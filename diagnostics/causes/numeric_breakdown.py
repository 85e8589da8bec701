"""Numbers break before the policy does."""

from collections.abc import Iterator

from diagnostics.finding import Set
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import CLIPPED, FAR, to_try


@cause(
    "Numbers overflow",
    signs=("NUM001", "GRD001", "UPD003"),
    leads_to=("RWD002", "RWD001", "GRD002"),
    settled_by=("precision", "max_grad_norm", "grad_norm"),
)
def numeric_breakdown(case: Case) -> Argument | None:
    """A number overflows or is undefined, and everything after it is NaN.

    ## What it is
    Half precision without loss scaling, an unbounded ratio, a division by a standard deviation of 0, or a gradient that
    is not clipped. One bad batch is enough.

    ## What speaks for it
    fp16; gradients that are not clipped; no other finding before the first NaN.

    ## What speaks against it
    The policy was far from the reference before: then the updates were too large.

    ## What to change
    Clip the gradient at 1; bf16 instead of fp16.
    """
    if not case.loud("NUM001"):
        return None
    metric, direction, amount = case.target("NUM001")
    because = "a gradient of bounded norm cannot throw the weights out of range in one step"
    unclipped = not case.setting("max_grad_norm")
    change = to_try("max_grad_norm", Set(CLIPPED), metric, direction, amount, because)
    advice = "train in bf16 or fp32" if case.informed.settings.get("precision") == "fp16" else ""
    return Argument(
        tuple(_reasons(case)), change if unclipped else None, advice or "look at the batch before the first NaN"
    )


def _reasons(case: Case) -> Iterator[Reason]:
    if case.informed.settings.get("precision") == "fp16":
        yield supports(Weight.STRONG, "the forward pass is in fp16")
    if case.setting("max_grad_norm") == 0:
        yield supports(Weight.STRONG, f"{case.is_set('max_grad_norm')}: gradients are not clipped")
    onset = case.onset("NUM001")
    before = [
        code
        for code, finding in case.found.items()
        if onset is not None and finding.first_step < onset and case.loud(code) and not code.startswith("CFG")
    ]
    if not before:
        yield supports(Weight.STRONG, "nothing else was wrong before the first number that is not finite")
    else:
        yield against(Weight.STRONG, f"{', '.join(before)} came before")
    if case.early_kl() > FAR:
        yield against(Weight.STRONG, "the policy was far from the reference before")
