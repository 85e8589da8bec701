"""Reads runs of MLflow's file store (`mlruns/EXPERIMENT/RUN`), MLflow's default before its databases, without MLflow.

A run is a folder: a file for each metric with a line for each number, `time value step`, a file for each parameter,
and what the run is in `meta.yaml`. A name with slashes is a file in folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.events import MOST_STEPS
from diagnostics.readers.columns import MOST_NAMES
from diagnostics.readers.decoding import TextTail
from diagnostics.readers.files import files_below
from diagnostics.readers.mlflow import ENDED, configure, ending, stepped
from diagnostics.readers.scalars import Scalars
from diagnostics.readers.table import Points, Table, number
from diagnostics.readers.wandb_yaml import parsed

FORMAT = "MLflow run folder"
META, METRICS, PARAMS = "meta.yaml", "metrics", "params"

NO_METRIC = "lines that are no number of a metric"
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
_DEEPEST = 8  # folders that a name makes by its slashes
_LONGEST = 1 << 16  # bytes of meta.yaml and of a parameter

_Number = tuple[float, int, int, int, float]  # time, step, the how-manieth of its metric, name, value


def described(folder: Path) -> dict[str, Any] | None:
    """What the run in `folder` is, as its `meta.yaml` says; None where it is none of MLflow's."""
    meta = parsed(_text(folder / META))
    return meta if ("run_id" in meta or "run_uuid" in meta) and "lifecycle_stage" in meta else None


def open_log(paths: Sequence[Path], part: str) -> MlflowFolderReader:
    """A reader of the run in a folder."""
    return MlflowFolderReader(paths[0])


class MlflowFolderReader:
    """Reads a run into a table, and follows it while it is written; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, folder: Path) -> None:
        self.table = Table()
        self._folder = folder
        self._steps = Points()
        self._scalars = Scalars(self.table, self._steps)
        self._metrics: dict[str, _Metric] = {}
        self._status = ""

    @property
    def position(self) -> int:
        """Bytes of metrics that have been read."""
        return sum(metric.text.position for metric in self._metrics.values())

    def poll(self) -> bool:
        """Read the next megabyte of each metric; whether there was anything."""
        self._folder.stat()  # says why, where the run is gone
        self._describe()
        for name, path in _files(self._folder / METRICS):
            if name not in self._metrics and len(self._metrics) < MOST_NAMES:
                self._metrics[name] = _Metric(path)
        read = [metric.read() for metric in self._metrics.values()]
        self._add([metric.lines(text) for metric, text in zip(self._metrics.values(), read, strict=True)])
        return any(read)

    def finish(self) -> None:
        """Read the last lines, whole or torn, and say how the run ended."""
        self._add([metric.rest() for metric in self._metrics.values()])
        self.table.notes[:] = ending(self._status)

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _add(self, lines: Sequence[Sequence[str]]) -> None:
        """Add the numbers in new lines of each metric, in the order in which they were logged."""
        found: list[_Number] = []
        for tag, of_metric in enumerate(lines):
            for place, line in enumerate(of_metric):
                cells = [number(cell) for cell in line.split(" ")]
                if len(cells) == 2:  # as very old versions wrote them, without a step
                    cells.append(0.0)
                time, value, step = cells if len(cells) == 3 else (None, None, None)
                if time is None or value is None or step is None or not abs(step) < MOST_STEPS:
                    self.table.lost[NO_METRIC] += 1
                else:
                    found.append((time, int(step), place, tag, value))
        found.sort(key=lambda one: one[:3])
        _, steps, _, tags, values = zip(*found, strict=True) if found else ((), (), (), (), ())
        names = list(self._metrics)
        self._scalars.add(np.array(steps, np.int64), np.array(tags, np.int64), np.array(values, np.float64), names)
        self.table.steps = stepped(self._steps)

    def _describe(self) -> None:
        configure(self.table, ((name, _text(path).rstrip("\n")) for name, path in _files(self._folder / PARAMS)))
        meta = described(self._folder) or {}
        status = meta.get("status")
        self._status = _STATUS.get(status, "") if isinstance(status, int) else ""
        self.table.ended = self._status in ENDED


class _Metric:
    """The file of one metric, and the line that is not whole yet."""

    def __init__(self, path: Path) -> None:
        self.text = TextTail(path)
        self._torn = ""

    def read(self) -> str:
        """The next megabyte; nothing where the file has gone."""
        try:
            return self.text.read()
        except FileNotFoundError:
            return ""

    def lines(self, text: str) -> list[str]:
        """The lines that are whole by now."""
        *lines, self._torn = (self._torn + text).split("\n")
        return [line.rstrip("\r") for line in lines if line]

    def rest(self) -> list[str]:
        """What is left at the end."""
        return self.lines(self.text.rest() + "\n")


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files below `folder` by the names that they are of."""
    found = [path for path in files_below(folder, _DEEPEST) if path.is_file() and not path.is_symlink()]
    return [(path.relative_to(folder).as_posix(), path) for path in found]


def _text(path: Path) -> str:
    """The beginning of a small file; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""
