"""The few prompts of the training set are learned by heart."""

from collections.abc import Iterator

from diagnostics.heldout import in_environment
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports

HELD_OUT = ("GEN001", "GEN002")
FEW = 64  # prompts, fewer than one usual batch


@cause(
    "The training prompts are learned by heart",
    signs=(*HELD_OUT, "RWD001", "RWD005", "ENT001", "GRD002", "DIV001", "CFG003"),
    settled_by=("unique_prompts", "dataset_size", "num_train_epochs"),
)
def too_few_prompts(case: Case) -> Argument | None:
    """The policy learns its few prompts by heart, and nothing that holds for others.

    ## What it is
    The reward on the training prompts rises to the top and the held-out reward stays or falls. Groups agree, the
    entropy and the gradient vanish, because all prompts are solved, not because the task is.

    ## What speaks for it
    A gap between the reward in training and the held-out one that opens; few prompts, or many passes over them.

    ## What speaks against it
    The policy collapsed or was carried off: then the training reward would not stand at the top. Training samples
    colder, hotter or from a nucleus: then its reward cannot be compared with the held-out one.

    ## What to change
    More prompts, or fewer passes over them; stop at the best held-out reward.
    """
    if not case.loud(*HELD_OUT) or in_environment(case.run):
        return None
    advice = "train on more prompts or for fewer passes, and keep the checkpoint with the best held-out reward"
    return Argument(tuple(_reasons(case)), None, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    if case.loud("GEN001"):
        yield supports(Weight.STRONG, "the reward rose in training and not on held-out prompts")
    if case.loud("GEN002"):
        yield supports(Weight.STRONG, "the held-out reward fell")
    for name in ("unique_prompts", "dataset_size"):
        prompts = case.setting(name)
        if prompts is not None and prompts < FEW:
            yield supports(Weight.STRONG, f"there are {prompts:g} prompts")
            break
    for name in ("temperature", "top_p"):
        if case.setting(name) not in (None, 1.0):
            yield against(
                Weight.STRONG, f"{case.is_set(name)}: rewards in training are of other samples than held-out ones"
            )
    if case.any("RWD005", "GRD002"):
        yield supports(Weight.HINT, "in training there is nothing left to learn")
    if case.loud("RWD002", "KL002"):
        yield against(Weight.STRONG, "the training reward fell too")
