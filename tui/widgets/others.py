"""The table of runs that the selected one can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from diagnostics.text import visible
from studies import words
from studies.record import StudyRecord, TrialRecord
from tui import theme
from tui.watched import RunView, Watched
from tui.widgets.logs import middle
from tui.widgets.row_table import Column, Row, RowTable

NAME, STEP, FINDING, WHY = 10, 7, 11, 13  # cells


def others(watched: Watched) -> list[RunView]:
    """All runs but the selected one."""
    return [run for run in watched.runs if run.key != watched.selected]


class Others(RowTable):
    """The highlighted row is the run that is compared with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Compare with", key_display="↑↓", tooltip="Compare with another run"),
        Binding("up,k", "cursor_up", "The run above", show=False, tooltip="Compare with the run above"),
        Binding("enter", "select_cursor", "This one", show=False, tooltip="Compare with this one"),
    ]

    def __init__(self, base: str, *, id: str) -> None:
        super().__init__(id=id)
        self._base = base  # the path that the names of all logs begin with
        self._watched = Watched()

    def show(self, watched: Watched) -> None:
        """Bring the table up to date."""
        self._watched = watched
        self.refill()
        if watched.compared is not None:
            self.choose(others(watched).index(watched.compared))

    def refill(self) -> None:
        """Bring the table up to date for the width that it has."""
        width = self.scrollable_content_region.width
        if width:
            wanted = columns(width, study=self._watched.study is not None)
            self.fill(wanted, [row(self._watched, run, self._base, wanted) for run in others(self._watched)])


def columns(width: int, *, study: bool) -> list[Column]:
    """Names and widths of the columns; of a study what was changed takes what is left, else the name."""
    rest = max(8, width - STEP - FINDING - WHY)
    if not study:
        return [("compared with", rest), ("step", STEP), ("finding", FINDING), ("", WHY)]
    return [("with", NAME), ("changed", max(8, rest - NAME)), ("step", STEP), ("finding", FINDING), ("", WHY)]


def row(watched: Watched, run: RunView, base: str, wanted: Sequence[Column]) -> Row:
    """The cells of a run, as wide as `wanted`; names begin behind `base`."""
    worst = run.findings[0] if run.findings else None
    finding = (
        Text(f"{worst.severity.name[0]} {visible(worst.code)}", theme.SEVERITIES[worst.severity])
        if worst
        else Text("none", theme.FAINT)
    )
    cells = [
        Text(middle(visible(run.name.replace(base, "", 1)), wanted[0][1] - 1)),
        Text(_step(run)),
        finding,
        Text(_why(watched, run), theme.CHANGED),
    ]
    if watched.study is not None and isinstance(run.of, TrialRecord):
        cells.insert(1, Text(_changed(watched.study, run.of)))
    for cell, (_, room) in zip(cells, wanted, strict=True):
        cell.truncate(room - 1, overflow="ellipsis")
    return tuple(cells)


def _changed(study: StudyRecord, trial: TrialRecord) -> str:
    return visible(words.change(study, trial))


def _step(run: RunView) -> str:
    if isinstance(run.of, TrialRecord):
        return str(run.of.steps)
    return str(run.of.segment.last) if run.of.segment and run.of.segment.last >= 0 else "-"


def _why(watched: Watched, run: RunView) -> str:
    """Why it is the one that is compared with, in a word."""
    if watched.run is None:
        return ""
    if run.key == watched.baseline:
        return "◉ marked"
    return "changed from" if run.key == watched.run.parent else ""
