"""The critic begins without any knowledge of the returns."""

from collections.abc import Iterator

from diagnostics.reasoning import RISEN, Argument, Case, Reason, Weight, against, cause, supports

THROWN = 4.0  # times the mean square of the returns: more is no lack of knowledge


@cause(
    "The critic is no better than a constant",
    signs=("VAL002", "VAL001"),
    settled_by=("value_learning_rate", "value_loss"),
)
def critic_not_warmed_up(case: Case) -> Argument | None:
    """The critic explains nothing of the returns.

    ## What it is
    An explained variance of 0 or less means that advantages taken from the critic are noisier than without it. A head
    that begins at random needs many batches before it helps; one with too small a learning rate never gets there.

    ## What speaks for it
    The explained variance is below zero while the value loss is of the size of the returns and nothing spikes.

    ## What speaks against it
    The reward rises all the same; the value loss is many times the returns, or the KL exploded.

    ## What to change
    Train the critic alone for some batches before the policy moves, or start it from the reward model.
    """
    if not case.loud("VAL002"):
        return None
    advice = "let the critic learn alone for some batches before the policy moves, or start it from the reward model"
    return Argument(tuple(_reasons(case)), None, advice)


def _reasons(case: Case) -> Iterator[Reason]:
    yield supports(Weight.STRONG, "the explained variance is not above zero: the critic is no better than a constant")
    if case.gain()[0] > RISEN:
        yield against(Weight.STRONG, "the reward rises all the same")
    if case.highest_early("value_loss") > THROWN * case.mean_square_return() > 0:
        yield against(Weight.STRONG, "the value loss is many times what a critic that knows nothing has")
    if case.loud("VAL001", "VAL003", "KL002"):
        yield against(Weight.HINT, "it is not only that the critic knows nothing")
