"""The table of trials: what each changed, how it stands, its score, its worst finding, its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from diagnostics.finding import Severity
from diagnostics.report.styles import STYLES
from diagnostics.text import sparkline, visible
from studies import words
from studies.record import Judgement, State, TrialRecord
from tui.feed import Snapshot

STATES = {State.RUNNING: "bold cyan", State.COMPLETE: "green", State.PRUNED: "yellow", State.FAILED: "red"}
JUDGEMENTS = {Judgement.CONFIRMED: "bold green", Judgement.REFUTED: "bold red", Judgement.UNDECIDED: "yellow"}
CURVE, CURVE_STYLE = 12, "#5fafff"  # cells
ROOMY = 84  # cells from which on the table has room for the curve

Row = tuple[Text, ...]


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
            Text(f"{trial.number} ★" if star else f"{trial.number}", style="bold green" if star else ""),
            Text(visible(words.change(study, trial))),
            _state(trial, snapshot.running),
            Text(_score(trial.value)),
            _worst(trial),
            _verdict(trial),
        ]
        if width >= ROOMY:
            cells.insert(3, Text(sparkline([e.value for e in trial.evaluations], CURVE), style=CURVE_STYLE))
        for cell, (_, room) in zip(cells, names, strict=True):
            cell.truncate(room - 1, overflow="ellipsis")
        yield tuple(cells)


def _score(value: float | None) -> str:
    return f"{value:+.3f}" if value is not None and abs(value) < 1000 else words.number(value)


def _state(trial: TrialRecord, running: bool) -> Text:
    if trial.state is State.RUNNING and not running:
        return Text(f"cut at {trial.steps}/{trial.max_steps}" if trial.max_steps else "cut off", style="red")
    return Text(words.outcome(trial), style=STATES[trial.state])


def _worst(trial: TrialRecord) -> Text:
    worst = trial.findings[0] if trial.findings else None
    if worst is None or worst.severity < Severity.WARNING:
        return Text("none", style="dim")
    return Text(f"{worst.severity.name[0]} {visible(worst.code)}", style=STYLES[worst.severity])


def _verdict(trial: TrialRecord) -> Text:
    if trial.verdict is None:
        return Text("-", style="dim")
    return Text(str(trial.verdict.judgement), style=JUDGEMENTS[trial.verdict.judgement])


class Trials(DataTable[Text]):
    """The trials of a study; the highlighted row is the selected trial."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Trial", key_display="↑↓"),
        Binding("up,k", "cursor_up", "Trial before", show=False),
        Binding("enter", "screen.zoom_pane", "Zoom"),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0, zebra_stripes=False)
        self.border_title = "Trials"
        self._snapshot = Snapshot()
        self._shown: list[Row] = []
        self._columns: list[tuple[str, int]] = []
        self._chosen = 0

    def show(self, snapshot: Snapshot) -> None:
        """Bring the table up to date; the highlighted row stays."""
        self._snapshot = snapshot
        width = self.scrollable_content_region.width
        if snapshot.study is None or not width:
            return
        new = list(rows(snapshot, width))
        wanted = columns(width)
        with self.prevent(DataTable.RowHighlighted):
            if wanted != self._columns or len(new) < len(self._shown):
                self.clear(columns=True)
                self._columns, self._shown = wanted, []
                for name, cells in wanted:
                    self.add_column(Text(name), width=cells, key=name)
            self._fill(new)
            if self.cursor_row != self._chosen:
                self.move_cursor(row=self._chosen)

    def choose(self, row: int) -> None:
        """Highlight the row of that index, now or as soon as it is there."""
        self._chosen = row
        with self.prevent(DataTable.RowHighlighted):
            self.move_cursor(row=row)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        self._chosen = event.cursor_row

    def _fill(self, new: list[Row]) -> None:
        for i, row in enumerate(new):
            if i >= len(self._shown):
                self.add_row(*row, key=str(i))
                continue
            for (name, _), cell, old in zip(self._columns, row, self._shown[i], strict=True):
                if (cell.plain, cell.style) != (old.plain, old.style):
                    self.update_cell(str(i), name, cell)
        self._shown = new

    def on_resize(self, event: events.Resize) -> None:
        """The widths of the columns follow that of the table."""
        self.call_after_refresh(lambda: self.show(self._snapshot))
