"""SQLite databases that others write, perhaps just now: read only, without a trace, and without what they would run.

A database is data: views, triggers, functions and virtual tables in it are not evaluated, as only columns of tables
may be read, and no extension is loaded.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

MAGIC = b"SQLite format 3\0"
DAMAGED = "databases that are damaged"

_HEADER = 100  # bytes
_PAGE_SIZE = slice(16, 18)
_WRITE_VERSION, _OF_WAL = 18, 2  # the byte of the header that says how it is written, and its value with a WAL
_PATIENCE = 0.5  # seconds to wait for a writer
_LONGEST = 1 << 26  # bytes of a value
_SHORT = 8  # characters of an id
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}


class Busy(Exception):
    """A writer holds the database: there is nothing to be read yet."""


class Damaged(Exception):
    """What the file holds is no whole database."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database at `path`, of which only columns of tables can be read.

    OSError where the file cannot be opened, Busy and Damaged also for what is read within; what was read before Busy is
    worth nothing. It is to be opened anew for each look: another file may stand under the name by then.
    """
    with path.open("rb") as file:  # says of a file that cannot be read why
        head, size = file.read(_HEADER), file.seek(0, os.SEEK_END)
    if len(head) < _HEADER or not head.startswith(MAGIC) or size % _page_size(head):
        raise Damaged
    with _whole(path) as database:
        uri = f"file:{quote(str(database.absolute()))}?mode=ro"
        if head[_WRITE_VERSION] != _OF_WAL or wal(database).exists():
            with _connected(uri) as connection:
                yield connection
            return
        # Nobody has it open. If that is not said, SQLite makes files beside it.
        before = _identity(database)
        try:
            with _connected(f"{uri}&immutable=1") as connection:
                yield connection
        finally:
            if _identity(database) != before:
                raise Busy  # somebody has opened it, and it was not immutable


def is_damaged(path: Path) -> bool:
    """Whether the file at `path` is a database of which nothing can be read."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return False
    try:
        with opened(path) as connection:
            columns(connection, "sqlite_schema")
    except Busy:
        return False
    except Damaged:
        return True
    return False


def columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    """The names of the columns of `table`; none where there is no such table, or it is a view, or computed."""
    connection.set_authorizer(None)
    # As SQLite writes down each plain table. A virtual one has other words, which somebody may have spaced anew.
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? AND sql LIKE 'CREATE TABLE %'"
    there = connection.execute(query, (table,)).fetchone()
    found = connection.execute(f'PRAGMA table_xinfo("{table}")').fetchall() if there else []
    connection.set_authorizer(_only_columns)
    return frozenset(str(name) for _, name, *_, hidden in found if not hidden)


def last(connection: sqlite3.Connection, query: str) -> int:
    """The whole number that `query`, of the last row first, begins with; 0 where there is none."""
    row = connection.execute(query).fetchone()
    return whole(row[0]) if row else 0


def whole(value: Any) -> int:
    """`value` as the number of a row, which it is unless somebody has tampered with the table."""
    if not isinstance(value, int):
        raise Damaged
    return value


def wal(path: Path) -> Path:
    """The file beside the database at `path` that holds what was written last, where it is there."""
    return path.parent / f"{path.name}-wal"  # the current folder has no name


def labels(runs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The ids of `runs` (id, name) by what they are called: names, with the beginning of the id where several have one.

    With the whole id where even these are alike.
    """
    runs = list(runs)
    names = Counter(name for _, name in runs)
    short = Counter((name, id[:_SHORT]) for id, name in runs)
    called: dict[str, str] = {}
    for id, name in runs:
        label = name if name and names[name] == 1 else f"{name} {id[:_SHORT]}".strip()
        called[id if label in called or short[name, id[:_SHORT]] > 1 else label] = id
    return called


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """The database with its WAL; copies of both where the WAL has lost the index that its readers share.

    SQLite would have to write that one anew, beside a file of others.
    """
    if not wal(path).exists() or path.with_name(f"{path.name}-shm").exists():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="autotune-") as folder:
        copied = Path(folder) / "copy.db"
        shutil.copyfile(path, copied)
        try:
            shutil.copyfile(wal(path), wal(copied))
        except FileNotFoundError:  # its writer has just ended, and all is in the database
            shutil.copyfile(path, copied)
        yield copied


@contextmanager
def _connected(uri: str) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)) as connection:
            connection.text_factory = _decoded
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
                connection.execute(f"PRAGMA {pragma}")
            yield connection
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Busy from None
        if code == sqlite3.SQLITE_READONLY:
            raise OSError(errno.EIO, "its last write was broken off: open it once with what wrote it") from None
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from None
        raise Damaged from None
    except UnicodeDecodeError:  # what SQLite says of damage cites it
        raise Damaged from None


def _page_size(head: bytes) -> int:
    size = int.from_bytes(head[_PAGE_SIZE], "big")
    return size if size > 1 else 1 << 16


def _identity(path: Path) -> tuple[int, int, int, bool]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, wal(path).exists()


def _only_columns(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
