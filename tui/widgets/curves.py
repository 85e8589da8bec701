"""The curves of a run as small plots that line up, in groups or one after the other.

Only the lines on the screen are drawn, and each plot once for each change, so that fifty metrics cost what six do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from diagnostics.plot import NONE
from tui.drawing import Line, draw
from tui.look import Look
from tui.marks import FAINT, heading
from tui.plots import Plot, grouped, matching

LEAST_WIDTH, LOW, TALL, TALLEST = 36, 6, 8, 16  # cells of a plot; the last where there are few
AT_ONCE = 6  # plots that are drawn anew before the screen is shown where a key asks for all of them anew


@dataclass(frozen=True, slots=True)
class _Row:
    """The plots from `start` to before `end`, side by side; above them the names of groups that begin there."""

    y: int
    height: int
    start: int
    end: int
    heading: Line

    @property
    def top(self) -> int:
        """How many lines stand above the plots."""
        return 1 if self.heading else 0


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The lines of a plot, and in which way it was drawn: its look, width and height, whether it was the chosen one."""

    plot: Plot
    way: tuple[Look, int, int, bool]
    lines: list[Line]

    def shows(self, plot: Plot, look: Look) -> bool:
        """Whether `plot` looks the same."""
        old, new = self.plot, plot
        if old.curve is not new.curve or old.before is not new.before:  # comparing them would cost as much as drawing
            return False
        if not look.time:
            old, new = replace(old, clock=None, before_clock=None), replace(new, clock=None, before_clock=None)
        same = replace(old, curve=NONE, before=NONE, newest=0) == replace(new, curve=NONE, before=NONE, newest=0)
        return same and look.shown(self.plot.reach) == look.shown(plot.reach)


