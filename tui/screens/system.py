"""How fast the selected run is, what its steps spend their time on, and how busy the machine is."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container

from diagnostics.cost import cost
from diagnostics.metrics import Group, metrics
from diagnostics.text import count, visible
from studies import words
from studies.log import TRIALS
from studies.record import State, TrialRecord
from tui.aside import aside
from tui.feed import Snapshot
from tui.log_status import Run, size
from tui.plots import plots
from tui.screens.frame import Frame
from tui.watched import RunView
from tui.widgets.about import About
from tui.widgets.cost import cost_in_words, seconds
from tui.widgets.curves import Curves
from tui.widgets.logs import middle
from tui.widgets.titles import entitle

CHECKPOINTS = "checkpoints"


class SystemScreen(Frame):
    """What is known of the selected run in words, and the curves that it follows from."""

    PANES = ("cost", "curves")
    DEFAULT_CSS = """
    SystemScreen #system { layout: grid; grid-size: 2 1; grid-columns: 1fr 1fr; grid-rows: 1fr; }
    SystemScreen.narrow #system { grid-size: 1 2; grid-columns: 1fr; grid-rows: 3fr 2fr; }
    SystemScreen #cost, SystemScreen #curves {
        border-top: solid $primary-darken-2; border-title-color: $text-muted; background: $surface;
        scrollbar-size-vertical: 1; overflow-x: hidden;
    }
    SystemScreen #cost:focus, SystemScreen #curves:focus {
        border-top: heavy $accent; border-title-color: $accent; border-title-style: bold;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._disk = "being counted"
        self._usual: float | None = None  # seconds of a step

    def body(self) -> ComposeResult:
        """The panes."""
        with Container(id="system"):
            yield About(id="cost")
            yield Curves(id="curves")

    def on_screen_resume(self) -> None:
        """Checkpoints are counted when a person comes to look, in a thread."""
        if isinstance(self.monitor.watched.source, Snapshot):
            directory = self.monitor.path
            aside(self.monitor, lambda: disk(directory), self._counted)

    def _counted(self, told: str) -> None:
        if told != self._disk:
            self._disk = told
            if self.is_mounted:
                self.display_run(anew=False)

    def display_run(self, *, anew: bool) -> None:
        """What the selected run costs, and the curves that tell it."""
        run = self.watched.run
        if run is None:
            return
        known = cost(run.metrics, run.clock)
        self._usual = known.pace.usual if known.pace else None
        said = cost_in_words(known, self.watched.study, self._disk)
        self.query_one("#cost", About).show(said, self._title(), anew=anew)
        drawn = [plot for plot in plots(run, self.watched.beneath) if _costs(plot.metric)]
        curves = self.query_one(Curves)
        entitle(curves, "Curves" if drawn else "No curves: the log tells nothing of it")
        curves.show(drawn, anew=anew)

    def tick(self) -> None:
        """How long the last step has been."""
        super().tick()
        for pane in self.query("#cost"):
            entitle(pane, self._title())

    def _title(self) -> str:
        run = self.watched.run
        if run is None:
            return ""
        rest = f" costs{self._silence(run)}"
        room = self.query_one("#cost").size.width - len("What ") - len(rest) - 2
        return f"What {middle(visible(run.name), max(12, room))}{rest}"

    def _silence(self, run: RunView) -> str:
        """How old the last word of a run that goes on is."""
        source = self.watched.source
        if isinstance(run.of, TrialRecord):
            goes_on = run.of.state is State.RUNNING and isinstance(source, Snapshot) and source.running
            feed = source.trials.get(run.of.number) if isinstance(source, Snapshot) else None
            last = feed.last_time if feed else 0.0
        else:
            assert isinstance(run.of, Run)
            goes_on, last = run.of.last and not run.of.log.ended, run.of.log.written
        if not goes_on or not last:
            return ""
        usual = f", usually every {seconds(self._usual)}" if self._usual else ""
        return f": last step {words.duration(max(0.0, self.monitor.clock() - last))} ago{usual}"


def _costs(metric: str) -> bool:
    known = metrics().get(metric.partition("[")[0])
    return known is not None and known.group is Group.COST


def disk(study: Path) -> str:
    """What the checkpoints of a study take, in words."""
    total, trials = 0, 0
    try:
        for folder in (study / TRIALS).iterdir():
            files = [file.stat().st_size for file in (folder / CHECKPOINTS).rglob("*") if file.is_file()]
            total, trials = total + sum(files), trials + bool(files)
    except OSError as error:
        return f"checkpoints could not be counted: {error.strerror or error}"
    return f"{size(total)} of checkpoints in {count(trials, 'trial')}" if trials else "no checkpoints"
