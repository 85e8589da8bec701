"""A curve as braille, two dots wide and four high in a cell; pure, no Textual.

A curve of any length is reduced to what can be seen: for each column of dots the first, the lowest, the highest and
the last value (Jugel et al., "M4: a visualization-oriented time series data aggregation", VLDB 2014), so that a spike
of a single step is never hidden.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

BLANK = 0x2800
# The bit of each dot of a cell, [row][column] from the top left.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
WIDE, HIGH = 2, 4


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric: rising steps, a value for each; `low` and `high` bound those that are finite."""

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    finite: bool = True  # all of them
    low: float = math.inf
    high: float = -math.inf


NONE = Curve()


def curve(points: Sequence[tuple[int, float]], known: Curve = NONE) -> Curve:
    """The curve through (step, value) pairs, of which those in `known` were drawn before; `known` where none is new."""
    new = sorted(points[len(known.steps) :], key=itemgetter(0))
    if not new:
        return known
    if known.steps and new[0][0] < known.steps[-1]:  # a log whose steps go back
        return curve(points)
    steps, values = zip(*new, strict=True)
    whole = math.isfinite(sum(values))  # one that is not finite makes the sum so; an overflow only costs the filter
    finite = values if whole else [value for value in values if math.isfinite(value)]
    return Curve(
        known.steps + steps,
        known.values + values,
        known.finite and whole,
        min(known.low, min(finite, default=math.inf)),
        max(known.high, max(finite, default=-math.inf)),
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """What a plot shows: steps and values, both inclusive, on `width` x `height` cells."""

    first: int
    last: int
    low: float
    high: float
    width: int
    height: int

    def column(self, step: int) -> int:
        """The column of cells that a step falls into, kept within the plot."""
        return self.dot(step) // WIDE

    def dot(self, step: int) -> int:
        """The column of dots that a step falls into."""
        across = self.width * WIDE - 1
        span = max(1, self.last - self.first)
        return min(across, max(0, round((step - self.first) / span * across)))

    def height_of(self, value: float) -> int:
        """The row of dots, 0 at the top."""
        down = self.height * HIGH - 1
        if self.high <= self.low:
            return down // 2
        # Halves, so that the distance of the lowest and the highest float has a size.
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return down - min(down, max(0, round(share * down)))


def frame(curves: Sequence[Curve], last: int, width: int, height: int, *, first: int = 0) -> Frame:
    """The frame that holds all of `curves`, and the steps from `first` on, up to `last` at least."""
    drawn = [curve for curve in curves if curve.low <= curve.high]
    low, high = min((c.low for c in drawn), default=0.0), max((c.high for c in drawn), default=0.0)
    return Frame(first, max([last, *(c.steps[-1] for c in curves if c.steps)]), low, high, width, height)


def braille(curve: Curve, where: Frame) -> list[list[int]]:
    """The dots of the curve as bits, [row of cells][column of cells]; values that are not finite leave a gap."""
    cells = [[0] * where.width for _ in range(where.height)]

    def dot(x: int, y: int) -> None:
        cells[y // HIGH][x // WIDE] |= DOTS[y % HIGH][x % WIDE]

    before: tuple[int, int] | None = None
    for x, y in _seen(curve, where):
        if y is None:
            before = None
            continue
        if before is None:
            dot(x, y)
        else:
            for there in _line(before, (x, y)):
                dot(*there)
        before = (x, y)
    return cells


def gaps(curve: Curve, where: Frame) -> list[int]:
    """The columns of cells in which a value is not finite."""
    if curve.finite:
        return []
    pairs = zip(curve.steps, curve.values, strict=True)
    return sorted({where.column(step) for step, value in pairs if not math.isfinite(value)})


def _seen(curve: Curve, where: Frame) -> Iterator[tuple[int, int | None]]:
    """The dots a line has to pass, in order: first, lowest, highest and last of each column; None at a gap."""
    steps, values = curve.steps, curve.values
    across, span = where.width * WIDE - 1, max(1, where.last - where.first)
    start = 0
    while start < len(steps):
        x = where.dot(steps[start])
        border = where.first + (x + 0.5) / across * span
        end = max(start + 1, bisect_left(steps, border, start)) if x < across else len(steps)
        stretch = values[start:end]
        finite = stretch if curve.finite else [value for value in stretch if math.isfinite(value)]
        if finite:
            for value in (finite[0], min(finite), max(finite), finite[-1]):
                yield x, where.height_of(value)
        if not math.isfinite(stretch[-1]):
            yield x, None
        start = end


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots from `start` to `end`, both included."""
    (x0, y0), (x1, y1) = start, end
    n = max(abs(x1 - x0), abs(y1 - y0), 1)
    for i in range(n + 1):
        yield round(x0 + (x1 - x0) * i / n), round(y0 + (y1 - y0) * i / n)
