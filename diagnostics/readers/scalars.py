"""Numbers that each have a step of their own, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diagnostics.readers.columns import MOST_NAMES, TOO_MANY
from diagnostics.readers.table import Numbers, Points, Rows, Table


class Scalars:
    """Puts numbers into `table` in the order in which they were logged, a row for each stretch with the same step.

    Where a stretch holds a name again, another row begins with the name that it began with: a writer that was given no
    step says 0 throughout. `steps` takes the step of each row.
    """

    def __init__(self, table: Table, steps: Points) -> None:
        self._table, self._steps = table, steps
        self._step: int | None = None  # of the last number
        self._first_tag = 0  # of the numbers with that step

    def add(self, steps: Rows, tags: Rows, values: Numbers, names: Sequence[str]) -> None:
        """Add `values` (n,) with their `steps` (n,) under the `names` that `tags` (n,) are the places of."""
        if not len(steps):
            return
        table = self._table
        begins_row = self._rows_begin(steps, tags)
        rows = table.rows - 1 + np.cumsum(begins_row)
        table.rows = int(rows[-1]) + 1
        self._steps.extend(rows[begins_row], steps[begins_row].astype(np.float64))
        order = np.argsort(tags, kind="stable")
        found, firsts = np.unique(tags[order], return_index=True)
        for tag, of_tag in zip(found.tolist(), np.split(order, firsts[1:]), strict=True):
            name = names[tag]
            if name in table.columns or len(table.columns) < MOST_NAMES:
                table.column(name).extend(rows[of_tag], values[of_tag])
            else:
                table.lost[TOO_MANY] += len(of_tag)

    def _rows_begin(self, steps: Rows, tags: Rows) -> NDArray[np.bool_]:
        """Which of the numbers (n,) begin a row."""
        stretch = np.append(self._step is None or steps[0] != self._step, steps[1:] != steps[:-1])
        places = np.maximum.accumulate(np.where(stretch, np.arange(len(steps)), -1))
        first_tags = np.where(places >= 0, tags[places], self._first_tag)
        self._step, self._first_tag = int(steps[-1]), int(first_tags[-1])
        begin: NDArray[np.bool_] = tags == first_tags
        return begin
