"""A curve as braille, two dots wide and four high in a cell; pure, no Textual.

A curve of any length is reduced to what can be seen: for each column of dots the first, the lowest, the highest and
the last value (Jugel et al., "M4: a visualization-oriented time series data aggregation", VLDB 2014), so that a spike
of a single step is never hidden.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from diagnostics.axes import HIGH, WIDE, Clock, Frame

BLANK = 0x2800
# The bit of each dot of a cell, [row][column] from the top left.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
# The bits of a cell for what is lit in its left and its right column of dots, four bits from the top.
LEFT, RIGHT = (
    tuple(sum(DOTS[y][side] for y in range(HIGH) if lit >> y & 1) for lit in range(1 << HIGH)) for side in range(WIDE)
)
BLOCK = 32  # points of a curve whose extremes are found once
DOTTED = 0x95  # every second dot of a cell, as on a chessboard

# A column of dots: where it stands, and the rows of the first, the lowest, the highest and the last value in it.
Column = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric: rising steps, a value for each; `low` and `high` bound those that are finite.

    `lows` and `highs` bound those of each whole block of `BLOCK` values, as far as they are known.
    Long curves have arrays of `array`, which take an eighth of the memory of tuples.
    Of a curve that was thinned, `closer` gives all there is from one step to another, both included.
    """

    steps: Sequence[int] = ()
    values: Sequence[float] = ()
    finite: bool = True  # all of them
    low: float = math.inf
    high: float = -math.inf
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    closer: Callable[[float, float], Curve] | None = field(default=None, compare=False, repr=False)


NONE = Curve()


def curve(points: Sequence[tuple[int, float]], known: Curve = NONE) -> Curve:
    """The curve through (step, value) pairs, of which those in `known` were drawn before; `known` where none is new."""
    new = sorted(points[len(known.steps) :], key=itemgetter(0))
    if not new:
        return known
    if known.steps and new[0][0] < known.steps[-1]:  # a log whose steps go back
        return curve(points)
    steps = array("q", known.steps) + array("q", map(itemgetter(0), new))
    last = array("d", map(itemgetter(1), new))
    values = array("d", known.values) + last
    finite = known.finite and math.isfinite(sum(last))  # one that is not makes the sum so; an overflow costs time only
    low, high = _bounds(last, finite=finite)
    lows, highs = array("d", known.lows), array("d", known.highs)
    for start in range(BLOCK * len(lows), len(values) - BLOCK + 1, BLOCK):
        bounds = _bounds(values[start : start + BLOCK], finite=finite)
        lows.append(bounds[0])
        highs.append(bounds[1])
    return Curve(steps, values, finite, min(known.low, low), max(known.high, high), lows, highs)


def frame(curves: Sequence[Curve], last: int, width: int, height: int, *, first: int = 0) -> Frame:
    """The frame that holds all of `curves`, and the steps from `first` on, up to `last` at least."""
    return view([(curve, None) for curve in curves], first, reach(curves, last), width, height)


def reach(curves: Sequence[Curve], last: int = 0) -> int:
    """The last step of all of `curves`, `last` at least."""
    return max([last, *(curve.steps[-1] for curve in curves if curve.steps)])


def view(
    curves: Sequence[tuple[Curve, Clock | None]],
    first: float,
    last: float,
    width: int,
    height: int,
    *,
    log: bool = False,
) -> Frame:
    """The frame from `first` to `last` (steps, or seconds by the clocks) that holds the values between them."""
    bounds = [_extremes(curve, *_between(curve, first, last, clock)) for curve, clock in curves]
    known = [(low, high) for low, high in bounds if low <= high]
    low, high = min((low for low, _ in known), default=0.0), max((high for _, high in known), default=0.0)
    return Frame(first, last, low, high, width, height, log)


def braille(curve: Curve, where: Frame, clock: Clock | None = None) -> list[list[int]]:
    """The dots of the curve as bits, [row of cells][column of cells]; values that are not finite leave a gap.

    With a `clock`, `where` shows seconds. A line that comes from outside or leaves is drawn up to the border.
    """
    return _drawn(_seen(curve, where, clock), where)


