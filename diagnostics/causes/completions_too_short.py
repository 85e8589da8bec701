"""The length limit cuts answers off."""

from collections.abc import Iterator

from diagnostics.finding import Hypothesis, Prescription, Safety, Scale
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import FAR

CUT = ("LEN001", "LEN004")
GROWS = "LEN003"


@cause(
    "The length limit is too short",
    signs=(*CUT, "RWD001", "RWD004", "ENT001", "RWD007"),
    leads_to=(GROWS,),
    settled_by=("max_completion_length", "completion_length_terminated_mean"),
)
def completions_too_short(case: Case) -> Argument | None:
    """The limit on the length of completions cuts off what the model has to say.

    ## What it is
    Answers that need more tokens than they get are scored as failures, whatever they would have said, and what is
    learned is to be brief rather than right.

    ## What speaks for it
    Completions are cut from the first step on, before anything was learned, and some end by themselves.

    ## What speaks against it
    The first completions had room enough: then the policy has learned to write on. None ends: then it may not.
    More and more are cut: they may be growing without end.

    ## What to change
    Twice the limit.
    """
    if not case.loud(*CUT):
        return None
    metric, direction, amount = case.target("LEN001")
    because = "completions with more room reach their end"
    hypothesis = Hypothesis(metric, direction, amount, 0.5, because)
    change = Prescription("max_completion_length", Scale(2), hypothesis, Safety.ADVICE)
    advice = "first read samples that were cut: where they repeat themselves a longer limit only costs more"
    return Argument(tuple(_reasons(case)), change, advice if case.loud(GROWS) else "")


def _reasons(case: Case) -> Iterator[Reason]:
    if case.all_cut():
        yield against(Weight.STRONG, "not a single completion ends by itself")
        yield supports(Weight.STRONG, "completions are cut from the first step on")
    elif case.cut_from_the_start():
        yield supports(Weight.DECISIVE, "completions are cut from the first step on, before anything was learned")
        if case.loud(GROWS):
            yield against(Weight.HINT, "more are cut than at first: they may be growing without end")
        if case.any("LEN004"):
            yield against(Weight.HINT, "next to none ends by itself: it may be the end that is missing, not the room")
    else:
        yield against(Weight.STRONG, "the first completions had room enough")
    if case.early_kl() > FAR:
        yield against(Weight.STRONG, "the policy was far from the reference within the first steps")
    if case.onset("KL002", "UPD002", GROWS) is not None and not case.cut_from_the_start():
        yield against(Weight.HINT, "they grew with the policy's other changes")
