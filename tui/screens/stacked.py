"""The first screens: a table of runs, and below it panes of the selected one that share the room that there is."""

from __future__ import annotations

from asyncio import sleep
from typing import ClassVar

from textual import on
from textual.widgets import DataTable

from tui.screens.frame import Frame

WIDE = 200  # cells; from here on all panes below the table stand side by side
TWO = 28  # lines; from here on two of them stand one upon the other where the screen is narrow


class Stacked(Frame):
    """`BENEATH` are the ids of the panes in the container called `beneath`, the most important first."""

    BENEATH: ClassVar[tuple[str, ...]]
    DEFAULT_CSS = """
    Stacked RowTable { height: auto; max-height: 40%; }
    Stacked #beneath { height: 1fr; layout: grid; grid-size: 2 1; grid-columns: 1fr 1fr; }
    Stacked.narrow RowTable { max-height: 7; }
    Stacked.narrow.tall RowTable { max-height: 12; }
    Stacked.narrow #beneath { layout: vertical; }
    Stacked.narrow #beneath > * { height: 1fr; }
    Stacked.narrow.two #about { height: auto; max-height: 60%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._lower = self.BENEATH[0]  # which of the panes has the room where there is room for one

    @on(DataTable.RowHighlighted)
    async def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row < len(self.watched.runs):
            self.monitor.select(self.watched.runs[event.cursor_row].key)
            await sleep(0)  # till the panes have said what changed: one paint, and no second that waits for its turn

    def show_panes(self) -> None:
        """As many of the panes below the table as there is room for."""
        self.set_class(self.size.width >= WIDE, "wide")
        self.set_class(self.size.height >= TWO, "two")
        for name in self.BENEATH:
            self.query_one(f"#{name}").display = name in self._shown_beneath()

    def _shown_beneath(self) -> tuple[str, ...]:
        if not self.has_class("narrow"):
            return self.BENEATH
        first, *others = self.BENEATH
        if not self.has_class("two"):
            return (self._lower,)
        return first, self._lower if self._lower != first else others[0]

    def turn_to(self, name: str) -> None:
        """Let the pane called `name` have the room; with the table the first does."""
        self._lower = name if name in self.BENEATH else self.BENEATH[0]
        self.show_panes()
