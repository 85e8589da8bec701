"""Titles of panes."""

from __future__ import annotations

from rich.text import Text
from textual.content import Content
from textual.widget import Widget


def entitle(pane: Widget, title: str) -> None:
    """Write `title` above `pane`, where it is another: Textual paints all of a pane for it. It is text, no markup."""
    if pane.border_title != Content(title).markup:
        pane.border_title = Text(title)
