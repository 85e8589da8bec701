"""The first screen of logs of any format: all of them, the selected one in words, and its curves."""

from __future__ import annotations

from contextlib import suppress

from textual.app import ComposeResult
from textual.containers import Container
from textual.css.query import NoMatches

from diagnostics.finding import Finding, Report
from diagnostics.text import visible
from tui.log_status import Run
from tui.plots import plots
from tui.screens.stacked import Stacked
from tui.widgets.about import About
from tui.widgets.curves import Curves
from tui.widgets.log_about import about
from tui.widgets.logs import LogTable
from tui.widgets.titles import entitle


class LogScreen(Stacked):
    """One log that is one run needs no table."""

    PANES = ("logs", "about", "curves")
    BENEATH = ("about", "curves")

    def __init__(self) -> None:
        super().__init__()
        self._said: tuple[Report | None, str, tuple[Finding, ...]] | None = None

    def body(self) -> ComposeResult:
        """The panes."""
        yield LogTable(f"{self.monitor.path}/", id="logs")
        with Container(id="beneath"):
            yield About(id="about")
            yield Curves(id="curves")

    @property
    def _runs(self) -> list[Run]:
        return [run.of for run in self.watched.runs if isinstance(run.of, Run)]

    def tick(self) -> None:
        """How old everything is by now."""
        super().tick()
        with suppress(NoMatches):  # the app is closing
            self.query_one("#logs", LogTable).show(self._runs, self.monitor.clock())

    def display_run(self, *, anew: bool) -> None:
        """The selected run in words and curves."""
        self.show_panes()
        run = self.watched.run
        if run is None or not isinstance(run.of, Run):
            return
        if self.focused is None or self.focused.id not in self.reachable():
            self.set_focus(self.query_one(f"#{self.reachable()[0]}"))
        self.query_one(LogTable).choose(self.watched.runs.index(run))
        said = run.of.log.report, run.of.log.trouble, run.findings
        if anew or said != self._said:  # a long report is laid out again only where it says something new
            self._said = said
            self.query_one(About).show(about(run.of), "Diagnosis", anew=anew)
        curves = self.query_one(Curves)
        entitle(curves, visible(f"Curves of {run.name.replace(f'{self.monitor.path}/', '', 1)}"))
        curves.show(plots(run, self.watched.beneath), anew=anew)

    def show_panes(self) -> None:
        """The table, where there is something to choose."""
        alone = len(self.watched.runs) < 2
        self.set_class(alone, "alone")
        self.query_one(LogTable).display = not alone
        super().show_panes()

    def reachable(self) -> tuple[str, ...]:
        """All panes, without a table of one."""
        return self.PANES[1:] if self.has_class("alone") else self.PANES
