"""The table of logs: how far each is, the worst that was found, when it was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.binding import Binding, BindingType

from diagnostics.text import visible
from tui import theme
from tui.log_status import Run, brief
from tui.widgets.row_table import Column, Row, RowTable

NEXT = "  ↳ segment "  # of a log whose steps begin anew
STEP, FINDING, WRITTEN = 10, 13, 15  # cells


def columns(width: int) -> list[Column]:
    """Names and widths of the columns; `log` takes what is left, and where that is little, `written` goes."""
    fixed = [("step", STEP), ("finding", FINDING), ("written", WRITTEN)]
    if width < 60:
        fixed.pop()
    return [("log", max(8, width - sum(cells for _, cells in fixed))), *fixed]


def row(run: Run, base: str, now: float, width: int) -> Row:
    """The cells of a run, as wide as `columns` says; names begin behind `base`, the path that all share."""
    wanted = columns(width)
    name = f"{NEXT}{run.number}" if run.number > 1 else visible(run.log.name.removeprefix(base))
    step = str(run.segment.last) if run.segment and run.segment.last >= 0 else "-"
    cells = [Text(middle(name, wanted[0][1] - 1)), Text(step), _worst(run), Text(brief(run, now))]
    if run.log.trouble:
        cells[3].stylize(f"bold {theme.BAD}")
    for cell, (_, room) in zip(cells, wanted, strict=False):
        cell.truncate(room - 1, overflow="ellipsis")
    return tuple(cells[: len(wanted)])


def middle(text: str, cells: int) -> str:
    """`text` on at most `cells` cells, without its middle where it is longer: names of runs differ at either end."""
    if cell_len(text) <= cells:
        return text
    front = max(0, cells - 1) // 3
    back = text[::-1]
    return f"{set_cell_size(text, front)}…{set_cell_size(back, max(0, cells - 1 - front))[::-1]}"


def _worst(run: Run) -> Text:
    worst = run.findings[0] if run.findings else None
    if worst is not None:
        more = f" +{len(run.findings) - 1}" if len(run.findings) > 1 else ""
        return Text(f"{worst.severity.name[0]} {visible(worst.code)}{more}", style=theme.SEVERITIES[worst.severity])
    if run.log.report is None:
        return Text("-", style=theme.FAINT)
    return Text("none", style=theme.FAINT) if run.log.report.judged else Text("unchecked", style=theme.DOUBTFUL)


class LogTable(RowTable):
    """All runs; the highlighted row is the selected one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Log", key_display="↑↓"),
        Binding("up,k", "cursor_up", "Log before", show=False),
        Binding("enter", "screen.zoom_pane", "Zoom"),
    ]

    def __init__(self, base: str, *, id: str) -> None:
        super().__init__(id=id)
        self._base = base
        self._runs: Sequence[Run] = ()
        self._now = 0.0

    def show(self, runs: Sequence[Run], now: float) -> None:
        """Bring the table up to date; the highlighted row stays."""
        self._runs, self._now = runs, now
        self.refill()

    def refill(self) -> None:
        """Bring the table up to date for the width that it has."""
        width = self.scrollable_content_region.width
        if width:
            self.fill(columns(width), [row(run, self._base, self._now, width) for run in self._runs])
