"""Many rows at once into a table: objects with the same names become columns without a step of Python per number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from diagnostics.readers.table import Numbers, Rows, Table, number

DEPTH = 8  # of nested objects, as in diagnostics.readers.table.flat
MOST_NAMES = 10_000  # of a log; one with more has texts or numbers in the place of names
MANY = 32  # rows with the same names that are worth an array of their own
SETTINGS = ("config", "settings", "args", "hparams", "hyperparameters")  # names under which a log keeps its settings
NO_NUMBER = "rows without a number"
TOO_MANY = f"numbers under names beyond the first {MOST_NAMES:,}"


def add_rows(table: Table, rows: Sequence[Mapping[str, Any]], *, null: float | None = None) -> None:
    """Add `rows` as `Table.add` does one by one; `null` is the number that a null stands for, None for none.

    An object under a name of `SETTINGS` is the settings of the run. Rows without a number are counted as lost.
    """
    found: dict[str, _Column] = {}
    _collect(found, "", range(len(rows)), rows, table, DEPTH)
    numbers: dict[str, tuple[Rows, Numbers]] = {}
    any_number = np.zeros(len(rows), np.bool_)
    for name, column in found.items():
        where, values = column.numbers(null)
        if len(where):
            numbers[name] = where, values
            any_number[where] = True
        elif name not in table.columns and (text := column.text()):
            table.texts.setdefault(name, text)
    rank = table.rows + np.cumsum(any_number) - 1
    for name, (where, values) in numbers.items():
        if name not in table.columns and len(table.columns) >= MOST_NAMES:
            table.lost[TOO_MANY] += len(where)
        else:
            table.column(name).extend(rank[where], values)
    table.rows += int(any_number.sum())
    if lost := len(rows) - int(any_number.sum()):
        table.lost[NO_NUMBER] += lost


@dataclass(slots=True)
class _Column:
    """What stood under one name: arrays of rows and numbers, and single values of any kind."""

    arrays: list[tuple[Rows, Numbers]] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def numbers(self, null: float | None) -> tuple[Rows, Numbers]:
        """The numbers and the rows that they stood in, in the order of the rows."""
        if self.at:
            plain = _plain(self.values)
            at = self.at
            if plain is None:
                spelt = [null if value is None else number(value) for value in self.values]
                at = [i for i, value in zip(at, spelt, strict=True) if value is not None]
                plain = np.array([value for value in spelt if value is not None], np.float64)
            self.arrays.append((np.array(at, np.int64), plain))
        where, numbers = (np.concatenate(part) for part in zip(*self.arrays, strict=True))
        if bool((np.diff(where) < 0).any()):
            order = where.argsort(kind="stable")
            where, numbers = where[order], numbers[order]
        return where, numbers

    def text(self) -> str:
        """The first text, "" where there is none."""
        return next((value for value in self.values if isinstance(value, str)), "")


def _collect(
    found: dict[str, _Column],
    prefix: str,
    at: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
    table: Table,
    depth: int,
) -> None:
    """Put the entries of `rows`, which are the rows number `at`, into `found`, nested names joined by "."."""
    groups: dict[tuple[str, ...], tuple[list[int], list[Any]]] = {}
    for i, row in zip(at, rows, strict=True):
        where, entries = groups.setdefault(tuple(row), ([], []))
        where.append(i)
        entries.append(row.values())
    for names, (where, entries) in groups.items():
        flat = list(chain.from_iterable(entries))
        numbers = _plain(flat) if len(where) >= MANY else None
        if numbers is not None:
            rank = np.array(where, np.int64)
            for name, column in zip(names, numbers.reshape(len(where), len(names)).T, strict=True):
                found.setdefault(prefix + name, _Column()).arrays.append((rank, column))
            continue
        for k, name in enumerate(names):
            values = flat[k :: len(names)]
            nested = {i: value for i, value in zip(where, values, strict=True) if type(value) is dict}
            if nested and not prefix and name in SETTINGS:
                table.settings.update(list(nested.values())[-1])
            elif nested and depth > 1:
                _collect(found, f"{prefix}{name}.", list(nested), list(nested.values()), table, depth - 1)
            if len(nested) < len(values):
                known = found.setdefault(prefix + name, _Column())
                known.at += where
                known.values += values


def _plain(values: list[Any]) -> Numbers | None:
    """`values` as an array where all of them are numbers, else None."""
    if not set(map(type, values)) <= {float, int}:
        return None
    try:
        return np.array(values, np.float64)
    except OverflowError:  # an integer of more than 308 digits
        return None
