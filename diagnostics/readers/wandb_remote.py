"""Reads runs that were fetched from a server of Weights & Biases (`diagnostics.stores.wandb_run`).

A run is `run.json`, what the server says of it; its history in the files that the server exports, in the order of their
steps; and `rows.jsonl`, the rows that came after these. A row is what was logged at one `_step`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diagnostics.readers import wandb_folder, wandb_parquet
from diagnostics.readers.columns import add_rows
from diagnostics.readers.console import Console
from diagnostics.readers.jsonl import NO_OBJECT, LineTail, objects
from diagnostics.readers.table import Table
from diagnostics.readers.wandb_columns import TYPE

FORMAT = "wandb run of a server"
GOES_ON = {"running", "pending", "preempting"}  # states of a run that has not ended
RUN, ROWS, STEP = "run.json", "rows.jsonl", "_step"
UNREADABLE = "bytes of exports of the history"
_OWN = "_wandb"  # what the SDK keeps in the configuration for itself
_VERSIONS = {"cli_version": "wandb", "huggingface_version": "transformers"}
_TELEMETRY = {"5": "wandb", "6": "transformers"}  # by the number of the field
_NAME, _PATTERN, _STEP_NUMBER = "1", "2", "5"  # fields of a defined metric; its step is the number of one, from 1 on
_ALL = "*"


def parts(path: Path, head: bytes) -> None:
    """None: of what was fetched it is known what it is."""


def open_log(paths: Sequence[Path], part: str) -> RemoteReader:
    """A reader of the run in the files `paths`: `run.json` first, then its exports, then its rows."""
    return RemoteReader(paths)


class RemoteReader:
    """Reads a run that was fetched into a table; see `diagnostics.readers.reader.Reader`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.table = Table()
        self._beside = paths[0]
        self._exports = [path for path in paths[1:] if path.name != ROWS]
        self._rows = next((LineTail(path) for path in paths if path.name == ROWS), None)
        self._read = 0  # bytes of files that were read at once
        self._objects: dict[str, str] = {}  # of the SDK, such as tables and pictures, by name, and their types
        self._notes: list[str] = []
        self._state, self._counted = "", 0  # rows, as the server counts them
        self._begun = False

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._read + (self._rows.text.position if self._rows else 0)

    def poll(self) -> bool:
        """Read the next file, or the next megabyte of the rows."""
        if not self._begun:
            self._begin()
        elif self._exports:
            path = self._exports.pop(0)
            self._read += path.stat().st_size
            if not wandb_parquet.read(path, self.table, self._objects):
                self.table.lost[UNREADABLE] += path.stat().st_size
        else:
            lines = self._rows.poll() if self._rows else None
            if lines is None:
                return False
            self._add(lines)
        return True

    def finish(self) -> None:
        """Read the last row, and say how the run ended and what was not read."""
        table = self.table
        if self._rows:
            self._add(self._rows.finish())
        if not table.rows:
            console = Console(table)
            console.feed(wandb_folder.output_beside(self._beside))
            console.finish()
            if table.rows:
                self._notes.append(f"nothing was logged to wandb: the rows are those of {wandb_folder.OUTPUT}")
        if self._objects:
            kinds = Counter(self._objects.values())
            each = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
            self._notes.append(f"not read, as they are no numbers: {each}")
        if table.ended and self._counted > table.rows:
            self._notes.append(f"wandb counts {self._counted:,} rows of the run, of which {table.rows:,} came")
        if not table.ended:
            self._notes.append(f"wandb says that the run goes on ({self._state}): read is what it had by now")
        elif self._state != "finished":
            self._notes.append(f"wandb says that the run {'was killed' if self._state == 'killed' else self._state}")
        table.notes += self._notes

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _begin(self) -> None:
        self._begun = True
        text = self._beside.read_bytes()
        self._read += len(text)
        about = json.loads(text)
        told, table = about["told"], self.table
        self._notes += about["notes"]
        self._state, self._counted = str(told["state"]), about["rows"]
        table.ended = self._state not in GOES_ON
        config = _config(told["config"])
        own = config.pop(_OWN, None)
        table.settings = config
        if isinstance(own, dict):
            versions = {package: own.get(name) for name, package in _VERSIONS.items()}
            telemetry = own.get("t")
            if isinstance(telemetry, dict):
                versions |= {package: telemetry[n] for n, package in _TELEMETRY.items() if n in telemetry}
            table.packages |= {package: version for package, version in versions.items() if isinstance(version, str)}
            table.step_names = _step_names(own.get("m"))
        table.packages |= wandb_folder.packages_beside(self._beside)

    def _add(self, lines: list[str]) -> None:
        rows, bad = objects(lines)
        for row in rows:
            for name in [name for name, value in row.items() if isinstance(value, dict) and TYPE in value]:
                self._objects.setdefault(name, str(row.pop(name)[TYPE]))
        add_rows(self.table, rows)
        if bad:
            self.table.lost[NO_OBJECT] += bad


def _config(text: Any) -> dict[str, Any]:
    """The configuration in JSON as the server has it, where each value stands in an object with what it means."""
    try:
        entries = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    if not isinstance(entries, dict):
        return {}
    wrapped = {name for name, entry in entries.items() if isinstance(entry, dict) and "value" in entry}
    return {name: entry["value"] if name in wrapped else entry for name, entry in entries.items()}


def _step_names(metrics: Any) -> tuple[str, ...]:
    """The step that all metrics go by, as `define_metric` said; none, where some go by another one."""
    metrics = [metric for metric in metrics if isinstance(metric, dict)] if isinstance(metrics, list) else []
    steps = {}
    for metric in metrics:
        n = metric.get(_STEP_NUMBER)
        step = metrics[n - 1].get(_NAME) if isinstance(n, int) and 0 < n <= len(metrics) else None
        if isinstance(step, str):  # a dot that is part of a name stands behind a backslash
            steps[metric.get(_PATTERN) or metric.get(_NAME)] = step.replace("\\.", ".")
    found = {steps[_ALL]} if _ALL in steps else set(steps.values())
    return tuple(found) if len(found) == 1 else ()
