"""The axes of a plot: where a step or a moment falls, where a value does, and the round numbers that name them."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

WIDE, HIGH = 2, 4  # dots of a cell
NEAR = 1e-3  # of the largest value: nearer to 0 than that a log scale of values that are not all positive is linear
DURATIONS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # seconds


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """When steps were logged: rising steps (n,), and seconds (n,) that do not fall; n is 1 at least.

    Between two steps time passes evenly.
    """

    steps: Sequence[int]
    seconds: Sequence[float]

    def elapsed(self, step: float) -> float:
        """Seconds from the first step to `step`, of one outside the run those of its end."""
        i = bisect_left(self.steps, step)
        if i == 0 or i == len(self.steps):
            return self.seconds[min(i, len(self.seconds) - 1)] - self.seconds[0]
        before, after = self.seconds[i - 1], self.seconds[i]
        share = (step - self.steps[i - 1]) / (self.steps[i] - self.steps[i - 1])
        return before + share * (after - before) - self.seconds[0]

    def step(self, elapsed: float) -> float:
        """The first step that was reached `elapsed` seconds after the first, infinite after the last."""
        moment = elapsed + self.seconds[0]
        i = bisect_left(self.seconds, moment)
        if i == 0 or i == len(self.seconds):
            return math.inf if i else self.steps[0]
        before, after = self.seconds[i - 1], self.seconds[i]
        return self.steps[i - 1] + (moment - before) / (after - before) * (self.steps[i] - self.steps[i - 1])


def clock(steps: Iterable[int], seconds: Iterable[float]) -> Clock | None:
    """The clock of rising `steps` and their `seconds`, where some fall (a clock was set back) held; None for none."""
    known = array("q", steps)
    return Clock(known, array("d", accumulate(seconds, max))) if known else None


@dataclass(frozen=True, slots=True)
class Frame:
    """What a plot shows, both ends inclusive, on `width` x `height` cells: steps (or seconds) and values.

    A `log` scale on which a value is not positive is linear around 0 (see `linear_below`).
    """

    first: float
    last: float
    low: float
    high: float
    width: int
    height: int
    log: bool = False

    def column(self, x: float) -> int:
        """The column of cells that a step (or second) falls into, kept within the plot."""
        return self.dot(x) // WIDE

    def dot(self, x: float) -> int:
        """The column of dots that a step (or second) falls into, kept within the plot."""
        return min(self.width * WIDE - 1, max(0, self.place(x)))

    def place(self, x: float) -> int:
        """The column of dots, also of what lies outside the plot."""
        return round((x - self.first) / self._span * (self.width * WIDE - 1))

    def border(self, dot: int) -> float:
        """Where the column of dots after `dot` begins."""
        return self.first + (dot + 0.5) / (self.width * WIDE - 1) * self._span

    def at(self, column: int) -> float:
        """The step (or second) in the middle of a column of cells."""
        return self.first + (column * WIDE + 0.5) / (self.width * WIDE - 1) * self._span

    @property
    def _span(self) -> float:
        return self.last - self.first if self.last > self.first else 1.0

    @property
    def linear_below(self) -> float | None:
        """The size below which a log scale is linear, as values are not all positive; None where they are."""
        if not self.log or self.low > 0 or self.low >= self.high:
            return None
        return max(max(abs(self.low), abs(self.high)) * NEAR, 5e-324)  # not 0, of the smallest float

    def heights(self) -> Callable[[float], int]:
        """Gives of a finite value its row of dots, 0 at the top, kept within the plot."""
        down = self.height * HIGH - 1
        if self.high <= self.low:
            return lambda value: down // 2
        level = self._level()
        # Halves, so that the distance of the lowest and the highest float has a size.
        bottom, span = level(self.low) / 2, level(self.high) / 2 - level(self.low) / 2
        if not span:  # of the smallest float there is no half
            return lambda value: down // 2

        def height(value: float) -> int:
            share = (level(value) / 2 - bottom) / span  # may be infinite for what lies outside
            return 0 if share >= 1 else down if share <= 0 else down - round(share * down)

        return height

    def _level(self) -> Callable[[float], float]:
        """How high a value stands; on a log scale below `low` as high as that."""
        if not self.log:
            return lambda value: value
        near = self.linear_below
        if near is None:
            return lambda value: math.log10(max(value, self.low))
        return lambda value: math.asinh(value / near)


def round_numbers(low: float, high: float, most: int, *, least: float = 0.0) -> list[float]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten from `low` to `high`, `least` or more apart."""
    if most < 1 or not 0 < high - low < math.inf:
        return []
    apart = 10.0 ** math.floor(math.log10(max((high - low) / most, least, 1e-300)))
    widths = [apart * size for size in (1, 2, 5, 10, 20, 50, 100) if apart * size >= least]
    return next((found for width in widths if len(found := _multiples(low, high, width)) <= most), [])


def round_durations(low: float, high: float, most: int) -> list[float]:
    """At most `most` multiples of a duration that people count in, from `low` to `high` seconds."""
    if most < 1 or not 0 < high - low < math.inf:
        return []
    wanted = (high - low) / most
    if wanted < DURATIONS[0]:
        return round_numbers(low, high, most)
    if wanted > DURATIONS[-1]:
        return [DURATIONS[-1] * days for days in round_numbers(low / DURATIONS[-1], high / DURATIONS[-1], most)]
    return next((f for d in DURATIONS if d >= wanted and len(f := _multiples(low, high, d)) <= most), [])


def powers_of_ten(low: float, high: float) -> list[float]:
    """The powers of ten from `low` to `high`, which are positive."""
    return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def clock_time(seconds: float) -> str:
    """Seconds since a run began in a few cells: 2.5s, 40s, 12m, 1h30, 3d."""
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02d}" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h" if hours else f"{days}d"


def _multiples(low: float, high: float, of: float) -> list[float]:
    return [of * n for n in range(math.ceil(low / of), math.floor(high / of) + 1)]
