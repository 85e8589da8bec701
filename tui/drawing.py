"""A plot as lines of text: title, curve, and below it the steps, the findings and what was changed. Pure.

A finding is marked from its onset to its last step, with the first letter of its severity where it could first be
known; the curve has its colour there. The run beneath is dotted. A smoothed curve stands over all there is of the
curve, which stays, so that no spike is hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from diagnostics.axes import HIGH, Clock, Frame, clock_time, powers_of_ten, round_durations, round_numbers
from diagnostics.finding import Finding
from diagnostics.plot import BLANK, DOTTED, NONE, Curve, braille, gaps, running_median, view
from diagnostics.text import NOT_FINITE, visible
from studies import words
from tui import theme
from tui.look import SMOOTHING, Look
from tui.plots import Plot
from tui.widgets.logs import middle

GUTTER = 9  # for the labels of the highest and the lowest value
ROOMY = 10  # lines; from here on values between them are named, and findings have lines of their own
MOST_MARKS = 4  # lines of findings, where there is room
KNOB = "◆"  # a setting was changed here
FAINT, OWN, BENEATH = Style(color=theme.FAINT), Style(color=theme.OWN), Style(color=theme.BENEATH)
OTHER, GONE = Style(color=theme.OTHER), Style(color=theme.FATAL, bold=True)
CHANGED = Style(color=theme.CHANGED, bold=True)
DIM = Style(dim=True)

Line = list[Segment]
Cells = list[tuple[str, Style]]


@dataclass(frozen=True, slots=True)
class View:
    """What of a plot is seen: its frame, and the clocks by which its curves are drawn, None where by step."""

    where: Frame
    curve: Curve
    before: Curve
    clock: Clock | None
    before_clock: Clock | None

    def x(self, step: float) -> float:
        """Where a step of the run stands on the axis."""
        return self.clock.elapsed(step) if self.clock else step

    def column(self, step: float) -> int:
        """The column of cells of a step."""
        return self.where.column(self.x(step))

    def step(self, column: int) -> float:
        """The step in the middle of a column of cells."""
        x = self.where.at(column)
        return min(self.clock.step(x), self.clock.steps[-1]) if self.clock else x

    def columns(self, found: Finding) -> range:
        """The columns that a finding holds in; none where it lies outside."""
        first, last = self.x(found.first_step), self.x(found.last_step)
        if last < self.where.first or first > self.where.last:
            return range(0)
        return range(self.where.column(first), self.where.column(last) + 1)

    def has(self, step: float) -> bool:
        """Whether a step is seen."""
        return self.where.first <= self.x(step) <= self.where.last


def seen(plot: Plot, width: int, height: int, look: Look) -> View:
    """What `look` shows of `plot` on `width` x `height` cells, its title, its labels and its marks included."""
    first, last = look.shown(plot.reach)
    before = plot.before if look.baseline else NONE
    own_clock = plot.clock if look.time else None
    before_clock = plot.before_clock if own_clock else None
    curve = plot.curve
    if look.span is not None:  # a thinned curve has more to show of a part
        curve = curve.closer(first, last) if curve.closer else curve
        before = before.closer(first, last) if before.closer and own_clock is None else before
    if own_clock is not None:
        before = before if before_clock else NONE  # of a run without times nobody knows where to draw it
    start, end = (own_clock.elapsed(first), own_clock.elapsed(last)) if own_clock else (first, last)
    if before_clock and look.span is None:
        end = max(end, before_clock.elapsed(math.inf))
    across, down = max(1, width - GUTTER - 1), max(1, height - _lines_around(plot, height))
    both = [(curve, own_clock), (before, before_clock)]
    return View(view(both, start, end, across, down, log=look.log), curve, before, own_clock, before_clock)


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
    labels = _value_labels(shown.where) if finite else {}
    for y, row in enumerate(_rows(plot, shown, look)):
        for x in columns:
            char, style = row[x]
            row[x] = ("│", FAINT) if char == " " else (char, style + Style(reverse=True))
        lines.append([Segment(f"{labels.get(y, ''):>{GUTTER - 1}} ", FAINT), *_joined(row), Segment(" ")])
    for marks in _marks(plot, shown, height):
        lines.append([Segment(" " * GUTTER), *_joined(marks), Segment(" ")])
    return lines


def _lines_around(plot: Plot, height: int) -> int:
    """How many lines of a plot are not its curve: the title, the steps, and where there is room the marks."""
    if height < ROOMY:
        return 2
    return 2 + min(len(plot.findings), MOST_MARKS, height // 5) + bool(plot.knobs)


# ---- the curve


def _rows(plot: Plot, shown: View, look: Look) -> list[Cells]:
    """The cells of the curves: where several pass through one, the dots of all in the colour of the uppermost."""
    where, share = shown.where, SMOOTHING[look.smooth]
    own = OWN + DIM if share else OWN
    below = OTHER if plot.equal else BENEATH
    colours: list[Style | None] = [None] * where.width
    for found in reversed(plot.findings):  # the worst is drawn over the others
        for x in shown.columns(found):
            colours[x] = _mark(found)
    bits = braille(shown.curve, where, shown.clock)
    dotted = [[(cell & DOTTED) or cell for cell in row] for row in braille(shown.before, where, shown.before_clock)]
    layers = [(dotted, below, False), (bits, own, not share)]
    if share:
        layers.append((running_median(shown.before, where, shown.before_clock, share), below + Style(bold=True), False))
        layers.append((running_median(shown.curve, where, shown.clock, share), OWN + Style(bold=True), True))
    top = set(gaps(shown.curve, where, shown.clock))
    rows: list[Cells] = []
    for y in range(where.height):
        row: Cells = []
        for x in range(where.width):
            dots, style = 0, FAINT
            for grid, colour, is_own in layers:
                if grid[y][x]:
                    dots |= grid[y][x]
                    style = (colours[x] or colour) if is_own else colour
            row.append((chr(BLANK | dots) if dots else " ", style))
        rows.append(row)
    for x in top:
        rows[0][x] = NOT_FINITE, GONE
    return rows


# ---- labels and marks


def _value_labels(where: Frame) -> dict[int, str]:
    """By line: the highest and the lowest value, round ones where there is room, and that the scale is a log."""
    labels = {}
    if where.height >= ROOMY - 3 and where.high > where.low:
        height = where.heights()
        near = where.linear_below
        for value in _round_values(where, where.height // 3):
            y = height(value) // HIGH
            if 1 < y < where.height - 2:
                labels[y] = _label(value)
        if where.log and near is not None:
            labels.setdefault(height(0) // HIGH if where.low < 0 < where.high else 1, "0" if where.low < 0 else "")
    if where.log:
        labels[1 if where.height > 2 else 0] = "log" if where.linear_below is None else "log ±"
    if where.high <= where.low:  # a line in the middle
        labels[(where.height * HIGH - 1) // 2 // HIGH] = _label(where.low)
        return labels
    labels[where.height - 1] = _label(where.low)
    labels[0] = _label(where.high)
    return labels


def _round_values(where: Frame, most: int) -> list[float]:
    if not where.log:
        return round_numbers(where.low, where.high, most)
    near = where.linear_below
    if near is None:
        found = powers_of_ten(where.low, where.high)
    else:
        positive = powers_of_ten(near, where.high) if where.high > near else []
        negative = powers_of_ten(near, -where.low) if -where.low > near else []
        found = [*(-value for value in negative), *positive]
    return found[:: -(-len(found) // max(1, most)) or 1]


def _marks(plot: Plot, shown: View, height: int) -> Iterator[Cells]:
    """The line of steps, with the marks in it, or where there is room each in a line of its own."""
    line = _blank(shown)
    if height < ROOMY:
        for found in reversed(plot.findings):
            _put_range(line, found, shown)
        _put_knobs(line, plot, shown, named=False)
        for found in reversed(plot.findings):
            _put_letter(line, found, shown)
        _put_steps(line, shown)
        yield line
        return
    _put_steps(line, shown)
    yield line
    for found in plot.findings[: _lines_around(plot, height) - 2 - bool(plot.knobs)]:
        line = _blank(shown)
        _put_range(line, found, shown)
        _put_letter(line, found, shown)
        _put_beside(line, f"{visible(found.code)} {visible(found.name)}", _mark(found))
        yield line
    if plot.knobs:
        line = _blank(shown)
        _put_knobs(line, plot, shown, named=True)
        yield line


def _blank(shown: View) -> Cells:
    return [(" ", FAINT)] * shown.where.width


def _mark(found: Finding) -> Style:
    return Style(color=theme.MARKS[found.severity], bold=True)


def _put_range(line: Cells, found: Finding, shown: View) -> None:
    for x in shown.columns(found):
        line[x] = "━", _mark(found)


def _put_letter(line: Cells, found: Finding, shown: View) -> None:
    if shown.has(found.raised_at):
        line[shown.column(found.raised_at)] = found.severity.name[0], _mark(found) + Style(reverse=True)


def _put_beside(line: Cells, text: str, style: Style) -> None:
    """Write `text` to the right of what is in the line, or to its left."""
    taken = [x for x, (char, _) in enumerate(line) if char != " "]
    if not taken:
        _write(line, 0, f"◂▸ {text}", FAINT)  # it lies outside what is shown
    elif len(line) - taken[-1] - 2 >= len(text):
        _write(line, taken[-1] + 2, text, style)
    elif taken[0] - 1 >= len(text):
        _write(line, taken[0] - 1 - len(text), text, style)


def _put_knobs(line: Cells, plot: Plot, shown: View, *, named: bool) -> None:
    """A mark with the new value where a setting was changed, as long as there is room for it."""
    marks = [(shown.column(step), knob, value) for step, knob, value in plot.knobs if shown.has(step)]
    free = 0  # where the next text may begin
    for i, (x, knob, value) in enumerate(marks):
        line[x] = KNOB, CHANGED
        text = f"{visible(knob)} {words.number(value)}" if named else words.number(value)
        after = marks[i + 1][0] if i + 1 < len(marks) else len(line)
        start = x + 2 if named else x + 1
        if start + len(text) < after:
            _write(line, start, text, CHANGED)
            free = start + len(text) + 1
        elif named and x - 1 - len(text) >= free:
            _write(line, x - 1 - len(text), text, CHANGED)
            free = x + 2


def _put_steps(line: Cells, shown: View) -> None:
    """Where there is room: the ends of the axis, and between them round steps or times."""
    where = shown.where
    most = max(1, where.width // 14)
    if shown.clock:
        between = round_durations(where.first, where.last, most)
    else:
        between = round_numbers(where.first, where.last, most, least=1)
    ends = [where.first, where.last] if where.last > where.first else [where.first]
    for x in (*ends, *between):
        text = clock_time(x) if shown.clock else f"{x:.0f}"
        start = max(0, min(where.width - len(text), where.column(x) - len(text) // 2))
        if all(char == " " for char, _ in line[max(0, start - 1) : start + len(text) + 1]):
            _write(line, start, text, FAINT)


def _write(line: Cells, start: int, text: str, style: Style) -> None:
    for x, char in enumerate(text[: max(0, len(line) - start)], start):
        line[x] = char, style


def _joined(cells: Sequence[tuple[str, Style]]) -> Iterator[Segment]:
    """Neighbours of one style as one segment."""
    for style, run in groupby(cells, key=itemgetter(1)):
        yield Segment("".join(char for char, _ in run), style)


def _label(value: float) -> str:
    """A number that fits into the gutter: digits may be dropped, a power of ten never."""
    return next((text for digits in (3, 2, 1) if len(text := f"{value:.{digits}g}") < GUTTER), f"{value:.0e}")


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
