"""Reads the databases of trackio, of all versions that wrote a database for each project, without trackio.

Each run of the project is a log. Where several have the same name, they are told apart by their ids.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diagnostics.readers import sqlite
from diagnostics.readers.columns import add_rows
from diagnostics.readers.table import Table

FORMAT = "trackio database"

NO_ROW = "rows that are no object of JSON"
_NEEDED = {"id", "run_name", "step", "metrics"}
_RUN_ID, _RUN_NAME = "run_id", "run_name"  # versions before 0.24 knew a run by its name alone
_CHUNK = 10_000  # rows
STEPS = ("train/global_step", "step")  # Trainer's own goes before trackio's, which counts its calls
_ADDED = {"_Username", "_Created", "_Group"}
_KIND = "_type"  # what makes an object one of trackio's own: a table, an image


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """The runs in a database that has trackio's table of metrics; one that is damaged may still say what it was."""
    if not head.startswith(sqlite.MAGIC):
        return None
    try:
        with sqlite.opened(path) as database:
            runs = _runs(database)
    except (sqlite.Damaged, sqlite.Busy, OSError):
        return ("",) if b"CREATE TABLE metrics" in head and b"run_name TEXT" in head else None
    if runs is None:
        return None
    return tuple(runs) if len(runs) > 1 else ("",)


def open_log(paths: Sequence[Path], part: str) -> TrackioReader:
    """A reader of one run of the database."""
    return TrackioReader(paths[0], part)


class TrackioReader:
    """Reads a run into a table, and follows it while it is written; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path, part: str) -> None:
        self.table = Table()
        self.table.step_names = STEPS
        self.position = 0
        self._path, self._part = path, part
        self._last = 0  # id of the last row that was read
        self._damaged = False
        self._objects: Counter[str] = Counter()  # by their kinds

    def poll(self) -> bool:
        """Read the next rows; whether there were any. A database that is not whole yet has none."""
        found = list[tuple[Any, ...]]()
        try:
            with sqlite.opened(self._path) as database:
                self._read(database, found)
            self._damaged = False
        except sqlite.Busy:
            return False
        except sqlite.Damaged:  # in front of it there may be rows
            self._damaged = True
        add_rows(self.table, [row for _, step, text in found if (row := self._row(step, text)) is not None])
        self._last = found[-1][0] if found else self._last
        return bool(found)

    def finish(self) -> None:
        """Say what was not read."""
        if self._damaged:
            self.table.lost[sqlite.DAMAGED] = 1
        self.table.notes[:] = objects_of(self._objects)

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _read(self, database: sqlite3.Connection, found: list[tuple[Any, ...]]) -> None:
        """Put the next rows (id, step, metrics) into `found`."""
        runs = _runs(database) or {}
        id = runs.get(self._part) if self._part else next(iter(runs.values()), None)
        if id is None:
            return
        key = _key(database)
        self._configure(database, key, id)
        if sqlite.last(database, "SELECT id FROM metrics ORDER BY id DESC") < self._last:
            self._last = 0  # another database under the same name
        query = (
            f"SELECT id, step, metrics FROM metrics WHERE id IN (SELECT id FROM metrics WHERE {key} = ? AND id > ?"
            " ORDER BY id LIMIT ?) ORDER BY id"
        )
        found.extend(database.execute(query, (id, self._last, _CHUNK)))

    def _row(self, step: Any, text: Any) -> dict[str, Any] | None:
        """What was logged at a step, less trackio's own objects; None where it cannot be read."""
        metrics = _object(text)
        self.position += len(text) if isinstance(text, str | bytes) else 0
        if metrics is None:
            self.table.lost[NO_ROW] += 1
            return None
        without_objects(metrics, self._objects)
        metrics["step"] = step
        return metrics

    def _configure(self, database: sqlite3.Connection, key: str, id: str) -> None:
        if not {key, "config"} <= sqlite.columns(database, "configs"):
            return
        row = database.execute(f"SELECT config FROM configs WHERE {key} = ?", (id,)).fetchone()
        settings = _object(row[0]) if row else None
        if settings is not None:
            configure(self.table, settings)


def configure(table: Table, settings: dict[str, Any]) -> None:
    """Take the settings of a run, without what trackio adds; Trainer's callback puts those of the model among them."""
    table.settings = {name: value for name, value in settings.items() if name not in _ADDED}
    version = settings.get("transformers_version")
    if isinstance(version, str):
        table.packages["transformers"] = version


def without_objects(metrics: dict[str, Any], objects: Counter[str]) -> None:
    """Take trackio's own objects, tables and images, out of `metrics`, and count their kinds in `objects`."""
    for name, value in [item for item in metrics.items() if type(item[1]) is dict]:
        if isinstance(value.get(_KIND), str):
            objects[value[_KIND]] += 1
            del metrics[name]


def objects_of(objects: Counter[str]) -> list[str]:
    """What a person should know of the objects that were not read."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(objects.items()))
    return [f"not read, as they are no numbers: {kinds}"] if kinds else []


def _key(database: sqlite3.Connection) -> str:
    """The column that tells runs apart."""
    return _RUN_ID if _RUN_ID in sqlite.columns(database, "metrics") else _RUN_NAME


def _runs(database: sqlite3.Connection) -> dict[str, str] | None:
    """The ids of the runs by what they are called, in the order in which they began; None where it is no trackio's."""
    if _NEEDED - sqlite.columns(database, "metrics"):
        return None
    key = _key(database)
    found = database.execute(f"SELECT DISTINCT {key}, run_name FROM metrics ORDER BY id").fetchall()
    names = {str(id): str(name) for id, name in found}
    return sqlite.labels(names.items())


def _object(text: Any) -> dict[str, Any] | None:
    """An object of JSON, which newer versions keep as bytes; None for all else."""
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
