"""The curves of a run as small plots that line up: the objective first, then what the findings rest on.

Only the lines on the screen are drawn, and each plot once for each change, so that fifty metrics cost what six do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from diagnostics.finding import Finding
from diagnostics.plot import BLANK, NONE, Curve, braille, frame, gaps
from diagnostics.text import NOT_FINITE, visible
from studies import words
from tui import theme
from tui.watched import RunView

# What a person looks at first, by quantity; the others follow by name.
FIRST = ("reward_mean", "kl", "entropy", "zero_std_share", "grad_norm", "policy_loss", "loss")
LAST = "completions_generated"  # a count of the cost, no sign of health
LEAST_WIDTH, LOW, TALL, TALLEST = 36, 6, 8, 16  # cells of a plot; the last where there are few
GUTTER = 9  # for the labels of the highest and the lowest value
OWN, FAINT, BEFORE = Style(color=theme.OWN), Style(color=theme.FAINT), Style(color=theme.BENEATH)
GONE = Style(color=theme.BAD, bold=True)


@dataclass(frozen=True, slots=True)
class Plot:
    """One metric of a run; `before` is the same metric of the run beneath it."""

    metric: str
    curve: Curve
    before: Curve = NONE
    findings: tuple[Finding, ...] = ()
    last: int = 0  # the step that the run is to reach
    first: int = 0  # the step at which the plot begins
    logged: str = ""  # the metric's name in the log, where it is another


def plots(run: RunView, beneath: RunView | None = None) -> tuple[Plot, ...]:
    """The plots of `run` in the order in which a person needs them, names without a meaning last."""
    found = {m: tuple(f for f in run.findings if any(e.metric == m for e in f.evidence)) for m in run.metrics}
    earlier = beneath.metrics if beneath else {}
    known = sorted(run.metrics, key=lambda m: rank(m, run.findings, run.objective))
    understood = [
        Plot(m, run.metrics[m], earlier.get(m, NONE), found[m], run.last, run.first, run.names.get(m, ""))
        for m in known
    ]
    earlier = beneath.others if beneath else {}
    others = [Plot(n, c, earlier.get(n, NONE), last=run.last, first=run.first) for n, c in run.others.items()]
    return (*understood, *others)


def rank(metric: str, findings: Sequence[Finding], objective: str = "") -> tuple[int, int, str]:
    """Where a metric stands among the others; `findings` are those of its run, the worst first."""
    if metric == objective:
        return 0, 0, metric
    for i, found in enumerate(findings):
        if any(e.metric == metric for e in found.evidence):
            return 1, i, metric
    quantity = metric.partition(".")[0]
    if quantity in FIRST:
        return 2, FIRST.index(quantity), metric
    return (4 if metric == LAST else 3), 0, metric


def draw(plot: Plot, width: int, height: int, *, chosen: bool = False) -> list[list[Segment]]:
    """The lines of a plot: title, curve, and below it the findings, each from its onset to its last step.

    A mark with the first letter of the severity stands where a finding could first be known; the curve has its colour
    from the onset on.
    """
    across, down = width - GUTTER - 1, height - 2
    where = frame([plot.curve, plot.before], plot.last, across, down, first=plot.first)
    own, before = braille(plot.curve, where), braille(plot.before, where)
    colours: list[Style | None] = [None] * across
    marks: list[tuple[str, Style]] = [(" ", FAINT)] * across
    for i, label in ((0, f"{where.first}"), (max(0, across - len(f"{where.last}")), f"{where.last}")):
        marks[i : i + len(label)] = [(c, FAINT) for c in label[: across - i]]
    for found in reversed(plot.findings):  # the worst is drawn over the others
        style = Style(color=theme.MARKS[found.severity], bold=True)
        for x in range(where.column(found.first_step), where.column(found.last_step) + 1):
            colours[x], marks[x] = style, ("━", style)
    for found in reversed(plot.findings):
        marks[where.column(found.raised_at)] = (
            found.severity.name[0],
            Style(color=theme.MARKS[found.severity], bold=True, reverse=True),
        )
    top = set(gaps(plot.curve, where))

    lines = [_title(plot, width, chosen)]
    for y in range(down):
        label = _label(where.high) if y == 0 else _label(where.low) if y == down - 1 else ""
        line: list[tuple[str, Style]] = []
        for x, (bits, grey) in enumerate(zip(own[y], before[y], strict=True)):
            if y == 0 and x in top:
                line.append((NOT_FINITE, GONE))
            else:
                line.append((chr(BLANK | bits | grey) if bits | grey else " ", (colours[x] or OWN) if bits else BEFORE))
        lines.append([Segment(f"{label:>{GUTTER - 1}} ", FAINT), *_joined(line), Segment(" ")])
    lines.append([Segment(" " * GUTTER), *_joined(marks), Segment(" ")])
    return lines


def _joined(cells: Sequence[tuple[str, Style]]) -> Iterator[Segment]:
    """Neighbours of one style as one segment."""
    for style, run in groupby(cells, key=itemgetter(1)):
        yield Segment("".join(char for char, _ in run), style)


def _label(value: float) -> str:
    """A number that fits into the gutter: digits may be dropped, a power of ten never."""
    return next((text for digits in (3, 2, 1) if len(text := f"{value:.{digits}g}") < GUTTER), f"{value:.0e}")


def _title(plot: Plot, width: int, chosen: bool) -> list[Segment]:
    """The name, the newest value and the worst finding's severity and code."""
    value = f" {words.number(plot.curve.values[-1])}" if plot.curve.values else " -"
    worst = plot.findings[0] if plot.findings else None
    code = f" {worst.severity.name} {visible(worst.code)}" if worst else ""
    name = visible(plot.metric)
    room = width - len(value) - len(code) - 3
    name = name if cell_len(name) <= room else f"{set_cell_size(name, max(1, room - 1))}…"
    style = Style(bold=True, reverse=chosen)
    mark = Style(color=theme.MARKS[worst.severity], bold=True) if worst else FAINT
    rest = max(0, width - cell_len(name) - len(value) - len(code) - 2)
    logged = f" ({visible(plot.logged)})" if plot.logged else ""
    logged = logged if cell_len(logged) < rest else ""
    rest -= cell_len(logged)
    return [
        Segment("▸ " if chosen else "  "),
        Segment(name, style),
        Segment(logged, FAINT),
        Segment(value, OWN),
        Segment(code, mark),
        Segment(" " * rest),
    ]


