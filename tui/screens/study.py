"""The first screen of a study: trials, the selected one in words and curves, and the log of decisions."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.reactive import reactive
from textual.widgets import DataTable

from diagnostics.text import visible
from studies import words
from studies.record import TrialRecord
from tui.feed import Snapshot
from tui.screens.frame import Frame
from tui.screens.help import STUDY_KEYS, STUDY_SIGNS, Help
from tui.widgets.about import About, about, beginning
from tui.widgets.curves import Curves, plots
from tui.widgets.decisions import Decisions
from tui.widgets.trials import Trials


class StudyScreen(Frame):
    """The trials of a study and what is decided; where it is narrow, the log shares its place with the curves."""

    PANES = ("trials", "about", "curves", "decisions")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "before", "Before", tooltip="Show or hide, in grey, the trial that was changed"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.leave", "Leave", tooltip="Close the monitor; the study goes on"),
    ]

    before: reactive[bool] = reactive(True)

    def __init__(self) -> None:
        super().__init__()
        self._lower = "curves"  # which of the curves and the log is shown where there is room for one

    def body(self) -> ComposeResult:
        """The panes."""
        with Container(id="panes"):
            yield Trials(id="trials")
            yield About(id="about")
            yield Decisions(id="decisions")
            yield Curves(id="curves")

    # ---- what is shown

    @property
    def snapshot(self) -> Snapshot:
        """What is known of the study."""
        return self.watched.source if isinstance(self.watched.source, Snapshot) else Snapshot()

    @property
    def trial(self) -> TrialRecord | None:
        """The selected trial."""
        return self.watched.run.of if self.watched.run and isinstance(self.watched.run.of, TrialRecord) else None

    def display_run(self, *, anew: bool) -> None:
        """The trials, the selected one in words and curves, the log."""
        self.query_one(Decisions).show(self.snapshot)
        self.query_one(Trials).show(self.snapshot)
        if self.watched.run is not None:
            self.query_one(Trials).choose(self.watched.runs.index(self.watched.run))
        self._show_trial(anew=anew)

    def watch_before(self) -> None:
        """With or without the trial before the change."""
        if self.is_mounted:
            self._show_trial(anew=False)

    def _show_trial(self, *, anew: bool) -> None:
        study, run, trial = self.snapshot.study, self.watched.run, self.trial
        if study is None or run is None or trial is None:
            if study and not study.trials:
                self.query_one(About).show(beginning(study), "Study", anew=anew)
            return
        changed = visible(words.change(study, trial))
        self.query_one(About).show(about(self.snapshot, trial), f"Trial {trial.number}: {changed}", anew=anew)
        beneath = self.watched.beneath if self.before else None
        grey = f"  (grey: {beneath.name}, before the change)" if beneath else ""
        curves = self.query_one(Curves)
        curves.border_title = Text(f"Curves of trial {trial.number}{grey}")
        curves.show(plots(run, beneath), anew=anew)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row < len(self.watched.runs):
            self.monitor.select(self.watched.runs[event.cursor_row].key)

    # ---- where things stand

    def show_panes(self) -> None:
        """The curves and the log side by side, or one of them."""
        for name in ("curves", "decisions"):
            self.query_one(f"#{name}").display = not self.has_class("narrow") or name == self._lower

    def turn_to(self, name: str) -> None:
        """Let the pane called `name` have the place that two share."""
        if name in ("curves", "decisions"):
            self._lower = name
            self.show_panes()

    def action_before(self) -> None:
        """Show or hide the trial before the change."""
        self.before = not self.before

    def action_help(self) -> None:
        """All keys and signs."""
        self.app.push_screen(Help(STUDY_KEYS, STUDY_SIGNS))
