"""Reads the folder of a run of ours: `events.jsonl`, as `diagnostics.events` writes it.

The file may come from anywhere: nothing in it is executed, and no path it names is opened.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE, Envelope, KnobChanged, MetricsLogged, Outcome, RunEnded, RunStarted, Tail
from diagnostics.finding import NOT_READ
from diagnostics.metrics import is_metric, settings
from diagnostics.series import MetricSeries, RunHistory, are_bounds
from diagnostics.text import count, times

FORMAT = "events of autotune"


def parts(path: Path, head: bytes) -> Sequence[str] | None:
    """One run, where the first line is an event of any version."""
    try:
        data = json.loads(head.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None
    return ("",) if isinstance(data, dict) and data.keys() >= {"v", "type", "seq", "attempt", "step"} else None


def read(path: Path) -> RunHistory:
    """The run in the folder `path`, or in the event file `path`; what had to be repaired is said in its notes.

    UserError where there is no such file, or it holds no event at all.
    """
    log = RunLog(path)
    try:
        log.poll()
        log.finish()
        return log.histories()[0]
    finally:
        log.close()


class RunLog:
    """Follows the run in the folder `path`, or in the event file `path`. UserError where there is no such file."""

    def __init__(self, path: Path) -> None:
        file = path / EVENTS_FILE if path.is_dir() else path
        if not file.is_file() and (file.exists() or not path.is_dir()):
            raise UserError(f"{file} is no file", f"Give the folder of a run, or its {EVENTS_FILE}.")
        if path.is_dir() and file.is_symlink() and not file.resolve().is_relative_to(path.resolve()):
            raise UserError(f"{file} is a link that leads out of its folder", "Give the file that it leads to.")
        self._path, self._file = path, file
        self._run, self._tail = _Reading(), Tail(file)

    @property
    def ended(self) -> bool:
        """Whether its last attempt has ended."""
        return self._run.has_ended

    @property
    def position(self) -> int:
        """How many bytes of its file have been read, for a person who waits."""
        return self._tail.position

    def poll(self) -> bool:
        """Read all that is new; whether there was anything."""
        before = self._run.events
        for envelope in self._tail.poll():
            self._run.add(envelope)
        return self._run.events > before

    def finish(self) -> None:
        """Nothing more will come. UserError where there were lines, and none was an event."""
        if self._tail.unreadable and not self._run.events:
            raise UserError(f"{self._file} holds no event: {self._tail.last_error}", "Is it the log of another tool?")

    def histories(self) -> list[RunHistory]:
        """The run as far as it is told."""
        if not self._file.exists():
            note = f"{EVENTS_FILE} is not there yet: the run has not begun"
            return [RunHistory({}, source=str(self._path), notes=(note,), format=FORMAT)]
        return [self._run.history(str(self._path), self._tail)]

    def close(self) -> None:
        """Stop reading."""
        self._tail.close()


class _Column:
    """A metric while it is read: steps that increase, and values."""

    __slots__ = ("steps", "values")

    def __init__(self) -> None:
        self.steps, self.values = array("q"), array("d")

    def put(self, step: int, value: float) -> None:
        if self.steps and self.steps[-1] == step:  # logged twice in one step: the later row corrects the earlier
            self.values[-1] = value
        else:
            self.steps.append(step)
            self.values.append(value)

    def cut(self, step: int) -> None:
        """Forget what is at `step` or after it."""
        n = bisect_left(self.steps, step)
        del self.steps[n:], self.values[n:]

    def series(self, name: str) -> MetricSeries:
        """What is there by now."""
        return MetricSeries(name, np.array(self.steps, np.int64), np.array(self.values, np.float64))


class _Reading:
    """What is known of a run after some of its events.

    Where a stretch of rows begins at a step that is there already (a resumed attempt, or steps that went back), it
    supersedes the rows of earlier stretches at that step and after it.
    """

    def __init__(self) -> None:
        self.events = 0
        self._columns: dict[str, _Column] = {}
        self._others: dict[str, _Column] = {}  # of names without a meaning
        self._rows = array("q")  # the step of each row that counts
        self._times = _Column()  # when it was logged, in seconds since 1970
        self._superseded = 0
        self._attempt: int | None = None
        self._attempts = 0
        self._rewinds = 0
        self._stretch = 0
        self._logged_in = -1  # the stretch of the last row
        self._knobs: list[tuple[int, int, str, float]] = []  # stretch, step, knob, value
        self._started: RunStarted | None = None
        self._ended: RunEnded | None = None

    @property
    def has_ended(self) -> bool:
        return self._ended is not None

    def add(self, envelope: Envelope) -> None:
        self.events += 1
        if envelope.attempt != self._attempt:
            self._attempt = envelope.attempt
            self._attempts += 1
            self._stretch += 1
            self._ended = None
        match envelope.event:
            case MetricsLogged() as row:
                self._log(row, envelope.time)
            case RunStarted() as started:
                self._started = started
            case KnobChanged(step, knob, _, after):
                self._knobs.append((self._stretch, step, knob, after))
            case RunEnded() as ended:
                self._ended = ended

    def _log(self, row: MetricsLogged, time: float) -> None:
        if self._logged_in == self._stretch and self._rows and row.step < self._rows[-1]:
            self._rewinds += 1
            self._stretch += 1
        if self._logged_in != self._stretch:
            self._logged_in = self._stretch
            self._supersede(row.step)
        self._rows.append(row.step)
        self._times.put(row.step, time)
        for values, columns in ((row.metrics, self._columns), (row.unmapped, self._others)):
            for name, value in values.items():
                column = columns.get(name)
                if column is None:
                    column = columns[name] = _Column()
                column.put(row.step, value)

    def _supersede(self, step: int) -> None:
        n = bisect_left(self._rows, step)
        if n == len(self._rows):
            return
        self._superseded += len(self._rows) - n
        del self._rows[n:]
        for column in (*self._columns.values(), *self._others.values(), self._times):
            column.cut(step)
        self._knobs = [knob for knob in self._knobs if knob[0] == self._stretch or knob[1] < step]

    def history(self, source: str, tail: Tail) -> RunHistory:
        known = {name: column for name, column in self._columns.items() if is_metric(name) and column.steps}
        unknown = self._others | {name: column for name, column in self._columns.items() if not is_metric(name)}
        start = self._started or RunStarted(0, "autotune", "", {})
        accepted, refused = _accepted(start.settings)
        bounds = start.reward_bounds
        if bounds is not None and not are_bounds(bounds):
            low, high = bounds
            refused.append(
                f"reward bounds {low:g} and {high:g} are left out: not two finite numbers, the lower one first"
            )
            bounds = None
        return RunHistory(
            {name: column.series(name) for name, column in known.items()},
            accepted,
            start.raw_settings,
            tuple(knob[1:] for knob in self._knobs),
            bounds,
            source,
            start.framework,
            tuple(sorted(unknown)),
            (*start.notes, *self._notes(tail), *refused),
            FORMAT,
            others={name: unknown[name].series(name) for name in sorted(unknown) if unknown[name].steps},
            times=self._times.series("time"),
        )

    def _notes(self, tail: Tail) -> list[str]:
        notes = []
        if not self.events:
            notes.append("the log holds no event yet")
        elif self._started is None:
            notes.append("the log does not begin with the start of a run: its settings are not known")
        if self._attempts > 1:
            notes.append(f"the run was resumed: {self._attempts} attempts")
        if self._rewinds:
            notes.append(f"steps went back {times(self._rewinds)} within an attempt")
        if self._superseded:
            notes.append(f"{count(self._superseded, 'row')} superseded by later rows of the same steps")
        if tail.unreadable:
            notes.append(f"{count(tail.unreadable, 'line')} {NOT_READ}; the last: {tail.last_error}")
        if tail.torn:
            notes.append("the last line is incomplete: it is still being written, or its writer was killed")
        match self._ended:
            case None if self.events:
                notes.append("the run has not ended")
            case RunEnded(step, outcome, reason) if outcome is not Outcome.FINISHED:
                notes.append(f"the run {_ENDED[outcome]} at step {step}" + (f": {reason}" if reason else ""))
            case RunEnded(reason=reason) if reason:  # of one that finished: what was left out of its log
                notes.append(reason)
        return notes


_ENDED = {Outcome.STOPPED: "was stopped", Outcome.FAILED: "failed", Outcome.INTERRUPTED: "was interrupted"}


def _accepted(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings that are canonical and can be what they claim, and a note for each other one."""
    accepted, refused = {}, []
    for name, value in given.items():
        if name not in settings():
            refused.append(f"setting {name} is left out: it is not a canonical one")
            continue
        if value is None or settings()[name].accepts(value):
            accepted[name] = value
        else:
            refused.append(f"setting {name} is left out: {value!r} is not {settings()[name].expected}")
    return accepted, refused
