"""`trainer_state.json`, which a Trainer of transformers writes whole with each checkpoint and at its end."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.readers.columns import add_rows
from diagnostics.readers.decoding import decoded
from diagnostics.readers.files import files_below
from diagnostics.readers.rows import Row, row
from diagnostics.readers.salvage import salvaged
from diagnostics.readers.table import Numbers, Table

FORMAT = "trainer_state.json of transformers"
STATE_FILE = "trainer_state.json"
NO_ROW = "entries of the log history that are no row"
TORN = "states that are no whole JSON"
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_HISTORY = re.compile(r'"log_history"\s*:\s*\[')
_SETTINGS = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps", "save_steps")
Version = tuple[int, int, int]  # which file, when it was written, how long it is


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run, where a log history begins in the head: the names before it are few."""
    text = decoded(head)
    return ("",) if text.lstrip().startswith("{") and _HISTORY.search(text) else None


def group(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The states `files` of many runs, those of one run together: its checkpoints, and the folder they appear in."""
    runs: dict[Path, list[Path]] = {}
    for file in files:
        runs.setdefault(file.parent.parent if _CHECKPOINT.fullmatch(file.parent.name) else file.parent, []).append(file)
    return [(*states, folder) for folder, states in runs.items()]


def open_log(paths: Sequence[Path], part: str) -> TrainerStateReader:
    """A reader of the newest of the states `paths` of one run; of a folder, of the newest state in it."""
    return TrainerStateReader(paths)


class TrainerStateReader:
    """Reads the newest state, and the next ones when they are written; see `diagnostics.readers.reader.Reader`.

    Each holds the whole history. Of a later one the rows are added that the last did not have: those of a run that was
    resumed from an earlier checkpoint begin where its history parts from the one that is known.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.table = Table()
        self.table.framework = "transformers"
        self.table.step_names = ("step",)
        self._paths = list(paths)
        self._seen: tuple[Path, Version] | None = None
        self._torn: Path | None = None
        self._known: Numbers = np.empty(0)

    @property
    def position(self) -> int:
        """How many bytes the state has that was read last."""
        return self._seen[1][2] if self._seen else 0

    def poll(self) -> bool:
        """Read the newest state where it is not the one that was read last. One that is no JSON is being written."""
        newest = max(self._states(), key=_written_last if self._seen else _longest, default=None)
        if newest is None:
            self._paths[0].stat()  # nothing is there: says why
            return False
        if newest == self._seen:
            return False
        path, self._seen = newest[0], newest
        try:
            state = read_state(path)
        except FileNotFoundError:  # a checkpoint that was rotated away
            return True
        self._torn = path if state is None else None
        if state is not None:
            self._take(state, path)
        return True

    def finish(self) -> None:
        """What can be read of a state that is not whole."""
        if self._torn is not None:
            self.table.lost[TORN] += 1
            try:
                text = decoded(self._torn.read_bytes())
            except FileNotFoundError:
                return
            begin = _HISTORY.search(text)
            rows, bad = salvaged(text, begin.end(), inside=":") if begin else ([], 0)
            self._torn = None
            if bad:
                self.table.lost[NO_ROW] += bad
            self._add(rows)

    def close(self) -> None:
        """Nothing is kept open."""

    def _states(self) -> list[tuple[Path, Version]]:
        files = [_newest_of_run(path) if path.is_dir() else path for path in self._paths]
        return [(file, version) for file in files if file is not None and (version := _version(file)) is not None]

    def _take(self, state: dict[str, Any], path: Path) -> None:
        self.table.settings.update({name: state[name] for name in _SETTINGS if state.get(name) is not None})
        trial = state.get("trial_params")
        if isinstance(trial, dict):
            self.table.settings.update(trial)
        if (path.parent / "adapter_config.json").is_file():  # PEFT writes it beside the state of an adapter
            self.table.settings["peft"] = True
        rows = [entry for entry in state["log_history"] if isinstance(entry, dict)]
        if bad := len(state["log_history"]) - len(rows):
            self.table.lost[NO_ROW] = bad
        self._add(rows)

    def _add(self, rows: list[dict[str, Any]]) -> None:
        # A null is what TRL writes where every value was NaN.
        whole = Table()
        add_rows(whole, rows, null=math.nan)
        sums = _sums(whole)
        n = min(len(sums), len(self._known))
        parted = np.flatnonzero(sums[:n] != self._known[:n])
        same = int(parted[0]) if len(parted) else n
        if len(sums) <= same:  # an older state, or one without new rows
            return
        for name, points in whole.columns.items():
            at, numbers = points.since(0)
            first = int(at.searchsorted(same))
            if first < len(at):
                self.table.column(name).extend(at[first:] - same + self.table.rows, numbers[first:])
        self.table.rows += whole.rows - same
        self.table.texts = whole.texts
        self.table.lost.update(whole.lost - self.table.lost)
        self._known = sums


def _written_last(state: tuple[Path, Version]) -> tuple[int, int]:
    return state[1][1:]


def _longest(state: tuple[Path, Version]) -> int:
    """The first one to read: a history only grows, and when the files of a copy were written says nothing."""
    return state[1][2]


def read_state(path: Path) -> dict[str, Any] | None:
    """The state at `path`, None where it is no JSON or no state; OSError where it cannot be read."""
    try:
        state = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) and isinstance(state.get("log_history"), list) else None


