"""The line that names the screens: the one in front is marked, the others are a key or a click away."""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from rich.text import Text
from textual.widgets import Static


class TabLine(Static):
    """Numbers are the keys."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._shown: object = None

    def show(self, tabs: Mapping[str, str], current: str) -> None:
        """The labels of `tabs`, by the names of their screens, of which `current` is in front."""
        if (shown := ({**tabs}, current)) == self._shown:
            return
        self._shown = shown
        line = Text(no_wrap=True)
        for number, (name, label) in enumerate(tabs.items(), 1):
            style = Style(bold=True, reverse=name == current, meta={"@click": f"app.turn('{name}')"})
            line.append(f" {number} {label} ", style).append(" ")
        self.update(line)
