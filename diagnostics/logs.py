"""Logs of any format, read whole or followed: each holds one or more runs, under canonical names."""

from __future__ import annotations

import importlib
from typing import Protocol

import numpy as np

from diagnostics.assembly import COUNTED, EPOCH_NAMES, FORMAT, STEP_NAMES, Assembly, Segment
from diagnostics.finding import NOT_READ
from diagnostics.naming import Meaning, Naming, settle
from diagnostics.readers import events
from diagnostics.readers.reader import Reader
from diagnostics.readers.table import Table, flat
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.sources import Source
from diagnostics.user_map import UserMap

UNKNOWN = "unknown"  # the framework of a log that shows none
# Names under which logs say when a row was logged, in seconds, the best first.
TIME_NAMES = ("_timestamp", "timestamp", "wall_time", "_runtime", "time/time_elapsed")


class Log(Protocol):
    """A log that may grow."""

    def poll(self) -> bool:
        """Read what is new, some megabytes at most; whether there was anything. OSError where it cannot be read."""

    def finish(self) -> None:
        """Nothing more will come: what is torn at the end is read as far as it goes."""

    def histories(self) -> list[RunHistory]:
        """The runs in it so far, in their order: one, or more where its steps begin anew."""

    @property
    def ended(self) -> bool:
        """Whether the log says that its run is over."""

    @property
    def position(self) -> int:
        """How many bytes of its files have been read, for a person who waits."""

    def close(self) -> None:
        """Stop reading."""


def open_log(source: Source, mine: UserMap | None = None) -> Log:
    """The log at `source`; `mine` is what a person says its names mean. OSError, UserError where it cannot be read."""
    if source.format == "events":
        return events.RunLog(source.paths[0])
    module = importlib.import_module(f"diagnostics.readers.{source.format}")
    return TableLog(module.open_log(source.paths, source.part), module.FORMAT, source.name, mine)


def read(source: Source, mine: UserMap | None = None) -> list[RunHistory]:
    """The runs in a log that is read once, as it stands. OSError, UserError where it cannot be read."""
    log = open_log(source, mine)
    try:
        while log.poll():
            pass
        log.finish()
        return log.histories()
    finally:
        log.close()


class TableLog:
    """A log of another tool, called `source`: a table of numbers, and what they mean."""

    def __init__(self, reader: Reader, format: str, source: str, mine: UserMap | None) -> None:
        self._reader, self._format, self._source, self._mine = reader, format, source, mine
        self._assembly = Assembly(self._reader.table)
        self._naming = Naming()
        self._settled: object = None  # what the naming was settled on

    @property
    def ended(self) -> bool:
        """Whether the log says that its run is over."""
        return self._reader.table.ended

    @property
    def position(self) -> int:
        """Bytes that were read."""
        return self._reader.position

    def poll(self) -> bool:
        """Read what is new, some megabytes at most; whether there was anything. OSError where it cannot be read."""
        return self._reader.poll()

    def finish(self) -> None:
        """Nothing more will come: what is torn at the end is read as far as it goes."""
        self._reader.finish()

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def histories(self) -> list[RunHistory]:
        """The runs in it so far, in their order."""
        naming, assembly = self._names(), self._assembly
        assembly.update(naming.steps)
        return [self._history(segment, number) for number, segment in enumerate(assembly.segments, 1)]

    def _names(self) -> Naming:
        table = self._reader.table
        settings = repr(list(flat(table.settings)))
        known = (len(table.columns), table.framework, tuple(table.packages.items()), settings)
        if known != self._settled:
            self._settled = known
            self._naming = settle(
                list(table.columns),
                settings=table.settings,
                packages=table.packages,
                framework=table.framework,
                mine=UserMap(table.meant) | (self._mine or UserMap()),
            )
        return self._naming

    def _history(self, segment: Segment, number: int) -> RunHistory:
        naming = self._naming
        series = {}
        for name, meaning in naming.metrics.items():
            points = _series(segment, name, meaning)
            if points is not None:
                series[meaning.metric] = points
        unmapped = tuple(sorted(name for name in naming.unmapped if name != self._assembly.axis))
        return RunHistory(
            series,
            naming.settings,
            dict(flat(self._reader.table.settings)),
            source=self._source,
            framework=naming.framework or UNKNOWN,
            unmapped=unmapped,
            notes=tuple(self._notes()),
            format=self._format,
            version=naming.version,
            recognised=naming.recognised,
            names={meaning.metric: name for name, meaning in naming.metrics.items() if meaning.metric in series},
            others={
                name: MetricSeries(name, *segment.columns[name].since(0))
                for name in unmapped
                if name in segment.columns
            },
            segment=number,
            went_back=segment.went_back,
            times=_times(segment),
        )

    def _notes(self) -> list[str]:
        table, axis = self._reader.table, self._assembly.axis
        notes = [*self._naming.notes]
        if axis == COUNTED and table.rows:
            step = next((n for n in table.columns if n.lower() in STEP_NAMES and n not in EPOCH_NAMES), None)
            why = f"{step} does not number the rows" if step else "no step was logged"
            notes.append(f"{why}: rows are counted, from 0 on")
        elif axis not in (FORMAT, COUNTED, "step"):
            notes.append(f"the step is {axis}")
        if self._assembly.counted_on:
            notes.append(f"{axis} begins anew with each epoch: it is counted on through all of them")
        return [*notes, *lost(table), *self._assembly.notes, *table.notes]


def _series(segment: Segment, name: str, meaning: Meaning) -> MetricSeries | None:
    """The points of one name as its metric, None where there are none."""
    points = segment.columns.get(name)
    if points is None:
        return None
    steps, values = points.since(0)
    if not meaning.zeros:  # until something else comes, it was not measured
        first = int(np.argmax(values != 0)) if values.any() else len(values)
        steps, values = steps[first:], values[first:]
    return MetricSeries(meaning.metric, steps, meaning.of(values)) if len(steps) else None


def _times(segment: Segment) -> MetricSeries | None:
    """The seconds at which steps were logged; None where no column says it."""
    for name in TIME_NAMES:
        points = segment.columns.get(name)
        if points is not None and np.isfinite(points.since(0)[1]).all():
            return MetricSeries(name, *points.since(0))
    return None


def lost(table: Table) -> list[str]:
    """What could not be read of a log, a note for each kind of it."""
    return [f"{NOT_READ}: {n:,} {_one(what) if n == 1 else what}" for what, n in table.lost.items()]


def _one(many: str) -> str:
    """The words for many of a thing as those for one: "lines that are no JSON" as "line that is no JSON"."""
    things, rest = many.partition(" ")[::2]
    one = {"entries": "entry", "bytes": "byte"}.get(things, things.removesuffix("s"))
    return f"{one} {rest.replace('that are ', 'that is ', 1).replace('that were ', 'that was ', 1)}".rstrip()
