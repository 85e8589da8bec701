"""A space around the settings of a run: it reaches where its findings point, and beyond to both sides. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diagnostics.finding import Change, Scale
from diagnostics.metrics import Kind, settings
from studies.space import Choices, Range, Space
from studies.trial import Knob

# Knobs of which ratios matter, and how many changes by a factor there is room for in a row: a learning rate may be off
# by decades, and a KL penalty as many times as strong would leave nothing else.
RATIOS = {"learning_rate": 3, "value_learning_rate": 3, "kl_coef": 1, "vf_coef": 1, "clip_range": 1, "max_grad_norm": 1}
BEYOND = 10.0  # the factor by which a space of ratios goes on, beyond what is reached so and to the other side


def around(knob: str, value: Knob, changes: Sequence[Change], batch: int | None = None) -> Space:
    """The space of `knob`, which was `value` in the run, for `changes` of it.

    A number of generations divides `batch`, the completions of a rollout, where that is known.
    """
    setting = settings()[knob]
    if isinstance(value, str):
        return Choices(setting.choices or (value,))
    targets = [change.apply(value) for change in changes]
    low, high = min(value, *targets), max(value, *targets)
    if knob == "num_generations":
        return _groups(int(value), [round(low), round(high)], batch)
    if knob in RATIOS and low > 0:
        factors = [change.factor ** RATIOS[knob] for change in changes if isinstance(change, Scale)]
        reached = [low, high, *(value * factor for factor in factors)]
        return Range(_below(min(reached) / BEYOND), _above(max(reached) * BEYOND), log=True)
    if knob in RATIOS and high > 0:  # there are no ratios of 0, which has to stay in reach
        beside = (high / BEYOND, high / math.sqrt(BEYOND), high * math.sqrt(BEYOND), high * BEYOND)
        return Choices(tuple(sorted({0.0, high, *(float(f"{v:.2g}") for v in beside)})))
    least, most = setting.range
    if setting.kind is Kind.INTEGER:
        return Range(max(least, low // 2), min(most, 2 * max(high, low + 1)), integer=True)
    below, above = low / 2 if low > 0 else 1.5 * low, 1.5 * high if high > 0 else high / 2
    return Range(max(least, float(f"{below:.2g}")), min(most, float(f"{above:.2g}")))


def _groups(value: int, targets: Sequence[int], batch: int | None) -> Choices:
    """Sizes of groups from half the smallest to twice the largest; a group of one only where there was one."""
    low, high = min(value, *targets), max(value, *targets)
    doubled = [low * 2**n for n in range(int(math.log2(high / low)) + 1)]
    sizes = {low // 2, *doubled, *targets, 2 * high}
    fit = {size for size in sizes if size >= min(2, value) and not (batch and batch % size)}
    return Choices(tuple(sorted({value, *fit})))


def _below(value: float) -> float:
    """`value` rounded down to one digit."""
    return _to_one_digit(value, math.floor(value / 10 ** _exponent(value)))


def _above(value: float) -> float:
    """`value` rounded up to one digit."""
    return _to_one_digit(value, math.ceil(value / 10 ** _exponent(value)))


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))


def _to_one_digit(value: float, digit: int) -> float:
    return float(f"{digit}e{_exponent(value)}")
