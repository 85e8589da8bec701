"""The findings of the selected run, and one of them with all there is to know: evidence, cause, remedy, verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widgets import DataTable, Static

from diagnostics.finding import Report
from diagnostics.report.digest import Digest, digest
from diagnostics.text import visible
from studies.log import trial_directory
from studies.record import TrialRecord
from tui import theme
from tui.log_status import Run
from tui.look import Look
from tui.reports import Judged, joined, judge, told
from tui.screens.frame import Frame
from tui.screens.zoom import Zoom
from tui.watched import RunView
from tui.widgets.about import About
from tui.widgets.evidence import EvidencePlots, evidence_plots
from tui.widgets.finding_words import Page, in_words, sections
from tui.widgets.findings import Entry, Findings, entries, in_short
from tui.widgets.log_about import report_on

WIDE = 200  # cells; from here on the words stand beside the evidence


class FindingScreen(Frame):
    """What is wrong with the selected run. A trial is read and judged in a thread, a log was by the feed."""

    PANES = ("findings", "words")
    DEFAULT_CSS = """
    FindingScreen #finding { layout: grid; grid-size: 2 2; grid-columns: 48 1fr; grid-rows: 2fr 3fr; }
    FindingScreen #all { row-span: 2; }
    FindingScreen #findings { height: auto; max-height: 60%; }
    FindingScreen #all { background: $surface; }
    FindingScreen #short { padding: 1 1; }
    FindingScreen.bare #finding { grid-size: 2 1; grid-rows: 1fr; }
    FindingScreen.bare #all { row-span: 1; }
    FindingScreen.wide #finding { grid-size: 3 1; grid-columns: 52 1fr 1fr; grid-rows: 1fr; }
    FindingScreen.wide #all { row-span: 1; }
    FindingScreen.wide.bare #finding { grid-size: 2 1; grid-columns: 52 1fr; }
    FindingScreen.narrow #finding { layout: vertical; }
    FindingScreen.narrow #all { height: auto; max-height: 5; }
    FindingScreen.narrow #findings { max-height: 5; border: none; }
    FindingScreen.narrow #short { display: none; }
    FindingScreen.narrow #evidence { height: 8; }
    FindingScreen.narrow #words { height: 1fr; }
    FindingScreen.narrow.tall #all, FindingScreen.narrow.tall #findings { max-height: 9; }
    FindingScreen.narrow.tall #evidence { height: 40%; }
    FindingScreen #findings, FindingScreen #evidence, FindingScreen #words {
        border-top: solid $primary-darken-2; border-title-color: $text-muted; background: $surface;
        scrollbar-size-vertical: 1; overflow-x: hidden;
    }
    FindingScreen #findings:focus, FindingScreen #words:focus {
        border-top: heavy $accent; border-title-color: $accent; border-title-style: bold;
    }
    """

    class WasJudged(Message):
        """A trial was judged, or could not be."""

        def __init__(self, judged: Judged) -> None:
            super().__init__()
            self.judged = judged

    class Explained(Message):
        """The pages of the rules are read."""

        def __init__(self, pages: Mapping[str, Page]) -> None:
            super().__init__()
            self.pages = pages

    def __init__(self) -> None:
        super().__init__()
        self._judged = Judged()
        self._asked: tuple[object, ...] = ()  # which trial was last asked for, and as it was then
        self._pages: Mapping[str, Page] = {}
        self._digest: Digest | None = None
        self._entries: list[Entry] = []
        self._chosen = ""  # the key of the entry that is told of
        self._said: object = None

    def body(self) -> ComposeResult:
        """The list, the curves, the words."""
        with Container(id="finding"):
            with Vertical(id="all"):
                yield Findings(id="findings")
                yield Static(id="short", markup=False)
            yield EvidencePlots(id="evidence")
            yield About(id="words")

    def on_mount(self) -> None:
        """Pages of rules take a moment to import."""
        self._read_pages()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There are no metrics to search among."""
        return False if action == "search" else super().check_action(action, parameters)

    # ---- what is shown

    def display_run(self, *, anew: bool) -> None:
        """What was found in the selected run; another run begins with its worst finding."""
        run = self.watched.run
        if run is None:
            return
        if anew:
            self._chosen = ""
        report, trouble, read = self._report(run)
        begun = bool(run.metrics or run.others)
        said = (report and (report.findings, report.causes, report.skips, report.notes), trouble, read, begun)
        if anew or said != self._said:
            self._said = said
            self._digest = digest(report, verbose=False)
            self._entries = entries(self._digest, read=read, begun=begun)
            if trouble:
                self._entries.append(Entry("trouble", Text("could not be judged", theme.BAD), tell=Text(trouble)))
        findings = self.query_one(Findings)
        name = run.name.replace(f"{self.monitor.path}/", "", 1)
        findings.border_title = Text(visible(f"Findings of {name}{'' if read or trouble else ' (being judged)'}"))
        self.query_one("#short", Static).update(in_short(self._digest) if self._digest and read and begun else "")
        findings.show(self._entries, self._row())
        self._tell(anew=anew)

    def _row(self) -> int:
        """Which entry is told of: the one that was, else the first."""
        keys = [entry.key for entry in self._entries]
        return keys.index(self._chosen) if self._chosen in keys else 0

    def _tell(self, *, anew: bool) -> None:
        """Show the chosen entry in curves and words."""
        run = self.watched.run
        if run is None or not self._entries:
            return
        entry = self._entries[self._row()]
        found = replace(entry.told.finding, first_step=entry.told.onset) if entry.told else None
        plots, besides = evidence_plots(run, self.watched.beneath, found) if found else ([], [])
        self.query_one(EvidencePlots).show(plots, besides, found)
        self.set_class(not plots, "bare")
        title = f"{entry.told.code} {entry.told.name}" if entry.told else entry.title.plain
        self.query_one(About).show(self._words(entry, run), title, anew=anew)

    def _words(self, entry: Entry, run: RunView) -> RenderableType:
        if entry.told is None or self._digest is None:
            return entry.tell or Text()
        trial = run.of if isinstance(run.of, TrialRecord) else None
        page = self._pages.get(entry.told.finding.code)
        return in_words(entry.told, self._digest, page, self.watched.study, trial)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row < len(self._entries) and self._entries[event.cursor_row].key != self._chosen:
            self._chosen = self._entries[event.cursor_row].key
            self._tell(anew=True)

    def show_panes(self) -> None:
        """Words beside the evidence where there is room."""
        self.set_class(self.size.width >= WIDE, "wide")

    def draw_as(self, look: Look) -> None:
        """Draw the curves as `look` says."""
        super().draw_as(look)
        self.query_one(EvidencePlots).draw_as(look)

    def action_zoom_evidence(self) -> None:
        """The curve that the chosen finding rests on, on the whole screen; without one the words."""
        plots = self.query_one(EvidencePlots).plots
        if plots:
            self.app.push_screen(Zoom(plots[0].metric))
        else:
            self.maximize(self.query_one(About))

    # ---- what is known

    def _report(self, run: RunView) -> tuple[Report, str, bool]:
        """What is known of `run`, what keeps us from knowing more, and whether all rules have judged it."""
        if isinstance(run.of, Run):
            report = report_on(run.of)
            return report or told(run), run.of.log.trouble, report is not None
        self._judge(run, run.of)
        known = self._judged if self._judged.of[:1] == (run.key,) else Judged()
        if known.report is None:
            return told(run), known.trouble, False
        return joined(known.report, run), "", True

    def _judge(self, run: RunView, trial: TrialRecord) -> None:
        """Have a trial read and judged where more is known of it than when it was last.

        What could not be checked changes with its length, which is looked at again each time that it doubles.
        """
        study = self.watched.study
        found = tuple((f.code, f.severity) for f in run.findings)
        of = run.key, trial.attempt, trial.state, found, trial.steps.bit_length()
        if study is not None and of != self._asked:
            self._asked = of
            self._read_trial(of, trial_directory(study.directory, trial.number))

    @work(thread=True, group="trial", exclusive=True)
    def _read_trial(self, of: tuple[object, ...], folder: Path) -> None:
        self.post_message(self.WasJudged(judge(of, folder, self.monitor.rules)))

    @work(thread=True, group="pages")
    def _read_pages(self) -> None:
        from diagnostics.rule import shipped

        rules = self.monitor.rules or shipped()
        self.post_message(self.Explained({code: sections(judge.page) for code, judge in rules.items()}))

    def on_finding_screen_was_judged(self, message: WasJudged) -> None:
        """Show what came of it, if it is still asked for."""
        if message.judged.of == self._asked:
            self._judged = message.judged
            self.display_run(anew=False)

    def on_finding_screen_explained(self, message: Explained) -> None:
        """Show what the rules' pages say."""
        self._pages = message.pages
        self._tell(anew=False)
