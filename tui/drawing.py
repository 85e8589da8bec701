"""A plot as lines of text: title, curve, and below it the steps, the findings and what was changed. Pure.

A finding is marked from its onset to its last step, with the first letter of its severity where it could first be
known; the curve has its colour there. The run beneath is dotted. A smoothed curve stands over all there is of the
curve, which stays, so that no spike is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from diagnostics.plot import BLANK, DOTTED, braille, gaps, running_median
from diagnostics.text import NOT_FINITE, visible
from studies import words
from tui import theme
from tui.look import SMOOTHING, Look
from tui.marks import FAINT, Cells, mark, marks, value_labels
from tui.plots import Plot
from tui.view import GUTTER, View, seen
from tui.widgets.logs import middle

OWN, BENEATH, OTHER = Style(color=theme.OWN), Style(color=theme.BENEATH), Style(color=theme.OTHER)
GONE, DIM = Style(color=theme.FATAL, bold=True), Style(dim=True)

Line = list[Segment]


def draw(
    plot: Plot,
    width: int,
    height: int,
    look: Look | None = None,
    *,
    chosen: bool = False,
    pointed: Sequence[float] = (),
) -> list[Line]:
    """The lines of a plot, each `width` cells; the steps that are `pointed` at have a line."""
    look = look or Look()
    shown = seen(plot, width, height, look)
    lines = [_title(plot, width, chosen=chosen)]
    columns = [shown.column(step) for step in pointed if shown.has(step)]
    finite = any(curve.low <= curve.high for curve in (shown.curve, shown.before))
    labels = value_labels(shown.where) if finite else {}
    for y, row in enumerate(_rows(plot, shown, look)):
        for x in columns:
            char, style = row[x]
            row[x] = ("│", FAINT) if char == " " else (char, style + Style(reverse=True))
        lines.append([Segment(f"{labels.get(y, ''):>{GUTTER - 1}} ", FAINT), *_joined(row), Segment(" ")])
    for below in marks(plot, shown, height):
        lines.append([Segment(" " * GUTTER), *_joined(below), Segment(" ")])
    return lines


def _rows(plot: Plot, shown: View, look: Look) -> list[Cells]:
    """The cells of the curves: where several pass through one, the dots of all in the colour of the uppermost."""
    where, share = shown.where, SMOOTHING[look.smooth]
    own = OWN + DIM if share else OWN
    below = OTHER if plot.equal else BENEATH
    colours: list[Style | None] = [None] * where.width
    for found in reversed(plot.findings):  # the worst is drawn over the others
        for x in shown.columns(found):
            colours[x] = mark(found)
    layers = [(braille(shown.curve, where, shown.clock), own, not share)]
    if shown.before.steps:
        layers.insert(0, (_dotted(braille(shown.before, where, shown.before_clock)), below, False))
    if share and shown.before.steps:
        before = _dotted(running_median(shown.before, where, shown.before_clock, share))
        layers.append((before, below + Style(bold=True), False))
    if share:
        layers.append((running_median(shown.curve, where, shown.clock, share), OWN + Style(bold=True), True))
    top = set(gaps(shown.curve, where, shown.clock))
    rows: list[Cells] = []
    for y in range(where.height):
        row = [(" ", FAINT)] * where.width  # a piece of its own: in a picture the dots may be of another font
        for x in range(where.width):
            dots = 0
            for grid, colour, is_own in layers:
                if grid[y][x]:
                    dots |= grid[y][x]
                    style = (colours[x] or colour) if is_own else colour
            if dots:
                row[x] = chr(BLANK | dots), style
        rows.append(row)
    for x in top:
        rows[0][x] = NOT_FINITE, GONE
    return rows


def _dotted(cells: list[list[int]]) -> list[list[int]]:
    """Half the dots of a curve; no cell loses all of its dots."""
    return [[(bits & DOTTED) or bits for bits in row] for row in cells]


def _joined(cells: Sequence[tuple[str, Style]]) -> Iterator[Segment]:
    """Neighbours of one style as one segment."""
    for style, run in groupby(cells, key=itemgetter(1)):
        yield Segment("".join(char for char, _ in run), style)


def _title(plot: Plot, width: int, *, chosen: bool) -> Line:
    """The name, the newest value with its unit, and the worst finding's severity and code."""
    value = f" {words.number(plot.curve.values[-1])}" if plot.curve.values else " -"
    worst = plot.findings[0] if plot.findings else None
    code = f" {worst.severity.name} {visible(worst.code)}" if worst else ""
    room = width - len(value) - len(code) - 3
    name = middle(visible(plot.metric), max(1, room))
    style = Style(bold=True, reverse=chosen)
    mark = Style(color=theme.MARKS[worst.severity], bold=True) if worst else FAINT
    rest = max(0, width - cell_len(name) - len(value) - len(code) - 2)
    logged = f" ({visible(plot.logged)})" if plot.logged else ""
    unit = f" {plot.unit}" if plot.unit else ""
    unit = unit if len(unit) < rest else ""
    rest -= len(unit)
    logged = logged if cell_len(logged) < rest else ""
    rest -= cell_len(logged)
    return [
        Segment("▸ " if chosen else "  "),
        Segment(name, style),
        Segment(logged, FAINT),
        Segment(value, OWN),
        Segment(unit, FAINT),
        Segment(code, mark),
        Segment(" " * rest),
    ]
