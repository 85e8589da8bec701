"""The one screen of a study: trials, the selected one in words and curves, and the log of decisions."""

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

from diagnostics.text import visible
from studies import words
from studies.record import State, TrialRecord
from studies.requests import Action
from tui.feed import Feed, Snapshot
from tui.screens.confirm import Confirm
from tui.screens.help import STUDY_KEYS, STUDY_SIGNS, Help
from tui.screens.panes import Panes
from tui.widgets.about import About, about, beginning
from tui.widgets.curves import Curves, plots
from tui.widgets.decisions import Decisions
from tui.widgets.headline import Headline
from tui.widgets.trials import Trials


class MonitorScreen(Panes):
    """Shows the newest snapshot; all that it knows comes from there.

    Where it is narrow, the log shares its place with the curves.
    """

    PANES = ("trials", "about", "curves", "decisions")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "Pane"),
        Binding("shift+tab", "pane(-1)", "Pane before", show=False),
        Binding("b", "before", "Before", tooltip="Show or hide, in grey, the trial that was changed"),
        Binding("s", "stop_study", "Stop study", tooltip="Ask the study to end after the running steps"),
        Binding("x", "stop_trial", "Stop trial", tooltip="Ask the selected trial to end after its step"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "app.leave", "Leave", tooltip="Close the monitor; the study goes on"),
    ]

    snapshot: reactive[Snapshot | None] = reactive(None, always_update=True)
    selected: reactive[int | None] = reactive(None)
    before: reactive[bool] = reactive(True)

    def __init__(self, directory: Path, feed: Feed, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._directory, self._feed = directory, feed
        self._lower = "curves"  # which of the curves and the log is shown where there is room for one

    def compose(self) -> ComposeResult:
        """The panes and the keys."""
        yield Headline(self._directory, id="headline")
        with Container(id="panes"):
            yield Trials(id="trials")
            yield About(id="about")
            yield Decisions(id="decisions")
            yield Curves(id="curves")
        yield Footer(compact=True)

    def tick(self) -> None:
        """How the study stands by now."""
        for headline in self.query(Headline):  # none in the instant in which the app closes
            headline.show(self.snapshot, self.clock())

    # ---- what is shown

    @property
    def trial(self) -> TrialRecord | None:
        """The selected trial."""
        study = self.snapshot.study if self.snapshot else None
        return study.trial(self.selected) if study else None

    def watch_snapshot(self, old: Snapshot | None, new: Snapshot | None) -> None:
        """Show what is new; the selection follows the newest trial as long as it is on the newest."""
        if new is None or not self.query(Trials):  # the app is closing
            return
        self.tick()
        table = self.query_one(Trials)
        table.show(new)
        self.query_one(Decisions).show(new)
        numbers = [t.number for t in new.study.trials] if new.study else []
        known = [t.number for t in old.study.trials] if old and old.study else []
        if numbers and self.selected is None:
            self._select(new, numbers)
        elif numbers and known and self.selected == known[-1] != numbers[-1]:
            table.choose(len(numbers) - 1)
            self.selected = numbers[-1]
        self._show_trial(anew=False)

    def _select(self, snapshot: Snapshot, numbers: list[int]) -> None:
        """At first: the newest trial, of a study that is finished the best."""
        assert snapshot.study is not None
        best = snapshot.study.best()
        number = best.number if best and snapshot.study.ended == "finished" else numbers[-1]
        self.query_one(Trials).choose(numbers.index(number))
        self.selected = number

    def watch_selected(self) -> None:
        """Another trial."""
        self._show_trial(anew=True)

    def watch_before(self) -> None:
        """With or without the trial before the change."""
        self._show_trial(anew=False)

    def _show_trial(self, *, anew: bool) -> None:
        trial = self.trial
        if trial is None or self.snapshot is None or self.snapshot.study is None:
            if self.snapshot and self.snapshot.study and not self.snapshot.study.trials:
                self.query_one(About).show(beginning(self.snapshot.study), "Study", anew=anew)
            return
        changed = visible(words.change(self.snapshot.study, trial))
        self.query_one(About).show(about(self.snapshot, trial), f"Trial {trial.number}: {changed}", anew=anew)
        parent = trial.proposal.parent
        grey = f"  (grey: trial {parent}, before the change)" if parent is not None and self.before else ""
        drawn = plots(self.snapshot, trial, before=self.before)
        self.draw(drawn, Text(f"Curves of trial {trial.number}{grey}"), anew=anew)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        study = self.snapshot.study if self.snapshot else None
        if study and event.cursor_row < len(study.trials):
            self.selected = study.trials[event.cursor_row].number

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

    # ---- what is asked of the study

    def action_stop_study(self) -> None:
        """Ask the study to end, once a person has confirmed it."""
        if self._can_ask():
            text = "Stop the study? The running trials end after their step; what was done is kept."
            self.app.push_screen(Confirm(text), lambda yes: self._feed.ask(Action.STOP_STUDY) if yes else None)

    def action_stop_trial(self) -> None:
        """Ask the selected trial to end, once a person has confirmed it."""
        trial = self.trial
        if trial is None or not self._can_ask():
            return
        if trial.state is not State.RUNNING:
            self.notify(f"trial {trial.number} does not run", markup=False)
            return
        text = f"Stop trial {trial.number}? It ends after its step; its evaluations count, and the study goes on."
        self.app.push_screen(
            Confirm(text), lambda yes: self._feed.ask(Action.STOP_TRIAL, trial.number) if yes else None
        )

    def _can_ask(self) -> bool:
        if self.snapshot and self.snapshot.running and self.snapshot.study:
            return True
        self.notify("nothing runs this study, so there is nothing to stop", markup=False)
        return False
