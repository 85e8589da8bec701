"""No completion can end."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports

CUT = ("LEN001", "LEN004")


@cause(
    "The end of text is suppressed or never learned",
    signs=(*CUT, "KL001"),
    leads_to=("LEN003", "RWD004", "RWD003"),
    settled_by=("min_completion_length", "completion_length_terminated_mean"),
)
def eos_suppressed(case: Case) -> Argument | None:
    """Every completion runs to the limit because none may or can end.

    ## What it is
    The end-of-text token is suppressed when sampling, is not the one that the model was taught, is masked from the
    loss, or a minimum length stands above the limit. The policy then writes on after its answer, and is scored on text
    that it would not have written.

    ## What speaks for it
    From the first logged step on every completion is cut, with no exception; the KL to the reference is below zero.

    ## What speaks against it
    Some completions end by themselves: then the limit is too short for the others.

    ## What to change
    Nothing that a knob changes: the generation settings and the template.
    """
    if not case.loud(*CUT):
        return None
    reasons = tuple(_reasons(case))
    advice = (
        "let completions end: look for suppressed tokens and a minimum length in the generation settings, and see that "
        "the token that ends a text is the one the model was taught, in the template and in the masks"
    )
    return Argument(reasons, None, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    if case.all_cut():
        yield supports(Weight.STRONG, "from the first step on no completion ends by itself")
    elif case.cut_from_the_start():
        yield against(Weight.STRONG, "some completions end by themselves")
    else:
        yield against(Weight.DECISIVE, "the first completions ended by themselves")
    if case.loud("LEN004"):
        yield supports(Weight.STRONG, "the token that ends a text is missing")
    if case.loud("KL001"):
        yield supports(Weight.STRONG, "the KL is below zero: the policy would have ended where it was not let")
    shortest = case.setting("min_completion_length")
    longest = case.setting("max_completion_length")
    if shortest is not None and longest is not None and shortest >= longest:
        yield supports(Weight.DECISIVE, case.is_set("min_completion_length"))
