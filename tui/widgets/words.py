"""Text of any shape that the mouse can select: Textual selects only what it lays out itself, and no tables of Rich.

What changes of it is painted, and nothing else: laying a whole screen out for a number that has grown costs more than
all else that a step of a run does.
"""

from __future__ import annotations

from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget


class Words(Widget):
    """As high as its text is at its width."""

    DEFAULT_CSS = "Words { height: auto; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._text: RenderableType = ""
        self._wide = 0  # cells that the lines are laid out for, 0 before there is room
        self._lines: list[Strip] = []

    def update(self, text: RenderableType) -> None:
        """Say `text`."""
        self._text = text
        before, self._lines = self._lines, self._laid_out(self._wide)
        if len(before) != len(self._lines):
            self.refresh(layout=True)
        else:
            changed = [y for y, (old, new) in enumerate(zip(before, self._lines, strict=True)) if old != new]
            if changed:
                self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The lines that the text takes."""
        if width != self._wide:
            self._wide, self._lines = width, self._laid_out(width)
        return len(self._lines)

    def _laid_out(self, width: int) -> list[Strip]:
        if not width:
            return []
        console = self.app.console
        options = console.options.update(width=width, height=None, highlight=False)
        return [Strip(line, width) for line in console.render_lines(self._text, options)]

    def render_line(self, y: int) -> Strip:
        """One line, with what is selected of it marked."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        strip = self._lines[y].apply_style(self.rich_style)
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


def laid_out(widget: Widget) -> list[str]:
    """What `widget` says, line by line, as it is laid out."""
    width, height = widget.size
    return [strip.text.rstrip() for strip in widget.render_lines(Region(0, 0, width, height))]


def _marked(strip: Strip, style: Style) -> list[Segment]:
    return [Segment(text, (own or Style()) + style, control) for text, own, control in strip]
