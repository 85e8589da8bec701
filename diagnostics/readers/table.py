"""What a log holds, as it was written: numbers by name, each with the row that it stood in.

Every reader fills a `Table`; which column is the step and what the names mean is settled afterwards, the same way for
all formats (`diagnostics.assembly`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Numbers = NDArray[np.float64]

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "infinity": math.inf, "-inf": -math.inf, "-infinity": -math.inf}


class Points:
    """Rows (n,), not decreasing, and the numbers (n,) that stood in them; grows at its end in arrays that double."""

    __slots__ = ("_n", "_numbers", "_rows")

    def __init__(self) -> None:
        self._rows, self._numbers, self._n = np.empty(16, np.int64), np.empty(16), 0

    def __len__(self) -> int:
        return self._n

    def put(self, row: int, number: float) -> None:
        """Add one number."""
        if self._n == len(self._rows):
            self._grow(self._n + 1)
        self._rows[self._n], self._numbers[self._n] = row, number
        self._n += 1

    def extend(self, rows: Rows, numbers: Numbers) -> None:
        """Add numbers (m,) and their rows (m,)."""
        end = self._n + len(rows)
        if end > len(self._rows):
            self._grow(end)
        self._rows[self._n : end], self._numbers[self._n : end] = rows, numbers
        self._n = end

    def since(self, n: int) -> tuple[Rows, Numbers]:
        """The points from the n-th on, as views."""
        return self._rows[n : self._n], self._numbers[n : self._n]

    def _grow(self, least: int) -> None:
        size = max(least, 2 * self._n)
        rows, numbers = np.empty(size, np.int64), np.empty(size)
        rows[: self._n], numbers[: self._n] = self._rows[: self._n], self._numbers[: self._n]
        self._rows, self._numbers = rows, numbers


class Table:
    """A log so far.

    `columns` are the numbers under the names they were logged with (nested names joined by "."), and `rows` how many
    rows there are. `steps` (rows,) is the step of each row where the format itself gives every number its step, as
    TensorBoard does; else the step is one of the columns, those of `step_names` first, where the format says which.
    `settings` are the run's own, nested as they were. `framework` is the vocabulary that the format tells, "" where
    it tells none, and `packages` the versions that the log gives of Python packages, such as trl. `texts` are columns
    that hold no number at all, and what was there first. `lost` counts what could not be read, by what it was, in words
    that stand behind a number ("lines that are no JSON"). `meant` are the canonical metrics of columns that the format
    itself says the meaning of.
    """

    def __init__(self) -> None:
        self.columns: dict[str, Points] = {}
        self.rows = 0
        self.steps: Points | None = None
        self.step_names: tuple[str, ...] = ()
        self.settings: dict[str, Any] = {}
        self.framework = ""
        self.packages: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.lost: Counter[str] = Counter()
        self.notes: list[str] = []
        self.meant: dict[str, str] = {}
        self.ended = False

    def add(self, values: Mapping[str, Any]) -> bool:
        """Add a row of values as they were logged; texts that spell a number are numbers. Whether any was one."""
        numbers = dict(flat(values))
        found = False
        for name, value in numbers.items():
            spelt = number(value)
            if spelt is not None:
                self.column(name).put(self.rows, spelt)
                found = True
            elif isinstance(value, str) and name not in self.columns:
                self.texts.setdefault(name, value)
        self.rows += found
        return found

    def column(self, name: str) -> Points:
        """The column called `name`, made where it is not there yet."""
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = Points()
            self.texts.pop(name, None)
        return column


def number(value: Any) -> float | None:
    """`value` as a number: of any kind, or spelt in a text; None for flags, blanks, other texts and all else."""
    if isinstance(value, float):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:  # more than 308 digits
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str):
        text = value.strip()
        if text[-1:].isdigit() or text[-1:] == ".":  # float() also takes "1_000" and digits of other scripts
            try:
                return float(text) if text.isascii() and "_" not in text else None
            except ValueError:
                return None
        return _NOT_FINITE.get(text.lower().removeprefix("+"))
    return None


def flat(values: Mapping[str, Any], *, depth: int = 8) -> Iterable[tuple[str, Any]]:
    """The entries of nested objects, their names joined by "."; what lies deeper than `depth` is left out.

    So are lists of objects or lists, which may be nested deeper than Python can follow.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            if depth > 1:
                for rest, inner in flat(value, depth=depth - 1):
                    yield f"{name}.{rest}", inner
        elif not isinstance(value, list) or not any(isinstance(inner, list | dict) for inner in value):
            yield str(name), value
