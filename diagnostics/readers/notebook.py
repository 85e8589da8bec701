"""Reads notebooks: the tables that Trainer shows in them, other tables with a step, and what cells printed.

Each is a run of its own. A notebook is written whole; one that is written anew is read again.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostics.assembly import STEP_NAMES
from diagnostics.readers.columns import NO_NUMBER
from diagnostics.readers.console import PREAMBLE, Console
from diagnostics.readers.csv_file import WRONG_LENGTH
from diagnostics.readers.csv_layout import layout
from diagnostics.readers.table import Table, number

FORMAT = "notebook"

LONGEST = 1 << 27  # bytes of a notebook
MOST = 100  # tables and texts of one notebook
_TOO_LONG = f"notebooks of more than {LONGEST >> 20} MB"
_TORN = "notebooks that are no whole JSON"
# Tags of tables alone, by an expression that no text makes slow: html.parser is quadratic in tags that do not end.
_TAG = re.compile(r"<(/?)(table|tr|th|td)\b[^<>]*>", re.IGNORECASE)
_OTHER_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class _Part:
    """A table in a notebook: where it is, its header and its rows; or what a cell printed."""

    name: str
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    printed: str = ""


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """The tables with a step in a notebook, and cells that printed rows; None where it has none."""
    if not head.lstrip().startswith(b"{") or not (b'"nbformat"' in head or b'"cell_type"' in head):
        return None
    found = _parts(path)
    if isinstance(found, str):
        return ("",)
    return ("",) if len(found) == 1 else [part.name for part in found] or None


def open_log(paths: Sequence[Path], part: str) -> NotebookReader:
    """A reader of one part of a notebook, the first for ""."""
    return NotebookReader(paths[0], part)


class NotebookReader:
    """Reads a part of a notebook; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path, part: str) -> None:
        self.table = Table()
        self._path, self._part = path, part
        self._seen: tuple[int, int, int] | None = None
        self._rows = 0
        self._printed = ""
        self._console = Console(self.table)
        self._unreadable = ""

    @property
    def position(self) -> int:
        """Bytes that have been read."""
        return self._seen[2] if self._seen else 0

    def poll(self) -> bool:
        """Read the notebook where it is another than last time, and add the rows beyond those that are known."""
        stat = self._path.stat()
        version = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if version == self._seen:
            return False
        self._seen = version
        found = _parts(self._path)
        self._unreadable = found if isinstance(found, str) else ""
        for part in found if not isinstance(found, str) else ():
            if self._part in ("", part.name):
                self._add(part)
                return True
        return False

    def finish(self) -> None:
        """A notebook that is no JSON by now stays so; a last line that was printed is whole."""
        if self._printed:
            self._console.finish()
        if self._unreadable:
            self.table.lost[self._unreadable] += 1

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _add(self, part: _Part) -> None:
        if part.printed.startswith(self._printed):  # the cell has not been run anew
            self._console.feed(part.printed[len(self._printed) :])
            self._printed = part.printed
        columns = layout(part.header, "")
        for row in part.rows[self._rows :]:
            if len(row) != columns.width:
                self.table.lost[WRONG_LENGTH] += 1
            elif not self.table.add({name: row[place] for place, name in columns.names.items()}):
                self.table.lost[NO_NUMBER] += 1
        self._rows = max(self._rows, len(part.rows))


def _parts(path: Path) -> list[_Part] | str:
    """What can be read as a log in the notebook at `path`, or in words why the notebook cannot be read."""
    with path.open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        return _TOO_LONG
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return _TORN
    found: list[_Part] = []
    for place, outputs in _cells(document):
        tables = [table for output in outputs for table in _tables(_html(output)) if _is_log(table)]
        for i, (header, *rows) in enumerate(tables, 1):
            name = f"cell {place}, table {i}" if len(tables) > 1 else f"cell {place}"
            found.append(_Part(name, header, rows))
        if not tables:
            printed = "".join(_text(output.get("text")) for output in outputs if output.get("output_type") == "stream")
            if _has_rows(printed):
                found.append(_Part(f"cell {place}", printed=printed))
    return found[:MOST]


def _cells(document: Any) -> Iterator[tuple[int, list[Any]]]:
    """The outputs of each cell, with the place of the cell, from 1 on."""
    cells = document.get("cells") if isinstance(document, dict) else None
    for place, cell in enumerate(cells if isinstance(cells, list) else (), 1):
        outputs = cell.get("outputs") if isinstance(cell, dict) else None
        if isinstance(outputs, list):
            yield place, [output for output in outputs if isinstance(output, dict)]


def _html(output: dict[str, Any]) -> str:
    data = output.get("data")
    return _text(data.get("text/html")) if isinstance(data, dict) else ""


def _text(value: Any) -> str:
    """A text of a notebook, which may be a list of its lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _tables(source: str) -> Iterator[list[list[str]]]:
    """The tables in HTML, as rows of cells; one within another ends it."""
    table: list[list[str]] | None = None
    cell = -1  # where the open cell begins
    for tag in _TAG.finditer(source):
        closing, kind = bool(tag[1]), tag[2].lower()
        if cell >= 0 and table:
            table[-1].append(html.unescape(_OTHER_TAG.sub("", source[cell : tag.start()])).strip())
            cell = -1
        if kind == "table":
            if table:
                yield table
            table = None if closing else []
        elif table is not None and not closing:
            if kind == "tr":
                table.append([])
            elif table:
                cell = tag.end()
    if table:
        yield table


def _has_rows(printed: str) -> bool:
    """Whether a text of a console has rows."""
    table = Table()
    console = Console(table)
    console.feed(printed[:PREAMBLE])
    console.finish()
    return table.rows > 0


def _is_log(table: Sequence[Sequence[str]]) -> bool:
    """Whether a table has a step and numbers beside it in some row."""
    header, *rows = table
    if len(header) < 2 or not any(name.lower() in STEP_NAMES for name in header):
        return False
    return any(len(row) == len(header) and sum(number(cell) is not None for cell in row) > 1 for row in rows)