def newest_state(folder: Path, depth: int) -> Path | None:
    """The state below `folder`, at most `depth` folders down, that was written last; None where there is none."""
    found = (path for path in files_below(folder, depth) if path.name == STATE_FILE)
    return max(found, key=_written, default=None)


def _newest_of_run(folder: Path) -> Path | None:
    """The state in `folder` or in one of its checkpoints that was written last; other folders hold other runs."""
    found = [path for path in files_below(folder, 1) if path.name == STATE_FILE and not path.is_symlink()]
    own = [path for path in found if path.parent == folder or _CHECKPOINT.fullmatch(path.parent.name)]
    return max(own, key=_written, default=None)


class TrainerStateTail:
    """Follows the log history of a run from one state to the next; of each, the rows that the last did not have.

    `unreadable` counts states and rows that cannot be read; `max_steps` is 0 until a state says it.
    """

    def __init__(self, *, known: Path | None = None) -> None:
        """What is in the state `known`, of an earlier run, is not told as long as it does not change."""
        self.unreadable = 0
        self.max_steps = 0
        self._seen = _version(known) if known is not None else None
        self._rows = 0

    def poll(self, path: Path, *, ended: bool = False) -> list[Row]:
        """The new rows of the state at `path`, the newest there is.

        One that is no JSON is still being written; once its writer has `ended`, it is unreadable.
        """
        version = _version(path)
        if version is None or version == self._seen:
            return []
        try:
            state = read_state(path)
        except FileNotFoundError:  # a checkpoint that was rotated away
            return []
        if state is None:
            if ended:
                self.unreadable += 1
                self._seen = version
            return []
        self._seen = version
        self.max_steps = _steps(state.get("max_steps")) or self.max_steps
        history = state["log_history"]
        new, self._rows = history[self._rows :], max(self._rows, len(history))
        rows = [row(entry, null=math.nan) if isinstance(entry, dict) else None for entry in new]
        self.unreadable += rows.count(None)
        return [r for r in rows if r is not None]


def _sums(table: Table) -> Numbers:
    """The sum of the finite numbers of each row: tells whether two histories have the same rows."""
    sums = np.zeros(table.rows)
    with np.errstate(over="ignore", invalid="ignore"):
        for points in table.columns.values():
            at, numbers = points.since(0)
            np.add.at(sums, at, np.nan_to_num(numbers))
    return np.nan_to_num(sums)


def _written(path: Path) -> tuple[int, int]:
    """When `path` was written. Two checkpoints within one tick of the clock differ in their length."""
    version = _version(path)
    return version[1:] if version is not None else (0, 0)


def _version(path: Path) -> Version | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _steps(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
