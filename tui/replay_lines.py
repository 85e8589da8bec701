"""Plays what our own trainers and studies wrote: line by line into a folder of its own, each at its time."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import uuid4

from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE, SAMPLES_FILE
from studies.log import STUDY_FILE, TRIALS, is_study
from studies.requests import REQUESTS
from tui.replay import Playback

if TYPE_CHECKING:  # the first paint waits for no numpy
    import numpy as np
    from numpy.typing import NDArray

_TIME = re.compile(rb'"time"\s*:\s*(\d+(?:\.\d+)?)')
_HEAD = 256  # bytes of a line, in which its time stands
_AT_ONCE = 1 << 20  # bytes that are copied at once


@dataclass(frozen=True, slots=True)
class _File:
    """Where lines come from, and where they go."""

    source: Path
    target: Path


class Lines:
    """Writes what the study or the run at `original` wrote into `folder`, as far as `playback` has come.

    Whoever writes a study holds a lock on it: so does this, until all is played. What is `played` and when is seen
    from one thread; the folder may be removed from another.
    """

    def __init__(self, original: Path, playback: Playback) -> None:
        self.folder = Path(tempfile.gettempdir()) / f"autotune-replay-{uuid4().hex}"
        self._original, self._playback = original, playback
        self._lock, self._removed = threading.Lock(), False
        self._files: list[_File] = []
        self._order: NDArray[np.int64] | None = None  # (n,) lines in the order of their times
        self._written = 0  # of them
        self._writer: IO[bytes] | None = None

    def play(self) -> None:
        """Write what is due. OSError where that cannot be done, UserError for a link that leads elsewhere."""
        while self._play():
            pass

    def remove(self) -> None:
        """Write nothing more, and take away what was written."""
        with self._lock:
            self._removed = True
            self._release()
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def _play(self) -> bool:
        """Write about a megabyte of what is due; whether there is more."""
        with self._lock:
            if self._removed:
                return False
            if self._order is None:
                self._begin()
            due = int(self._times.searchsorted(self._playback.moment, "right"))
            self._write(due)
            if self._written == len(self._times) and self._playback.over:
                self._release()
            return self._written < due

    def _begin(self) -> None:
        """Read when each line was written. Nothing of it is kept in memory but where it stands."""
        import numpy as np

        self._files = list(_files(self._original, self.folder))
        tables = [_lines(file.source) for file in self._files]
        times = np.concatenate([times for times, _ in tables] or [np.empty(0)])
        known = times[np.isfinite(times)]
        times[np.isnan(times)] = known.min() if len(known) else 0.0
        self._order = times.argsort(kind="stable")
        self._times = times[self._order]
        self._of = np.concatenate([np.full(len(t), i) for i, (t, _) in enumerate(tables)] or [np.empty(0, np.int64)])
        self._starts = np.concatenate([places[:-1] for _, places in tables] or [np.empty(0, np.int64)])
        self._ends = np.concatenate([places[1:] for _, places in tables] or [np.empty(0, np.int64)])
        self.folder.mkdir(mode=0o700)
        if is_study(self._original):
            self._writer = (self.folder / STUDY_FILE).open("ab")
            fcntl.flock(self._writer, fcntl.LOCK_EX)
        self._playback.begin(self._times)

    def _write(self, due: int) -> None:
        """Write the lines up to the `due`-th, or about a megabyte of them."""
        assert self._order is not None
        left = _AT_ONCE
        while self._written < due and left > 0:
            line = self._order[self._written]
            file, start, end = self._files[self._of[line]], int(self._starts[line]), int(self._ends[line])
            until = self._written + 1
            while until < due and self._order[until] == self._order[until - 1] + 1 and end - start < left:
                if self._of[self._order[until]] != self._of[line]:
                    break
                end = int(self._ends[self._order[until]])
                until += 1
            file.target.parent.mkdir(parents=True, exist_ok=True)
            with file.source.open("rb") as source, file.target.open("ab") as target:
                source.seek(start)
                target.write(source.read(end - start))
            told = float(self._times[until - 1])
            os.utime(file.target, (told, told))
            self._written, left = until, left - (end - start)

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _files(original: Path, folder: Path) -> Iterator[_File]:
    """What is played, the record of a study first."""
    if not original.is_dir():
        yield _File(original, folder / EVENTS_FILE)
        return
    below = [original / name for name in (STUDY_FILE, EVENTS_FILE, SAMPLES_FILE)]
    if is_study(original):
        for trial in sorted((original / TRIALS).glob("*")):
            if trial.name.isdecimal() and not trial.is_symlink():
                below += [trial / EVENTS_FILE, trial / SAMPLES_FILE]
        below += sorted((original / REQUESTS).glob("*.json"))
    inside = original.resolve()
    for path in below:
        if path.is_file():
            if not path.resolve().is_relative_to(inside):
                raise UserError(f"{path} is a link that leads out of its folder", "Give the folder that it leads to.")
            yield _File(path, folder / path.relative_to(original))


def _lines(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """When each line (n,) of a file was written, and the places (n + 1,) at which they begin and end.

    A line that does not say it was written when the one before it was; NaN, where none does. A request says it in its
    name.
    """
    import numpy as np

    times, places = list[float](), [0]
    if path.parent.name == REQUESTS:
        asked = path.name.partition("-")[0]
        return np.array([int(asked) / 1e9 if asked.isdecimal() else np.nan]), np.array([0, path.stat().st_size])
    with path.open("rb") as file:
        for line in file:
            told = _TIME.search(line[:_HEAD])
            times.append(float(told[1]) if told else np.nan)
            places.append(places[-1] + len(line))
    told_at = np.array(times)
    known = np.flatnonzero(np.isfinite(told_at))
    if len(known):
        told_at = told_at[known[np.maximum(known.searchsorted(np.arange(len(times)), "right") - 1, 0)]]
        told_at = np.maximum.accumulate(told_at)
    return told_at, np.array(places)
