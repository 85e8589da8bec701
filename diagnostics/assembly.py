"""From the rows of a log to the points of its runs: which column is the step, and what to do where steps go back.

Steps that go back mean one of three things, told apart column by column, since each has a cadence of its own:

- rows that came late: no step of the column comes twice. They are sorted in.
- a run that was resumed from a checkpoint: steps come again, from somewhere in the middle on. The later rows supersede
  the earlier ones from that step on.
- another run: steps come again from where the run began. A new segment begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from diagnostics.events import MOST_STEPS
from diagnostics.readers.table import Numbers, Points, Rows, Table
from diagnostics.text import count, times

# What logs of no known framework call their step; compared in lower case, the first that is there and counts.
STEP_NAMES = (
    "step", "global_step", "train/global_step", "trainer/global_step", "training/global_step", "train/step", "_step",
    "steps", "current_steps", "global_steps", "iteration", "iter", "iterations", "update", "updates", "timestep",
    "timesteps", "total_timesteps", "time/total_timesteps", "train_step", "training_step", "episode", "episodes",
    "epoch",
)  # fmt: skip
EPOCH_NAMES = ("epoch", "Epoch", "train/epoch")
FORMAT, COUNTED = "<format>", "<counted>"  # the step that the format gives each number, and the number of the row
LATE = 3  # points of a column that may come late together; more of them are a run that was resumed
WINDOW = 100  # points that are looked back at, so that a log whose steps are noise costs no more than its length


@dataclass(slots=True)
class Segment:
    """One run of a log: points by the names in the log, steps strictly increasing.

    `went_back` are the last step before it and its first, None for the first segment.
    """

    went_back: tuple[int, int] | None = None
    columns: dict[str, Points] = field(default_factory=dict)


class Assembly:
    """The segments of a table that may grow.

    What only adds to the end of the last segment is added; anything else has all of it made anew.
    """

    def __init__(self, table: Table) -> None:
        self.segments: list[Segment] = [Segment()]
        self.axis = ""
        self.counted_on = False  # whether the steps of the log begin anew with each epoch
        self.notes: list[str] = []
        self._table = table
        self._taken: dict[str, int] = {}

    def update(self, framework_steps: Sequence[str] = ()) -> None:
        """Take in what is new; `framework_steps` are the names of the step in the framework that wrote the log."""
        axis = choose_axis(self._table, framework_steps)
        if axis != self.axis or not self._append():
            self.axis = axis
            self._rebuild()

    def _append(self) -> bool:
        """Add what is new to the last segment; whether its steps only went on."""
        segment, known = self.segments[-1], None
        for name, column in self._table.columns.items():
            taken = self._taken.get(name, 0)
            if taken == len(column) or name == self.axis:
                continue
            rows, values = column.since(taken)
            known = known or self._known()
            steps = _steps(rows, *known)
            grown = segment.columns.get(name)
            before = int(grown.since(len(grown) - 1)[0][0]) if grown else -1
            if steps[0] <= before or bool((np.diff(steps) <= 0).any()):
                return False
            if grown is None:
                grown = segment.columns[name] = Points()
            grown.extend(steps, values)
            self._taken[name] = len(column)
        return True

    def _known(self) -> tuple[Rows, Numbers]:
        """The rows (n,) that have a step, and the steps (n,)."""
        if self.axis == COUNTED:
            return np.arange(self._table.rows), np.arange(self._table.rows, dtype=np.float64)
        column = self._table.steps if self.axis == FORMAT else self._table.columns[self.axis]
        assert column is not None
        at, values = column.since(0)
        valid = _whole(values)
        if not valid.all():
            at, values = at[valid], values[valid]
        counted = _counted_on(at, values, self._table.columns)
        self.counted_on = counted is not values
        return at, counted

    def _rebuild(self) -> None:
        columns, known = {}, self._known()
        for name, column in self._table.columns.items():
            if name != self.axis:
                rows, values = column.since(0)
                columns[name] = _Column(rows, _steps(rows, *known), values)
        stretches = _stretches(columns.values())
        starts = [i for i, stretch in enumerate(stretches) if stretch.anew]
        repaired = _Repaired(resumed=len(stretches) - len(starts))
        self.segments = []
        for start, end in pairwise([*starts, len(stretches)]):
            first = stretches[start]
            until = stretches[end].row if end < len(stretches) else self._table.rows
            segment = Segment((first.before, first.step) if start else None)
            for name, logged in columns.items():
                steps, values = _repair(logged.between(first.row, until), stretches[start:end], repaired)
                if len(steps):
                    segment.columns[name] = points = Points()
                    points.extend(steps, values)
            self.segments.append(segment)
        self._taken = {name: len(column) for name, column in self._table.columns.items()}
        self.notes = repaired.notes()


@dataclass(frozen=True, slots=True)
class _Column:
    """Points of one name in the order in which they were logged: rows (n,), steps (n,), values (n,)."""

    rows: Rows
    steps: Rows
    values: Numbers

    def between(self, first: int, until: int) -> _Column:
        """Those of the rows from `first` (inclusive) to `until` (exclusive)."""
        a, b = self.rows.searchsorted([first, until])
        return _Column(self.rows[a:b], self.steps[a:b], self.values[a:b])


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows from `row` on whose steps go on from `step`; the last step before was `before`."""

    row: int
    step: int
    before: int
    anew: bool


