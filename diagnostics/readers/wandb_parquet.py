"""A history that a server of wandb has exported as parquet: its columns, many rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diagnostics.readers.columns import MOST_NAMES, TOO_MANY
from diagnostics.readers.table import Table, number
from diagnostics.readers.wandb_columns import TYPE

if TYPE_CHECKING:
    import pyarrow

MOST_ROWS = 50_000_000  # of a file; one that says it has more is damaged, or worse
_LONGEST_TEXT = 1000  # characters that are kept of one


def steps(path: Path, name: str) -> tuple[int, int]:
    """The first and the last step, which are in the column `name`. ValueError where the file cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        values = file.read([name]).column(name).drop_null().to_numpy()
    except (pyarrow.ArrowException, OSError, KeyError):
        raise ValueError(f"{path.name} is damaged") from None
    if file.metadata.num_rows > MOST_ROWS or not len(values):
        raise ValueError(f"{path.name} has no steps")
    return int(values.min()), int(values.max())


def read(path: Path, table: Table, objects: dict[str, str]) -> bool:
    """Add the rows in the file at `path` to `table`, and the SDK's own objects to `objects`; whether it could be read.

    Nested names are joined by ".". Flags, lists and blanks are no numbers; texts that spell one are.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError):
        return False
    for name, column in _flat(found, objects):
        _put(table, name, column)
    table.rows += found.num_rows
    return True


def _flat(found: pyarrow.Table, objects: dict[str, str]) -> Iterator[tuple[str, pyarrow.ChunkedArray]]:
    """The columns that are no objects; those inside of objects under joined names, but for the SDK's own objects."""
    import pyarrow

    for field, column in zip(found.schema, found.columns, strict=True):
        if not pyarrow.types.is_struct(field.type):
            yield field.name, column
        elif field.type.get_field_index(TYPE) >= 0:
            kinds = pyarrow.compute.struct_field(column, TYPE).drop_null()
            objects.setdefault(field.name, str(kinds[0]) if len(kinds) else "object")
        else:
            yield from _flat(pyarrow.table({field.name: column}).flatten(), objects)


def _put(table: Table, name: str, column: pyarrow.ChunkedArray) -> None:
    """Add the numbers of a column to those of `table`, behind the rows that it has."""
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        there = column.is_valid().to_numpy() if column.null_count else None
        numbers = column.drop_null().cast(pyarrow.float64(), safe=False).to_numpy()
        rows = np.arange(len(column)) if there is None else np.flatnonzero(there)
    elif types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
        texts = column.to_pylist()
        spelt = [(row, value) for row, text in enumerate(texts) if (value := number(text)) is not None]
        rows = np.array([row for row, _ in spelt], np.int64)
        numbers = np.array([value for _, value in spelt])
        first = next((text for text in texts if isinstance(text, str)), None)
        if first is not None and not spelt and name not in table.columns:
            table.texts.setdefault(name, first[:_LONGEST_TEXT])
    else:
        return
    if not len(rows):
        return
    if name not in table.columns and len(table.columns) >= MOST_NAMES:
        table.lost[TOO_MANY] += len(rows)
        return
    table.column(name).extend(rows + table.rows, numbers)
