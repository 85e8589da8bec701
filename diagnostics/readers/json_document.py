"""A whole document of JSON that holds rows somewhere: a list of objects alike, or columns as lists of equal length."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostics.assembly import STEP_NAMES
from diagnostics.readers import jsonl, trainer_state
from diagnostics.readers.columns import SETTINGS, add_rows
from diagnostics.readers.decoding import decoded
from diagnostics.readers.salvage import salvaged
from diagnostics.readers.table import Table, number

FORMAT = "JSON"
MOST_BYTES = 1 << 26  # of a document, which takes ten times that in memory; no log that is written whole is longer
DEPTH = 4  # objects that the rows lie down
LEAST = 2  # rows
MOST_SETTINGS = 500  # names beside the rows that are settings
TORN = "documents that are no whole JSON"
TOO_LONG = f"documents of more than {MOST_BYTES >> 20} MB (JSONL may be longer)"
OTHER_LENGTH = "columns of another length than most"
_LIST = re.compile(r"\s*\[\s*\{")
_OTHERS = ('"nbformat"', '"stream_name"')  # of notebooks and consoles, which are formats of their own


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows in a document, and what stood beside them."""

    rows: Sequence[Mapping[str, Any]]
    beside: Mapping[str, Any]
    uneven: int = 0  # columns that were left out


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run where the document holds rows of numbers, a list also where it is cut off, damaged or too long."""
    text = decoded(head)
    if text.lstrip()[:1] not in ("{", "[") or any(name in text for name in _OTHERS):
        return None
    if jsonl.parts(path, head) is not None or trainer_state.parts(path, head) is not None:
        return None
    try:
        if path.stat().st_size > MOST_BYTES:
            return ("",) if _LIST.match(text) and _are_rows(salvaged(text)[0]) else None
        document = _read(path)
        holds_rows = _find(document) is not None or (document is None and _are_rows(_salvaged(path)))
    except OSError:
        return None
    return ("",) if holds_rows else None


def open_log(paths: Sequence[Path], part: str) -> JsonDocumentReader:
    """A reader of the file."""
    return JsonDocumentReader(paths[0])


class JsonDocumentReader:
    """Reads a document; see `diagnostics.readers.reader.Reader`.

    One that is written anew while it is followed is read again, and its rows beyond those that are known are added.
    """

    def __init__(self, path: Path) -> None:
        self.table = Table()
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._rows = 0
        self._torn = False

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self._seen[2] if self._seen else 0

    def poll(self) -> bool:
        """Read the document where it is not the one that was read last. One that is no JSON is being written."""
        stat = self._path.stat()
        version = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if version == self._seen:
            return False
        self._seen = version
        document = _read(self._path)
        found = _find(document)
        self._torn = document is None
        if found is not None and len(found.rows) > self._rows:
            if found.uneven:
                self.table.lost[OTHER_LENGTH] = found.uneven
            self.table.settings.update(found.beside)
            add_rows(self.table, found.rows[self._rows :])
            self._rows = len(found.rows)
        return True

    def finish(self) -> None:
        """What can be read of a document that is not whole: its rows, where it is a list of them."""
        if self._torn:
            self._torn = False
            self.table.lost[TOO_LONG if self.position > MOST_BYTES else TORN] += 1
            rows = _salvaged(self._path)
            if _are_rows(rows):
                add_rows(self.table, rows[self._rows :])

    def close(self) -> None:
        """Nothing is kept open."""


def _read(path: Path) -> Any:
    """The document, None where it is none; OSError where it cannot be read."""
    if path.stat().st_size > MOST_BYTES:
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def _salvaged(path: Path) -> list[dict[str, Any]]:
    """The rows of a document that is not whole, where it is a list of them; OSError where it cannot be read."""
    if path.stat().st_size > MOST_BYTES:
        return []
    text = decoded(path.read_bytes())
    return salvaged(text)[0] if _LIST.match(text) else []


def _find(document: Any) -> _Found | None:
    """The longest rows in a document, None where it holds none."""
    return max(_tables(document, DEPTH), key=lambda found: len(found.rows), default=None)


def _tables(value: Any, depth: int) -> Iterator[_Found]:
    if isinstance(value, list):
        if _are_rows(value):
            yield _Found(value, {})
    elif isinstance(value, dict) and depth:
        by_step = _by_step(value)
        if by_step is not None:
            yield _Found(by_step, {})
            return
        columns, uneven = _columns(value)
        if columns:
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            if _are_rows(rows):
                yield _Found(rows, _settings(value), uneven)
        for inner in value.values():
            if isinstance(inner, dict | list):
                for found in _tables(inner, depth - 1):
                    yield _Found(found.rows, _settings(value) | dict(found.beside), found.uneven)


def _are_rows(value: list[Any]) -> bool:
    """Whether most are objects with numbers, and the names say a step or most of what they name are numbers."""
    some = value[:200]
    rows = [row for row in some if isinstance(row, dict)]
    if len(value) < LEAST or 2 * len(rows) <= len(some):
        return False
    seen = Counter(name for row in rows for name in row)
    numbers = Counter(name for row in rows for name, cell in row.items() if number(cell) is not None)
    usual = [name for name, n in numbers.items() if 5 * n >= len(rows)]
    steps = [name for name in usual if name.lower() in STEP_NAMES]
    if steps:
        return len(usual) > 1
    return len(usual) > 1 and 2 * len(usual) > len(seen)


def _by_step(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of an object whose names are steps: `{"1": {"loss": ...}, "2": ...}`."""
    if len(value) < LEAST or not all(name.isdecimal() and name.isascii() for name in value):
        return None
    rows = [{"step": name} | row for name, row in value.items() if isinstance(row, dict)]
    return rows if len(rows) == len(value) and _are_rows(rows) else None


def _columns(value: Mapping[str, Any], prefix: str = "", depth: int = DEPTH) -> tuple[dict[str, list[Any]], int]:
    """The lists of numbers in an object and those nested in it, of the length that most have, and how many have not."""
    lists = dict(_lists(value, prefix, depth))
    lengths = Counter(len(column) for column in lists.values())
    if not lengths:
        return {}, 0
    length = max(lengths, key=lambda n: (lengths[n], n))
    if length < LEAST:
        return {}, 0
    even = {name: column for name, column in lists.items() if len(column) == length}
    return even, len(lists) - len(even)


def _lists(value: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    for name, inner in value.items():
        if isinstance(inner, dict) and depth > 1:
            yield from _lists(inner, f"{prefix}{name}.", depth - 1)
        elif isinstance(inner, list) and inner and all(cell is None or number(cell) is not None for cell in inner):
            yield prefix + name, inner


def _settings(value: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside rows and is neither rows nor columns."""
    beside = {name: inner for name, inner in value.items() if isinstance(inner, str | int | float | bool)}
    for name in SETTINGS:
        inner = value.get(name)
        if isinstance(inner, dict):
            beside.update(inner)
    return beside if len(beside) <= MOST_SETTINGS else {}
