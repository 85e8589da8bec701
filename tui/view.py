"""What of a plot is seen: which steps or seconds, which values, on how many cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diagnostics.axes import Clock, Frame
from diagnostics.finding import Finding
from diagnostics.plot import NONE, Curve, view
from tui.look import Look
from tui.plots import Plot

GUTTER = 9  # cells to the left of a plot, for the labels of its values
ROOMY = 10  # lines; from here on values between the highest and the lowest are named, and marks have lines of their own
MOST_MARKS = 4  # lines of findings, where there is room


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
    across, down = max(1, width - GUTTER - 1), max(1, height - lines_around(plot, height))
    both = [(curve, own_clock), (before, before_clock)]
    return View(view(both, start, end, across, down, log=look.log), curve, before, own_clock, before_clock)


def lines_around(plot: Plot, height: int) -> int:
    """How many lines of a plot are not its curve: the title, the steps, and where there is room the marks."""
    if height < ROOMY:
        return 2
    return 2 + min(len(plot.findings), MOST_MARKS, height // 5) + bool(plot.knobs)
