"""Runs on a tracking server of MLflow: one, those of an experiment, or those of all experiments.

They are kept as MLflow keeps them itself, each in a database that the reader of MLflow's databases reads.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from diagnostics.errors import UserError
from diagnostics.events import MOST_STEPS
from diagnostics.readers.table import number
from diagnostics.sources import Found, Source
from diagnostics.stores.mlflow_client import URI, Client, Missing, base
from diagnostics.stores.store import Tell, Wanted, safe
from diagnostics.text import count

NAME = "MLflow"
PREFIX, RUNS = "mlflow:", "runs:/"
LAST = 10  # runs of an experiment, unless it was said how many
_PER_PAGE, _POINTS_PER_PAGE = 100, 25_000
_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = re.compile(r"/(?:compare-)?experiments/([^/?]+)(?:/runs/([^/?]+))?")  # behind the # of an address
_PAGES = ("", "experiments", "models")  # those of a whole server
_FILTER = re.compile(r"\s*([\w.@/:` -]+?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_ATTRIBUTES = {"state": "attributes.status", "status": "attributes.status", "name": "attributes.run_name"}
_SCHEMA = """
CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, lifecycle_stage TEXT, told TEXT);
CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE metrics (key TEXT, value FLOAT, step BIGINT, is_nan BOOLEAN, run_uuid TEXT);
CREATE TEMP TABLE fetched (key TEXT, value FLOAT, step BIGINT, is_nan BOOLEAN, time BIGINT, place BIGINT)
"""
# In the order in which they were logged, whichever metric they are of.
_IN_ORDER = "INSERT INTO metrics SELECT key, value, step, is_nan, ? FROM fetched ORDER BY time, step, place"


@dataclass(frozen=True, slots=True)
class Where:
    """A run, an experiment by its name or id, or all experiments, on the server at `address`."""

    address: str
    experiment: str = ""
    run: str = ""

    @property
    def shown(self) -> str:
        """What a person calls it."""
        host = urlsplit(base(self.address)).netloc
        if self.run:
            return f"run {self.run} on {host}"
        return f"experiment {self.experiment} on {host}" if self.experiment else host


def owns(name: str) -> bool:
    """Whether `name` is a run or an experiment of MLflow, or the address of its server or of a page there."""
    if name.startswith((PREFIX, RUNS)):
        return True
    address = urlsplit(name)
    if address.scheme not in ("http", "https") or not address.netloc:
        return False
    return bool(_PAGE.match(address.fragment)) or (
        not address.path.strip("/") and address.fragment.strip("/") in _PAGES
    )


def fetch(name: str, wanted: Wanted, folder: Path, tell: Tell) -> Found:
    """The logs of the runs that `name` names, the oldest first; of experiments the `LAST` to begin.

    UserError where there is none, and for all that may go wrong on the way.
    """
    where = located(name, os.environ)
    client = Client(where.address, tell)
    try:
        runs = [_described(client, where, wanted)] if where.run else _listed(client, where, wanted)
    except Missing as missing:
        hint = f"Look at the spelling, or at what is there: autotune diagnose {client.base}"
        raise UserError(f"there is no {where.shown}: {missing.message}", hint) from None
    kept = folder / "mlflow" / safe(client.host)
    sources: list[Source] = []
    for i, run in enumerate(runs):
        try:
            sources.append(_source(client, run, kept))
        except UserError as error:
            if not sources:
                raise
            left = len(runs) - i
            return Found(tuple(sources), trouble=f"{left} of {len(runs)} runs of {where.shown} are missing: {error}")
    return Found(tuple(sources))


def located(name: str, environment: Mapping[str, str]) -> Where:
    """Where `name` lies. UserError where it does not say the server, and nothing else does."""
    if not name.startswith((PREFIX, RUNS)):
        page = _PAGE.match(urlsplit(name).fragment)
        address = name.partition("#")[0]
        return Where(address, *(unquote(part or "") for part in page.groups())) if page else Where(address)
    server = environment.get(URI, "")
    if urlsplit(server).scheme not in ("http", "https"):
        local = "set to what is no server" if server else "not set"
        hint = "Set it to http://HOST:PORT; what lies here is given by its path, such as mlflow.db or mlruns."
        raise UserError(f"{name} is on a server of MLflow, and {URI} is {local}", hint)
    what = name.removeprefix(PREFIX).removeprefix(RUNS).strip("/")
    if name.startswith(RUNS) or _ID.fullmatch(what):
        return Where(server, run=what.partition("/")[0])
    return Where(server, experiment=what)


def _described(client: Client, where: Where, wanted: Wanted) -> dict[str, Any]:
    if wanted.filters or wanted.last:
        raise UserError(f"{where.shown} is one run", "--filter and --last are for experiments.")
    return dict(client.ask("runs/get", run_id=where.run).get("run") or {})


def _listed(client: Client, where: Where, wanted: Wanted) -> list[dict[str, Any]]:
    """The runs that are wanted, the oldest first."""
    most = wanted.last or LAST
    given: dict[str, Any] = {
        "experiment_ids": list(_experiments(client, where.experiment)),
        "filter": " and ".join(map(_filter, wanted.filters)),
        "order_by": ["attributes.start_time DESC"],
    }
    found, token = list[dict[str, Any]](), ""
    while len(found) <= most:  # one more says whether there are more
        page = client.ask("runs/search", max_results=_PER_PAGE, **given, **({"page_token": token} if token else {}))
        found += page.get("runs") or ()
        token = page.get("next_page_token") or ""
        if not token:
            break
    if not found:
        such = f" for which {' and '.join(wanted.filters)}" if wanted.filters else ""
        raise UserError(f"there is no run in {where.shown}{such}", "Look at it in the browser, or ask for others.")
    if len(found) > most and not wanted.last:
        client.tell(f"the last {most} runs of {where.shown}; --last N takes more")
    return found[:most][::-1]


def _experiments(client: Client, wanted: str) -> Iterator[str]:
    """The ids of the experiments that are wanted."""
    if wanted:
        try:
            found = client.ask("experiments/get-by-name", experiment_name=wanted)
        except Missing:
            if not wanted.isdecimal():
                raise
            found = client.ask("experiments/get", experiment_id=wanted)
        yield str((found.get("experiment") or {}).get("experiment_id"))
        return
    token = ""
    while True:
        page = client.ask("experiments/search", max_results=1000, **({"page_token": token} if token else {}))
        yield from (str(experiment.get("experiment_id")) for experiment in page.get("experiments") or ())
        token = page.get("next_page_token") or ""
        if not token:
            return


def _filter(text: str) -> str:
    """A filter as MLflow takes it, from `name=value`. UserError for what is none."""
    found = _FILTER.fullmatch(text)
    if found is None:
        raise UserError(f"{text} is no filter", "Write NAME=VALUE: state=failed, params.beta=0.04, metrics.reward<0.5.")
    name, operator, value = found.groups()
    value = value.strip("'\"")
    if name.startswith("config."):
        name = f"params.{name.removeprefix('config.')}"
    name = _ATTRIBUTES.get(name, name)
    if name == "attributes.status":
        value = value.upper()
    kind, dot, rest = name.partition(".")
    if dot and kind != "attributes":
        name = f"{kind}.`{rest.strip('`')}`"
    quote = "" if kind == "metrics" else "'"
    return f"{name} {operator} {quote}{value}{quote}"


# ---- one run


def _source(client: Client, told: Mapping[str, Any], folder: Path) -> Source:
    """The database of a run, of which the server has told all but its history; fetched where it has changed."""
    info = told.get("info") or {}
    run = _text(info.get("run_id") or info.get("run_uuid"))
    name = _text(info.get("run_name"))
    path = folder / f"{safe(run)}.db"
    shown = f"{urlsplit(client.base).netloc} {name or run}"
    text = json.dumps(told, sort_keys=True)
    if _kept(path) != text:
        data = told.get("data") or {}
        names = sorted({_text(metric.get("key")) for metric in data.get("metrics") or ()})
        client.tell(f"fetching {shown}: {count(len(names), 'metric')}")
        params = [(_text(param.get("key")), _text(param.get("value"))) for param in data.get("params") or ()]
        points = (point for metric in names for point in _history(client, run, metric))
        try:
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
        page = client.ask("metrics/get-history", run_id=run, metric_key=name, max_results=_POINTS_PER_PAGE, **more)
        for metric in page.get("metrics") or ():
            value, *whole = (number(metric.get(what, 0)) for what in ("value", "step", "timestamp"))
            step, time = (int(n) if n is not None and abs(n) < MOST_STEPS else None for n in whole)
            nan = value is not None and math.isnan(value)
            # MLflow keeps no NaN, and the largest number for an infinity.
            kept = 0.0 if nan or value is None else max(-sys.float_info.max, min(sys.float_info.max, value))
            yield name, kept if value is not None else None, step, nan, time, place
            place += 1
        token = page.get("next_page_token") or ""
        if not token:
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
    path.parent.mkdir(parents=True, exist_ok=True)
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
