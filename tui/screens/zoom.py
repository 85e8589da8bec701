"""One plot on the whole screen, with its findings in words."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer, Static

from diagnostics.metrics import metrics
from diagnostics.text import visible
from tui import theme
from tui.screens.shown import Shown
from tui.watched import Watched
from tui.widgets.about import finding
from tui.widgets.curves import Plot, draw, plots


class LargePlot(Widget):
    """The plot, as large as its place."""

    def __init__(self) -> None:
        super().__init__()
        self.plot: Plot | None = None
        self._strips: list[Strip] = []

    def show(self, plot: Plot | None) -> None:
        """Draw `plot`."""
        self.plot = plot
        width, height = self.size
        drawn = plot is not None and width > 12 and height > 3
        self._strips = [Strip(line) for line in draw(plot, width, height)] if drawn and plot else []
        self.refresh()

    def on_resize(self) -> None:
        """As large as the place now is."""
        self.show(self.plot)

    def render_line(self, y: int) -> Strip:
        """One line of the plot."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)


class Zoom(Shown):
    """The plot of `metric`; left and right turn to the others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Back", key_display="esc"),
        Binding("right,down,l,j", "turn(1)", "Next metric", key_display="→"),
        Binding("left,up,h,k", "turn(-1)", "Metric before", key_display="←"),
    ]

    def __init__(self, metric: str) -> None:
        super().__init__()
        self.metric = metric
        self._plots: tuple[Plot, ...] = ()

    def compose(self) -> ComposeResult:
        """Plot, words, keys."""
        yield LargePlot()
        yield Static(id="words", markup=False)
        yield Footer(compact=True)

    def show(self, watched: Watched) -> None:
        """Draw the newest of the selected run."""
        run, beneath = watched.run, watched.beneath
        self._plots = plots(run, beneath) if run else ()
        self.query_one(LargePlot).border_title = Text(visible(run.name)) if run else ""
        plot = next((plot for plot in self._plots if plot.metric == self.metric), None)
        self.query_one(LargePlot).show(plot)
        known = metrics().get(self.metric.partition("[")[0])
        meaning = f"{known.definition} Unit: {known.unit}." if known else "A name without a meaning: no rule reads it."
        lines = [Text(meaning, style=theme.FAINT)]
        lines += [finding(found) for found in plot.findings] if plot else []
        self.query_one("#words", Static).update(Text("\n").join(lines))

    def action_turn(self, step: int) -> None:
        """To another metric."""
        names = [plot.metric for plot in self._plots]
        if self.metric in names:
            self.metric = names[(names.index(self.metric) + step) % len(names)]
            self.show(self.monitor.watched)
