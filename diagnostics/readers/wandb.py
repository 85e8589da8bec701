"""Reads the `.wandb` files that the SDK of Weights & Biases writes, of all versions from 0.12 on, without the SDK.

A row is a history record, whatever its `_step`. A run that was resumed has a file for each time; they are read as one
log, in the order in which they were begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diagnostics.readers import wandb_folder
from diagnostics.readers import wandb_records as records
from diagnostics.readers.console import Console
from diagnostics.readers.table import Table
from diagnostics.readers.wandb_frames import Frames, begins
from diagnostics.readers.wandb_history import History
from diagnostics.readers.wandb_records import Config, Kind, Names, Start
from diagnostics.readers.wandb_system import System

FORMAT = "wandb run file"

_CHUNK = 1 << 22  # bytes
_ALL = "*"
_VERSIONS = {"cli_version": "wandb", "huggingface_version": "transformers"}
_OWN = "_wandb"  # what the SDK keeps in the configuration for itself
_MOST_OUTPUT = 1 << 24  # characters
_MOST_NAMES, _LONGEST_NAME = 5, 60  # in a note
DAMAGED = "bytes of damaged records"
TORN = "bytes of a last record that was never finished"
UNREADABLE = "records that are damaged inside"


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run, where `head` begins as run files do."""
    return ("",) if begins(head) else None


