"""The top of the screen of logs: where they lie, how many there are, and how the selected one stands."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.widgets import Static

from diagnostics.report.styles import STYLES as SEVERITIES
from diagnostics.text import count, visible
from tui.log_feed import Logs
from tui.log_status import Run, status
from tui.widgets.headline import STYLES
from tui.widgets.logs import middle


def headline(path: Path, logs: Logs | None, run: Run | None, now: float, width: int) -> Text:
    """A line of `width` cells, and what there is to say, which may take more than one."""
    stands = status(run, logs, now)
    worst = run.findings[0] if run and run.findings else None
    right = Text(f"{worst.severity.name} {visible(worst.code)}", style=SEVERITIES[worst.severity]) if worst else Text()
    if logs and len(logs.logs) > 1:
        right = Text(count(len(logs.logs), "log"))
        if logs.others:
            right.append(f", {count(len(logs.others), 'other file')}", style="dim")
    left = Text(middle(visible(str(path)), max(0, width - right.cell_len - 1)), style="bold")
    first = Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)
    second = Text.assemble((f" {stands.phase.upper()} ", STYLES[stands.phase]), " ", visible(stands.text))
    return Text("\n").join([first, second])


class LogHeadline(Static):
    """The top of the screen."""

    def __init__(self, path: Path, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._path = path

    def show(self, logs: Logs | None, run: Run | None, now: float) -> None:
        """Say how it stands at `now`."""
        self.update(headline(self._path, logs, run, now, self.size.width))
