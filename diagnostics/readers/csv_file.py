"""Reads CSV of any shape: parted by commas, tabs, semicolons or bars, with a header or without one.

Also the `progress.csv` and `monitor.csv` of Stable-Baselines3, and the charts that wandb's page exports, in which each
run has columns of its own.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diagnostics.readers.columns import MOST_NAMES, NO_NUMBER, TOO_MANY
from diagnostics.readers.csv_cells import Cells
from diagnostics.readers.csv_layout import Layout, cells, delimiter_of, is_header, is_rule, layout, runs
from diagnostics.readers.csv_records import UNPARSED, Lines, Records
from diagnostics.readers.decoding import UNDECODED, TextTail, decoded, strange_share
from diagnostics.readers.reader import HEAD
from diagnostics.readers.table import Numbers, Rows, Table, number

FORMAT = "CSV"

WRONG_LENGTH = "lines with more or fewer cells than the header"
TEXT_CELLS = "cells of text in columns of numbers"
_MONITOR = "stable-baselines3"  # whose Monitor writes a line of settings, then these columns
_FIRST = 50  # lines that tell the format
_MOST_STRANGE = 0.25  # of a file that is no text; a damaged table may have some
_LONGEST_NAME = 200
_SAME = 4096  # bytes at the beginning of a file that do not change unless it is written anew


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """The run, or the runs of a chart that wandb exported, where rows with numbers stand under a header."""
    lines = [line.strip("\r") for line in decoded(head).split("\n")]
    if len(head) >= HEAD:
        lines.pop()  # it may go on behind the head
    full = [line for line in lines if line.strip() and not line.startswith("#")]
    if not full or full[0].lstrip()[0] in "{[<" or strange_share(head) > _MOST_STRANGE:
        return None
    delimiter = delimiter_of(full[0])
    header, *rows = Records(Counter()).rows(full, delimiter)[: _FIRST + 1] or [[]]
    named, width = is_header(header), len(header)
    if max(map(len, header), default=0) > _LONGEST_NAME:
        return None
    if named and not rows:  # a sentence has blanks behind its commas
        return ("",) if width > 1 and ", " not in full[0] else None
    if not named and any(number(cell) is None for cell in header if cell.strip()):
        return None
    alike = [row for row in rows if len(row) == width and any(number(cell) is not None for cell in row)]
    one_column = width == 1 and (not named or len(rows) == 1 or len(alike) < len(rows))
    if one_column or 2 * len(alike) <= len([row for row in rows if not is_rule(row)]):
        return None
    several = runs(header)
    return several if len(several) > 1 else ("",)


def open_log(paths: Sequence[Path], part: str) -> CsvReader:
    """A reader of the file, or of one run in it."""
    return CsvReader(paths[0], part)


class CsvReader:
    """Reads a CSV into a table and follows it; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path, part: str) -> None:
        self.table = Table()
        self._path, self._part = path, part
        self._columns: dict[str, Cells] = {}
        self._header: list[str] = []
        self._beginning, self._size = b"", 0
        self._spread = 0  # points of a chart that stand for several
        self._begin(0)

    def _begin(self, known: int) -> None:
        """Read the file from its beginning, of which `known` rows have been read."""
        self._text = TextTail(self._path)
        self._lines = Lines(self.table.lost)
        self._records = Records(self.table.lost)
        self._layout: Layout | None = None
        self._delimiter, self._comment = ",", ""
        self._known = known
        self._headers = self._rows = 0

    @property
    def position(self) -> int:
        """Bytes that have been read."""
        return self._text.position

    def poll(self) -> bool:
        """Read the lines of the next megabyte."""
        with self._path.open("rb") as file:
            beginning, size = file.read(_SAME), file.seek(0, os.SEEK_END)
        if not beginning.startswith(self._beginning):
            # Stable-Baselines3 does so when it has a new column: the rows are those that were there, and more.
            self._begin(self._rows if size > self._size else 0)
        self._beginning, self._size = beginning, size
        text = self._text.read()
        self._add(self._lines.feed(text))
        return bool(text)

    def finish(self) -> None:
        """Read the last line, whole or torn, and say it where there was no row at all."""
        self._add(self._lines.feed(self._text.rest() + "\n"))
        if self._layout is not None:
            self._add_rows(self._records.finish(self._delimiter))
        if self._text.undecoded:
            self.table.lost[UNDECODED.format(self._text.encoding)] = self._text.undecoded
        if self._layout is not None and not self.table.rows:
            self.table.notes.append("it holds a header and no row of numbers")

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _add(self, lines: list[str]) -> None:
        place = 0
        while self._layout is None and place < len(lines):
            self._begin_with(lines[place].strip("\r\ufeff"))
            place += 1
        if self._layout is not None:
            self._add_rows(self._records.rows([line.rstrip("\r") for line in lines[place:]], self._delimiter))
        self._note()

    def _begin_with(self, line: str) -> None:
        """Take the header from one of the first lines, or the settings that Stable-Baselines3 writes before it."""
        if line.startswith("#"):
            self._comment = line.lstrip("# ")
            try:
                settings = json.loads(self._comment)
            except (ValueError, RecursionError):
                return
            if isinstance(settings, dict):
                self.table.settings.update(settings)
            return
        if not line.strip():
            return
        self._delimiter = delimiter_of(line)
        row = cells(line, self._delimiter)
        if not row:
            self.table.lost[UNPARSED] += 1
        elif is_header(row):
            self._take(row)
        else:
            comment = cells(self._comment, self._delimiter)  # where numpy puts the header
            named = len(comment) == len(row) and is_header(comment)
            self._take(comment if named else [f"column {place}" for place in range(1, len(row) + 1)])
            self._add_rows([row])

    def _take(self, header: list[str]) -> None:
        if not set(self._header) <= set(header):  # another log in its place
            self._known = 0
        self._header, self._headers = header, self._headers + 1
        self._layout = layout(header, self._part)
        if self.table.settings and {"r", "l", "t"} <= set(header):
            self.table.framework = _MONITOR
        if self._layout.axis >= 0:
            self.table.step_names = (self._layout.names[self._layout.axis],)

    def _add_rows(self, rows: list[list[str]]) -> None:
        """Add rows, under the header that is there and those that come between them."""
        if self._layout is None:
            return
        names, batch = set(self._header) - {""}, list[list[str]]()
        for row in rows:
            if not row or (self._delimiter == "|" and is_rule(row)):
                continue
            if row[0] in names and 2 * len(names.intersection(row)) >= len(row):
                self._add_batch(self._layout, batch)
                self._take(row)
                names, batch = set(row) - {""}, []
            elif len(row) == self._layout.width:
                batch.append(row)
            elif len(row) == self._layout.width + 1 and not row[-1]:
                batch.append(row[:-1])
            else:
                self.table.lost[WRONG_LENGTH] += 1
        self._add_batch(self._layout, batch)

    def _add_batch(self, layout: Layout, rows: list[list[str]]) -> None:
        """Add rows (n,) of the length of the header."""
        self._rows += len(rows)
        if self._known:
            rows, self._known = rows[self._known :], max(0, self._known - len(rows))
        if not rows:
            return
        table, columns = self.table, list(zip(*rows, strict=True))
        read = {place: self._cells(name).numbers(columns[place]) for place, name in layout.names.items()}
        counts = np.zeros(len(rows), np.bool_)
        for place, (at, _) in read.items():
            if place != layout.axis:
                counts[at] = True
        rank = table.rows + np.cumsum(counts) - 1
        for place, (at, numbers) in read.items():
            self._put(layout.names[place], rank[at[counts[at]]], numbers[counts[at]])
        for least, most in layout.bounds:
            self._spread += sum(a != b for a, b in zip(columns[least], columns[most], strict=True))
        table.rows += int(counts.sum())
        if layout.beyond:
            table.lost[TOO_MANY] += layout.beyond * len(rows)
        if layout.axis < 0 and not counts.all():  # in a chart they are rows of other runs
            table.lost[NO_NUMBER] += int((~counts).sum())

    def _put(self, name: str, rows: Rows, numbers: Numbers) -> None:
        table = self.table
        if not len(rows):
            return
        if name not in table.columns and len(table.columns) >= MOST_NAMES:
            table.lost[TOO_MANY] += len(rows)
        else:
            table.column(name).extend(rows, numbers)

    def _cells(self, name: str) -> Cells:
        return self._columns.setdefault(name, Cells(commas=self._delimiter != ","))

    def _note(self) -> None:
        """What is known of cells that are no numbers, and what had to be made of the header."""
        table, layout = self.table, self._layout
        texts = 0
        for name, column in self._columns.items():
            if name in table.columns:
                texts += column.texts
            elif column.texts and len(table.texts) < MOST_NAMES:
                table.texts.setdefault(name, column.first_text)
        if texts:
            table.lost[TEXT_CELLS] = texts
        notes = []
        if self._headers > 1:
            notes.append(f"the header is there {self._headers} times: it was begun anew, or holds several runs")
        if layout is not None and layout.twice:
            names = ", ".join(layout.twice[:3]) + (
                f" and {len(layout.twice) - 3} more" if len(layout.twice) > 3 else ""
            )
            notes.append(f"several columns have the same name ({names}): the later have a number behind")
        if any(column.decimal_commas for column in self._columns.values()):
            notes.append("commas in numbers were read as decimal points")
        if layout is not None and layout.bounds:
            thinned = f"; {self._spread:,} points stand for several, from one to the other" if self._spread else ""
            notes.append(f"the columns __MIN and __MAX of wandb's export were left out{thinned}")
        table.notes[:] = notes
