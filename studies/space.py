"""What a study may change: one space per knob, and the values inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.errors import UserError
from studies.trial import Knob


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`, both included; `log` says that ratios matter rather than differences."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not math.isfinite(value) or (self.integer and not float(value).is_integer()):
            return False
        return self.low <= value <= self.high

    def nearest(self, value: float) -> Knob:
        """The value of the space that is nearest to `value`."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else inside

    def middle(self, low: float, high: float) -> Knob:
        """Halfway between two values: the geometric mean where ratios matter."""
        return self.nearest(math.sqrt(low * high) if self.log and low > 0 else (low + high) / 2)

    def distance(self, one: float, other: float) -> float:
        """How far apart two values are, as a share of the whole space."""
        if self.log:
            return abs(math.log(other / one)) / math.log(self.high / self.low)
        return abs(other - one) / (self.high - self.low)

    def __str__(self) -> str:
        kind = " (log)" if self.log else " (whole numbers)" if self.integer else ""
        return f"{self.low:g} to {self.high:g}{kind}"


@dataclass(frozen=True, slots=True)
class Choices:
    """One of `values`; numbers are in ascending order, so that a change knows its neighbours."""

    values: tuple[Knob, ...]

    @property
    def ordered(self) -> bool:
        """Whether all of them are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def nearest(self, value: float) -> Knob:
        """The choice that is nearest to `value`: in ratio, or in difference where one of them is not above 0.

        ValueError where the choices are no numbers.
        """
        if not self.ordered:
            raise ValueError(f"{self} has no order")
        numbers = [v for v in self.values if isinstance(v, int | float)]
        if numbers[0] > 0:
            return min(numbers, key=lambda v: abs(math.log(v / max(value, 1e-300))))
        return min(numbers, key=lambda v: abs(v - value))

    def middle(self, low: float, high: float) -> Knob:
        """The choice nearest to the middle of two of them: the geometric mean where ratios matter."""
        return self.nearest(math.sqrt(low * high) if low > 0 else (low + high) / 2)

    def distance(self, one: Knob, other: Knob) -> float:
        """How far apart two choices stand in the list, as a share of it; another number counts as the nearest."""
        places = [self.values.index(v if v in self.values else self.nearest(float(v))) for v in (one, other)]
        return abs(places[0] - places[1]) / max(1, len(self.values) - 1)

    def __str__(self) -> str:
        return "one of " + ", ".join(str(v) for v in self.values)


Space = Range | Choices
_SPACES = "Write for example learning_rate=1e-6..1e-3:log, update_epochs=1..4:int or num_generations=4,8,16."


def parse_space(knob: str, table: Mapping[str, Any], where: str) -> Space:
    """A space from its TOML table: `{low, high, log, integer}` or `{choices}`. UserError names `where` and the key."""
    if not isinstance(table, Mapping) or not (
        set(table) <= {"choices"} or set(table) <= {"low", "high", "log", "integer"}
    ):
        raise UserError(f"{where}: space.{knob} is {table!r}", "Give {low, high, log, integer}, or {choices}.")
    if "choices" in table:
        values = table["choices"]
        if not isinstance(values, list) or not values or not all(isinstance(v, int | float | str) for v in values):
            raise UserError(f"{where}: space.{knob}.choices is {values!r}", "Give a list of at least one value.")
        numbers = all(isinstance(v, int | float) for v in values)
        return Choices(tuple(sorted(values)) if numbers else tuple(values))
    for end in ("low", "high"):
        value = table.get(end)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise UserError(f"{where}: space.{knob}.{end} is {value!r}", "Give a number for low and for high.")
    space = Range(table["low"], table["high"], bool(table.get("log", False)), bool(table.get("integer", False)))
    if not space.low < space.high or (space.log and space.low <= 0):
        raise UserError(f"{where}: space.{knob} is empty: {space}", "Give low < high; a log space begins above 0.")
    return space


def space_from_text(text: str, where: str) -> tuple[str, Space]:
    """`knob=low..high`, with `:log` or `:int` or both after it, or `knob=a,b,c`, as typed by a person.

    UserError where it is neither, or an empty space.
    """
    knob, equals, written = text.partition("=")
    if not equals or not knob or not written:
        raise UserError(f"{where}: {text!r} is no space", _SPACES)
    low, dots, rest = written.partition("..")
    if not dots:
        return knob, parse_space(knob, {"choices": [typed(part) for part in written.split(",")]}, where)
    high, *marks = rest.split(":")
    if set(marks) - {"log", "int"} or len(set(marks)) != len(marks):
        raise UserError(f"{where}: {text!r} is no space", _SPACES)
    integer = "int" in marks
    ends = {"low": typed(low), "high": typed(high)}
    if integer and not all(isinstance(end, int) for end in ends.values()):
        raise UserError(f"{where}: {text!r} does not begin and end with whole numbers", "Write for example 1..4:int.")
    return knob, parse_space(knob, {**ends, "log": "log" in marks, "integer": integer}, where)


def middle(space: Space) -> Knob:
    """Where a search may begin that knows nothing: the geometric middle where ratios matter, of choices the middle one.

    A range from above 0 over more than a factor of 10 counts as one where ratios matter.
    """
    if isinstance(space, Choices):
        return space.values[(len(space.values) - 1) // 2]
    ratios = space.log or (space.low > 0 and space.high / space.low > 10)
    return space.nearest(math.sqrt(space.low * space.high) if ratios else (space.low + space.high) / 2)


def write_space(space: Space) -> dict[str, Any]:
    """The inverse of `parse_space`."""
    if isinstance(space, Choices):
        return {"choices": list(space.values)}
    return {"low": space.low, "high": space.high, "log": space.log, "integer": space.integer}


def parse_knob(text: str, space: Mapping[str, Space], where: str) -> tuple[str, Knob]:
    """`knob=value` as typed by a person. UserError where the knob, the number or the value is not of the space."""
    knob, equals, written = text.partition("=")
    if not equals:
        raise UserError(f"{where}: {text!r} is not knob=value", "Write for example learning_rate=1e-4.")
    return knob, check_knob(knob, typed(written), space, where)


def check_knob(knob: str, value: Knob, space: Mapping[str, Space], where: str) -> Knob:
    """`value` as it lies in the space of `knob`; UserError where it does not."""
    if knob not in space:
        from difflib import get_close_matches

        near = get_close_matches(knob, space, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise UserError(f"{where}: unknown knob {knob!r}", f"{meant}This study has {', '.join(space)}.")
    if value not in space[knob]:
        raise UserError(f"{where}: {knob}={value} is outside its space", f"It takes {space[knob]}.")
    place = space[knob]
    return int(value) if isinstance(place, Range) and place.integer else value


def typed(text: str) -> Knob:
    """A value as a person types it: a whole number, a number, or else a text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
