"""The first screen of a study: trials, the selected one in words and curves, and the log of decisions."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container

from diagnostics.text import visible
from studies import words
from studies.record import TrialRecord
from tui.feed import Snapshot
from tui.plots import plots
from tui.screens.frame import TALL
from tui.screens.stacked import Stacked
from tui.widgets.about import About, about, beginning
from tui.widgets.curves import Curves
from tui.widgets.decisions import Decisions
from tui.widgets.overview import Overview
from tui.widgets.titles import entitle
from tui.widgets.trials import Trials

FEW, SOME, MANY = 2, 4, 10  # lines that tell what the study has come to
ROOMY = 48  # lines of the screen from which on these are many


class StudyScreen(Stacked):
    """The trials of a study, the selected one, and what was decided."""

    PANES = ("trials", "about", "curves", "decisions")
    BENEATH = ("about", "curves", "decisions")
    DEFAULT_CSS = """
    StudyScreen #beneath { grid-size: 2 2; grid-rows: 3fr 2fr; }
    StudyScreen #curves { row-span: 2; }
    StudyScreen.wide #beneath { grid-size: 3 1; grid-columns: 5fr 6fr 4fr; grid-rows: 1fr; }
    StudyScreen.wide #curves, StudyScreen.narrow #curves { row-span: 1; }
    """

    def body(self) -> ComposeResult:
        """The panes."""
        yield Overview(id="overview")
        yield Trials(id="trials")
        with Container(id="beneath"):
            yield About(id="about")
            yield Curves(id="curves")
            yield Decisions(id="decisions")

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
        self._show_overview()
        self.query_one(Decisions).show(self.snapshot)
        self.query_one(Trials).show(self.snapshot)
        if self.watched.run is not None:
            self.query_one(Trials).choose(self.watched.runs.index(self.watched.run))
        self._show_trial(anew=anew)

    def _show_trial(self, *, anew: bool) -> None:
        study, run, trial = self.snapshot.study, self.watched.run, self.trial
        if study is None or run is None or trial is None:
            if study and not study.trials:
                self.query_one(About).show(beginning(study), "Study", anew=anew)
            return
        changed = visible(words.change(study, trial))
        self.query_one(About).show(about(self.snapshot, trial), f"Trial {trial.number}: {changed}", anew=anew)
        beneath = self.watched.beneath
        chosen = beneath is not None and beneath.key != trial.proposal.parent
        dotted = f"  (dotted: {beneath.name}{'' if chosen else ', before the change'})" if beneath else ""
        curves = self.query_one(Curves)
        entitle(curves, f"Curves of trial {trial.number}{dotted}")
        curves.show(plots(run, beneath), anew=anew)

    # ---- where things stand

    def show_panes(self) -> None:
        """As many panes, and as much of what the study has come to, as there is room for."""
        super().show_panes()
        self._show_overview()

    def _show_overview(self) -> None:
        height = self.size.height
        most = FEW if height < TALL else SOME if height < ROOMY else MANY
        self.query_one(Overview).show(self.snapshot.study, most, running=self.snapshot.running)
