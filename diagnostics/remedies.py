"""Prescriptions that several rules give, so that one pathology gets one answer whichever rule saw it first."""

from __future__ import annotations

from sys import float_info

import numpy as np

from diagnostics.finding import Change, Direction, Hypothesis, Prescription, Safety, Scale, Set
from diagnostics.progress import KL_TOKEN, UNTOUCHED, WARMUP, joined, progress, recent_median
from diagnostics.series import RunHistory
from diagnostics.stats import median
from diagnostics.vocabulary import vocabulary

# What chooses between remedies. Each is a limit of one rule at least, whose page names its source; the rest are house
# defaults: tests/diagnostics/test_remedies.py has a run on both sides of each.

# A group of 8 has both outcomes with probability 0.94 at a success rate of 0.3; one of 2 with 0.42.
GROUP = 8
COLD = 0.7  # sampling below this temperature makes a group repeat its most likely answer: house default
HOT = 1.3  # sampling above it makes most tokens noise: house default
STRONG = 0.5  # a KL coefficient that outweighs a reward of unit size: house default
USUAL = 0.04  # a usual KL coefficient for a reward of unit size: DeepSeekMath (arXiv 2402.03300)
FAR = 0.5  # nats per token above which a policy is far from the reference: axolotl's GRPO guide
MOVED = 0.1  # nats per token above which it is away from it: ten times what a policy that hardly moves was measured at
LOST = 4.0  # times its noise that a reward lies below its start when it is lost: kl_explosion has the measurements
AGREED = 0.5  # share of groups without variance above which most teach nothing: the middle one of rl-doctor's limits
THROWN = 4.0  # times the mean square of the returns, which is the loss of a critic that knows nothing: house default
OVERSHOOTING = 100.0  # times the policy's learning rate above which the critic's is too high: house default
CLIPPED = 1.0  # gradient norm at which clipping is usual: the default of transformers' TrainingArguments

# What is to be done where a task is learned, or was too easy.
HARDER = "Stop here, or go on with harder prompts or a harder task: there is nothing left to learn from these."


def setting(run: RunHistory, name: str) -> float | None:
    """A setting as a number, None where it is not known, no number, or none that float64 holds."""
    value = run.settings.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) <= float_info.max else None


def offers(run: RunHistory, knob: str) -> bool:
    """Whether the framework of `run` has `knob` at all; where it is not known, it may have."""
    try:
        return setting(run, knob) is not None or any(
            known.means == knob for known in vocabulary(run.framework).settings
        )
    except KeyError:
        return True


def strong(run: RunHistory) -> bool:
    """Whether the KL penalty is strong enough to hold the policy where it is."""
    return (setting(run, "kl_coef") or 0) >= STRONG


def cold(run: RunHistory) -> bool:
    """Whether completions are sampled colder than the distribution that is trained."""
    return (setting(run, "temperature") or 1) < COLD


def hot(run: RunHistory) -> bool:
    """Whether completions are sampled so hot that they are mostly noise."""
    return (setting(run, "temperature") or 1) > HOT


def more_contrast(run: RunHistory, metric: str, direction: Direction, amount: float, step: int) -> Prescription:
    """For groups without differences at `step`: slower where the policy collapsed, else warmer, else larger groups."""
    reward, standing = progress(run)
    lost = joined(reward, standing.loss, np.array([step]))[0]
    if recent_median(run, KL_TOKEN, step) > FAR or lost > LOST:
        because = "updates that were too large have collapsed the policy onto a few answers"
        return slower(metric, direction, amount, because)
    if cold(run):
        return warmer(metric, direction, amount)
    return larger_groups(run, metric, direction, amount)


def slower(metric: str, direction: Direction, amount: float, because: str) -> Prescription:
    """An eighth of the learning rate: three halvings, the largest cut that still learns within the same budget."""
    return to_try("learning_rate", Scale(1 / 8), metric, direction, amount, because)


def faster(metric: str, amount: float, because: str) -> Prescription:
    """Ten times the learning rate."""
    return to_try("learning_rate", Scale(10), metric, Direction.UP, amount, because)


def looser(metric: str, amount: float) -> Prescription:
    """The usual KL penalty, where it is so strong that steps towards it would each cost a run."""
    because = "the KL penalty outweighs the reward, so the policy stays at the reference"
    return to_try("kl_coef", Set(USUAL), metric, Direction.UP, amount, because)


def tighter(run: RunHistory, metric: str, amount: float, direction: Direction = Direction.DOWN) -> Prescription:
    """Four times the KL penalty, or the usual one where there is none."""
    penalised = setting(run, "kl_coef") or run.get("kl_coef").values[:1].any()  # one or the other may be all we know
    change = Scale(4) if penalised else Set(USUAL)
    because = "a stronger pull to the reference keeps the policy where its samples still make sense"
    return to_try("kl_coef", change, metric, direction, amount, because)


