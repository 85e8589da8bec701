"""Samples that wandb keeps beside a run: tables of completions, as TRL logs them, a file for each step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

from diagnostics.events import MOST_STEPS, SamplesLogged
from diagnostics.samples import KEPT, SampledStep, sampled

FOLDER = Path("files", "media", "table")  # below the folder of a run
LARGEST = 64 << 20  # bytes of a file; a larger one is counted as damaged
_NAME = re.compile(r"completions_(\d{1,15})_\w+\.table\.json")
_KNOWN = {
    "step",
    "prompt",
    "completion",
    "advantage",
    "reward",
}  # columns; any other number is that of a reward function


class SampleTables:
    """Finds the tables of completions in the folder of a run, a file at a time; see `SampleFile` for the rest.

    Where a table has the numbers of one reward function that is the reward; what several of them are worth together
    it does not say, and their reward is unknown.
    """

    def __init__(self, run: Path) -> None:
        self.damaged = 0
        self.position = 0
        self._folder = run / FOLDER
        self._looked_at: set[str] = set()
        self._files: dict[int, Path] = {}
        self._known: dict[int, SampledStep] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """Those that have samples, in their order."""
        return tuple(sorted(self._files))

    @property
    def size(self) -> int:
        """Files that there are by now."""
        return sum(1 for _ in self._tables())

    def poll(self) -> bool:
        """Look into the next file; whether there was any. OSError where it cannot be read."""
        new = min(self._tables(self._looked_at), default=None)
        if new is None:
            return False
        self._looked_at.add(new.name)
        self.position += 1
        told = _read(new)
        if told is None:
            self.damaged += 1
        else:
            self._files[told.step] = new
            self._known.pop(told.step, None)
        return True

    def read(self, step: int) -> SampledStep | None:
        """The samples of `step`; None where there are none, or its file is damaged by now."""
        if step not in self._known and step in self._files:
            event = _read(self._files[step])
            if event is None:
                self.damaged += 1
                del self._files[step]
                return None
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[step] = sampled(event)
        return self._known.get(step)

    def close(self) -> None:
        """Nothing is open."""

    def _tables(self, but: Set[str] = frozenset()) -> Iterator[Path]:
        if self._folder.is_symlink() or not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.name not in but and _NAME.fullmatch(path.name) and not path.is_symlink() and path.is_file():
                yield path


def _read(path: Path) -> SamplesLogged | None:
    """The samples in a table; None where it is damaged."""
    if path.stat().st_size > LARGEST:
        return None
    try:
        table = json.loads(path.read_bytes())
        columns = [str(name) for name in table["columns"]]
        rows = [dict(zip(columns, row, strict=True)) for row in table["data"]]
        name = _NAME.fullmatch(path.name)
        step = int(rows[0]["step"]) if rows and "step" in columns else int(name[1]) if name else 0
        if not 0 <= step < MOST_STEPS:
            return None
        return SamplesLogged(step, tuple(_sample(row) for row in rows))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    scores = [value for name, value in row.items() if name not in _KNOWN and isinstance(value, int | float)]
    reward = row.get("reward", scores[0] if len(scores) == 1 else None)
    return {"split": "train", **{name: row[name] for name in _KNOWN & row.keys()}, "reward": reward}
