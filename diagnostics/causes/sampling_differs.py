"""What is sampled is not what is scored."""

from collections.abc import Iterator

from diagnostics.finding import Direction, Set
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import to_try

# What follows where leaving the reference is paid for.
PAID = (
    "KL002", "KL003", "KL005", "RWD002", "RWD003", "RWD004", "RWD008", "RWD009", "RWD010", "ENT001", "ENT002", "LEN002",
    "LEN003", "UPD001", "UPD002", "UPD003", "GRD001", "VAL001", "VAL002", "VAL003",
)  # fmt: skip
TRUNCATING = "CFG004"  # truncating sampling with a KL on the full distribution


@cause(
    "What is sampled is not what is scored",
    signs=("KL001", TRUNCATING),
    leads_to=PAID,
    settled_by=("top_p", "top_k", "min_p", "temperature", "min_completion_length"),
)
def sampling_differs(case: Case) -> Argument | None:
    """Completions come from another distribution than the one whose log-probabilities enter the KL.

    ## What it is
    With top-p, top-k, another temperature, a minimum length, padding or dropout the tokens are not drawn from the
    distribution that is scored. Then the k1 estimate of the KL can be below zero on average, and a penalty on it pays
    the policy for leaving the reference.

    ## What speaks for it
    A KL below zero that holds; settings that truncate or sharpen the sampling; a k3 estimate, which cannot be negative,
    that stays above zero.

    ## What speaks against it
    All completions are cut at the limit: then the end of text is suppressed, which is a case of its own.

    ## What to change
    Sample with top-p 1 and the temperature at which log-probabilities are taken.
    """
    if not case.loud("KL001"):
        return None
    metric, _, amount = case.target("KL001")
    because = "then the KL is estimated on samples of the very distribution that it is about"
    sharpened = [knob for knob in ("top_p", "temperature") if (case.setting(knob) or 1) != 1]
    change = to_try(sharpened[0], Set(1.0), metric, Direction.UP, amount, because) if sharpened else None
    advice = (
        "see that sampling uses no top-p, top-k or minimum length, that log-probabilities are taken at the temperature "
        "of sampling, that padding is masked, and that dropout is off in both policies"
    )
    return Argument(tuple(_reasons(case)), change, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    yield supports(Weight.STRONG, "the KL to the reference is below zero, and stays there")
    for name, neutral in (("top_p", 1), ("top_k", 0), ("min_p", 0), ("min_completion_length", 0), ("temperature", 1)):
        value = case.setting(name)
        if value is not None and value != neutral:
            yield supports(Weight.STRONG, case.is_set(name))
    if case.came_first("KL001"):
        yield supports(Weight.STRONG, f"it was from step {case.onset('KL001')} on, before all that else went wrong")
    if any(case.end(metric) > 0 for metric in ("kl.reference.k3.token", "kl.reference.k3.sequence")):
        yield supports(Weight.HINT, "the k3 estimate of the same KL is above zero")
    if case.loud("OFF001"):
        yield against(Weight.HINT, "the engine that samples gives other probabilities than the trainer")
    if case.all_cut():
        yield against(Weight.STRONG, "no completion ends by itself: the end of text is suppressed")
