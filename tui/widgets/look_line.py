"""What is not as usual in how curves are drawn, in a line; and the line in which metrics are searched for."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from diagnostics.text import visible
from tui import theme
from tui.look import SMOOTHING, Look
from tui.plots import reach_of
from tui.watched import Watched


def told(look: Look, watched: Watched, matching: int, metrics: int) -> Text:
    """How curves are drawn where it is not as usual, and how many of the `metrics` are shown."""
    run, beneath = watched.run, watched.beneath
    parts = []
    if look.search:
        parts.append((f"{matching} of {metrics} metrics match {visible(look.search)}", "/"))
    if look.log:
        parts.append(("log scale", "L"))
    if look.time and run is not None:
        parts.append(("by time" if run.clock else "by step: nothing says when steps were logged", "T"))
        if run.clock and look.baseline and beneath is not None and beneath.clock is None:
            parts[-1] = f"by time, which {visible(beneath.name)} does not tell: it is not drawn", "T"
    if look.smooth:
        parts.append((f"median over 1/{round(1 / SMOOTHING[look.smooth])} of the width, all values behind it", "S"))
    if look.span is not None and run is not None:
        reach = reach_of(run, beneath)
        first, last = look.shown(reach)
        follows = ", the newest" if look.end is None else ""
        parts.append((f"steps {first} to {last} of {reach.last}{follows}", "0 all"))
    if not look.baseline and beneath is not None:
        parts.append((f"{visible(beneath.name)} hidden", "b"))
    line = Text(no_wrap=True, overflow="ellipsis", style=theme.FAINT)
    for i, (text, key) in enumerate(parts):
        line.append(" · " if i else " ").append(text, style="not dim").append(f" ({key})")
    return line


class LookLine(Static):
    """Not there where everything is as usual."""

    DEFAULT_CSS = "LookLine { height: 1; }"

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.display = False
        self._told = Text()

    def show(self, look: Look, watched: Watched, matching: int, metrics: int) -> None:
        """Say how curves are drawn."""
        line = told(look, watched, matching, metrics)
        self.display = bool(line.plain)
        if line != self._told:
            self._told = line
            self.update(line, layout=False)  # it is one line


class Search(Input):
    """Narrows which metrics are shown while it is typed in; the screen takes it away."""

    DEFAULT_CSS = """
    Search, Search:focus { height: 1; border: none; padding: 0 1; background: $panel; display: none; }
    Search.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.end_search(True)", "All metrics", tooltip="Show all metrics again"),
        Binding("down", "screen.end_search(False)", "Keep", show=False, tooltip="Go to what was found"),
    ]

    def __init__(self) -> None:
        super().__init__(
            placeholder="part of a metric's name, its group, a finding; ! what findings rest on", id="search"
        )
