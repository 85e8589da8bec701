"""A table of rows, one of them selected, that is brought up to date cell by cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.geometry import Size
from textual.widgets import DataTable

_NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,.e+-]*$")
Row = tuple[Text, ...]
Column = tuple[str, int]  # its name and its width in cells, a blank behind it included


def cut(text: Text, cells: int) -> Text:
    """`text` in at most `cells` cells, an ellipsis at its end where it is longer; a number is whole or not there."""
    if text.cell_len <= cells:
        return text
    text.truncate(max(0, cells - 1))
    whole = _NUMBER.sub("", text.plain)
    text.truncate(cell_len(whole.rstrip()))
    return text.append("…") if cells > 0 else text


class RowTable(DataTable[Text]):
    """The highlighted row is the selected one."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0, zebra_stripes=False)
        self._shown: list[Row] = []
        self._columns: list[Column] = []
        self._chosen = 0

    def refill(self) -> None:
        """Bring the table up to date for the width that it has."""
        raise NotImplementedError

    def fill(self, wanted: list[Column], new: Sequence[Row]) -> None:
        """Show the rows `new` under the columns `wanted`; the highlighted row stays."""
        with self.prevent(DataTable.RowHighlighted):
            if wanted != self._columns or len(new) < len(self._shown):
                self.clear(columns=True)
                self._columns, self._shown = wanted, []
                for name, cells in wanted:
                    self.add_column(Text(name), width=cells, key=name)
            grown = len(new) != len(self._shown)
            for i, row in enumerate(new):
                if i >= len(self._shown):
                    self.add_row(*row, key=str(i))
                    continue
                if row is self._shown[i]:
                    continue
                for (name, _), cell, old in zip(wanted, row, self._shown[i], strict=True):
                    if (cell.plain, cell.style, cell.spans) != (old.plain, old.style, old.spans):
                        self.update_cell(str(i), name, cell)
            self._shown = list(new)
            if grown:
                self.refresh(layout=True)
            if self.cursor_row != self._chosen:
                self.move_cursor(row=self._chosen)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A line for each row and the header. Textual's own counts the rows when it is next idle, after the layout."""
        return len(self._shown) + self.header_height

    def choose(self, row: int) -> None:
        """Highlight the row of that index, now or as soon as it is there."""
        self._chosen = row
        if self.cursor_row != row:
            with self.prevent(DataTable.RowHighlighted):
                self.move_cursor(row=row)

    @on(DataTable.RowHighlighted)
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        self._chosen = event.cursor_row

    def on_resize(self, event: events.Resize) -> None:
        """The widths of the columns follow that of the table."""
        self.call_after_refresh(self.refill)
