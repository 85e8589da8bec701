"""Text of any shape that the mouse can select: Textual selects only what it lays out itself, and no tables of Rich."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.selection import Selection
from textual.strip import Strip
from textual.widgets import Static


class Words(Static):
    """A Static without markup."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes, markup=False)

    def render_line(self, y: int) -> Strip:
        """One line, with what is selected of it marked."""
        strip = super().render_line(y)
        selection = self.text_selection
        span = selection.get_span(y) if selection is not None else None
        if span is not None:
            start, end = span
            end = strip.cell_length if end == -1 else min(end, strip.cell_length)
            if start < end:
                marked = self.screen.get_component_rich_style("screen--selection")
                before, there, after = strip.divide([start, end, strip.cell_length])
                strip = Strip([*before, *_marked(there, marked), *after], strip.cell_length)
        return strip.apply_offsets(0, y)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What the mouse has selected."""
        return selection.extract("\n".join(laid_out(self))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Mark it."""
        self.refresh()


def laid_out(static: Static) -> list[str]:
    """What `static` says, line by line, as it is laid out."""
    width, height = static.size
    return [strip.text.rstrip() for strip in static.render_lines(Region(0, 0, width, height))]


def _marked(strip: Strip, style: Style) -> list[Segment]:
    return [Segment(text, (own or Style()) + style, control) for text, own, control in strip]
