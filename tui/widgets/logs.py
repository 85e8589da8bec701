"""The table of logs: how far each is, the worst that was found, when it was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.binding import Binding, BindingType

from diagnostics.text import sparkline, visible
from tui import theme
from tui.log_status import Run, brief
from tui.plots import rank
from tui.widgets.row_table import Column, Row, RowTable, cut

NEXT = "  ↳ segment "  # of a log whose steps begin anew
STEP, FINDING, NAMED, WRITTEN, CURVE = 10, 13, 30, 19, 13  # cells
# Cells from which on there is room for when it was written, for the name of a finding, for a curve.
WITH_WRITTEN, WITH_NAME, WITH_CURVE = 60, 84, 104


def columns(width: int) -> list[Column]:
    """Names and widths of the columns; `log` takes what is left."""
    fixed = [("finding", NAMED if width >= WITH_NAME else FINDING), ("step", STEP)]
    if width >= WITH_CURVE:
        fixed.append(("curve", CURVE))
    if width >= WITH_WRITTEN:
        fixed.append(("written", WRITTEN))
    return [("log", max(8, width - sum(cells for _, cells in fixed))), *fixed]


def row(run: Run, base: str, now: float, wanted: Sequence[Column], drawn: str) -> Row:
    """The cells of a run under the columns `wanted`; names begin behind `base`, the path that all share."""
    cells = []
    for name, room in wanted:
        match name:
            case "log":
                shown = f"{NEXT}{run.number}" if run.number > 1 else visible(run.log.name.removeprefix(base))
                cell = Text(middle(shown, room - 1))
            case "finding":
                cell = _worst(run, named=room >= NAMED)
            case "step":
                cell = Text(str(run.segment.last) if run.segment and run.segment.last >= 0 else "-")
            case "curve":
                cell = Text(drawn, style=theme.OWN)
            case _:
                cell = _written(run, now)
        cells.append(cut(cell, room - 1))
    return tuple(cells)


def sketch(run: Run) -> str:
    """The curve that a person looks at first, in a few cells."""
    metrics = run.segment.metrics if run.segment else {}
    drawn = (metric for metric in metrics if metrics[metric].values)
    first = min(drawn, key=lambda metric: rank(metric, ()), default=None)
    return sparkline(metrics[first].values, CURVE - 1) if first else ""


def middle(text: str, cells: int) -> str:
    """`text` on at most `cells` cells, without its middle where it is longer: names of runs differ at either end."""
    if cell_len(text) <= cells:
        return text
    front = max(0, cells - 1) // 3
    back = text[::-1]
    return f"{set_cell_size(text, front)}…{set_cell_size(back, max(0, cells - 1 - front))[::-1]}"


def _worst(run: Run, *, named: bool) -> Text:
    worst = run.findings[0] if run.findings else None
    if worst is not None:
        name = f" {visible(worst.name)}" if named else ""
        more = f" +{len(run.findings) - 1}" if len(run.findings) > 1 else ""
        told = f"{worst.severity.name[0]} {visible(worst.code)}{name}{more}"
        return Text(told, style=theme.SEVERITIES[worst.severity])
    if run.log.report is None:
        return Text("-", style=theme.FAINT)
    return Text("none", style=theme.GOOD) if run.log.report.judged else Text("unchecked", style=theme.DOUBTFUL)


def _written(run: Run, now: float) -> Text:
    """How it stands; one of which lines could not be read is told by a mark."""
    damaged = bool(run.log.report and run.log.report.unread)
    cell = Text.assemble(("! ", theme.WARNING) if damaged else "", brief(run, now))
    if run.log.trouble:
        cell.stylize(f"bold {theme.BAD}")
    return cell


class LogTable(RowTable):
    """All runs; the highlighted row is the selected one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Log", key_display="↑↓"),
        Binding("up,k", "cursor_up", "Log before", show=False),
        Binding("enter", "app.turn('run')", "Open", tooltip="The curves of the selected run"),
    ]

    def __init__(self, base: str, *, id: str) -> None:
        super().__init__(id=id)
        self.border_title = "Logs"
        self._base = base
        self._runs: Sequence[Run] = ()
        self._now = 0.0
        self._sketches: dict[tuple[str, int], tuple[object, str]] = {}  # of the curves as they were then

    def show(self, runs: Sequence[Run], now: float) -> None:
        """Bring the table up to date; the highlighted row stays."""
        self._runs, self._now = runs, now
        self.refill()

    def refill(self) -> None:
        """Bring the table up to date for the width that it has."""
        width = self.scrollable_content_region.width
        if width:
            wanted = columns(width)
            rows = [row(run, self._base, self._now, wanted, self._sketch(run)) for run in self._runs]
            self.fill(wanted, rows)

    def _sketch(self, run: Run) -> str:
        """Drawn once for each change of the curves."""
        known = self._sketches.get(run.key)
        if known is None or known[0] is not run.segment:
            known = self._sketches[run.key] = run.segment, sketch(run)
        return known[1]
