"""One plot on the whole screen, with a cursor, and its findings in words."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Static

from diagnostics.metrics import metric_of
from diagnostics.text import visible
from tui import theme
from tui.look import Look
from tui.plots import Plot, grouped, matching, plots, reach_of
from tui.screens.shown import Shown
from tui.watched import Watched
from tui.widgets.about import finding
from tui.widgets.large_plot import LargePlot, readout
from tui.widgets.look_line import LookLine

HINT = "← → cursor · z Z 0, wheel, drag: steps shown · L log · S smooth · T time"


class Zoom(Shown):
    """The plot of `metric`; left and right move a cursor, up and down turn to other metrics."""

    DEFAULT_CSS = """
    Zoom #readout { height: auto; max-height: 2; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", key_display="esc", tooltip="Back to all curves"),
        Binding("right,l", "point(1)", "Cursor", key_display="←→", tooltip="The cursor to the next point"),
        Binding("left,h", "point(-1)", "Cursor back", show=False, tooltip="The cursor to the point before"),
        Binding("down,j", "turn(1)", "Metric", key_display="↑↓", tooltip="The next metric"),
        Binding("up,k", "turn(-1)", "Metric before", show=False, tooltip="The metric before"),
        Binding("right_square_bracket", "app.next_run(1)", "Next run", show=False, key_display="]"),
        Binding("left_square_bracket", "app.next_run(-1)", "Run before", show=False, key_display="["),
        Binding("m", "app.mark", "Mark", show=False, tooltip="Compare other runs with this one; again: as before"),
    ]

    def __init__(self, metric: str) -> None:
        super().__init__()
        self.metric = metric
        self._watched = Watched()
        self._plots: tuple[Plot, ...] = ()
        self._cursor: int | None = None

    def compose(self) -> ComposeResult:
        """Plot, what the cursor points at, words, keys."""
        yield LargePlot()
        yield Static(id="readout", markup=False)
        yield LookLine()
        yield Static(id="words", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    @property
    def cursor(self) -> int | None:
        """The step that is pointed at, where it is seen."""
        view = self.query_one(LargePlot).view
        return self._cursor if view is not None and self._cursor is not None and view.has(self._cursor) else None

    def show(self, watched: Watched) -> None:
        """Draw the newest of the selected run."""
        self._watched = watched
        run, beneath = watched.run, watched.beneath
        self._plots = plots(run, beneath) if run else ()
        self._draw()
        self._tell()

    def draw_as(self, look: Look) -> None:
        """Draw as `look` says."""
        self._draw()
        self._tell()

    def _draw(self) -> None:
        run, beneath, look = self._watched.run, self._watched.beneath, self.monitor.look
        large = self.query_one(LargePlot)
        dotted = f"  (dotted: {beneath.name})" if beneath and look.baseline else ""
        large.border_title = Text(visible(f"{run.name}{dotted}")) if run else ""
        plot = self._plot
        large.show(plot, look, self._cursor)
        self.query_one(LookLine).show(replace(look, search=""), self._watched, 0, 0)
        told = Text(HINT, style=theme.FAINT)
        if plot is not None and large.view is not None and self.cursor is not None:
            told = readout(plot, large.view, self.cursor, beneath.name if beneath else "")
        self.query_one("#readout", Static).update(told)

    def _tell(self) -> None:
        """What the metric means, and its findings."""
        plot, view = self._plot, self.query_one(LargePlot).view
        known = metric_of(self.metric)
        meaning = f"{known.definition} Unit: {known.unit}." if known else "A name without a meaning: no rule reads it."
        if plot is None:
            meaning = f"{visible(self.metric)} is not logged by this run. {meaning}"
        near = view.where.linear_below if view is not None else None
        if near is not None:
            meaning += f" The scale is linear from -{near:.2g} to {near:.2g}, as not all values are positive."
        lines = [Text(meaning, style=theme.FAINT)]
        lines += [finding(found) for found in plot.findings] if plot else []
        self.query_one("#words", Static).update(Text("\n").join(lines))

    @property
    def _plot(self) -> Plot | None:
        return next((plot for plot in self._plots if plot.metric == self.metric), None)

    # ---- what is pointed at

    def action_point(self, direction: int) -> None:
        """Move the cursor; beyond the border the steps that are shown move with it."""
        large = self.query_one(LargePlot)
        step = large.neighbour(direction)
        if step is None or large.view is None or self._watched.run is None:
            return
        self._cursor = step
        if large.view.has(step):
            self._draw()
            return
        look, reach = self.monitor.look, reach_of(self._watched.run, self._watched.beneath)
        first, last = look.shown(reach)
        move = direction * max(1, (last - first) // 4)
        first = min(max(reach.first, first + move), reach.last - (last - first))
        self.monitor.change_look(look.between(reach, first, first + (look.span or 0)))

    @on(LargePlot.Pointed)
    def _pointed(self, event: LargePlot.Pointed) -> None:
        self._cursor = event.step
        self._draw()

    @on(LargePlot.Chosen)
    def _chosen(self, event: LargePlot.Chosen) -> None:
        if self._watched.run is not None:
            reach = reach_of(self._watched.run, self._watched.beneath)
            self.monitor.change_look(self.monitor.look.between(reach, event.first, event.last))

    @on(LargePlot.Turned)
    def _turned(self, event: LargePlot.Turned) -> None:
        if self._watched.run is not None:
            reach = reach_of(self._watched.run, self._watched.beneath)
            self.monitor.change_look(self.monitor.look.zoomed(reach, event.factor, event.step))

    def action_turn(self, step: int) -> None:
        """To another metric, of those that are searched for."""
        found = matching(self._plots, self.monitor.look.search)
        names = [plot.metric for _, of_group in grouped(found) for plot in of_group]
        if self.metric not in names:
            names = [plot.metric for plot in self._plots]
        if self.metric in names:
            self.metric = names[(names.index(self.metric) + step) % len(names)]
            self._draw()
            self._tell()
