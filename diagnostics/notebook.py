"""Diagnoses what a person has at hand in Python: a path, a frame, or what was logged itself."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diagnostics.cache import FETCHED, default_folder
from diagnostics.catalogue import here
from diagnostics.choice import choice
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.finding import Report
from diagnostics.logs import TableLog, read
from diagnostics.readers.table import Table, number
from diagnostics.series import RunHistory
from diagnostics.sources import Source, find
from diagnostics.stores.store import EVERYTHING, Store, store_of
from diagnostics.text import visible
from diagnostics.user_map import UserMap, from_arguments, from_file

SOME = 20  # runs that a message lists


def diagnosed(
    log: Any,
    *,
    map: Mapping[str, str] | str | Path | None,
    only: str | Iterable[str],
    ignore: str | Iterable[str],
    run: str | None,
    rules: str | Path | Iterable[str | Path],
) -> Report:
    """The report on one run; see `diagnostics.diagnose`."""
    files = [rules] if isinstance(rules, str | Path) else rules
    judges = here(files, [Path(log)] if isinstance(log, str | Path) else [])
    chosen = choice(_texts(only), _texts(ignore), judges)
    report = diagnose(_runs(log, _map(map), run), judges)
    return report if chosen is None else chosen.of(report)


def _texts(given: str | Iterable[str]) -> Iterable[str]:
    return [given] if isinstance(given, str) else given


def _map(given: Mapping[str, str] | str | Path | None) -> UserMap:
    if given is None:
        return UserMap()
    if isinstance(given, Mapping):
        return from_arguments(f"{name}={means}" for name, means in given.items())
    return from_file(Path(given))


def _runs(log: Any, mine: UserMap, run: str | None) -> list[RunHistory]:
    if isinstance(log, str | Path):
        source = _one(log, run)
        try:
            return read(source, mine)
        except OSError as error:
            raise UserError(f"cannot read {source.name}: {error.strerror}", "See that you may read it.") from None
    table = _table(log)
    if not table.rows:
        raise UserError("there is no number in what was given", "Give a row of numbers for each step.")
    return TableLog(_Read(table), "table", "", mine).histories()


def _one(log: str | Path, run: str | None) -> Source:
    path = Path(log)
    store = store_of(str(log))
    sources = find(path).sources if store is None else _fetched(store, str(log))
    wanted = [s for s in sources if run is None or run in (s.name, s.part)]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(s.name for s in sources[:SOME]) + (", ..." if len(sources) > SOME else "")
    what = f"{log} holds {len(sources)} runs" if run is None else f"{log} holds no run {run!r}"
    raise UserError(what, f"Say which with run=: {names}.")


def _fetched(store: Store, name: str) -> tuple[Source, ...]:
    """The logs that `name` names in a store; they are kept as those that `autotune diagnose` fetches."""
    kept = default_folder(FETCHED) or Path(tempfile.mkdtemp(prefix="autotune-"))
    return store.fetch(name, EVERYTHING, kept, lambda line: print(visible(line), file=sys.stderr)).sources


class _Read:
    """A reader that has read all there is."""

    def __init__(self, table: Table) -> None:
        self.table, self.position = table, 0

    def poll(self) -> bool:
        return False

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


def _table(log: Any) -> Table:
    """What was logged as a table. UserError for what is none."""
    table = Table()
    if isinstance(log, Mapping):
        columns = {str(name): _list(values, str(name)) for name, values in log.items()}
        _add_columns(table, columns)
    elif hasattr(log, "columns"):
        _add_frame(table, log)
    elif isinstance(log, Sequence) and all(isinstance(row, Mapping) for row in log):
        for row in log:
            table.add({str(name): _plain(value) for name, value in row.items()})
        _tell_lost(table, ((str(name), value) for row in log for name, value in row.items()))
    else:
        raise UserError(
            f"cannot diagnose an object of type {type(log).__name__}",
            "Give the path of a log, a DataFrame, a list of dicts, or a dict of lists.",
        )
    return table


def _add_frame(table: Table, frame: Any) -> None:
    """The columns of a frame of pandas or polars, of pandas also its index where that has a name."""
    names = [str(name) for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two columns are called {twice!r}", "Give each a name of its own.")
    columns = {str(name): frame[name].to_list() for name in frame.columns}
    index = getattr(frame, "index", None)
    if index is None:  # polars tells what is missing from what is NaN
        return _add_columns(table, columns)
    if index.name is not None:
        columns = {str(index.name): index.to_list(), **columns}
    blank = 0
    for values in columns.values():
        for i, value in enumerate(values):
            if isinstance(value, float) and math.isnan(value):
                values[i] = None
                blank += 1
    if blank:
        table.notes.append(
            f"NaN, which in pandas also stands for what is not there, is taken as not logged ({blank:,} x)"
        )
    return _add_columns(table, columns)


def _add_columns(table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Add columns to an empty table."""
    for name, values in columns.items():
        for row, value in enumerate(values):
            spelt = number(_plain(value))
            if spelt is not None:
                table.column(name).put(row, spelt)
    table.rows = max((len(values) for values in columns.values()), default=0) if table.columns else 0
    _tell_lost(table, ((name, value) for name, values in columns.items() for value in values))


def _tell_lost(table: Table, given: Iterable[tuple[str, Any]]) -> None:
    """Note the names in `given` that should hold numbers and hold none; texts and what is missing are none."""
    lost = {name for name, value in given if name not in table.columns and not isinstance(value, str | Mapping | None)}
    if lost:
        table.notes.append(f"no number under {', '.join(sorted(lost)[:SOME])}{', ...' if len(lost) > SOME else ''}")


def _list(values: Any, name: str) -> list[Any]:
    """`values` as a list: of numbers, an array, or a series."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UserError(f"{name!r} is no list of numbers", "Give a dict of lists, each as long as the run.")
    return list(values)


def _plain(value: Any) -> Any:
    """A number of numpy or torch as one of Python; also an array or a tensor of just one."""
    return value.item() if hasattr(value, "item") and math.prod(getattr(value, "shape", (0,))) == 1 else value
