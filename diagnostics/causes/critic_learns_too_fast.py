"""The critic overshoots its returns."""

from collections.abc import Iterator

from diagnostics.finding import Scale
from diagnostics.reasoning import Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import FAR, THROWN, offers, to_try

VALUE = ("VAL001", "VAL002", "VAL003")
FASTER = 100.0  # times the policy's learning rate


@cause(
    "The critic learns too fast",
    signs=VALUE,
    leads_to=("GRD001", "LEN002"),
    settled_by=("value_learning_rate", "vf_coef", "return_var"),
)
def critic_learns_too_fast(case: Case) -> Argument | None:
    """The updates of the critic are so large that its values overshoot the returns.

    ## What it is
    A critic that knows nothing has the mean square of the returns for its loss. One whose loss is many times that has
    been thrown beyond them by its own updates: its learning rate, or the weight of its loss, is too high. The
    advantages are then noise of the critic.

    ## What speaks for it
    A value loss of several times the mean square of the returns, while the policy itself stays where it was; a learning
    rate of the critic a hundred times the policy's.

    ## What speaks against it
    The KL to the reference exploded before: then the returns are what broke, by the penalty in them.

    ## What to change
    A tenth of the critic's learning rate, or of the weight of its loss where it has none of its own.
    """
    if not case.loud(*VALUE):
        return None
    metric, direction, amount = case.target(*VALUE)
    own = case.setting("value_learning_rate") is not None or (
        case.setting("vf_coef") is None and offers(case.run, "value_learning_rate")
    )
    because = "smaller updates let the critic settle at the returns"
    knob = "value_learning_rate" if own else "vf_coef"
    return Argument(tuple(_reasons(case)), to_try(knob, Scale(0.1), metric, direction, amount, because))


def _reasons(case: Case) -> Iterator[Reason]:
    loss, usual = case.highest_early("value_loss"), case.mean_square_return()
    if loss > THROWN * usual > 0:
        yield supports(
            Weight.STRONG, f"the value loss reached {loss:.3g}; one that knows nothing of these returns has {usual:.2g}"
        )
    critic, policy = case.setting("value_learning_rate"), case.setting("learning_rate")
    if critic is not None and policy and critic > FASTER * policy:
        yield supports(Weight.STRONG, f"{case.is_set('value_learning_rate')}, {case.is_set('learning_rate')}")
    if case.early_kl() > FAR or case.loud("KL002"):
        yield against(Weight.STRONG, "the policy went far from the reference, and the returns with it")
    elif case.loud("VAL001", "VAL003") and not case.loud("UPD001", "UPD002", "NUM001", "RWD002"):
        yield supports(Weight.STRONG, "the policy itself stays on course: only the critic is off")
