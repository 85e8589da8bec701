"""Which lines of a console are rows: those whose names come again. What comes once may be a sample or a trace."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum, auto

from diagnostics.readers.columns import MOST_NAMES, TOO_MANY
from diagnostics.readers.console_lines import Values, measures, position
from diagnostics.readers.table import Table

WAITING = 200  # lines that may wait until their names come again
CUT = "metric lines that are cut short or garbled"


class Dialect(Enum):
    """Ways in which a line holds numbers."""

    DICT = auto()
    VERL = auto()
    FIELDS = auto()
    BOX = auto()
    BULLETS = auto()
    BAR = auto()


@dataclass(slots=True)
class _Known:
    """The names of the rows of one dialect: all of them, and in the order in which they stand in a line."""

    names: set[str] = field(default_factory=set)
    orders: set[tuple[str, ...]] = field(default_factory=set)


class Rows:
    """Takes lines that may be rows, in their order, and adds to `table` those that are.

    The first rows of a dialect are those whose names came again, `FIELDS` in the same order three times; from then on
    a line is a row that shares a name with one, such as an evaluation. Two lines of the same step, one after the other
    in their dialect, are one row where they do not contradict each other.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[Dialect, _Known] = {}
        self._waiting: deque[tuple[Dialect, Values]] = deque(maxlen=WAITING)
        self._orders: Counter[tuple[str, ...]] = Counter()  # how often a line of fields came, by its names
        self._open: tuple[Dialect, Values] | None = None  # a row that the next line may belong to

    def offer(self, dialect: Dialect, values: Values) -> None:
        """Take the line `values`."""
        if dialect is Dialect.FIELDS and not measures(values):  # "Step 2: x = 5" in a sample
            return
        step = position(values)
        if self._open is not None:
            of, before = self._open
            shared = before.keys() & values.keys()
            more = len(shared) < len(values)
            if of is dialect and more and step in shared and all(before[name] == values[name] for name in shared):
                self._open = (of, before | values)
                return
            self._close()
        if step:
            self._open = (dialect, values)
        else:
            self._judge(dialect, values)

    def extend(self, values: Values) -> None:
        """Take a line that belongs to the one before it."""
        if self._open is not None and self._open[1].keys().isdisjoint(values):
            self._open = (self._open[0], self._open[1] | values)

    def dialects(self) -> set[Dialect]:
        """The dialects whose rows have come again, and that of the last line that may be a row."""
        return {*self._known, *([self._open[0]] if self._open else [])}

    def resembles(self, dialect: Dialect, text: str) -> bool:
        """Whether a line has names of the rows of `dialect` where names stand, so that it may be one that is cut."""
        if text.count(":") + text.count("=") < 2:
            return False
        ends = ("'", '"') if dialect is Dialect.DICT else (":", "=")
        named = sum(any(name + end in text for end in ends) for name in list(self._names(dialect))[:50])
        return named >= (1 if dialect is Dialect.DICT else 2)

    def finish(self) -> None:
        """No line will come."""
        self._close()

    def _names(self, dialect: Dialect) -> set[str]:
        return self._known[dialect].names if dialect in self._known else set()

    def _close(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            self._judge(*opened)

    def _judge(self, dialect: Dialect, values: Values) -> None:
        if self._belongs(dialect, values):
            self._add(dialect, values)
            return
        if dialect is Dialect.FIELDS:
            if not position(values) and (len(values) < 3 or self._known):
                return
            self._orders[tuple(values)] += 1
        self._waiting.append((dialect, values))
        if self._came_again(dialect, values):
            self._known.setdefault(dialect, _Known()).names |= values.keys()
            self._release()

    def _came_again(self, dialect: Dialect, values: Values) -> bool:
        if dialect is Dialect.FIELDS:
            if len(self._orders) > MOST_NAMES:
                self._orders.clear()
            return self._orders[tuple(values)] >= 3
        return sum(of is dialect and _alike(other, values) for of, other in self._waiting) >= 2

    def _belongs(self, dialect: Dialect, values: Values) -> bool:
        shared = self._names(dialect) & values.keys()
        if dialect is Dialect.FIELDS:  # a step alone is shared with "Step 2: x = 5" in a sample
            return bool(shared) and (
                measures(dict.fromkeys(shared)) or (measures(values) and position(values) in shared)
            )
        return bool(shared)

    def _release(self) -> None:
        """Add the waiting lines that are rows now, in their order."""
        rows: set[int] = set()
        found = True
        while found:
            found = False
            for i, (dialect, values) in enumerate(self._waiting):
                if i not in rows and self._belongs(dialect, values):
                    self._known[dialect].names |= values.keys()
                    rows.add(i)
                    found = True
        waiting = list(self._waiting)
        self._waiting.clear()
        for i, line in enumerate(waiting):
            if i in rows:
                self._add(*line)
            else:
                self._waiting.append(line)

    def _add(self, dialect: Dialect, values: Values) -> None:
        known = self._known[dialect]
        order = tuple(values)
        if order not in known.orders:
            if any(order == longer[: len(order)] for longer in known.orders):
                self._table.lost[CUT] += 1  # and its last number may be cut, too
                values = {name: values[name] for name in order[:-1]}
            elif len(known.orders) < MOST_NAMES:
                known.orders.add(order)
        new = values.keys() - known.names
        if new and len(known.names) + len(new) > MOST_NAMES:
            self._table.lost[TOO_MANY] += len(new)
            values = {name: value for name, value in values.items() if name in known.names}
        known.names |= values.keys()
        self._table.add(values)


def _alike(one: Values, other: Values) -> bool:
    """Whether two lines have most of their names in common."""
    return 2 * len(one.keys() & other.keys()) > len(one.keys() | other.keys())
