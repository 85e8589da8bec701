"""Two runs as equals: what was set otherwise, what came of it, and their curves over one another."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.message import Message
from textual.widgets import DataTable

from diagnostics.text import visible
from tui.compare_feed import CompareFeed, CompareView, Pair
from tui.log_status import Run
from tui.plots import Plot, plots
from tui.screens.frame import Frame
from tui.screens.zoom import Zoom
from tui.watched import RunKey, RunView, Watched
from tui.widgets.about import About
from tui.widgets.compare_words import told
from tui.widgets.curves import Curves
from tui.widgets.logs import middle
from tui.widgets.others import Others, others
from tui.widgets.titles import entitle

SHORT = 30  # lines; below, the table has few


class Compared(Message):
    """What came of a comparison."""

    def __init__(self, view: CompareView) -> None:
        super().__init__()
        self.view = view

    def can_replace(self, message: Message) -> bool:
        """Of several the last one counts."""
        return isinstance(message, Compared)


class CompareZoom(Zoom):
    """One plot of the two runs on the whole screen."""

    def show(self, watched: Watched) -> None:
        """Draw the newest of both."""
        compared = watched.compared
        super().show(replace(watched, baseline=compared.key) if compared else watched)


class CompareScreen(Frame):
    """The selected run, and the one that it is compared with: the one beneath, else the one before it in the list."""

    PANES = ("others", "report", "curves")
    DEFAULT_CSS = """
    CompareScreen {
        #compare { layout: horizontal; }
        #left, #curves { width: 1fr; height: 1fr; }
        #report { height: 1fr; }
        #others { height: auto; max-height: 30%; background: $surface; scrollbar-size-vertical: 1; overflow-x: hidden;
            border-top: solid $primary-darken-2; border-title-color: $text-muted; }
        #report { border-top: solid $primary-darken-2; border-title-color: $text-muted; background: $surface;
            scrollbar-size-vertical: 1; padding: 0 1; }
        #others:focus, #report:focus { border-top: heavy $accent; border-title-color: $accent;
            border-title-style: bold; }
    }
    CompareScreen.narrow {
        #compare { layout: vertical; }
        #left { height: 3fr; width: 100%; }
        #curves { height: 2fr; width: 100%; }
    }
    CompareScreen.narrow.short {
        #left { height: 1fr; }
        #curves { height: 7; }
        #others { max-height: 3; border-top: none; }
    }
    CompareScreen.alone #others, CompareScreen.alone #curves { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.view = CompareView()
        self._feed: CompareFeed | None = None
        self._said: object = None
        self._pair: tuple[RunKey, RunKey] | None = None

    def body(self) -> ComposeResult:
        """The runs to choose from, the words, the curves."""
        with Container(id="compare"):
            with Vertical(id="left"):
                yield Others(f"{self.monitor.path}/", id="others")
                yield About(id="report")
            yield Curves(id="curves")

    # ---- comparing

    def on_mount(self) -> None:
        """Begin to compare."""
        self._feed = CompareFeed(
            lambda view: self.monitor.tell(Compared(view), self), self.monitor.broke, self.monitor.rules
        )
        self._feed.start()

    def on_unmount(self) -> None:
        """Whatever the thread is doing, nobody waits for it."""
        if self._feed is not None:
            self._feed.stop()

    def on_screen_suspend(self) -> None:
        """Nothing is compared for a screen that nobody sees."""
        if self._feed is not None:
            self._feed.want(None)

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        if message.view.keys is not None and message.view.keys == self._pair:
            self.view = message.view
            self._show(anew=False)

    # ---- what is shown

    def display_run(self, *, anew: bool) -> None:
        """The selected run beside the one that it is compared with."""
        before, after = self.watched.compared, self.watched.run
        keys = (before.key, after.key) if before and after else None
        anew = anew or keys != self._pair
        if keys != self._pair:
            self._pair, self.view = keys, CompareView(keys)
        if self._feed is not None and self.is_current:
            self._feed.want(Pair(before, after, self.watched.study) if before and after else None)
        self._show(anew=anew)

    def _show(self, *, anew: bool) -> None:
        before, after = self.watched.compared, self.watched.run
        several = len(self.watched.runs) > 1
        self.set_class(not several, "alone")
        table = self.query_one(Others)
        entitle(table, f"Compare {self._called(after)} with" if after else "Compare with")
        table.show(self.watched)
        report = self.query_one(About)
        if before is None or after is None:
            report.show(Text(self._why_not()), "Compare", anew=anew)
            entitle(self.query_one(Curves), "Curves")
            self.query_one(Curves).show((), anew=anew)
            return
        first, second = self._called(before), self._called(after)
        if isinstance(after.of, Run):  # whose names are too long for tables
            first, second = f"A {first}", f"B {second}"
        said = self.view, before.of if not self.view.comparison else None, after.of
        if anew or said != self._said:  # a long report is laid out again only where it says something new
            self._said = said
            words = told(self.view, before, after, self.watched.study)
            report.show(words, f"{first} → {second}", anew=anew)
        curves = self.query_one(Curves)
        entitle(curves, f"{second} (solid) and {first} (dotted)")
        curves.show(in_order(plots(after, before), self.view), anew=anew)

    def _called(self, run: RunView) -> str:
        """What a run is called in a title, behind the path that all logs share."""
        pane = self.size.width if self.has_class("narrow") else self.size.width // 2
        return middle(visible(run.name.replace(f"{self.monitor.path}/", "", 1)), max(12, pane // 2 - 15))

    def _why_not(self) -> str:
        run, runs = self.watched.run, self.watched.runs
        if run is None:
            return "no run yet"
        if len(runs) < 2:
            return f"There is only one run, {self._called(run)}: nothing to compare it with yet."
        return f"{self._called(run)} is the first: choose above what to compare it with (enter)."

    @on(DataTable.RowHighlighted)
    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowHighlighted | DataTable.RowSelected) -> None:
        choices = others(self.watched)
        if event.cursor_row < len(choices):
            chosen = choices[event.cursor_row].key
            if self.watched.compared is None or chosen != self.watched.compared.key:
                usual = replace(self.watched, baseline=None).compared
                self.monitor.mark(None if usual is not None and usual.key == chosen else chosen)

    @on(Curves.Zoomed)
    def _zoomed_in(self, event: Curves.Zoomed) -> None:
        event.prevent_default()  # which shows the run beneath alone
        self.app.push_screen(CompareZoom(event.metric))

    def show_panes(self) -> None:
        """A short table where there is little room."""
        self.set_class(self.size.height < SHORT, "short")


def in_order(shown: tuple[Plot, ...], view: CompareView) -> tuple[Plot, ...]:
    """The reward, then those that part, in the order in which they do, then what both runs log, then the rest."""
    comparison = view.comparison
    reward = comparison.reward() if comparison else None
    parted = [parting.metric for parting in comparison.apart()] if comparison else []
    place = {metric: i for i, metric in enumerate(dict.fromkeys([*([reward.metric] if reward else []), *parted]))}

    def rank(plot: Plot) -> int:
        return place.get(plot.metric, len(place) if plot.before.steps else len(place) + 1)

    return tuple(replace(plot, equal=True) for plot in sorted(shown, key=rank))
