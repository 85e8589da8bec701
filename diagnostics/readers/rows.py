"""Rows of logs that say neither which framework wrote them nor which version: a step, and numbers under some names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.events import MOST_STEPS
from diagnostics.metrics import is_metric
from diagnostics.vocabulary import Vocabulary, recognised

STEP_KEYS = ("step", "global_step", "train/global_step", "trainer/global_step", "_step")
_NON_FINITE = {"NaN", "Infinity", "-Infinity"}


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers that were logged at one step, under the names they were logged with."""

    step: int
    values: Mapping[str, float]


def row(data: Mapping[str, Any], *, null: float | None = None) -> Row | None:
    """The row in an object of JSON, None where it has no step or no number; texts, flags and lists are no numbers.

    `null` is what a null stands for, None where it stands for nothing.
    """
    step = next((_step(data[key]) for key in STEP_KEYS if key in data), None)
    if step is None:
        return None
    values = {}
    for name, value in data.items():
        number = null if value is None else _number(value)
        if number is not None and name not in STEP_KEYS:
            values[name] = number
    return Row(step, values) if values else None


def _step(value: Any) -> int | None:
    """`value` as a step: a whole number from 0 on, however it is written."""
    number = _number(value)
    if number is None or not 0 <= number < MOST_STEPS or number != int(number):
        return None
    return int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and value not in _NON_FINITE:
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None


class Names:
    """Canonical names for those of one log, exactly as its framework means them.

    The framework is recognised by names that no other has, or is `framework` where the format tells it; versions that
    cannot have logged what was seen are left out. A name that is canonical by itself means itself. What a name means
    is settled when it is first seen.
    """

    def __init__(self, framework: Vocabulary | None = None) -> None:
        self.framework = framework
        self._meant: dict[str, str | None] = {}

    def canonical(self, values: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """The numbers under canonical names, and those of `values` that have none."""
        if not values.keys() <= self._meant.keys():
            self._learn(values.keys() | self._meant.keys())
        mapped, unmapped = {}, {}
        for name, value in values.items():
            metric = self._meant[name]
            if metric is not None:
                mapped[metric] = value
            elif self.framework is None or name not in self.framework.understood:
                unmapped[name] = value
        return mapped, unmapped

    def _learn(self, names: set[str]) -> None:
        framework = recognised(names)
        if framework is not None and framework is not self.framework:
            self.framework = framework
            self._meant.clear()  # names that meant nothing so far do now
        for name in names - self._meant.keys():
            self._meant[name] = self._meaning(name, names)

    def _meaning(self, name: str, names: set[str]) -> str | None:
        if self.framework is not None:
            metric = self.framework.metric_between(name, *self.framework.versions(names))
            if metric is not None:
                return metric
        return name if is_metric(name) else None
