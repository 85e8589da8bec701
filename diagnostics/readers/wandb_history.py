"""The rows of a `.wandb` file, many at once.

A row is a message of items; an item has the names of a value, and the value in JSON, with a type, or both (wandb 0.31
can write both). Python needs a microsecond or more for each of millions of values; here numpy decodes all rows of a
batch side by side, and Python looks at those values alone that are no numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from itertools import pairwise
from typing import Any

import numpy as np

from diagnostics.readers import protobuf
from diagnostics.readers.columns import TOO_MANY
from diagnostics.readers.protobuf import Malformed
from diagnostics.readers.table import Numbers, Table, number
from diagnostics.readers.wandb_columns import TYPE, Codes, Columns
from diagnostics.readers.wandb_fields import PADDING, Bytes, Flags, Ints, gathered, varints, walk
from diagnostics.readers.wandb_records import Names, parsed

_DEEPEST = 8  # objects within each other, in JSON
_LONG_ROW = 1 << 15  # bytes; the fields of longer ones are found one by one, so as not to hold up the others
_MOST_FIELDS = 64  # of an item: its names, one below the other, and its value

# Tags: the number of a field and its wire type.
_ITEM = 1 << 3 | 2
_NAMES = 2 << 3 | 2  # the last tag of names
_INTEGER, _NUMBER = 5 << 3, 6 << 3 | 1
_TEXT, _JSON, _VALUE_JSON = 7 << 3 | 2, 8 << 3 | 2, 16 << 3 | 2
_VALUES = np.array([3 << 3, 4 << 3, _INTEGER, _NUMBER, _TEXT, _JSON, _VALUE_JSON], np.uint64)

_WIDEST_NUMBER = 32  # characters; longer ones are read one by one
_NUMERIC = np.zeros(256, np.bool_)  # what a number in JSON begins with
_NUMERIC[list(b"-0123456789NI")] = True
_BLANK = np.zeros(256, np.bool_)  # what a null, a flag or a list begins with
_BLANK[list(b"ntf[")] = True
_NOTHING = np.empty(0, np.int64)
_LONGEST_TEXT = 1000  # characters; of a text that is longer, the beginning is kept

UNREADABLE_ROWS = "ends of history records"
UNREADABLE_VALUES = "values"


@dataclass(slots=True)
class _Items:
    """The items of a batch, row by row: (n,) each. `tags` are those of the values, 0 where there is none."""

    rows: Ints
    keys: Ints
    key_ends: Ints
    tags: Ints
    starts: Ints
    stops: Ints

    def only(self, which: Flags) -> _Items:
        """Those items."""
        return _Items(*(getattr(self, f.name)[which] for f in dataclass_fields(self)))


class History:
    """Puts rows into `table`.

    `objects` are the SDK's own objects (tables, histograms, pictures) by name, and their types.
    """

    def __init__(self, table: Table) -> None:
        self.objects: dict[str, str] = {}
        self.columns = Columns()
        self._blank: set[int] = set()
        self._table = table

    @property
    def blank(self) -> list[str]:
        """The names under which there was never a number or a text, but flags, nulls or lists."""
        names = (self.columns.names[column] for column in self._blank)
        return [name for name in sorted(names) if name not in self._table.columns and name not in self._table.texts]

    def put(self, rows: Sequence[bytes]) -> None:
        """Add history records as rows."""
        if not rows:
            return
        raw = b"".join(rows) + bytes(PADDING)
        data = np.frombuffer(raw, np.uint8)
        items = self._items(raw, data, np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows))))
        columns = self.columns.of_keys(raw, data, items.keys, items.key_ends)
        numbers, known = _numbers(raw, data, items)
        wanted = columns > 0
        self._lose(TOO_MANY if self.columns.full else UNREADABLE_VALUES, int((~wanted).sum()))
        if self.columns.types:
            wanted &= ~self._objects(raw, items, columns)
        spread = self._others(raw, data, items, columns, numbers, known, wanted)
        known &= wanted
        self._add(columns[known], items.rows[known], numbers[known], spread)
        self._table.rows += len(rows)

    def _items(self, raw: bytes, data: Bytes, ends: Ints) -> _Items:
        """The items of the rows that end at `ends` (n,)."""
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        broken = np.zeros(len(ends), np.bool_)
        found: list[tuple[Ints, Ints, Ints]] = [(_NOTHING,) * 3]  # row, start, stop
        for row in np.flatnonzero(ends - starts > _LONG_ROW).tolist():
            found.append(_items_of_long(raw, row, int(starts[row]), int(ends[row]), broken))
            starts[row] = ends[row]
        for which, tag, start, stop in walk(data, starts, ends, broken, most=_LONG_ROW):
            item = tag == _ITEM
            found.append((which[item], start[item], stop[item]))
        rows, keys, stops = (np.concatenate(parts) for parts in zip(*found, strict=True))
        few = rows.astype(np.uint16) if len(ends) < 1 << 16 else rows  # which numpy sorts by radix
        order = np.argsort(few, kind="stable")
        rows, keys, stops = rows[order], keys[order], stops[order]

        key_ends, tags = keys.copy(), np.zeros(len(keys), np.int64)
        value_starts, value_stops = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        damaged = np.zeros(len(keys), np.bool_)
        for which, tag, start, stop in walk(data, keys, stops, damaged, most=_MOST_FIELDS):
            name = tag <= _NAMES
            key_ends[which[name]] = stop[name]
            # Of several forms of a value the number is taken, if there is one.
            value = np.isin(tag, _VALUES) & ((tags[which] == 0) | (tag == _NUMBER) | (tag == _INTEGER))
            at = which[value]
            tags[at], value_starts[at], value_stops[at] = tag[value], start[value], stop[value]
        self._lose(UNREADABLE_ROWS, int(broken.sum()))
        damaged |= tags == 0
        self._lose(UNREADABLE_VALUES, int(damaged.sum()))
        items = _Items(rows, keys, key_ends, tags, value_starts, value_stops)
        return items.only(~damaged) if damaged.any() else items

    def _objects(self, raw: bytes, items: _Items, columns: Codes) -> Flags:
        """Which items (n,) are parts of the SDK's own objects. An object and its type stand in one row."""
        telling = np.isin(columns, self.columns.types)
        for column, i in zip(*np.unique(columns[telling], return_index=True), strict=True):
            at = np.flatnonzero(telling)[i]
            name = self.columns.names[column].removesuffix(f".{TYPE}")
            if name not in self.objects:
                self._object(name, _read(raw[items.starts[at] : items.stops[at]], items.tags[at]))
        wholes = np.array(self.columns.wholes)[columns]
        places = items.rows * (max(self.columns.wholes) + 1) + wholes
        return np.isin(places, places[telling])

    def _object(self, name: str, kind: Any) -> None:
        self.objects.setdefault(name, kind if isinstance(kind, str) else "object")

    def _others(
        self, raw: bytes, data: Bytes, items: _Items, columns: Codes, numbers: Numbers, known: Flags, wanted: Flags
    ) -> list[tuple[int, int, float]]:
        """Look at the values that are not `known` (n,) to be numbers; those that spell one are put into `numbers` (n,).

        Returned are the numbers in objects: their columns, rows, and what they are.
        """
        others = wanted & ~known
        in_json = (items.tags == _VALUE_JSON) | (items.tags == _JSON)
        blank = others & np.where(in_json, _BLANK[data[items.starts]], items.tags < _INTEGER)
        self._blank.update(np.unique(columns[blank]).tolist())
        spread: list[tuple[int, int, float]] = []
        for i in np.flatnonzero(others & ~blank).tolist():
            column = int(columns[i])
            try:
                value = _read(raw[items.starts[i] : items.stops[i]], items.tags[i])
            except ValueError:
                self._lose(UNREADABLE_VALUES, 1)
                continue
            if isinstance(value, dict):
                self._spread(self.columns.paths[column], value, int(items.rows[i]), spread)
                continue
            spelt = number(value)
            if spelt is not None:
                numbers[i], known[i] = spelt, True
            else:
                self._put_text(column, value)
        return spread

    def _spread(self, names: Names, value: dict[str, Any], row: int, spread: list[tuple[int, int, float]]) -> None:
        """The numbers in an object of JSON, which the SDKs up to 0.17 write whole."""
        if TYPE in value:
            self._object(".".join(names), value[TYPE])
            return
        for name, inner in value.items():
            below = (*names, name)
            if isinstance(inner, dict):
                if len(below) > _DEEPEST:
                    self._lose("objects nested too deep", 1)
                else:
                    self._spread(below, inner, row, spread)
                continue
            spelt, column = number(inner), self.columns.of_names(below)
            if spelt is not None and column:
                spread.append((column, row, spelt))
            elif column:
                self._put_text(column, inner)

    def _put_text(self, column: int, value: Any) -> None:
        name = self.columns.names[column]
        if not isinstance(value, str):
            self._blank.add(column)
        elif name not in self._table.columns:
            self._table.texts.setdefault(name, value[:_LONGEST_TEXT])

    def _add(self, columns: Codes, rows: Ints, numbers: Numbers, spread: list[tuple[int, int, float]]) -> None:
        if spread:
            more = list(zip(*spread, strict=True))
            columns = np.concatenate((columns, np.array(more[0], np.uint16)))
            rows = np.concatenate((rows, np.array(more[1], np.int64)))
            numbers = np.concatenate((numbers, np.array(more[2], np.float64)))
            order = np.lexsort((rows, columns))
        else:
            order = np.argsort(columns, kind="stable")
        columns, rows, numbers = columns[order], rows[order] + self._table.rows, numbers[order]
        bounds = [0, *(np.flatnonzero(np.diff(columns)) + 1).tolist(), len(columns)]
        for start, stop in pairwise(bounds):
            if start < stop:
                self._table.column(self.columns.names[columns[start]]).extend(rows[start:stop], numbers[start:stop])

    def _lose(self, what: str, count: int) -> None:
        if count:
            self._table.lost[what] += count


