"""JSONL of anyone's: one object per line, with numbers under names of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diagnostics.readers.columns import add_rows
from diagnostics.readers.decoding import UNDECODED, TextTail, decoded
from diagnostics.readers.rows import STEP_KEYS, Row, row
from diagnostics.readers.salvage import salvaged
from diagnostics.readers.table import Table, flat, number

FORMAT = "JSONL"
NO_OBJECT = "lines that are no object of JSON"
FIRST = 50  # lines that tell the format
_PASSED = {"stream_name"}  # names of objects that are text of a console in parts, not rows


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run where most of the first lines are objects with a number; a line alone needs a step to be a row."""
    lines = [line for line in decoded(head).split("\n")[: FIRST + 1] if line.strip()]
    if len(lines) > 1 and not decoded(head).endswith("\n"):
        lines.pop()  # it may go on behind the head
    rows, _ = objects([line for line in lines if line.lstrip().startswith("{")])
    with_number = [r for r in rows if _PASSED.isdisjoint(r) and any(number(v) is not None for _, v in flat(r))]
    alone = len(lines) == 1 and any(any(key in r for key in STEP_KEYS) for r in rows)
    if 2 * len(with_number) > len(lines) and (alone or len(lines) > 1):
        return ("",)
    return None


def open_log(paths: Sequence[Path], part: str) -> JsonlReader:
    """A reader of the file."""
    return JsonlReader(paths[0])


class JsonlReader:
    """Reads a file of lines and follows it; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path) -> None:
        self.table = Table()
        self._lines = LineTail(path)

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self._lines.text.position

    def poll(self) -> bool:
        """Read the lines of the next megabyte."""
        lines = self._lines.poll()
        if lines is None:
            return False
        self._add(lines)
        return True

    def finish(self) -> None:
        """Read the last line, whole or torn."""
        self._add(self._lines.finish())
        if self._lines.text.undecoded:
            self.table.lost[UNDECODED.format(self._lines.text.encoding)] = self._lines.text.undecoded

    def close(self) -> None:
        """Nothing is kept open."""

    def _add(self, lines: list[str]) -> None:
        rows, bad = objects(lines)
        add_rows(self.table, rows)
        if bad:
            self.table.lost[NO_OBJECT] += bad


class LineTail:
    """Follows the lines of a text; a torn last one means "not yet"."""

    def __init__(self, path: Path, *, since: int = 0) -> None:
        self.text = TextTail(path, since=since)
        self._rest: list[str] = []  # what there is of a line without its end
        self._begun = 0

    def poll(self) -> list[str] | None:
        """The lines that the next megabyte ends, None where nothing is new; OSError where it cannot be read."""
        text = self.text.read()
        if self._begun != self.text.begun:
            self._begun = self.text.begun
            self._rest.clear()
        if not text:
            return None
        first, *lines = text.split("\n")
        self._rest.append(first)
        if not lines:
            return []
        lines.insert(0, "".join(self._rest))
        self._rest = [lines.pop()]
        return lines

    def finish(self) -> list[str]:
        """The last line, which has no end."""
        lines = ["".join([*self._rest, self.text.rest()])]
        self._rest.clear()
        return lines


def objects(lines: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """The objects of JSON in `lines`, and how many lines are none or in part unreadable. Blank lines are passed."""
    full = [line for line in lines if line.strip("\x00 \t\r\ufeff")]
    try:  # all at once is twice as fast; two halves of an object on two lines would be one line too few
        found = json.loads(f"[{','.join(full)}]")
        if len(found) == len(full) and set(map(type, found)) <= {dict}:
            return found, 0
    except (ValueError, RecursionError):
        pass
    kept, bad = [], 0
    for line in full:
        rows, places = salvaged(line)
        kept += rows
        bad += not rows or places > 0
    return kept, bad


class JsonlTail:
    """Follows rows with a step in a file that may not exist yet, from byte `since` on.

    One that was begun anew is read from its beginning. A torn last line means "not yet". `unreadable` counts lines
    that are no object of JSON, `stepless` objects without a step or a number.
    """

    def __init__(self, path: Path, *, since: int = 0) -> None:
        self.path = path
        self.unreadable = 0
        self.stepless = 0
        self._lines = LineTail(path, since=since)

    def poll(self, *, ended: bool = False) -> list[Row]:
        """The rows of the next megabyte that has any, none where nothing is new.

        Once its writer has `ended`, no line is torn.
        """
        try:
            while (lines := self._lines.poll()) is not None:
                if rows := self._rows(lines):
                    return rows
        except FileNotFoundError:
            pass
        return self._rows(self._lines.finish()) if ended else []

    def _rows(self, lines: list[str]) -> list[Row]:
        found, bad = objects(lines)
        self.unreadable += bad
        rows = [row(data) for data in found]
        self.stepless += rows.count(None)
        return [r for r in rows if r is not None]
