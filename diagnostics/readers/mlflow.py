"""Reads the databases of MLflow (`mlflow.db`), without MLflow.

Each run that was not deleted is a log. MLflow keeps NaN as 0 with a mark beside it, and an infinity as the largest
number there is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.errors import UserError
from diagnostics.readers import sqlite
from diagnostics.readers.scalars import Scalars
from diagnostics.readers.table import Numbers, Points, Table
from diagnostics.text import count

FORMAT = "MLflow database"

NO_NUMBER = "metrics without a number or a step"
ENDED = {"FINISHED", "FAILED", "KILLED"}
_METRICS = {"key", "value", "step", "is_nan", "run_uuid"}
_RUNS = {"run_uuid", "name", "status", "lifecycle_stage"}
_PARAMS = {"key", "value", "run_uuid"}
_CHUNK = 200_000  # numbers
_TYPES: tuple[set[type], ...] = ({int}, {bytes}, {int, float}, {int}, {int})  # of rowid, key, value, step, is_nan
_SPELT = {"True": True, "False": False, "None": None}


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """The runs in a database that has MLflow's tables; one that is damaged may still say what it was."""
    if not head.startswith(sqlite.MAGIC):
        return None
    try:
        with sqlite.opened(path) as database:
            if not (sqlite.columns(database, "metrics") >= {"run_uuid"} and sqlite.columns(database, "runs")):
                return None
            runs = () if _differs(database) else tuple(_runs(database))
    except (sqlite.Damaged, sqlite.Busy, OSError):
        return ("",) if b"REFERENCES runs (run_uuid)" in head else None
    return runs if len(runs) > 1 else ("",)


def open_log(paths: Sequence[Path], part: str) -> MlflowReader:
    """A reader of one run of the database."""
    return MlflowReader(paths[0], part)


class MlflowReader:
    """Reads a run into a table, and follows it while it is written; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path, part: str) -> None:
        self.table = Table()
        self.position = 0
        self._path, self._part = path, part
        self._steps = Points()
        self._scalars = Scalars(self.table, self._steps)
        self._names: dict[str, int] = {}  # and their places
        self._tags: dict[bytes, int] = {}  # the same, of names as they are kept
        self._last = 0  # the last row that was read
        self._damaged = False
        self._lacking = ""  # what the database has not that MLflow's have
        self._status = ""
        self._deleted = 0  # runs

    def poll(self) -> bool:
        """Read the next numbers; whether there were any. A database that is not whole yet has none."""
        found = list[tuple[Any, ...]]()
        try:
            with sqlite.opened(self._path) as database:
                self._lacking = _differs(database)
                if not self._lacking:
                    self._read(database, found)
            self._damaged = False
        except sqlite.Busy:
            return False
        except sqlite.Damaged:  # in front of it there may be numbers
            self._damaged = True
        self._add(found)
        self._last = found[-1][0] if found else self._last
        return bool(found)

    def finish(self) -> None:
        """Say what was not read, and how the run ended. UserError where the tables are not those that are known."""
        if self._lacking:
            what = f"{self._path} is a database of MLflow without {self._lacking}"
            raise UserError(what, "`mlflow db upgrade` brings one of an older MLflow up to date.")
        if self._damaged:
            self.table.lost[sqlite.DAMAGED] = 1
        deleted = [f"{count(self._deleted, 'deleted run')} of this database left out"] if self._deleted else []
        self.table.notes[:] = ending(self._status) + deleted

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _read(self, database: sqlite3.Connection, found: list[tuple[Any, ...]]) -> None:
        """Put the next numbers (rowid, key, value, step, is_nan) into `found`."""
        runs = _runs(database)
        id = runs.get(self._part) if self._part else next(iter(runs.values()), None)
        if id is None:
            return
        self._describe(database, id)
        if sqlite.last(database, "SELECT rowid FROM metrics ORDER BY rowid DESC") < self._last:
            self._last = 0  # another database under the same name
        query = "SELECT rowid, key, value, step, is_nan FROM metrics WHERE run_uuid = ? AND rowid > ? ORDER BY rowid"
        database.text_factory = bytes  # so that not every name is decoded
        found.extend(database.execute(f"{query} LIMIT ?", (id, self._last, _CHUNK)))

    def _add(self, found: Sequence[tuple[Any, ...]]) -> None:
        if not found:
            return
        columns = list(zip(*found, strict=True))
        if not all(set(map(type, column)) <= types for column, types in zip(columns, _TYPES, strict=True)):
            numbers = [row for row in found if all(type(v) in types for v, types in zip(row, _TYPES, strict=True))]
            self.table.lost[NO_NUMBER] += len(found) - len(numbers)
            self._add(numbers)
            return
        _, keys, values, steps, missing = columns
        self.position += sum(map(len, keys)) + 24 * len(keys)
        for key in dict.fromkeys(keys):
            if key not in self._tags:
                self._tags[key] = self._names.setdefault(key.decode("utf-8", "replace"), len(self._names))
        tags = np.fromiter(map(self._tags.__getitem__, keys), np.int64, len(keys))
        logged = np.where(np.array(missing, np.bool_), np.nan, as_logged(np.array(values, np.float64)))
        self._scalars.add(np.array(steps, np.int64), tags, logged, list(self._names))
        self.table.steps = stepped(self._steps)

    def _describe(self, database: sqlite3.Connection, id: str) -> None:
        """The settings of the run, and whether it has ended."""
        if sqlite.columns(database, "params") >= _PARAMS:
            params = database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (id,))
            configure(self.table, ((str(name), str(value)) for name, value in params))
        for (status,) in database.execute("SELECT status FROM runs WHERE run_uuid = ?", (id,)):
            self._status = str(status)
        self.table.ended = self._status in ENDED
        self._deleted = len(database.execute("SELECT 1 FROM runs WHERE lifecycle_stage != 'active'").fetchall())


def configure(table: Table, params: Iterable[tuple[str, str]]) -> None:
    """Take the parameters of a run, all of them texts, as its settings."""
    table.settings = {name: _SPELT.get(value, value) for name, value in params}
    version = table.settings.get("transformers_version")
    if isinstance(version, str):
        table.packages["transformers"] = version


def ending(status: str) -> list[str]:
    """What a person should know of how a run ended."""
    if status in ("FAILED", "KILLED"):
        return [f"the run ended as {status}"]
    return [] if status in ENDED else ["MLflow has not been told that the run ended: it was killed, or still goes on"]


def stepped(steps: Points) -> Points | None:
    """The steps of the rows; None where all are 0, which MLflow says for whoever gives none: rows are counted then."""
    return steps if steps.since(0)[1].any() else None


def as_logged(values: Numbers) -> Numbers:
    """Numbers (n,) from a database: an infinity is kept as the largest number there is."""
    largest = np.finfo(np.float64).max
    return np.where(np.abs(values) == largest, np.copysign(np.inf, values), values)


def _differs(database: sqlite3.Connection) -> str:
    """What the database lacks of what is read, in words; "" where it has all."""
    for table, needed in (("metrics", _METRICS), ("runs", _RUNS)):
        if lacking := needed - sqlite.columns(database, table):
            return f"{' and '.join(sorted(lacking))} in its table {table}"
    return ""


def _runs(database: sqlite3.Connection) -> dict[str, str]:
    """The ids of the runs by what they are called, in the order in which they were made."""
    query = "SELECT run_uuid, name FROM runs WHERE lifecycle_stage = 'active' ORDER BY rowid"
    return sqlite.labels((str(id), str(name or "")) for id, name in database.execute(query).fetchall())
