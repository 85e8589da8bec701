"""What anyone's script logs in its folder: which file it is, and its rows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from autotune.launch.other_log import OtherLog, Unknown
from autotune.launch.warm import LOG_FILE
from diagnostics.events import EVENTS_FILE, SAMPLES_FILE
from diagnostics.readers.files import files_below
from diagnostics.readers.jsonl import JsonlTail
from diagnostics.readers.rows import STEP_KEYS, Row
from diagnostics.readers.trainer_state import STATE_FILE, TrainerStateTail, newest_state
from diagnostics.vocabulary import Vocabulary, vocabulary
from studies.trial import CONFIG_FILE

DEPTH = 3  # folders below the trial's: runs/name/checkpoint-10
SCAN_SECONDS = 1.0
SOME = 8  # names that a message lists
READS = (
    f"{EVENTS_FILE} of AutotuneCallback, {STATE_FILE}, a .jsonl file with one object per line that has a step "
    f"({', '.join(STEP_KEYS)}), run files of wandb, TensorBoard's event files, CSV, and rows that it prints"
)
_OURS = {EVENTS_FILE, SAMPLES_FILE, CONFIG_FILE, LOG_FILE}


class _Log(Protocol):
    """A log in one format."""

    path: Path

    @property
    def framework(self) -> Vocabulary | None: ...

    def poll(self, *, ended: bool) -> list[Row]: ...

    def max_steps(self) -> int: ...

    def notes(self) -> list[str]: ...


class ScriptLog:
    """Follows the log of a script: the file `given`, else the first in `folder` that shows a row.

    Of several that appear at once a `trainer_state.json` is preferred, then JSONL. What lies there when this is made
    was written by an earlier attempt and is passed over as long as it does not change. What the script prints is its
    log where it wrote no other.
    """

    def __init__(self, folder: Path, given: Path | None) -> None:
        self._folder, self._given = folder, given
        self._log: _Log | None = None
        self._jsonl = {path: _Jsonl(path, earlier=path.stat()) for path in self._lines()}
        self._state = _State(self._where(), known=newest_state(self._where(), DEPTH))
        self._earlier = {path: _stamp(path) for path in self._others()}
        self._unknown, self._other = Unknown(), dict[Path, OtherLog]()
        self._printed_before = (folder / LOG_FILE).exists()
        self._scanned = 0.0

    @property
    def framework(self) -> Vocabulary | None:
        """The framework that the format of the log tells, None where it tells none."""
        return self._log.framework if self._log else None

    @property
    def path(self) -> Path | None:
        """The file that is followed, None before one has shown a row."""
        return self._log.path if self._log else None

    @property
    def max_steps(self) -> int:
        """The steps that the run will take, 0 where the log does not say."""
        return self._log.max_steps() if self._log else 0

    def poll(self, *, ended: bool = False) -> list[Row]:
        """The next rows, of at most a megabyte; none where nothing is new. `ended` says that its writer has."""
        if self._log is not None:
            return self._log.poll(ended=ended)
        if not ended and time.monotonic() < self._scanned + SCAN_SECONDS:
            return []
        self._scanned = time.monotonic()
        for log in self._candidates(ended):
            rows = log.poll(ended=ended)
            if rows:
                self._log = log
                return rows
        return []

    def notes(self) -> list[str]:
        """What was left out, once the script has ended."""
        if self._log is None:
            return []
        logs = [*self._lines(), *self._other]
        others = [self._name(path) for path in logs if path != self._log.path]
        also = [f"{self._name(self._log.path)} is followed, not {', '.join(others)}: --log chooses"] if others else []
        return self._log.notes() + also

    def what_it_wrote(self) -> str:
        """The files in its folder, and what is wrong with those that could have been its log."""
        files = [self._name(path) for path in files_below(self._folder, DEPTH) if path.name not in _OURS]
        if not files:
            return "it wrote no file in {dir}"
        many = "1 file" if len(files) == 1 else f"{len(files)} files"
        some = f"it wrote {many}: {', '.join(files[:SOME])}{', ...' if len(files) > SOME else ''}"
        return "; ".join([some, *(note for log in self._candidates(ended=True) for note in log.notes())])

    def _candidates(self, ended: bool) -> Iterator[_Log]:
        yield self._state
        for path in self._lines():
            yield self._jsonl.setdefault(path, _Jsonl(path))
        printed = [self._folder / LOG_FILE] if ended and not (self._printed_before or self._given) else []
        new = [path for path in self._others() if _stamp(path) != self._earlier.get(path)]
        for path in [*new, *printed]:
            if path not in self._other and (log := self._unknown.log_in(path)) is not None:
                self._other[path] = log
            if path in self._other:
                yield self._other[path]

    def _where(self) -> Path:
        """The folder that is searched for a `trainer_state.json`."""
        if self._given is None:
            return self._folder
        return self._given.parent if self._given.name == STATE_FILE else self._given

    def _lines(self) -> list[Path]:
        """The files that may be JSONL."""
        if self._given is not None and not self._given.is_dir():
            return [self._given] if self._given.is_file() and self._given.name != STATE_FILE else []
        files = files_below(self._where(), DEPTH)
        return [path for path in files if path.suffix == ".jsonl" and path.name not in _OURS and path.is_file()]

    def _others(self) -> list[Path]:
        """The files that may be logs of other formats."""
        if self._given is not None and not self._given.is_dir():
            return [self._given] if self._given.is_file() and self._given.name != STATE_FILE else []
        mine = {*_OURS, STATE_FILE}
        files = [
            path for path in files_below(self._where(), DEPTH) if path.name not in mine and path.suffix != ".jsonl"
        ]
        return [path for path in files if path.is_file() and not path.is_symlink()]

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._folder)) if path.is_relative_to(self._folder) else str(path)


class _Jsonl:
    def __init__(self, path: Path, earlier: os.stat_result | None = None) -> None:
        self.path, self._earlier, self._anything = path, earlier, False
        self._tail = JsonlTail(path, since=earlier.st_size if earlier else 0)

    @property
    def framework(self) -> None:
        return None

    def poll(self, *, ended: bool) -> list[Row]:
        rows = self._tail.poll(ended=ended)
        self._anything = self._anything or bool(rows)
        if ended and not self._anything and self._earlier and self.path.stat().st_mtime_ns != self._earlier.st_mtime_ns:
            # Begun anew and written faster than it was looked at: the same run over again is as long as before.
            self._earlier, self._tail = None, JsonlTail(self.path)
            return self.poll(ended=ended)
        return rows

    def max_steps(self) -> int:
        return 0

    def notes(self) -> list[str]:
        name, tail = self.path.name, self._tail
        notes = [f"{_lines(tail.unreadable)} of {name} could not be read"] if tail.unreadable else []
        return notes + ([f"{_lines(tail.stepless)} of {name} had no step or no number"] if tail.stepless else [])


class _State:
    def __init__(self, folder: Path, known: Path | None) -> None:
        self.path, self._folder, self._tail = folder / STATE_FILE, folder, TrainerStateTail(known=known)
        self._scanned = 0.0

    @property
    def framework(self) -> Vocabulary:
        return vocabulary("transformers")

    def poll(self, *, ended: bool) -> list[Row]:
        if not ended and time.monotonic() < self._scanned + SCAN_SECONDS:
            return []
        self._scanned = time.monotonic()
        newest = newest_state(self._folder, DEPTH)
        if newest is None:
            return []
        self.path = newest
        return self._tail.poll(newest, ended=ended)

    def max_steps(self) -> int:
        return self._tail.max_steps

    def notes(self) -> list[str]:
        n = self._tail.unreadable
        return [f"{n} {'entry' if n == 1 else 'entries'} of {STATE_FILE} could not be read"] if n else []


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when the file does; None where it is gone."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _lines(n: int) -> str:
    return "1 line" if n == 1 else f"{n} lines"