def group(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The runs that run files hold; those of one that was resumed together, copies once (`wandb_folder.runs`)."""
    return wandb_folder.runs(files)


def open_log(paths: Sequence[Path], part: str) -> WandbReader:
    """A reader of the run in the files `paths`, in the order in which they were begun."""
    return WandbReader(paths)


class WandbReader:
    """Reads run files into a table. `exit_code` is None as long as the last of them does not tell it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.table = Table()
        self.exit_code: int | None = None
        self._paths = list(paths)
        self._at = 0  # the file that is read
        self._position = 0  # in the file
        self._behind = 0  # bytes of the files before it
        self._frames = Frames()
        self._damaged = 0  # bytes of it that were counted
        self._history = History(self.table)
        self._system = System(self.table)
        self._steps: dict[str, str] = {}  # step metrics, by the names they are the steps of
        self._starts: list[Start] = []
        self._output: list[str] = []
        self._output_size = 0
        for path in paths:
            self.table.packages.update(wandb_folder.packages_beside(path))

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._behind + self._position

    def poll(self) -> bool:
        """Read some megabytes of the first file that has any; whether there was anything."""
        while True:
            with self._paths[self._at].open("rb") as file:
                file.seek(self._position)
                chunk = file.read(_CHUNK)
            if chunk:
                self._position += len(chunk)
                self._take(self._frames.feed(chunk))
                return True
            if self._at == len(self._paths) - 1:
                return False
            self._end_file()
            self._behind += self._position
            self._at, self._position, self._damaged = self._at + 1, 0, 0
            self._frames = Frames()
            self.exit_code, self.table.ended = None, False

    def finish(self) -> None:
        """Read what stands behind damage at the end, and say how the run ended and what was not read."""
        self._end_file()
        table = self.table
        if not table.settings:
            table.settings = wandb_folder.settings_beside(self._paths[-1])
            if table.settings:
                table.notes.append(f"the settings are those in {wandb_folder.CONFIG}: the run file has none")
        if not table.rows:
            self._read_output()
        table.notes += [*self._origin(), *self._left_out(), *self._ending()]

    def close(self) -> None:
        """Nothing is kept open between two polls."""

    def _take(self, found: Sequence[bytes]) -> None:
        rows = []
        for record in found:
            try:
                kind, data = records.opened(record)
                if kind is Kind.HISTORY:
                    rows.append(data)
                elif kind is Kind.STATS:
                    self._system.put(data, self.table.rows + len(rows) - 1)
                elif kind is not Kind.OTHER:
                    self._other(kind, data)
            except ValueError:
                self._lose(UNREADABLE, 1)
        self.table.step_names = self._step_names()
        self._history.put(rows)
        if self.table.rows:
            self._output.clear()
        self._lose(DAMAGED, self._frames.damaged - self._damaged)
        self._damaged = self._frames.damaged

    def _other(self, kind: Kind, data: bytes) -> None:
        match kind:
            case Kind.RUN:
                start = records.start(data)
                self._starts.append(start)
                self.table.packages.update(start.packages)
                self._configure(start.config)
            case Kind.CONFIG:
                self._configure(records.config(data))
            case Kind.TELEMETRY:
                self.table.packages.update(records.packages(data))
            case Kind.METRIC:
                defined, step = records.step_metric(data)
                if step:
                    self._steps[defined] = step
            case Kind.EXIT:
                self.exit_code, self.table.ended = records.exit_code(data), True
            case Kind.OUTPUT | Kind.OUTPUT_RAW if not self.table.rows and self._output_size < _MOST_OUTPUT:
                self._output.append(records.output(data))
                self._output_size += len(self._output[-1])

    def _configure(self, config: Config) -> None:
        for names, value in config.update:
            if names[0] == _OWN:
                for name, package in _VERSIONS.items():
                    version = value.get(name) if isinstance(value, dict) else value if names[1:] == (name,) else None
                    if isinstance(version, str):
                        self.table.packages[package] = version
                continue
            inner = _below(self.table.settings, names[:-1])
            inner[names[-1]] = value
        for names in config.remove:
            _below(self.table.settings, names[:-1]).pop(names[-1], None)

    def _step_names(self) -> tuple[str, ...]:
        """The step of all metrics; none, where training and evaluation each have their own."""
        steps = {self._steps[_ALL]} if _ALL in self._steps else set(self._steps.values())
        return tuple(steps) if len(steps) == 1 else ()

    def _end_file(self) -> None:
        self._take(self._frames.finish())
        self._lose(TORN, self._frames.torn)

    def _read_output(self) -> None:
        """Take the rows from what the run wrote to its console."""
        where = "output records" if self._output else wandb_folder.OUTPUT
        console = Console(self.table)
        console.feed("".join(self._output) or wandb_folder.output_beside(self._paths[-1]))
        console.finish()
        if self.table.rows:
            self.table.notes.append(f"nothing was logged to wandb: the rows are those of the console ({where})")

    def _lose(self, what: str, count: int) -> None:
        if count:
            self.table.lost[what] += count

    def _origin(self) -> list[str]:
        """Where the rows come from, if not from one run that was begun once."""
        notes = []
        if len(self._paths) > 1:
            notes.append(f"{len(self._paths)} files were read as one: the run was resumed")
        first = self._starts[0] if self._starts else Start()
        if first.branched is not None and first.branched[0] != first.run_id:
            run, step = first.branched
            notes.append(f"forked from run {run} at step {step:g}: what was before is in that run")
        elif first.starting_step > 0:
            notes.append(f"resumed at step {first.starting_step}: what was before is in another file")
        return notes

    def _left_out(self) -> list[str]:
        history = self._history
        notes = []
        if history.objects:
            kinds = Counter(history.objects.values())
            each = [f"{n} {kind}" for kind, n in sorted(kinds.items())]
            notes.append(f"not read, as they are no numbers: {_listed(each)}")
        if blank := history.blank:
            notes.append(f"no number under {_listed(blank)}: flags, blanks or lists")
        if renamed := history.columns.renamed:
            notes.append(f"names that also arise by joining others: {_listed(renamed)}")
        return notes

    def _ending(self) -> list[str]:
        if not self.table.ended:
            return ["the run file has no exit record: the run was killed, or still goes on"]
        return [f"the run exited with code {self.exit_code}"] if self.exit_code else []


def _below(settings: dict[str, Any], names: Names) -> dict[str, Any]:
    """The settings below `names`, made where they are not there yet."""
    for name in names:
        inner = settings.get(name)
        if not isinstance(inner, dict):
            inner = settings[name] = {}
        settings = inner
    return settings


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(name[:_LONGEST_NAME] for name in names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
