"""The curves that a finding rests on, one upon the other, each with the limit that it crossed as a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.strip import Strip
from textual.widget import Widget

from diagnostics.finding import Evidence, Finding
from diagnostics.plot import NONE, Curve
from diagnostics.text import visible
from tui.drawing import draw
from tui.look import Look
from tui.plots import Plot, plots
from tui.watched import RunView
from tui.widgets.titles import entitle

LEAST_WIDTH, LEAST_HEIGHT = 24, 4  # cells
EVIDENCE, BESIDES = 7, 14  # lines of a plot that the finding rests on, and of one beside it


def evidence_plots(run: RunView, beneath: RunView | None, found: Finding) -> tuple[list[Plot], list[Plot]]:
    """A plot for each metric that `found` rests on, with its limit as a line beneath; and those of the other metrics.

    A limit that is no level of the metric, but a count or a share, is not drawn.
    """
    told = {evidence.metric: evidence for evidence in reversed(found.evidence)}  # the first is what the finding says
    all_plots = {plot.metric: plot for plot in plots(run, beneath)}
    on_it = [_with_limit(all_plots[metric], told[metric], found) for metric in reversed(told) if metric in all_plots]
    return on_it, [plot for plot in all_plots.values() if plot.metric in run.metrics and plot.metric not in told]


def _with_limit(plot: Plot, evidence: Evidence, found: Finding) -> Plot:
    limit, reach = evidence.limit, plot.reach
    line = Curve((reach.first, reach.last), (limit, limit), True, limit, limit) if evidence.in_unit else NONE
    return replace(plot, before=line, before_clock=plot.clock, findings=(found,))


class EvidencePlots(Widget):
    """As many of the plots as there is room for, the first at least; beside them others of the run."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.look = Look()
        self.plots: Sequence[Plot] = ()
        self._besides: Sequence[Plot] = ()
        self._drawn: object = None
        self._strips: list[Strip] = []

    def show(self, plots: Sequence[Plot], besides: Sequence[Plot], found: Finding | None) -> None:
        """Draw `plots` of `found`; without any the place is given to others."""
        self.plots, self._besides = plots, besides
        self.display = bool(plots)
        if found is not None:
            limits = [f"{e.statistic}, limit {e.limit:.4g}" for e in found.evidence[:1] if e.in_unit]
            line = f"  (dotted line: {limits[0]})" if limits else ""
            entitle(self, visible(f"What {found.code} rests on{line}"))
        self._draw()

    def draw_as(self, look: Look) -> None:
        """Draw as `look` says; the limit is always shown."""
        self.look = replace(look, baseline=True)
        self._draw()

    def on_resize(self) -> None:
        """As large as the place now is."""
        self._draw()

    def _shown(self) -> list[Plot]:
        """The plots that there is room for."""
        width, height = self.size
        if width < LEAST_WIDTH or height < LEAST_HEIGHT:
            return []
        shown = list(self.plots[: max(1, height // EVIDENCE)])
        return [*shown, *self._besides[: max(0, height // BESIDES - len(shown))]]

    def _draw(self) -> None:
        shown, (width, height) = self._shown(), self.size
        # Curves stand for themselves by identity: comparing them would cost as much as drawing.
        key = [(id(plot.curve), plot.metric, plot.findings, plot.before.values, plot.reach) for plot in shown]
        if self._drawn == (key, self.look, width, height):
            return
        self._drawn = key, self.look, width, height
        self._strips = []
        for i, plot in enumerate(shown):
            tall = height * (i + 1) // len(shown) - height * i // len(shown)
            self._strips += [Strip(line) for line in draw(plot, width, tall, self.look)]
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line of the plots."""
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)
        return strip.apply_style(self.rich_style)