@dataclass(slots=True)
class _Repaired:
    """What had to be repaired."""

    resumed: int
    superseded: set[int] = field(default_factory=set)  # rows
    late: set[int] = field(default_factory=set)  # rows
    corrected: int = 0

    def notes(self) -> list[str]:
        notes = []
        if self.resumed:
            notes.append(f"the run was resumed {times(self.resumed)}: its steps went back into its middle")
        if self.superseded:
            notes.append(f"{count(len(self.superseded), 'row')} superseded by later rows of the same steps")
        if self.late:
            notes.append(f"{count(len(self.late), 'row')} logged out of order, and sorted by step")
        if self.corrected:
            notes.append(f"{count(self.corrected, 'number')} logged again in the same step: the later one counts")
        return notes


def _stretches(columns: Iterable[_Column]) -> list[_Stretch]:
    """Where steps went back, in the order of the rows, however many columns show it; the first begins the log."""
    found = [_Stretch(0, 0, -1, True)]
    began = 0  # the row at which the current segment began
    backwards = [(int(c.rows[i]), int(i), c) for c in columns for i in np.flatnonzero(np.diff(c.steps) < 0) + 1]
    for row, i, column in sorted(backwards, key=lambda entry: entry[0]):
        if column.rows[i - 1] < found[-1].row:
            continue  # it went back in another column already
        start = max(int(column.rows.searchsorted(found[-1].row)), i - WINDOW)
        highest = column.steps[start:i].max()
        ahead = np.flatnonzero(column.steps[i : i + LATE + 1] > highest)
        behind = slice(i, i + int(ahead[0])) if len(ahead) else slice(i, i + LATE + 1)
        if len(column.steps[behind]) <= LATE and not _told_otherwise(column, slice(start, i), behind):
            continue
        early = np.unique(column.steps[column.rows.searchsorted(began) :][:WINDOW])
        anew = bool(column.steps[i] <= early[:2][-1])
        found.append(_Stretch(row, int(column.steps[i]), int(highest), anew))
        began = row if anew else began
    return found


def _told_otherwise(column: _Column, earlier: slice, later: slice) -> bool:
    """Whether a step comes again with another value; an epoch that is logged again with late rows tells nothing."""
    before = dict(zip(column.steps[earlier].tolist(), column.values[earlier].tolist(), strict=True))
    again = zip(column.steps[later].tolist(), column.values[later].tolist(), strict=True)
    return any(step in before and value != before[step] for step, value in again)


