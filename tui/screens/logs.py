"""The screen of logs of any format: all of them, the selected one in words, and its curves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.reactive import reactive
from textual.widgets import DataTable, Footer

from diagnostics.finding import Finding, Report
from diagnostics.text import visible
from tui.log_feed import Logs
from tui.log_status import Run, newest, runs
from tui.screens.help import LOG_KEYS, LOG_SIGNS, Help
from tui.screens.panes import Panes
from tui.widgets.about import About
from tui.widgets.curves import Curves
from tui.widgets.log_about import about
from tui.widgets.log_headline import LogHeadline
from tui.widgets.log_plots import plots
from tui.widgets.logs import LogTable

SHORT = 20  # lines; below, the table has few


class LogScreen(Panes):
    """Shows the newest snapshot; all that it knows comes from there. One log that is one run needs no table."""

    PANES = ("logs", "about", "curves")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "Pane"),
        Binding("shift+tab", "pane(-1)", "Pane before", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.leave", "Leave", tooltip="Close the monitor; whatever writes the logs goes on"),
    ]

    snapshot: reactive[Logs | None] = reactive(None, always_update=True)
    selected: reactive[tuple[str, int] | None] = reactive(None)

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._path, self._base = path, f"{path}/"
        self._runs: list[Run] = []
        self._said: tuple[Report | None, str, tuple[Finding, ...]] | None = None

    def compose(self) -> ComposeResult:
        """The panes and the keys."""
        yield LogHeadline(self._path, id="headline")
        with Container(id="panes"):
            yield LogTable(self._base, id="logs")
            yield About(id="about")
            yield Curves(id="curves")
        yield Footer(compact=True)

    def tick(self) -> None:
        """How old everything is by now."""
        for headline in self.query(LogHeadline):  # none in the instant in which the app closes
            headline.show(self.snapshot, self.run, self.clock())
            self.query_one(LogTable).show(self._runs, self.clock())

    @property
    def run(self) -> Run | None:
        """The selected run."""
        return next((run for run in self._runs if run.key == self.selected), None)

    def watch_snapshot(self, new: Logs | None) -> None:
        """Show what is new; the selection follows the run that goes on, as long as it is on it."""
        if new is None or not self.query(LogTable):  # the app is closing
            return
        before, self._runs = self.run, runs(new)
        self.show_panes()
        if self.selected is None:
            self.set_focus(self.query_one(f"#{self.reachable()[0]}"))
        if self._runs and (before is None or self.run is None):
            self._select(newest(self._runs))
        elif before is not None:
            of_log = [run for run in self._runs if run.log.name == before.log.name]
            self._select(of_log[-1] if before.last else before)
        self.tick()
        self._show_run(anew=False)

    def _select(self, run: Run) -> None:
        keys = [known.key for known in self._runs]
        self.query_one(LogTable).choose(keys.index(run.key))
        self.selected = run.key

    def watch_selected(self) -> None:
        """Another run."""
        self._show_run(anew=True)
        self.tick()

    def _show_run(self, *, anew: bool) -> None:
        run = self.run
        if run is None:
            return
        said = run.log.report, run.log.trouble, run.findings
        if anew or said != self._said:  # a long report is laid out again only where it says something new
            self._said = said
            self.query_one(About).show(about(run), "Diagnosis", anew=anew)
        name = run.log.name.removeprefix(self._base)
        segment = f"segment {run.number} of " if len(run.log.segments) > 1 else ""
        self.draw(plots(run), Text(visible(f"Curves of {segment}{name}")), anew=anew)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row < len(self._runs):
            self.selected = self._runs[event.cursor_row].key

    def show_panes(self) -> None:
        """The table, where there is something to choose."""
        alone = len(self._runs) < 2
        table = self.query_one(LogTable)
        self.set_class(alone, "alone")
        self.set_class(self.size.height < SHORT, "short")
        table.display = not alone

    def reachable(self) -> tuple[str, ...]:
        """All panes, without a table of one."""
        return self.PANES[1:] if self.has_class("alone") else self.PANES

    def action_help(self) -> None:
        """All keys and signs."""
        self.app.push_screen(Help(LOG_KEYS, LOG_SIGNS))