def running_median(curve: Curve, where: Frame, clock: Clock | None, share: float) -> list[list[int]]:
    """The dots of the running median over `share` of the width, as those of `braille`.

    Of each column of dots the median, then of those in the window the median (a remedian: Rousseeuw and Bassett, 1990),
    which costs no more for a long curve, and which a single spike does not move.
    """
    columns = [(x, curve.values[start:end]) for x, start, end in _columns(curve, where, clock)]
    places, medians = [], []
    for x, values in columns:
        known = sorted(values if curve.finite else filter(math.isfinite, values))
        if known:
            places.append(x)
            medians.append(known[len(known) // 2])
    half, height = max(1, round(share * where.width * WIDE / 2)), where.heights()

    def line() -> Iterator[Column | None]:
        at = 0
        for x, values in columns:
            if at < len(places) and places[at] == x:
                near = sorted(medians[bisect_left(places, x - half) : bisect_right(places, x + half)])
                y = height(near[len(near) // 2])
                yield x, y, y, y, y
                at += 1
            if not math.isfinite(values[-1]):
                yield None

    return _drawn(line(), where)


def gaps(curve: Curve, where: Frame, clock: Clock | None = None) -> list[int]:
    """The columns of cells in which a value is not finite."""
    if curve.finite:
        return []
    start, end = _between(curve, where.first, where.last, clock)
    pairs = zip(curve.steps[start:end], curve.values[start:end], strict=True)
    steps = (step for step, value in pairs if not math.isfinite(value))
    return sorted({where.column(clock.elapsed(step) if clock else step) for step in steps})


def _between(curve: Curve, first: float, last: float, clock: Clock | None) -> tuple[int, int]:
    """Which points lie from `first` to `last`, as a slice."""
    if clock is not None:
        first, last = clock.step(first), clock.step(last)
    return bisect_left(curve.steps, first), bisect_right(curve.steps, last)


def _bounds(values: Sequence[float], *, finite: bool) -> tuple[float, float]:
    """The lowest and the highest finite value, in the wrong order where there is none; whether all are is known."""
    if not finite:
        values = [value for value in values if math.isfinite(value)]
    return min(values, default=math.inf), max(values, default=-math.inf)


def _extremes(curve: Curve, start: int, end: int) -> tuple[float, float]:
    """Those of the points from `start` to before `end`."""
    if start == 0 and end == len(curve.values):
        return curve.low, curve.high
    first, last = -(-start // BLOCK), min(end // BLOCK, len(curve.lows))
    if first >= last:
        return _bounds(curve.values[start:end], finite=curve.finite)
    edges = [*curve.values[start : first * BLOCK], *curve.values[last * BLOCK : end]]
    low, high = _bounds(edges, finite=curve.finite)
    return min(low, min(curve.lows[first:last])), max(high, max(curve.highs[first:last]))


def _columns(curve: Curve, where: Frame, clock: Clock | None) -> Iterator[tuple[int, int, int]]:
    """The columns of dots in which there are points, and which these are, as a slice."""
    steps, across = curve.steps, where.width * WIDE - 1
    start, end = _between(curve, where.first, where.last, clock)
    while start < end:
        x = where.dot(clock.elapsed(steps[start]) if clock else steps[start])
        border = where.border(x)
        border = clock.step(border) if clock else border
        after = max(start + 1, bisect_left(steps, border, start, end)) if x < across else end
        yield x, start, after
        start = after


def _seen(curve: Curve, where: Frame, clock: Clock | None) -> Iterator[Column | None]:
    """The columns a line has to pass, in order; None at a gap. Before and after them stand the neighbours outside."""
    values, height = curve.values, where.heights()
    start, end = _between(curve, where.first, where.last, clock)

    def neighbour(i: int) -> Iterator[Column]:
        if 0 <= i < len(values) and math.isfinite(values[i]):
            step, y = curve.steps[i], height(values[i])
            yield where.place(clock.elapsed(step) if clock else step), y, y, y, y

    yield from neighbour(start - 1)
    for x, begin, after in _columns(curve, where, clock):
        lowest, highest = _extremes(curve, begin, after)
        if lowest <= highest:
            ends = (begin, after - 1) if curve.finite else _finite_ends(values, begin, after)
            yield x, height(values[ends[0]]), height(lowest), height(highest), height(values[ends[1]])
        if not math.isfinite(values[after - 1]):
            yield None
    yield from neighbour(end)


def _finite_ends(values: Sequence[float], start: int, end: int) -> tuple[int, int]:
    """The first and the last of some points, one of which at least is finite, that are."""
    known = [i for i in range(start, end) if math.isfinite(values[i])]
    return known[0], known[-1]


def _drawn(line: Iterator[Column | None], where: Frame) -> list[list[int]]:
    """The line through all columns, broken where there is None."""
    across = where.width * WIDE - 1
    columns = [0] * (across + 1)  # of dots: which are lit, as bits from the top
    before: tuple[int, int] | None = None
    for column in line:
        if column is None:
            before = None
            continue
        x, first, lowest, highest, last = column
        if 0 <= x <= across:
            columns[x] |= _upright(highest, lowest)
        if before is not None:
            for there_x, lit in _line(*_inside(before, (x, first), across)):
                if 0 <= there_x <= across:
                    columns[there_x] |= lit
        before = x, last
    pairs = list(zip(columns[::WIDE], columns[1::WIDE], strict=True))
    full = (1 << HIGH) - 1
    return [
        [LEFT[left >> y & full] | RIGHT[right >> y & full] for left, right in pairs]
        for y in range(0, HIGH * where.height, HIGH)
    ]


def _inside(start: tuple[int, int], end: tuple[int, int], across: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The part of a line that is at most one dot outside, however far away its ends are."""
    (x0, y0), (x1, y1) = start, end
    if x0 < -1 <= x1:
        start = -1, round(y0 + (y1 - y0) * (-1 - x0) / (x1 - x0))
    if x0 <= across + 1 < x1:
        end = across + 1, round(y0 + (y1 - y0) * (across + 1 - x0) / (x1 - x0))
    return start, end


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The columns from `start` to `end`, both included, and the dots of the line in each, as bits from the top."""
    (x0, y0), (x1, y1) = start, end
    n = max(abs(x1 - x0), abs(y1 - y0), 1)
    if x0 == x1:
        yield x0, _upright(min(y0, y1), max(y0, y1))
    elif x1 == x0 + 1:  # most lines of a long curve
        half = (n - x0 % 2) // 2
        if y0 <= y1:
            yield x0, _upright(y0, min(y1, y0 + half))
            yield x1, _upright(min(y1, y0 + half + 1), y1)
        else:
            yield x0, _upright(y0 - half, y0)
            yield x1, _upright(y1, y0 - half - 1)
    else:
        for i in range(n + 1):
            yield round(x0 + (x1 - x0) * i / n), 1 << round(y0 + (y1 - y0) * i / n)


def _upright(top: int, bottom: int) -> int:
    """The dots from one row to another below it or the same, both included, as bits from the top."""
    return ((2 << bottom - top) - 1) << top
