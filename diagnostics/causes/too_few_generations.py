"""Groups are too small to hold both a good and a bad answer."""

from collections.abc import Iterator

from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import AGREED, COLD, FAR, GROUP, larger_groups

DISTINCT = 2 / 3  # of the completions of a step: groups of 8 then have more than five answers


@cause(
    "Too few generations for each prompt",
    signs=("RWD001", "RWD004", "RWD007", "GRD002", "CFG006"),
    settled_by=("num_generations", "unique_share"),
)
def too_few_generations(case: Case) -> Argument | None:
    """Groups are so small that mostly all completions of one get the same reward.

    ## What it is
    A group of 8 holds both outcomes with probability 0.94 where the answer is right three times in ten, a group of two
    with 0.42. Rare successes and small groups leave most groups without an advantage.

    ## What speaks for it
    A group of less than 8, and groups that agree from the first steps on; completions that differ and are rewarded
    alike.

    ## What speaks against it
    Completions that are all the same: then the sampling is cold, or the policy has collapsed. The groups agree since
    the task is learned.

    ## What to change
    Groups of 8, or twice as many where there are 8 already.
    """
    if not case.loud("RWD001"):
        return None
    metric, direction, amount = case.target("RWD001")
    return Argument(tuple(_reasons(case)), larger_groups(case.informed, metric, direction, amount))


def _reasons(case: Case) -> Iterator[Reason]:
    size = case.setting("num_generations")
    if size is not None and size < GROUP:
        yield supports(Weight.STRONG, case.is_set("num_generations"))
    elif size is not None and size >= 2 * GROUP:
        yield against(Weight.STRONG, case.is_set("num_generations"))
    distinct, agreed = case.start("unique_share"), case.start("zero_std_share")
    if distinct >= DISTINCT and agreed >= AGREED:
        yield supports(
            Weight.STRONG,
            f"{distinct:.0%} of the first completions were distinct, yet {agreed:.0%} of the groups agreed",
        )
    elif distinct < DISTINCT:
        yield against(Weight.HINT, f"only {distinct:.0%} of the first completions were distinct")
    elif agreed >= AGREED and size is not None and size < GROUP:
        yield supports(Weight.HINT, f"{agreed:.0%} of the first groups agreed, before anything was learned")
    if agreed < AGREED / 2:
        yield against(Weight.STRONG, f"only {agreed:.0%} of the first groups agreed: it came with training")
    temperature = case.setting("temperature")
    if temperature is not None and temperature < COLD:
        yield against(Weight.STRONG, case.is_set("temperature"))
    if case.early_kl() > FAR:
        yield against(Weight.STRONG, "the policy was far from the reference within the first steps")
    if case.any("RWD005"):
        yield against(Weight.STRONG, "the groups agree on the highest reward")
