"""Follows `trainer_state.json`, which a Trainer of transformers writes whole with each checkpoint and at its end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from diagnostics.readers.files import files_below
from diagnostics.readers.rows import Row, row

STATE_FILE = "trainer_state.json"
Version = tuple[int, int, int]  # which file, when it was written, how long it is


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
            state = json.loads(path.read_bytes())
            history = list(state["log_history"])
        except FileNotFoundError:  # a checkpoint that was rotated away
            return []
        except (ValueError, RecursionError, KeyError, TypeError):
            if ended:
                self.unreadable += 1
                self._seen = version
            return []
        self._seen = version
        self.max_steps = _steps(state.get("max_steps")) or self.max_steps
        new, self._rows = history[self._rows :], max(self._rows, len(history))
        # A null is what TRL writes where every value was NaN.
        rows = [row(entry, null=math.nan) if isinstance(entry, dict) else None for entry in new]
        self.unreadable += rows.count(None)
        return [r for r in rows if r is not None]


def newest_state(folder: Path, depth: int) -> Path | None:
    """The state below `folder`, at most `depth` folders down, that was written last; None where there is none."""
    found = (path for path in files_below(folder, depth) if path.name == STATE_FILE)
    return max(found, key=_written, default=None)


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
