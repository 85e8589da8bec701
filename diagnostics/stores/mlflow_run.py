"""One run of a tracking server, kept as MLflow keeps it itself: in a database that the reader of those reads."""

from __future__ import annotations

import errno
import json
import math
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.events import MOST_STEPS
from diagnostics.readers.table import number
from diagnostics.sources import Source
from diagnostics.stores.kept import alone
from diagnostics.stores.mlflow_client import Client, inside, listed
from diagnostics.stores.store import safe
from diagnostics.text import count

RUN = "run.db"
_PER_PAGE = 25_000  # points
_SCHEMA = """
CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, lifecycle_stage TEXT, told TEXT);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE metrics (key TEXT, value FLOAT, step BIGINT, is_nan BOOLEAN, run_uuid TEXT);
CREATE TEMP TABLE fetched (key TEXT, value FLOAT, step BIGINT, is_nan BOOLEAN, time BIGINT, place BIGINT)
"""
# In the order in which they were logged, whichever metric they are of.
_IN_ORDER = "INSERT INTO metrics SELECT key, value, step, is_nan, ? FROM fetched ORDER BY time, step, place"


def fetch_run(client: Client, told: Mapping[str, Any], folder: Path) -> Source:
    """The database of a run, of which the server has told all but its history, in a folder of its own below `folder`.

    It is fetched where it has changed. UserError where it does not come, or cannot be kept.
    """
    info = inside(told, "info")
    run = _text(info.get("run_id") or info.get("run_uuid"))
    name = _text(info.get("run_name"))
    path = folder / safe(run) / RUN
    shown = f"{client.host} {name or run}"
    text = json.dumps(told, sort_keys=True)
    try:
        with alone(path.parent, shown, client.tell):
            if _kept(path) != text:
                data = inside(told, "data")
                names = sorted({_text(metric.get("key")) for metric in listed(data, "metrics")})
                client.tell(f"fetching {shown}: {count(len(names), 'metric')}")
                params = [(_text(param.get("key")), _text(param.get("value"))) for param in listed(data, "params")]
                points = (point for metric in names for point in _history(client, run, metric))
                _write(path, (run, name, _text(info.get("status")), text), params, points)
    except OSError as error:
        hint = "See that there is room, or set AUTOTUNE_CACHE."
        raise UserError(f"cannot keep {shown}: {error.strerror}", hint) from None
    return Source("mlflow", (path,), "", shown)


def _kept(path: Path) -> str:
    """What the server told of a run when it was fetched, "" where it was not."""
    if not path.is_file():
        return ""
    try:
        with closing(sqlite3.connect(path)) as database:
            row = database.execute("SELECT told FROM runs").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def _history(client: Client, run: str, name: str) -> Iterator[tuple[Any, ...]]:
    """All numbers of a metric as rows of the table `fetched`, what is none among them."""
    token, place = "", 0
    while True:
        more = {"page_token": token} if token else {}
        page = client.ask("metrics/get-history", run_id=run, metric_key=name, max_results=_PER_PAGE, **more)
        found = listed(page, "metrics")
        for metric in found:
            value, *whole = (number(metric.get(what, 0)) for what in ("value", "step", "timestamp"))
            step, time = (int(n) if n is not None and abs(n) < MOST_STEPS else None for n in whole)
            nan = value is not None and math.isnan(value)
            # MLflow keeps no NaN, and the largest number for an infinity.
            kept = 0.0 if nan or value is None else max(-sys.float_info.max, min(sys.float_info.max, value))
            yield name, kept if value is not None else None, step, nan, time, place
            place += 1
        token = str(page.get("next_page_token") or "")
        if not token or not found:
            return


def _text(value: Any) -> str:
    """`value` as a text that can be kept: half a character of JSON's escapes is none."""
    return "" if value is None else str(value).encode(errors="replace").decode()


def _write(
    path: Path,
    run: tuple[str, str, str, str],
    params: Iterable[tuple[str, str]],
    points: Iterable[tuple[Any, ...]],
) -> None:
    """Keep a run (id, name, status, all that the server told of it) at `path`, whole or not at all."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part)) as database, database:
            database.executescript(_SCHEMA)
            database.execute("INSERT INTO runs VALUES (?, ?, ?, 'active', ?)", run)
            database.executemany("INSERT INTO params VALUES (?, ?, ?)", ((*param, run[0]) for param in params))
            database.executemany("INSERT INTO fetched VALUES (?, ?, ?, ?, ?, ?)", points)
            database.execute(_IN_ORDER, (run[0],))
        part.replace(path)
    except sqlite3.OperationalError as error:
        raise OSError(errno.EIO, str(error)) from None
    finally:
        part.unlink(missing_ok=True)
