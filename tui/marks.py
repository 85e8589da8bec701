"""What stands around a curve: the values to its left; below it the steps, the findings and what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.segment import Segment
from rich.style import Style

from diagnostics.axes import HIGH, Frame, clock_time, powers_of_ten, round_durations, round_numbers
from diagnostics.finding import Finding
from diagnostics.text import visible
from studies import words
from tui import theme
from tui.plots import Plot
from tui.view import GUTTER, ROOMY, View, lines_around

KNOB = "◆"  # a setting was changed here
FAINT, CHANGED = Style(color=theme.FAINT), Style(color=theme.CHANGED, bold=True)

Cells = list[tuple[str, Style]]


def value_labels(where: Frame) -> dict[int, str]:
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
    if len(found) < 2:
        return round_numbers(where.low, where.high, most)
    return found[:: -(-len(found) // max(1, most)) or 1]


def marks(plot: Plot, shown: View, height: int) -> Iterator[Cells]:
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
    for found in plot.findings[: lines_around(plot, height) - 2 - bool(plot.knobs)]:
        line = _blank(shown)
        _put_range(line, found, shown)
        _put_letter(line, found, shown)
        _put_beside(line, f"{visible(found.code)} {visible(found.name)}", mark(found))
        yield line
    if plot.knobs:
        line = _blank(shown)
        _put_knobs(line, plot, shown, named=True)
        yield line


def _blank(shown: View) -> Cells:
    return [(" ", FAINT)] * shown.where.width


def mark(found: Finding) -> Style:
    """How what belongs to a finding is drawn."""
    return Style(color=theme.MARKS[found.severity], bold=True)


def _put_range(line: Cells, found: Finding, shown: View) -> None:
    for x in shown.columns(found):
        line[x] = "━", mark(found)


def _put_letter(line: Cells, found: Finding, shown: View) -> None:
    if shown.has(found.raised_at):
        line[shown.column(found.raised_at)] = found.severity.name[0], mark(found) + Style(reverse=True)


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
        number, after = words.number(value), marks[i + 1][0] if i + 1 < len(marks) else len(line)
        name = f"{visible(knob)} {number}"
        places = [(x + 2, name), (x - 1 - len(name), name)] if named else []
        for start, text in (*places, (x + 1, number)):
            if start >= free and start + len(text) < (after if start > x else x):
                _write(line, start, text, CHANGED)
                free = start + len(text) + 1
                break


def _put_steps(line: Cells, shown: View) -> None:
    """Where there is room: the ends of the axis, and between them round steps or times."""
    where = shown.where
    most = 1 + where.width // 12
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


def _label(value: float) -> str:
    """A number that fits into the gutter: digits may be dropped, a power of ten never."""
    return next((text for digits in (3, 2, 1) if len(text := f"{value:.{digits}g}") < GUTTER), f"{value:.0e}")


def heading(name: str, plots: Sequence[Plot], width: int) -> list[Segment]:
    """The name of a group among `plots` and the worst that was found in it, in `width` cells."""
    found = [finding for plot in plots if plot.group == name for finding in plot.findings]
    worst = max(found, key=lambda finding: finding.severity, default=None)
    told = ""
    if worst is not None:
        told = f" {worst.severity.name} {visible(worst.code)} since step {worst.first_step} "
        told += f"and {others} more " if (others := len({finding.code for finding in found}) - 1) else ""
    style = Style(color=theme.MARKS[worst.severity], bold=True) if worst else FAINT
    name = f" {name} "
    told = told if len(name) + len(told) + 4 <= width else ""
    rest = "─" * max(0, width - 3 - len(name) - len(told))
    return [Segment("──", FAINT), Segment(name, Style(bold=True)), Segment(told, style), Segment(f"{rest} ", FAINT)]
