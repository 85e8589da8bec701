"""The task is learned: nothing is wrong."""

from collections.abc import Iterator

from diagnostics.progress import CEILING, at_ceiling, progress
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports

STILL = ("RWD001", "ENT001", "GRD002", "RWD004", "DIV001")


@cause("The task is learned", signs=(*STILL, "RWD005", "RWD007"), settled_by=("eval_reward", "zero_std_share_ceiling"))
def task_learned(case: Case) -> Argument | None:
    """The reward is at its highest, and what is left of the run has nothing to teach.

    ## What it is
    Where all answers are right all groups agree, advantages and gradients vanish and the entropy falls. These are
    signs of success, not of a fault.

    ## What speaks for it
    The reward is at the top of its range, or the rules say that it is saturated.

    ## What speaks against it
    The held-out reward did not follow; the text came apart; the reward fell.

    ## What to change
    Nothing: stop here, or go on with harder prompts.
    """
    if not case.loud(*STILL):
        return None
    advice = "stop here, or go on with harder prompts"
    return Argument(tuple(_reasons(case)), None, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    _, standing = progress(case.run)
    if case.any("RWD005") or at_ceiling(case.run, standing.recent[-1:], CEILING).any():
        yield supports(Weight.STRONG, "the reward is at the top of its range")
        if case.gain()[0] > 1:
            yield supports(Weight.HINT, "the reward rose to where it is")
    if case.loud("GEN001", "GEN002"):
        yield against(Weight.DECISIVE, "the held-out reward did not follow")
    if case.loud("LEN002", "LEN003", "RWD009"):
        yield against(Weight.STRONG, "the text came apart")
    if case.loud("RWD002", "RWD003", "KL002"):
        yield against(Weight.STRONG, "the reward or the policy was lost")