class Curves(ScrollView, can_focus=True):
    """All plots of the selected run; the arrows choose one, enter shows it on the whole screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "choose(0, 1)", "Plot", key_display="↑↓←→"),
        Binding("up,k", "choose(0, -1)", "Previous plot", show=False),
        Binding("right,l", "choose(1, 0)", "Plot to the right", show=False),
        Binding("left,h", "choose(-1, 0)", "Plot to the left", show=False),
        Binding("enter", "zoom", "Zoom"),
    ]

    class Zoomed(Message):
        """A plot is to be shown on the whole screen."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.plots: tuple[Plot, ...] = ()
        self.chosen = 0
        self._drawn: dict[int, tuple[object, list[list[Segment]]]] = {}

    def show(self, plots: Sequence[Plot], *, anew: bool) -> None:
        """Draw `plots`; `anew` goes back to the first."""
        metric = self.metric
        self.plots = tuple(plots)
        names = [plot.metric for plot in self.plots]
        self.chosen = names.index(metric) if metric in names and not anew else 0
        if anew:
            self.scroll_home(animate=False)
        self._measure()

    @property
    def metric(self) -> str | None:
        """The metric of the chosen plot."""
        return self.plots[self.chosen].metric if self.chosen < len(self.plots) else None

    @property
    def across(self) -> int:
        """How many plots stand side by side."""
        return max(1, min(self.scrollable_content_region.width // LEAST_WIDTH, len(self.plots)))

    @property
    def tall(self) -> int:
        """How many lines a plot has."""
        usual = TALL if self.size.height >= 2 * TALL else LOW
        return max(usual, min(TALLEST, self.size.height // max(1, self._rows)))

    @property
    def _rows(self) -> int:
        return -(-len(self.plots) // self.across)

    def _measure(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, self._rows * self.tall)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the plots anew."""
        self._measure()

    def on_focus(self) -> None:
        """The chosen plot is marked while the keys are ours."""
        self.refresh()

    on_blur = on_focus

    def render_line(self, y: int) -> Strip:
        """One line of the screen: a line of each plot that stands in this row."""
        width = self.scrollable_content_region.width
        if not self.plots:
            hint = "  no metrics yet" if y == 0 else ""
            return Strip([Segment(hint, FAINT)], len(hint)).adjust_cell_length(width)
        row, line = divmod(y + self.scroll_offset.y, self.tall)
        start = row * self.across
        segments = [
            segment for i in range(start, min(start + self.across, len(self.plots))) for segment in self._lines(i)[line]
        ]
        return Strip(segments).adjust_cell_length(width)

    def _lines(self, index: int) -> list[list[Segment]]:
        """The plot of that index, drawn again only where something of it changed."""
        plot, width = self.plots[index], self.scrollable_content_region.width // self.across
        chosen = index == self.chosen and self.has_focus
        # The curves stand for themselves by identity: comparing them would cost as much as drawing.
        key = (id(plot.curve), id(plot.before), replace(plot, curve=NONE, before=NONE), width, self.tall, chosen)
        known = self._drawn.get(index)
        if known is None or known[0] != key:
            known = self._drawn[index] = key, draw(plot, width, self.tall, chosen=chosen)
        return known[1]

    def action_choose(self, right: int, down: int) -> None:
        """Move to a neighbour."""
        there = self.chosen + right + down * self.across
        if 0 <= there < len(self.plots):
            self._choose(there)

    def _choose(self, index: int) -> None:
        self.chosen = index
        top = index // self.across * self.tall
        self.scroll_to_region(Region(0, top, 1, self.tall), animate=False)
        self.refresh()

    def action_zoom(self) -> None:
        """Show the chosen plot on the whole screen."""
        if self.metric is not None:
            self.post_message(self.Zoomed(self.metric))

    def on_click(self, event: events.Click) -> None:
        """A click chooses a plot, a second one zooms."""
        at = event.get_content_offset(self)
        if at is None:
            return
        width = max(1, self.scrollable_content_region.width // self.across)
        column = min(self.across - 1, at.x // width)
        index = (at.y + self.scroll_offset.y) // self.tall * self.across + column
        if index < len(self.plots):
            if event.chain > 1:
                self.action_zoom()
            else:
                self._choose(index)
