"""Lines of a CSV as rows of cells, through quoted cells that have line ends in them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence

UNCLOSED = "lines with a quote that does not end"
UNPARSED = "lines that are no CSV"
LONGEST = 1 << 20  # characters of a row or line; a quote that has not ended by then was none
TOO_LONG = f"lines of more than {LONGEST:,} characters"


class Lines:
    """Parts a text that comes in chunks into lines; those of more than LONGEST characters are counted in `lost`."""

    def __init__(self, lost: Counter[str]) -> None:
        self.lost = lost
        self._rest = ""
        self._too_long = False  # so is the line that has not ended

    def feed(self, text: str) -> list[str]:
        """The lines that end in `text`."""
        *lines, self._rest = (self._rest + text).split("\n")
        if lines and self._too_long:
            del lines[0]
            self._too_long = False
        if self._too_long or len(self._rest) > LONGEST:
            self.lost[TOO_LONG] += not self._too_long
            self._rest, self._too_long = "", True
        if max(map(len, lines), default=0) > LONGEST:
            self.lost[TOO_LONG] += sum(len(line) > LONGEST for line in lines)
            lines = [line for line in lines if len(line) <= LONGEST]
        return lines


class Records:
    """Joins lines to rows, however they arrive; what is none is counted in `lost`."""

    def __init__(self, lost: Counter[str]) -> None:
        self.lost = lost
        self._open: list[str] = []  # lines of a row whose quote has not ended
        self._quotes = self._length = 0

    def rows(self, lines: Sequence[str], delimiter: str) -> list[list[str]]:
        """The rows that end in `lines`; a blank line is a row without cells."""
        whole = lines
        if self._open or any('"' in line for line in lines):
            whole = list(self._joined(lines, delimiter))
        try:
            return list(csv.reader(whole, delimiter=delimiter, skipinitialspace=True))
        except csv.Error:
            return [row for line in whole for row in self._row(line, delimiter)]

    def finish(self, delimiter: str) -> list[list[str]]:
        """The rows behind a quote that never ends."""
        found = []
        while self._open:
            found += self.rows(self._without_first(), delimiter)
        return found

    def _joined(self, lines: Sequence[str], delimiter: str) -> Iterator[str]:
        ahead = list(reversed(lines))
        while ahead:
            line = ahead.pop()
            quotes = line.count('"')
            if not self._open and (quotes % 2 == 0 or not _opens(line, delimiter)):
                yield line
                continue
            self._open.append(line)
            self._quotes += quotes
            self._length += len(line)
            if self._quotes % 2 == 0:
                yield "\n".join(self._open)
                self._clear()
            elif self._length > LONGEST:
                ahead += reversed(self._without_first())

    def _without_first(self) -> list[str]:
        """The open lines but the first, which is lost; none is open then."""
        self.lost[UNCLOSED] += 1
        lines = self._open[1:]
        self._clear()
        return lines

    def _clear(self) -> None:
        self._open, self._quotes, self._length = [], 0, 0

    def _row(self, line: str, delimiter: str) -> list[list[str]]:
        try:
            return list(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
        except csv.Error:
            self.lost[UNPARSED] += 1
            return []


def _opens(line: str, delimiter: str) -> bool:
    """Whether a quote of `line` goes on behind it; one in the middle of a cell is a character like others."""
    try:
        list(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False
