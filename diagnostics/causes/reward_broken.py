"""The reward function tells nothing, or something else than what is wanted."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import FAR

SUSPECT = ("RWD001", "RWD006", "RWD009")
EVERY = 0.95  # of the groups


@cause(
    "The reward function is dead or is played",
    signs=SUSPECT,
    leads_to=("GRD002", "RWD004", "RWD007", "LEN002", "LEN003", "DIV001"),
    settled_by=("zero_std_share", "eval_success_share"),
)
def reward_broken(case: Case) -> Argument | None:
    """The reward is the same for everything, or is had without doing what is wanted.

    ## What it is
    A parser that matches nothing, a format that no completion has, a reward function that fails silently: every
    completion gets the same. Or the reward has a way around the task, and the policy has found it.

    ## What speaks for it
    From the first step on nearly all groups agree and the reward does not move; a component of the reward is constant;
    the reward rises while the text, or another component, gets worse.

    ## What speaks against it
    The groups differed at first; the policy was carried off before.

    ## What to change
    Read completions with their rewards, by hand.
    """
    if not case.loud(*SUSPECT):
        return None
    advice = "read twenty completions with their rewards: see that the answer is parsed and that right ones are paid"
    return Argument(tuple(_reasons(case)), None, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    agreed = case.start("zero_std_share")
    if case.loud("RWD001") and agreed >= EVERY and abs(case.gain()[1]) <= 0:
        yield supports(Weight.DECISIVE, "every completion has had the same reward from the first step on")
    elif case.loud("RWD001") and not case.loud("RWD006", "RWD009"):
        yield against(Weight.STRONG, "rewards did differ")
    if case.loud("RWD006"):
        yield supports(Weight.STRONG, "a component of the reward is the same for all completions")
    if case.loud("RWD009"):
        yield supports(Weight.STRONG, "the reward rises while what it stands for gets worse")
        if case.loud("LEN002", "LEN003"):
            yield supports(Weight.HINT, "the length of completions went to an extreme with it")
    if case.early_kl() > FAR:
        yield against(Weight.STRONG, "the policy was far from the reference within the first steps")
    if case.setting("kl_coef") == 0 and case.loud("RWD009"):
        yield against(Weight.HINT, f"{case.is_set('kl_coef')}: nothing keeps the policy from it")