def _items_of_long(raw: bytes, row: int, start: int, end: int, broken: Flags) -> tuple[Ints, Ints, Ints]:
    """The items of one row: the row, starts, stops, (n,) each."""
    starts, stops = array("q"), array("q")
    try:
        for field, wire, span in protobuf.fields(raw, start, end):
            if field << 3 | wire == _ITEM:
                starts.append(span[0])
                stops.append(span[1])
    except Malformed:
        broken[row] = True
    return np.full(len(starts), row), np.array(starts, np.int64), np.array(stops, np.int64)


def _numbers(raw: bytes, data: Bytes, items: _Items) -> tuple[Numbers, Flags]:
    """The value of each item (n,), and which of them are numbers."""
    numbers = np.zeros(len(items.rows))
    known = (items.tags == _NUMBER) | (items.tags == _INTEGER)
    if known.any():
        doubles = np.flatnonzero(items.tags == _NUMBER)
        starts = items.starts[doubles]
        numbers[doubles] = gathered(data, starts, starts + 8, 8).view("<f8")[:, 0]
        integers = np.flatnonzero(items.tags == _INTEGER)
        zigzag, _ = varints(data, items.starts[integers])
        half = (zigzag >> np.uint64(1)).astype(np.int64)
        numbers[integers] = np.where(zigzag & np.uint64(1), ~half, half)
    sizes = items.stops - items.starts
    in_json = ((items.tags == _VALUE_JSON) | (items.tags == _JSON)) & (sizes > 0) & _NUMERIC[data[items.starts]]
    narrow = np.flatnonzero(in_json & (sizes <= _WIDEST_NUMBER))
    if len(narrow):
        starts, stops = items.starts[narrow], items.stops[narrow]
        width = int(sizes[narrow].max())
        try:
            numbers[narrow] = gathered(data, starts, stops, width).view(f"S{width}")[:, 0].astype(np.float64)
        except ValueError:  # one of them is no number: each by itself
            narrow = narrow[:0]
        known[narrow] = True
    for i in np.flatnonzero(in_json & ~known).tolist():
        try:
            numbers[i] = float(raw[items.starts[i] : items.stops[i]])
        except ValueError:
            continue
        known[i] = True
    return numbers, known


def _read(value: bytes, tag: int) -> Any:
    """A value in JSON, or a text. ValueError where it is neither."""
    return value.decode(errors="replace") if tag == _TEXT else parsed(value)