def fewer_epochs(run: RunHistory, metric: str, amount: float) -> Prescription | None:
    """A quarter of the passes over each batch, None where there is one already or the number is not known.

    What one pass too few costs is little (GRPO is usually run with one), and every pass too many is paid for in time.
    """
    if (setting(run, "update_epochs") or 1) < 2:
        return None
    because = "fewer passes over one batch keep the policy near the one that sampled it"
    return to_try("update_epochs", Scale(0.25), metric, Direction.DOWN, amount, because)


def smaller_updates(run: RunHistory, metric: str, amount: float, step: int) -> tuple[Prescription, ...]:
    """For updates that now and then are far too large: fewer passes or half the learning rate, and clipped gradients.

    `amount` is how large the metric was at `step`.
    """
    because = "smaller updates stay within the trust region"
    first = fewer_epochs(run, metric, amount / 2) or to_try(
        "learning_rate", Scale(0.5), metric, Direction.DOWN, amount / 2, because
    )
    norm = setting(run, "max_grad_norm")
    if norm is not None and 0 < norm <= CLIPPED:
        return (first,)
    because = "with the gradient's norm bounded, one batch cannot undo what many have learned"
    return (first, to_try("max_grad_norm", Set(CLIPPED), metric, Direction.DOWN, amount / 2, because))


def calmer_critic(run: RunHistory, metric: str, amount: float, step: int) -> tuple[Prescription, ...]:
    """For a critic that meets returns it does not expect, or overshoots them: `amount` is its loss at `step`."""
    if recent_median(run, KL_TOKEN, step) > FAR:
        because = "a policy that stays near the reference is not charged a KL penalty that makes the returns jump"
        return (slower(metric, Direction.DOWN, amount / 2, because),)
    because = "smaller steps of the critic follow the returns without overshooting them"
    knob, change = (
        ("value_learning_rate", Scale(0.1)) if setting(run, "value_learning_rate") else ("vf_coef", Scale(0.5))
    )
    return (to_try(knob, change, metric, Direction.DOWN, amount / 2, because),)


def truer_critic(run: RunHistory, metric: str, amount: float, step: int) -> Prescription:
    """For a critic that predicts worse than a constant at `step`: calmer where it overshoots the returns, else faster.

    A critic that shares the policy's learning rate gets one of its own, ten times as high, where there can be one.
    """
    policy, critic = setting(run, "learning_rate"), setting(run, "value_learning_rate")
    if _thrown(run.upto(step)):
        because = "smaller steps of the critic stop it from overshooting the returns"
        own = critic is not None or (setting(run, "vf_coef") is None and offers(run, "value_learning_rate"))
        knob = "value_learning_rate" if own else "vf_coef"
        return to_try(knob, Scale(0.1), metric, Direction.UP, amount, because)
    because = "a value head is new where the policy is not, and has to learn faster to follow the returns"
    if critic is None and not (policy and offers(run, "value_learning_rate")):
        return to_try("vf_coef", Scale(2), metric, Direction.UP, amount, because)
    if critic is None or policy is None or critic <= OVERSHOOTING * policy:
        change = Scale(10) if critic else Set(10 * (policy or 0))
        return to_try("value_learning_rate", change, metric, Direction.UP, amount, because)
    because = "smaller steps of the critic stop it from overshooting the returns"
    return to_try("value_learning_rate", Scale(0.1), metric, Direction.UP, amount, because)


def _thrown(run: RunHistory) -> bool:
    """Whether the first updates of the critic have thrown it beyond the returns."""
    first = run.get("value_loss").values[:WARMUP]
    variance, mean = (median(run.get(name).values[:UNTOUCHED]) for name in ("return_var", "return_mean"))
    return bool(np.max(first[np.isfinite(first)], initial=0.0) > THROWN * (variance + mean**2) > 0)


def warmer(metric: str, direction: Direction, amount: float) -> Prescription:
    """Sampling at temperature 1, from the distribution that is trained."""
    because = "cold sampling gives the same answer again and again, so no answer is better than another"
    return to_try("temperature", Set(1.0), metric, direction, amount, because)


def cooler(metric: str, amount: float) -> Prescription:
    """Sampling at temperature 1, where it was hotter."""
    because = "hot sampling turns answers into noise, so good ones are too rare to learn from"
    return to_try("temperature", Set(1.0), metric, Direction.UP, amount, because)


def larger_groups(run: RunHistory, metric: str, direction: Direction, amount: float) -> Prescription:
    """Groups of 8, or twice as many where there are 8 already."""
    now = setting(run, "num_generations")
    change = Set(GROUP) if now is not None and now < GROUP else Scale(2)
    because = "a larger group more often holds both a good and a bad answer"
    return to_try("num_generations", change, metric, direction, amount, because)


def to_try(knob: str, change: Change, metric: str, direction: Direction, amount: float, because: str) -> Prescription:
    """`change` of `knob`, after which `metric` is to go by `amount` within half of a run."""
    return Prescription(knob, change, Hypothesis(metric, direction, amount, 0.5, because), Safety.UNSAFE)
