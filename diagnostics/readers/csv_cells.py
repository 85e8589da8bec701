"""Columns of cells as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diagnostics.readers.table import Numbers, Rows, number

# What stands in cells that are empty, in lower case; "No log" is the Trainer's, before it logged a loss.
_BLANK = {"", "-", "--", "na", "n/a", "<na>", "none", "null", "no log"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_MAY_PART_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


@dataclass(slots=True)
class Cells:
    """How the cells of one column are read: what it learns from one batch holds for the next.

    With `commas`, where cells are not parted by them, a comma may stand for a decimal point; one that could as well
    part thousands does so only in a column that has shown others.
    """

    commas: bool = False
    decimal_commas: bool = False
    texts: int = 0
    first_text: str = ""

    def numbers(self, column: Sequence[str]) -> tuple[Rows, Numbers]:
        """The numbers among the cells, and their places."""
        joined = "".join(column)
        if "" in column:
            places = np.array([i for i, cell in enumerate(column) if cell], np.int64)
            column = [cell for cell in column if cell]
        else:
            places = np.arange(len(column))
        if "_" not in joined and joined.isascii():  # else float() takes more than numbers
            try:
                return places, np.fromiter(map(float, column), np.float64, len(column))
            except ValueError:
                pass
        read = [self._number(cell) for cell in column]
        found = np.array([i for i, value in enumerate(read) if value is not None], np.int64)
        return places[found], np.array([value for value in read if value is not None], np.float64)

    def _number(self, cell: str) -> float | None:
        value = number(cell)
        if value is not None:
            return value
        text = cell.strip()
        if text.lower() in _BLANK:
            return None
        if self.commas and text.isascii() and _DECIMAL_COMMA.fullmatch(text):
            self.decimal_commas |= not _MAY_PART_THOUSANDS.fullmatch(text)
            if self.decimal_commas:
                return float(text.replace(",", "."))
        self.texts += 1
        self.first_text = self.first_text or text
        return None
