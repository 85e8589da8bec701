"""The updates are so large that they carry the policy off."""

from collections.abc import Iterator

from diagnostics.finding import Direction
from diagnostics.progress import WARMUP
from diagnostics.reasoning import RISEN, Argument, Case, Reason, Weight, against, cause, supports
from diagnostics.remedies import FAR, slower

CARRIED_OFF = ("KL002", "KL005", "UPD001", "UPD002", "UPD003", "GRD001", "NUM001", "VAL001", "VAL003")
LOST = ("RWD002", "RWD003")
PER_BATCH = ("kl.rollout.k1.token", "kl.rollout.k2.token", "kl.rollout.k3.token", "kl.rollout.unknown.token")
WRECKED = 1.0  # nats per token within one batch of rollouts: the trust region is left by a factor of e
HIGH = "CFG009"  # the settings alone say so
THROWN = 10.0  # times the limit of a spike, itself three times the usual size: a loss that no reward explains


@cause(
    "The learning rate is too high",
    signs=(
        *CARRIED_OFF,
        *LOST,
        HIGH,
        "KL003",
        "ENT001",
        "ENT002",
        "RWD001",
        "RWD004",
        "RWD007",
        "RWD008",
        "RWD010",
        "VAL002",
        "LEN001",
        "LEN002",
        "LEN003",
        "LEN004",
        "DIV001",
        "GRD002",
        "GEN001",
        "GEN002",
        "UPD004",
    ),
    settled_by=("update_epochs", "kl_coef", "kl.reference.k3.token"),
)
def learning_rate_too_high(case: Case) -> Argument | None:
    """The updates are so large that they carry the policy off before the reward can guide it.

    ## What it is
    A step of the optimizer moves the policy further than its batch can vouch for. The KL to the reference rises within
    the first steps, groups come to agree on bad answers, the entropy and the reward fall, and the critic of PPO chases
    returns that the KL penalty has blown up.

    ## What speaks for it
    The KL to the reference is far (0.5 nats per token) within the first 10 points; one batch moves the policy by a nat
    per token or more; the loss is thirty times its usual size; the reward falls, or stands below its start, once the
    policy is far; the settings are out of the usual range.

    ## What speaks against it
    The policy is far and the reward rises with it. There is nothing that holds the policy at all (a KL coefficient of
    0), or the sampling differs from what is scored. Each batch is used for many update epochs.

    ## What to change
    An eighth of the learning rate, from the beginning or from a checkpoint before the onset.
    """
    early = case.early_kl()
    if not case.loud(*CARRIED_OFF) and not (early > FAR and case.loud(*LOST, "RWD001", "RWD004", "ENT001")):
        return None
    reasons = tuple(_reasons(case, early))
    metric, direction, amount = case.target(*CARRIED_OFF, *LOST, "RWD001", "RWD004", "ENT001")
    because = "smaller updates move the policy no further than the reward can guide it"
    return Argument(reasons, slower(metric, direction, amount, because))


def _reasons(case: Case, early: float) -> Iterator[Reason]:
    per_batch = max(case.highest_early(metric) for metric in PER_BATCH)
    if early > FAR:
        yield supports(
            Weight.STRONG, f"the KL to the reference was {early:.2g} nats per token within the first {WARMUP} points"
        )
    elif case.kl() is not None and case.loud("KL002", "KL005"):
        yield supports(Weight.HINT, "the KL to the reference rose far beyond what the reward shows for it")
    if per_batch > WRECKED:
        repeated = case.loud("UPD001", "UPD002") and case.setting("update_epochs") != 1  # its epochs did as well
        weight = Weight.HINT if repeated else Weight.STRONG
        yield supports(weight, f"the updates on one batch moved the policy by {per_batch:.2g} nats per token")
    if case.beyond(HIGH) is Direction.UP:
        yield supports(Weight.STRONG, f"{case.is_set('learning_rate')}, beyond what is usual")
    risen = case.raised_before("learning_rate", *CARRIED_OFF, *LOST)
    if risen is not None:
        yield supports(Weight.STRONG, f"{case.called('learning_rate')} was raised to {risen[1]:g} at step {risen[0]}")
    if case.came_first("KL002", "UPD001", "UPD002", "GRD001", "UPD003"):
        yield supports(Weight.HINT, "that the policy was carried off came before all that else went wrong")
    gain, _ = case.gain()
    if case.loud(*LOST) or (gain < 0 and early > FAR):
        yield supports(Weight.STRONG, "the reward fell below where it began" if gain < 0 else "the reward fell")
    elif gain > RISEN and not case.loud("RWD004"):
        yield against(Weight.STRONG, "the reward rose all the same")
    if case.times_the_limit("UPD003") > THROWN:
        yield supports(Weight.STRONG, f"the loss was {case.times_the_limit('UPD003'):.2g} times the limit of a spike")
    elif case.loud("GRD001", "UPD003"):
        yield supports(Weight.HINT, "the gradient norm or the loss jumped")
    if case.loud("VAL001", "VAL003") and early > FAR:
        yield supports(Weight.HINT, "the value loss followed the KL, which enters the returns")
    epochs = case.setting("update_epochs")
    if epochs is not None and epochs >= 4:
        many = Weight.STRONG if epochs >= 8 else Weight.HINT
        yield against(many, f"{case.is_set('update_epochs')}: each batch is used as many times")
    if case.setting("kl_coef") == 0:
        yield against(Weight.STRONG, f"{case.is_set('kl_coef')}: nothing holds the policy at the reference")
    negative, carried_off = case.onset("KL001"), case.onset(*CARRIED_OFF)
    if negative is not None and carried_off is not None:
        weight = Weight.STRONG if negative < carried_off else Weight.HINT
        yield against(weight, "a KL below zero comes from what is sampled, not from the size of updates")
