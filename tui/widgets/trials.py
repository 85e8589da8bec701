"""The table of trials: what each changed, how it stands, its score, its worst finding, its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from diagnostics.finding import Severity
from diagnostics.text import sparkline, visible
from studies import words
from studies.record import State, TrialRecord
from tui import theme
from tui.feed import Snapshot
from tui.widgets.row_table import Row, RowTable

CURVE = 12  # cells
ROOMY = 84  # cells from which on the table has room for the curve


def columns(width: int) -> list[tuple[str, int]]:
    """Names and widths of the columns, a blank behind each included; `changed` takes what is left."""
    fixed = [("state", 15), ("score", 8), ("finding", 8), ("verdict", 10)]
    if width >= ROOMY:
        fixed.insert(1, ("curve", CURVE + 1))
    number = 5
    return [("#", number), ("changed", max(8, width - number - sum(w for _, w in fixed))), *fixed]


def rows(snapshot: Snapshot, width: int) -> Iterator[Row]:
    """A row per trial, as wide as `columns` says."""
    study = snapshot.study
    if study is None:
        return
    best = study.best()
    names = columns(width)
    for trial in study.trials:
        star = trial is best
        cells = [
            Text(f"{trial.number} ★" if star else f"{trial.number}", style=theme.BEST if star else ""),
            Text(visible(words.change(study, trial))),
            _state(trial, snapshot.running),
            Text(_score(trial.value)),
            _worst(trial),
            _verdict(trial),
        ]
        if width >= ROOMY:
            cells.insert(3, Text(sparkline([e.value for e in trial.evaluations], CURVE), style=theme.OWN))
        for cell, (_, room) in zip(cells, names, strict=True):
            cell.truncate(room - 1, overflow="ellipsis")
        yield tuple(cells)


def _score(value: float | None) -> str:
    return f"{value:+.3f}" if value is not None and abs(value) < 1000 else words.number(value)


def _state(trial: TrialRecord, running: bool) -> Text:
    if trial.state is State.RUNNING and not running:
        return Text(f"cut at {trial.steps}/{trial.max_steps}" if trial.max_steps else "cut off", style=theme.BAD)
    return Text(words.outcome(trial), style=theme.STATES[trial.state])


def _worst(trial: TrialRecord) -> Text:
    worst = trial.findings[0] if trial.findings else None
    if worst is None or worst.severity < Severity.WARNING:
        return Text("none", style=theme.FAINT)
    return Text(f"{worst.severity.name[0]} {visible(worst.code)}", style=theme.SEVERITIES[worst.severity])


def _verdict(trial: TrialRecord) -> Text:
    if trial.verdict is None:
        return Text("-", style=theme.FAINT)
    return Text(str(trial.verdict.judgement), style=theme.JUDGEMENTS[trial.verdict.judgement])


class Trials(RowTable):
    """The trials of a study; the highlighted row is the selected trial."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Trial", key_display="↑↓"),
        Binding("up,k", "cursor_up", "Trial before", show=False),
        Binding("enter", "screen.zoom_pane", "Zoom"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = "Trials"
        self._snapshot = Snapshot()

    def show(self, snapshot: Snapshot) -> None:
        """Bring the table up to date; the highlighted row stays."""
        self._snapshot = snapshot
        self.refill()

    def refill(self) -> None:
        """Bring the table up to date for the width that it has."""
        width = self.scrollable_content_region.width
        if width and self._snapshot.study is not None:
            self.fill(columns(width), list(rows(self._snapshot, width)))