class Curves(ScrollView, can_focus=True):
    """All plots of the selected run; the arrows choose one, enter shows it on the whole screen.

    `by_group` has them stand by what they tell. How they are drawn, and which of them, is said by `look`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "choose(0, 1)", "Plot", key_display="↑↓←→", tooltip="Choose a plot"),
        Binding("up,k", "choose(0, -1)", "Previous plot", show=False, tooltip="Choose a plot above"),
        Binding("right,l", "choose(1, 0)", "Plot to the right", show=False, tooltip="Choose the plot to the right"),
        Binding("left,h", "choose(-1, 0)", "Plot to the left", show=False, tooltip="Choose the plot to the left"),
        Binding("enter", "zoom", "Zoom", tooltip="The chosen plot on the whole screen"),
    ]

    class Zoomed(Message):
        """A plot is to be shown on the whole screen."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def __init__(self, *, id: str, by_group: bool = False) -> None:
        super().__init__(id=id)
        self.look = Look()
        self.by_group = by_group
        self.plots: tuple[Plot, ...] = ()  # all of the run
        self.matching: tuple[Plot, ...] = ()  # those that are searched for, in the order in which they stand
        self.chosen = 0
        self._rows: list[_Row] = []
        self._across = 1  # how many plots stand side by side in them
        self._drawn: dict[str, _Drawn] = {}
        self._painted: dict[int, list[Line]] = {}  # of this paint, by index
        self._colours = Style()
        self._may_draw = 0  # how many plots more
        self._late: list[int] = []  # those that must wait

    def show(self, plots: Sequence[Plot], *, anew: bool) -> None:
        """Draw `plots`; `anew` goes back to the first."""
        self.plots = tuple(plots)
        self._arrange(anew=anew, at_once=len(plots))  # a step is painted once: two paints cost more than one

    def draw_as(self, look: Look) -> None:
        """Draw as `look` says."""
        if look != self.look:
            anew = look.search != self.look.search
            self.look = look
            self._arrange(anew=anew)

    @property
    def metric(self) -> str | None:
        """The metric of the chosen plot."""
        return self.matching[self.chosen].metric if self.chosen < len(self.matching) else None

    # ---- where the plots stand

    def _arrange(self, *, anew: bool, at_once: int = AT_ONCE) -> None:
        before, metric = [plot.metric for plot in self.matching], self.metric
        found = matching(self.plots, self.look.search)
        groups = grouped(found) if self.by_group else [("", found)]
        self.matching = tuple(plot for _, of_group in groups for plot in of_group)
        names = [plot.metric for plot in self.matching]
        self.chosen = names.index(metric) if metric in names and not anew else 0
        rows = self._rows
        self._measure()
        if names == before and rows == self._rows and not anew:
            self._refresh_changed(at_once)
        else:
            self.refresh()
        if anew:
            self.scroll_home(animate=False)

    def _measure(self) -> None:
        """Where each row of plots stands; a group begins where the one before it ends."""
        self._across = max(1, min(self.scrollable_content_region.width // LEAST_WIDTH, len(self.matching)))
        starts = range(0, len(self.matching), self._across)
        headings = [self._heading(start, min(len(self.matching), start + self._across)) for start in starts]
        usual = TALL if self.size.height >= 2 * TALL else LOW
        room = self.size.height - sum(map(bool, headings))
        tall = max(usual, min(TALLEST, room // max(1, len(starts))))
        self._rows, y = [], 0
        for start, names in zip(starts, headings, strict=True):
            row = _Row(y, tall + bool(names), start, min(len(self.matching), start + self._across), names)
            self._rows.append(row)
            y += row.height
        self.virtual_size = Size(self.scrollable_content_region.width, y)

    def _heading(self, start: int, end: int) -> Line:
        """The names of the groups that begin among these plots, each with the worst that was found in it."""
        if not self.by_group:
            return []
        width, line, begins = self.scrollable_content_region.width // self._across, [], False
        for name, of_group in groupby(range(start, end), key=lambda i: self.matching[i].group):
            plots = list(of_group)
            begin = plots[0] == 0 or self.matching[plots[0] - 1].group != name
            line += heading(name, self.matching, width * len(plots)) if begin else [Segment(" " * width * len(plots))]
            begins = begins or begin
        return line if begins else []

    def _row(self, index: int) -> _Row:
        """The row that the plot of that index stands in."""
        return self._rows[index // self._across]

    def _at(self, y: int) -> _Row | None:
        """The row that the line `y` belongs to."""
        return next((row for row in self._rows if row.y <= y < row.y + row.height), None)

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the plots anew."""
        self._measure()
        self.refresh()

    # ---- the lines on the screen

    def on_focus(self) -> None:
        """The chosen plot is marked while the keys are ours."""
        self.refresh()

    on_blur = on_focus

    def _refresh_changed(self, at_once: int) -> None:
        """Have the lines painted that are others than they were: with a step of a run most of a plot stays."""
        self._begin(at_once)
        top = self.scroll_offset.y
        for row in self._rows:
            if not top - row.height < row.y < top + self.size.height:
                continue
            tall, plots = row.height - row.top, range(row.start, row.end)
            known = [self._drawn.get(self.matching[i].metric) for i in plots]
            new = [self._lines(i, tall) for i in plots]
            if self._late or not all(drawn and len(drawn.lines) == tall for drawn in known):
                self.refresh_lines(row.y, row.height)
                continue
            old = [drawn.lines for drawn in known if drawn]
            for y, (was, now) in enumerate(zip(zip(*old, strict=True), zip(*new, strict=True), strict=True)):
                if was != now:
                    self.refresh_lines(row.y + row.top + y, 1)

    def _begin(self, most: int = AT_ONCE) -> None:
        """Begin to draw at most so many plots anew."""
        self._may_draw, self._late = most, []
        self._painted.clear()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines on the screen, at first as they were where more changed than can be drawn at once."""
        self._begin()
        self._colours = self.rich_style  # finding it takes longer than a line
        if self.matching:
            row = self._row(self.chosen)
            self._lines(self.chosen, row.height - row.top)
        strips = super().render_lines(crop)
        if self._late:
            row = self._row(self._late[0])
            self.call_after_refresh(self.refresh_lines, row.y, self.virtual_size.height - row.y)
        return strips

    def render_line(self, y: int) -> Strip:
        """One line of the screen: a line of each plot that stands in this row."""
        return self._line(y).apply_style(self._colours)

    def _line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        row = self._at(y + self.scroll_offset.y)
        if not self.matching:
            hint = "  no metric matches" if self.plots else "  no metrics yet"
            return Strip([Segment(set_cell_size(hint if y == 0 else "", width), FAINT)], width)
        if row is None:
            return Strip.blank(width)
        line = y + self.scroll_offset.y - row.y - row.top
        if line < 0:
            return Strip(row.heading).adjust_cell_length(width)
        tall = row.height - row.top
        segments = [segment for i in range(row.start, row.end) for segment in self._lines(i, tall)[line]]
        return Strip(segments).adjust_cell_length(width)

    def _lines(self, index: int, height: int) -> list[Line]:
        """The lines of a plot, looked for once in a paint."""
        if index not in self._painted:
            self._painted[index] = self._drawn_lines(index, height)
        return self._painted[index]

    def _drawn_lines(self, index: int, height: int) -> list[Line]:
        """The lines of a plot, drawn again only where something of it changed."""
        plot = self.matching[index]
        width = self.scrollable_content_region.width // self._across
        way = replace(self.look, search=""), width, height, index == self.chosen and self.has_focus
        known = self._drawn.get(plot.metric)
        if known is None or known.way != way or not (known.plot is plot or known.shows(plot, way[0])):
            if not self._may_draw:
                self._late.append(index)
                fits = known is not None and known.way[1:3] == (width, height)
                return known.lines if known and fits else [[Segment(" " * width)]] * height
            self._may_draw -= 1
            known = _Drawn(plot, way, draw(plot, width, height, way[0], chosen=way[3]))
        elif known.plot is not plot:
            known = replace(known, plot=plot)
        self._drawn[plot.metric] = known
        return known.lines

    # ---- which plot is chosen

    def action_choose(self, right: int, down: int) -> None:
        """Move to a neighbour; up and down to the plot nearest to it in the next row."""
        if right and 0 <= self.chosen + right < len(self.matching):
            self._choose(self.chosen + right)
        if down and self.matching:
            there = self.chosen + down * self._across
            last = len(self.matching) - 1
            on_last_row = self.chosen // self._across == last // self._across
            if there >= 0 and not (down > 0 and on_last_row):
                self._choose(min(last, there))

    def _choose(self, index: int) -> None:
        before, self.chosen = self._row(self.chosen), index
        row = self._row(index)
        self.scroll_to_region(Region(0, row.y, 1, row.height), animate=False)
        for changed in (before, row):
            self.refresh_lines(changed.y, changed.height)

    def action_zoom(self) -> None:
        """Show the chosen plot on the whole screen."""
        if self.metric is not None:
            self.post_message(self.Zoomed(self.metric))

    def on_click(self, event: events.Click) -> None:
        """A click chooses a plot, a second one zooms."""
        at = event.get_content_offset(self)
        row = self._at(at.y + self.scroll_offset.y) if at else None
        if at is None or row is None:
            return
        width = max(1, self.scrollable_content_region.width // self._across)
        index = row.start + min(self._across - 1, at.x // width)
        if index < row.end:
            if event.chain > 1:
                self.action_zoom()
            else:
                self._choose(index)
