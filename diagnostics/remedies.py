"""Prescriptions that several rules give, so that one pathology gets one answer whichever rule saw it first."""

from __future__ import annotations

from diagnostics.finding import Change, Direction, Hypothesis, Prescription, Safety, Scale, Set
from diagnostics.series import RunHistory

# A group of 8 has both outcomes with probability 0.94 at a success rate of 0.3; one of 2 with 0.42.
GROUP = 8
COLD = 0.7  # sampling below this temperature makes a group repeat its most likely answer
HOT = 1.3  # sampling above it makes most tokens noise


def setting(run: RunHistory, name: str) -> float | None:
    """A setting as a number, None where it is not known or no number."""
    value = run.settings.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def slower(metric: str, direction: Direction, amount: float, because: str) -> Prescription:
    """An eighth of the learning rate: three halvings, the largest cut that still learns within the same budget."""
    return _to_try("learning_rate", Scale(1 / 8), metric, direction, amount, because)


def faster(metric: str, amount: float, because: str) -> Prescription:
    """Ten times the learning rate."""
    return _to_try("learning_rate", Scale(10), metric, Direction.UP, amount, because)


def looser(metric: str, amount: float) -> Prescription:
    """A tenth of the KL penalty."""
    because = "the KL penalty outweighs the reward, so the policy stays at the reference"
    return _to_try("kl_coef", Scale(0.1), metric, Direction.UP, amount, because)


def tighter(run: RunHistory, metric: str, amount: float) -> Prescription:
    """Four times the KL penalty, or the usual one where there is none."""
    change = Scale(4) if setting(run, "kl_coef") else Set(0.04)
    because = "a stronger pull to the reference keeps the policy where its samples still make sense"
    return _to_try("kl_coef", change, metric, Direction.DOWN, amount, because)


def fewer_epochs(run: RunHistory, metric: str, amount: float) -> Prescription | None:
    """Half the passes over each batch, None where there is one already or the number is not known."""
    if (setting(run, "update_epochs") or 1) < 2:
        return None
    because = "fewer passes over one batch keep the policy near the one that sampled it"
    return _to_try("update_epochs", Scale(0.5), metric, Direction.DOWN, amount, because)


def warmer(metric: str, direction: Direction, amount: float) -> Prescription:
    """Sampling at temperature 1, from the distribution that is trained."""
    because = "cold sampling gives the same answer again and again, so no answer is better than another"
    return _to_try("temperature", Set(1.0), metric, direction, amount, because)


def cooler(metric: str, amount: float) -> Prescription:
    """Sampling at temperature 1, where it was hotter."""
    because = "hot sampling turns answers into noise, so good ones are too rare to learn from"
    return _to_try("temperature", Set(1.0), metric, Direction.UP, amount, because)


def larger_groups(run: RunHistory, metric: str, direction: Direction, amount: float) -> Prescription:
    """Groups of 8, or twice as many where there are 8 already."""
    now = setting(run, "num_generations")
    change = Set(GROUP) if now is not None and now < GROUP else Scale(2)
    because = "a larger group more often holds both a good and a bad answer"
    return _to_try("num_generations", change, metric, direction, amount, because)


def _to_try(knob: str, change: Change, metric: str, direction: Direction, amount: float, because: str) -> Prescription:
    return Prescription(knob, change, Hypothesis(metric, direction, amount, 0.5, because), Safety.UNSAFE)
