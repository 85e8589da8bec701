"""Rows of logs that say neither which framework wrote them nor which version: a step, and numbers under some names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.events import MOST_STEPS

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
