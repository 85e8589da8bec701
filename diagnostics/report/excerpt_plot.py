"""A finding's range as a small plot, for any width: the curve, its steps below it, and the range marked between them.

   9.43 ⠀⠀⠀⡠⠔⠉
        ⡠⠊
0.00021 ⠊
        ━━━E━━  the range, and the letter of the severity where it could first be known
        20    100
"""

from __future__ import annotations

import math
from itertools import groupby
from operator import itemgetter

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from diagnostics.axes import Frame
from diagnostics.excerpt import Excerpt
from diagnostics.finding import Finding
from diagnostics.plot import BLANK, Curve, braille
from diagnostics.report.styles import MARKS
from diagnostics.text import NOT_FINITE

ROWS = 4  # cells; each is four dots high
MOST_COLUMNS, LEAST_COLUMNS = 90, 8
GUTTER = 9  # for the labels of the highest and the lowest value
OUTSIDE, GONE = Style(color="blue"), Style(color="magenta", bold=True)
FAINT = Style(dim=True)

Cell = tuple[str, Style]


class ExcerptPlot:
    """A rich renderable. Where the terminal cannot show braille, one line with the lowest and the highest value."""

    def __init__(self, shown: Excerpt, finding: Finding) -> None:
        self._shown, self._finding = shown, finding
        points = [(s, v) for s, v in zip(shown.steps, shown.values, strict=True)]
        finite = [v for _, v in points if v is not None and math.isfinite(v)]
        self._low, self._high = min(finite, default=math.nan), max(finite, default=math.nan)
        # A gap breaks the line as a value that is not finite does, but has no mark.
        values = tuple(math.nan if v is None else v for _, v in points)
        self._curve = Curve(shown.steps, values, len(finite) == len(values), self._low, self._high)
        self._not_finite = [s for s, v in points if v is not None and not math.isfinite(v)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = min(MOST_COLUMNS, options.max_width - GUTTER)
        if options.ascii_only or columns < LEAST_COLUMNS:
            yield Segment(f"{self._low:.4g} to {self._high:.4g}"[: options.max_width] + "\n")
            return
        for line in self.lines(columns):
            for style, run in groupby(line, key=itemgetter(1)):
                yield Segment("".join(char for char, _ in run), style)
            yield Segment.line()
        if legend := self._legend():
            yield Segment(f"{legend:>{GUTTER + len(legend)}}"[: options.max_width] + "\n", FAINT)

    def lines(self, columns: int) -> list[list[Cell]]:
        """The cells of each line, labels included; the plot itself is `columns` wide."""
        found, steps = self._finding, self._shown.steps
        mark = Style.parse(MARKS[found.severity])
        rows = ROWS if self._low < self._high else 1
        where = Frame(steps[0], steps[-1], self._low, self._high, columns, rows)
        first, last = where.column(found.first_step), where.column(max(found.last_step, found.raised_at))
        inside = range(first, last + 1)
        lines = []
        top = {where.column(step) for step in self._not_finite}
        labels = {0: self._high, rows - 1: self._low}
        for y, row in enumerate(braille(self._curve, where)):
            line = [(c, FAINT) for c in f"{label_of(labels[y]) if y in labels else '':>{GUTTER - 1}} "]
            for x, bits in enumerate(row):
                if y == 0 and x in top:
                    line.append((NOT_FINITE, GONE))
                else:
                    line.append((chr(BLANK | bits) if bits else " ", mark if x in inside else OUTSIDE))
            lines.append(line)
        lines.append([(" ", FAINT)] * GUTTER + [("━", mark) if x in inside else ("─", FAINT) for x in range(columns)])
        raised = where.column(found.raised_at)
        lines[-1][GUTTER + raised] = (found.severity.name[0], mark)
        lines.append([(" ", FAINT)] * GUTTER + [(c, FAINT) for c in self._ticks(where)])
        return lines

    def _legend(self) -> str:
        """What the marks mean that are not in every plot."""
        gaps = "blank: not logged" if None in self._shown.values else ""
        return ", ".join(part for part in (f"{NOT_FINITE} not finite" if self._not_finite else "", gaps) if part)

    def _ticks(self, where: Frame) -> str:
        """The steps where the range and the plot begin and end, those of the range first where room is short."""
        found, steps = self._finding, self._shown.steps
        line = [" "] * where.width
        taken = [False] * where.width
        for step in (found.first_step, max(found.last_step, found.raised_at), steps[0], steps[-1]):
            text = str(step)
            start = max(0, min(where.width - len(text), where.column(step)))
            around = slice(max(0, start - 1), start + len(text) + 1)
            if len(text) <= where.width and not any(taken[around]):
                line[start : start + len(text)] = text
                taken[start : start + len(text)] = [True] * len(text)
        return "".join(line)


def label_of(value: float) -> str:
    """A number that fits into the gutter: digits may be dropped, a power of ten never."""
    if math.isnan(value):
        return ""
    return next((text for digits in (4, 3, 2, 1) if len(text := f"{value:.{digits}g}") < GUTTER), f"{value:.0e}")
