"""Follows a JSONL log of anyone's: one object per line, with a step and numbers under names of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

from diagnostics.readers.rows import Row, row

_CHUNK = 1 << 20  # bytes


class JsonlTail:
    """Follows a file that may not exist yet, from byte `since` on; one that was begun anew is read from its beginning.

    A torn last line means "not yet". `unreadable` counts lines that are no object of JSON, `stepless` objects without
    a step or a number.
    """

    def __init__(self, path: Path, *, since: int = 0) -> None:
        self.path = path
        self.unreadable = 0
        self.stepless = 0
        self._position = since
        self._file_id: int | None = None
        self._rest = b""

    def poll(self, *, ended: bool = False) -> list[Row]:
        """The rows of the next megabyte that has any, none where nothing is new.

        Once its writer has `ended`, no line is torn.
        """
        while chunk := self._read():
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if rows := self._rows(lines):
                return rows
        if not ended:
            return []
        last, self._rest = self._rest, b""
        return self._rows([last])

    def _read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_size < self._position or self._file_id not in (None, stat.st_ino):
                    self._position, self._rest = 0, b""
                self._file_id = stat.st_ino
                file.seek(self._position)
                chunk = file.read(_CHUNK)
        except FileNotFoundError:
            return b""
        self._position += len(chunk)
        return chunk

    def _rows(self, lines: list[bytes]) -> list[Row]:
        found = (self._row(line) for line in lines if line.strip())
        return [r for r in found if r is not None]

    def _row(self, line: bytes) -> Row | None:
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            self.unreadable += 1
            return None
        if not isinstance(data, dict):
            self.unreadable += 1
            return None
        found = row(data)
        self.stepless += found is None
        return found