def _repair(column: _Column, stretches: Sequence[_Stretch], repaired: _Repaired) -> tuple[Rows, Numbers]:
    """The points of one segment, their steps strictly increasing: superseded ones left out, late ones sorted in."""
    steps, values = column.steps, column.values
    if len(stretches) > 1:
        later = np.minimum.accumulate([stretch.step for stretch in stretches[:0:-1]])[
            ::-1
        ]  # the lowest step from i+1 on
        at = np.searchsorted([stretch.row for stretch in stretches[1:]], column.rows, side="right")
        kept = steps < np.append(later, MOST_STEPS)[at]
        repaired.superseded.update(column.rows[~kept].tolist())
        column = _Column(column.rows[kept], steps[kept], values[kept])
        steps, values = column.steps, column.values
    if bool((np.diff(steps) < 0).any()):
        repaired.late.update(column.rows[steps < np.maximum.accumulate(steps)].tolist())
        order = steps.argsort(kind="stable")
        steps, values = steps[order], values[order]
    again = np.flatnonzero(np.diff(steps) == 0)
    if len(again):
        same = (values[again] == values[again + 1]) | (np.isnan(values[again]) & np.isnan(values[again + 1]))
        repaired.corrected += int((~same).sum())
        steps, values = np.delete(steps, again), np.delete(values, again)
    return steps, values


def choose_axis(table: Table, framework_steps: Sequence[str] = ()) -> str:
    """The column that holds the step: what the format says, then the framework, then a usual name; else rows count."""
    said = next((name for name in table.step_names if _counts(table.columns.get(name))), None)
    if said is not None:
        return said
    if table.steps is not None:
        return FORMAT
    longest = max((len(column) for column in table.columns.values()), default=0)
    lower: dict[str, str] = {}
    for name in table.columns:
        lower.setdefault(name.lower(), name)
    for wanted in (*framework_steps, *STEP_NAMES):
        found = wanted if wanted in table.columns else lower.get(wanted.lower(), "")
        column = table.columns.get(found)
        # One that most rows lack, such as that of evaluations, would put many rows at the same step.
        if column is not None and 2 * len(column) >= longest and _counts(column):
            return found
    return COUNTED


def _steps(rows: Rows, at: Rows, steps: Numbers) -> Rows:
    """The step of each of `rows` (n,), where the rows `at` (m,) have `steps` (m,).

    Where a row has none it is the last one known, the first one at the beginning.
    """
    if len(at) == len(rows) and np.array_equal(at, rows):
        return steps.astype(np.int64)
    index = at.searchsorted(rows, side="right") - 1
    return steps[np.maximum(index, 0)].astype(np.int64)


def _counted_on(rows: Rows, steps: Numbers, columns: Mapping[str, Points]) -> Numbers:
    """Steps (n,) in `rows` (n,) that begin anew with each epoch, counted on through all epochs; others as they are."""
    back = np.flatnonzero(np.diff(steps) < 0) + 1
    epochs = next((columns[name] for name in EPOCH_NAMES if name in columns), None)
    if epochs is None or not len(epochs) or not len(back):
        return steps
    at, values = epochs.since(0)
    epoch = values[np.maximum(at.searchsorted(rows, side="right") - 1, 0)]
    if not _whole(epoch).all():  # a share of the way, beside a step of the whole run
        return steps
    added = np.zeros(len(steps))
    of_epoch = {float(epoch[0]): 0.0}
    offset, since = 0.0, 0
    for i in back.tolist():
        added[since:i] = offset
        if epoch[i] > epoch[i - 1]:
            offset += steps[i - 1] - steps[i] + 1
            of_epoch[float(epoch[i])] = offset
        else:  # resumed in an epoch that was there before, or another run
            offset = of_epoch.get(float(epoch[i]), 0.0)
        since = i
    added[since:] = offset
    return np.asarray(steps + added)


def _counts(column: Points | None) -> bool:
    """Whether a column can be the step: whole numbers from 0 on that do not stand still."""
    if column is None or not len(column):
        return False
    values = column.since(0)[1]
    valid = _whole(values)
    if valid.sum() < 0.9 * len(values):
        return False
    return len(values) == 1 or bool(np.count_nonzero(np.diff(values[valid])) > len(values) / 4)


def _whole(values: Numbers) -> NDArray[np.bool_]:
    """Which of `values` can be a step."""
    with np.errstate(invalid="ignore"):
        whole: NDArray[np.bool_] = (values >= 0) & (values < MOST_STEPS) & (values == np.floor(values))
    return whole
