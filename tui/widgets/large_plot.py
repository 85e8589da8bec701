"""One plot as large as its place, with a cursor and what stands where it points."""

from __future__ import annotations

import math
import time
from bisect import bisect_right

from rich.text import Text
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from diagnostics.axes import Clock, clock_time
from diagnostics.plot import Curve
from diagnostics.text import visible
from studies import words
from tui import theme
from tui.drawing import draw
from tui.look import Look
from tui.marks import KNOB
from tui.plots import Plot
from tui.view import GUTTER, View, seen

LEAST_WIDTH, LEAST_HEIGHT = 13, 4  # cells
SINCE_1970 = 1e8  # seconds; a clock that says less counts from the beginning of its run
NEARER, FARTHER = 0.7, 1 / 0.7  # of the steps shown, for each turn of the wheel


class LargePlot(Widget):
    """The plot; a click sets the cursor, dragging asks for a part of the steps, the wheel for fewer or more of them."""

    ALLOW_SELECT = False  # dragging means steps

    class Pointed(Message):
        """The cursor is to stand at a step."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class Chosen(Message):
        """The steps from the first to the last are to be shown."""

        def __init__(self, first: int, last: int) -> None:
            super().__init__()
            self.first, self.last = first, last

    class Turned(Message):
        """`factor` times as many steps are to be shown around `step`."""

        def __init__(self, factor: float, step: int) -> None:
            super().__init__()
            self.factor, self.step = factor, step

    def __init__(self) -> None:
        super().__init__()
        self.plot: Plot | None = None
        self.view: View | None = None
        self._look = Look()
        self._cursor: int | None = None
        self._from: int | None = None  # the column where dragging began
        self._strips: list[Strip] = []

    def show(self, plot: Plot | None, look: Look, cursor: int | None) -> None:
        """Draw `plot` as `look` says, with the cursor at a step."""
        self.plot, self._look, self._cursor = plot, look, cursor
        width, height = self.size
        self._strips, self.view = [], None
        if plot is not None and width >= LEAST_WIDTH and height >= LEAST_HEIGHT:
            self.view = seen(plot, width, height, look)
            pointed = [] if cursor is None else [float(cursor)]
            if self._from is not None:
                pointed.append(self.view.step(self._from))
            self._strips = [Strip(line) for line in draw(plot, width, height, look, pointed=pointed)]
        self.refresh()

    def neighbour(self, direction: int) -> int | None:
        """The step of the next point in another column than the cursor's, which begins at the newest that is seen."""
        if self.view is None or not self.view.curve.steps:
            return None
        view, steps = self.view, self.view.curve.steps
        if self._cursor is None or not view.has(self._cursor):
            return next((step for step in reversed(steps) if view.has(step)), None)
        here, at = view.column(self._cursor), bisect_right(steps, self._cursor) - 1
        ahead = steps[at + 1 :] if direction > 0 else steps[max(at, 0) :: -1]
        return next((s for s in ahead if not view.has(s) or view.column(s) != here), None)

    def on_resize(self) -> None:
        """As large as the place now is."""
        self.show(self.plot, self._look, self._cursor)

    def render_line(self, y: int) -> Strip:
        """One line of the plot."""
        strip = self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)
        return strip.apply_style(self.rich_style)

    # ---- the mouse

    def _column(self, event: events.MouseEvent) -> int:
        """The column of cells of the curve that the mouse is in."""
        assert self.view is not None
        at = event.get_content_offset_capture(self)
        return min(self.view.where.width - 1, max(0, at.x - GUTTER))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A click or the beginning of a drag."""
        if self.view is not None:
            self._from = self._column(event)
            self.capture_mouse()
            self.post_message(self.Pointed(round(self.view.step(self._from))))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Dragging moves the cursor."""
        if self._from is not None and self.view is not None:
            self.post_message(self.Pointed(round(self.view.step(self._column(event)))))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """What was dragged over is to be shown."""
        self.release_mouse()
        if self._from is not None and self.view is not None:
            start, end = sorted((self._from, self._column(event)))
            self._from = None
            if end - start > 1:
                self.post_message(self.Chosen(round(self.view.step(start)), round(self.view.step(end))))

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._turn(event, NEARER)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._turn(event, FARTHER)

    def _turn(self, event: events.MouseEvent, factor: float) -> None:
        if self.view is not None:
            self.post_message(self.Turned(factor, round(self.view.step(self._column(event)))))
        event.stop()


def readout(plot: Plot, view: View, step: int, beneath: str) -> Text:
    """What stands at a step: when it was, the values there, that of the run `beneath`, what was found and changed."""
    parts = [Text(f"step {step}", style="bold")]
    if plot.clock is not None:
        parts.append(Text(_when(plot.clock, step)))
    parts.append(Text.assemble((_values(view, step), theme.OWN), f" {plot.unit}".rstrip()))
    if view.before.steps:
        x = view.x(step)
        there = view.before_clock.step(x) if view.before_clock else x
        value = words.number(_at(view.before, there))
        parts.append(Text.assemble(f"{visible(beneath)}: ", (value, theme.OTHER if plot.equal else theme.BENEATH)))
    for found in plot.findings:
        if found.first_step <= step <= max(found.last_step, found.raised_at):
            known = "" if step >= found.raised_at else f", known from step {found.raised_at}"
            name = f" {found.severity.name} {visible(found.code)} "
            parts.append(Text.assemble((name, theme.SEVERITIES[found.severity]), known))
    changed = [(knob, value) for at, knob, value in plot.knobs if view.has(at) and view.column(at) == view.column(step)]
    parts += [Text(f"{KNOB} {visible(knob)} {words.number(value)}", style=theme.CHANGED) for knob, value in changed]
    return Text(" · ").join(parts)


def _when(clock: Clock, step: int) -> str:
    elapsed = clock.elapsed(step)
    began = clock.seconds[0]
    at = f" ({time.strftime('%H:%M:%S', time.localtime(began + elapsed))})" if began > SINCE_1970 else ""
    return f"{clock_time(elapsed)}{at}"


def _values(view: View, step: int) -> str:
    """The value at a step, and how far those reach that stand in the same column."""
    own, column = view.curve, view.column(step)
    value = words.number(_at(own, step))
    start = end = bisect_right(own.steps, step)
    while start > 0 and view.column(own.steps[start - 1]) == column:
        start -= 1
    while end < len(own.steps) and view.column(own.steps[end]) == column:
        end += 1
    finite = [
        v for s, v in zip(own.steps[start:end], own.values[start:end], strict=True) if view.has(s) and math.isfinite(v)
    ]
    if len(finite) < 2 or min(finite) == max(finite):
        return value
    return f"{value} ({words.number(min(finite))} to {words.number(max(finite))} here)"


def _at(curve: Curve, step: float) -> float | None:
    """The last value known at a step."""
    i = bisect_right(curve.steps, step)
    return curve.values[i - 1] if i else None
