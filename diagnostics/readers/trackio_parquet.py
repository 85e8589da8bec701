"""Reads what trackio exports where a project is synced: its rows as parquet, `PROJECT.parquet` or `metrics.parquet`.

The settings are in a file beside it, `PROJECT_configs.parquet` or `aux/configs.parquet`. Needs pyarrow.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostics.errors import UserError
from diagnostics.readers.sqlite import labels
from diagnostics.readers.table import Table
from diagnostics.readers.trackio import STEPS, configure, objects_of
from diagnostics.readers.wandb_parquet import add

if TYPE_CHECKING:
    import pyarrow

FORMAT = "trackio export"
DAMAGED = "exports that are damaged"

_MAGIC = b"PAR1"
_FOOTER = 1 << 16  # bytes at the end of a file, which name its columns
_OWN = {"id", "run_id", "run_name", "timestamp", "log_id", "space_id"}
_NO_SETTINGS = {*_OWN, "created_at"}
_TELLING = (b"run_name", b"timestamp", b"step")
_OTHERS = ("_system", "_traces", "_configs")  # files of the same project that hold no metrics
_MOST = 200_000_000  # cells of a file; one that says it has more is damaged, or worse


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """The runs in an export; one where they cannot be told, for lack of pyarrow or for damage."""
    if not head.startswith(_MAGIC) or path.stem.endswith(_OTHERS):
        return None
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _FOOTER))
            footer = file.read()
    except OSError:
        return None
    if not all(name in footer for name in _TELLING):
        return None
    try:
        runs, _ = _runs(_read(path, ["run_id", "run_name"]))
    except (Damaged, UserError):
        return ("",)
    return tuple(runs) if len(runs) > 1 else ("",)


def open_log(paths: Sequence[Path], part: str) -> TrackioParquetReader:
    """A reader of one run of an export."""
    return TrackioParquetReader(paths[0], part)


class Damaged(Exception):
    """What the file holds is no whole parquet."""


class TrackioParquetReader:
    """Reads a run into a table; an export is written anew as a whole. See `diagnostics.readers.reader.Reader`."""

    def __init__(self, path: Path, part: str) -> None:
        self.table = Table()
        self.table.step_names = STEPS
        self.position = 0
        self._path, self._part = path, part
        self._seen: tuple[int, int, int] | None = None
        self._known = 0  # rows
        self._damaged = False
        self._objects: dict[str, str] = {}  # their kinds, by the columns that hold them

    def poll(self) -> bool:
        """Read the rows that an earlier export did not have; whether it was written anew. UserError without pyarrow."""
        stat = self._path.stat()
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if seen == self._seen:
            return False
        self._seen, self.position = seen, stat.st_size
        try:
            rows = self._of_run(_read(self._path))
        except Damaged:
            self._damaged = True
            return True
        known, self._known = self._known, rows.num_rows
        rows = rows.slice(known) if known <= rows.num_rows else rows
        add(rows.drop_columns([name for name in rows.column_names if name in _OWN]), self.table, self._objects)
        try:
            self._configure()
            self._damaged = False
        except Damaged:
            self._damaged = True
        return True

    def finish(self) -> None:
        """Say what was not read."""
        if self._damaged:
            self.table.lost[DAMAGED] = 1
        self.table.notes[:] = objects_of(Counter(self._objects.values()))

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _configure(self) -> None:
        configs = _configs(self._path)
        if configs is None:
            return
        run = self._of_run(_read(configs)).slice(0, 1)
        if run.num_rows:
            told = {name: _values(run.column(name))[0] for name in run.column_names if name not in _NO_SETTINGS}
            configure(self.table, {name: value for name, value in told.items() if value is not None})

    def _of_run(self, rows: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        runs, ids = _runs(rows)
        id = runs.get(self._part) if self._part else next(iter(runs.values()), None)
        return rows.filter(pyarrow.array([of_row == id for of_row in ids], pyarrow.bool_()))


def _runs(rows: pyarrow.Table) -> tuple[dict[str, str], list[str]]:
    """The ids of the runs by what they are called, and that of each row."""
    names = list(map(str, _values(rows.column("run_name"))))
    ids = list(map(str, _values(rows.column("run_id")))) if "run_id" in rows.column_names else names
    return labels(dict(zip(ids, names, strict=True)).items()), ids


def _values(column: pyarrow.ChunkedArray) -> list[Any]:
    """The values in a column. Damaged for a text that is none, and for a time that no calendar has."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        raise Damaged from None
    return values


def _read(path: Path, columns: list[str] | None = None) -> pyarrow.Table:
    """The rows of a file. Damaged, OSError; UserError without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            f"{path} is read with pyarrow, which is not installed", "pip install 'autotune-rl[hub]'"
        ) from None
    with path.open("rb") as opened:
        try:
            file = pyarrow.parquet.ParquetFile(opened)
            known = file.schema_arrow.names
            once = len(set(known)) == len(known)
            if not once or "run_name" not in known or file.metadata.num_rows * file.metadata.num_columns > _MOST:
                raise Damaged
            return file.read([name for name in columns if name in known] if columns else None, use_threads=False)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError):
            raise Damaged from None


def _configs(path: Path) -> Path | None:
    """The file with the settings of all runs, where it lies beside the export at `path`."""
    beside = (path.with_name(f"{path.stem}_configs.parquet"), path.parent / "aux" / "configs.parquet")
    return next((file for file in beside if file.is_file()), None)
