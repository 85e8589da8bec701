"""A script's log in any other format that `autotune diagnose` reads: wandb, TensorBoard, CSV, what it prints, ..."""

from __future__ import annotations

import importlib
from pathlib import Path

from diagnostics.assembly import Assembly
from diagnostics.logs import lost
from diagnostics.readers.reader import Reader
from diagnostics.readers.rows import Row
from diagnostics.sources import Source, in_file
from diagnostics.vocabulary import Vocabulary, vocabulary

FOLLOWED_OTHERWISE = {"events", "jsonl", "trainer_state"}


class OtherLog:
    """Follows one log; rows are told once, those of a run that began after the last one told included."""

    def __init__(self, source: Source) -> None:
        self.path = source.paths[0]
        module = importlib.import_module(f"diagnostics.readers.{source.format}")
        self._reader: Reader = module.open_log(source.paths, source.part)
        self._assembly = Assembly(self._reader.table)
        self._segments = 0
        self._told: dict[str, int] = {}  # points of each name

    @property
    def framework(self) -> Vocabulary | None:
        """The framework that the format tells, None where it tells none."""
        told = self._reader.table.framework
        return vocabulary(told) if told else None

    def poll(self, *, ended: bool) -> list[Row]:
        """The rows of the next megabytes that have any; none where nothing is new."""
        while self._reader.poll():
            if rows := self._rows():
                return rows
        if ended:
            self._reader.finish()
        return self._rows()

    def max_steps(self) -> int:
        """Such logs do not say."""
        return 0

    def notes(self) -> list[str]:
        """What could not be read."""
        return [f"{self.path.name}: {note}" for note in lost(self._reader.table)]

    def _rows(self) -> list[Row]:
        self._assembly.update()
        if len(self._assembly.segments) != self._segments:
            self._segments, self._told = len(self._assembly.segments), {}
        rows: dict[int, dict[str, float]] = {}
        for name, points in self._assembly.segments[-1].columns.items():
            steps, values = points.since(min(self._told.get(name, 0), len(points)))
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                rows.setdefault(step, {})[name] = value
            self._told[name] = len(points)
        return [Row(step, rows[step]) for step in sorted(rows)]


class Unknown:
    """Files that may become logs of another format: each is looked at again only when it has changed."""

    def __init__(self) -> None:
        self._seen: dict[Path, int] = {}  # how long a file was that was no log

    def log_in(self, path: Path) -> OtherLog | None:
        """The log in `path`, None where it holds none that is followed as one of these."""
        try:
            size = path.stat().st_size
            if self._seen.get(path) == size:
                return None
            self._seen[path] = size
            sources = in_file(path)
        except OSError:  # gone by now, or not for us
            return None
        if not sources or sources[0].format in FOLLOWED_OTHERWISE:
            return None
        return OtherLog(sources[0])
