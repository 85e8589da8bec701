"""A history that a server of wandb has exported as parquet: its columns, many rows at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diagnostics.readers.columns import MOST_NAMES, TOO_MANY
from diagnostics.readers.table import Numbers, Rows, Table, number
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
        column = file.read([name]).column(name)
    except (pyarrow.ArrowException, OSError, KeyError):
        raise ValueError(f"{path.name} is damaged") from None
    if file.metadata.num_rows > MOST_ROWS or not pyarrow.types.is_integer(column.type):
        raise ValueError(f"{path.name} has no steps")
    values = _numbers(column)[1]
    return (int(values.min()), int(values.max())) if len(values) else (-1, -1)


def read(path: Path, table: Table, objects: dict[str, str]) -> bool:
    """Add the rows in the file at `path` to `table`, and the SDK's own objects to `objects`; whether it could be read.

    Nested names are joined by ".". Flags, lists and blanks are no numbers; texts that spell one are.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        add(pyarrow.parquet.ParquetFile(path).read(), table, objects)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, RecursionError):
        return False
    return True


def add(found: pyarrow.Table, table: Table, objects: dict[str, str]) -> None:
    """Add the rows in `found` to `table`, as `read` does. UnicodeDecodeError for a name that is no text."""
    for name, column in list(_flat(found, objects)):
        _put(table, name, column)
    table.rows += found.num_rows


def _flat(found: pyarrow.Table, objects: dict[str, str]) -> Iterator[tuple[str, pyarrow.ChunkedArray]]:
    """The columns that are no objects; those inside of objects under joined names, but for the SDK's own objects."""
    import pyarrow

    for field, column in zip(found.schema, found.columns, strict=True):
        if not pyarrow.types.is_struct(field.type):
            yield field.name, column
        elif field.type.get_field_index(TYPE) >= 0:
            kinds = (kind for chunk in column.chunks for kind in _texts(chunk.field(TYPE)) if kind is not None)
            objects.setdefault(field.name, next(kinds, "object"))
        else:
            yield from _flat(pyarrow.table({field.name: column}).flatten(), objects)


def _put(table: Table, name: str, column: pyarrow.ChunkedArray) -> None:
    """Add the numbers of a column to those of `table`, behind the rows that it has."""
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_decimal(kind):
        column, kind = column.cast(pyarrow.float64()), pyarrow.float64()
    if types.is_integer(kind) or types.is_floating(kind):
        rows, numbers = _numbers(column)
    elif _is_text(kind):
        texts = [text for chunk in column.chunks for text in _texts(chunk)]
        spelt = [(row, value) for row, text in enumerate(texts) if (value := number(text)) is not None]
        rows = np.array([row for row, _ in spelt], np.int64)
        numbers = np.array([value for _, value in spelt])
        first = next((text for text in texts if text is not None), None)
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


def _is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    plain = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(plain) or types.is_large_string(plain))


def _texts(chunk: pyarrow.Array) -> list[str | None]:
    """The texts in a chunk of a column, whatever bytes these are; None where there is none."""
    import pyarrow
    from pyarrow import types

    if not _is_text(chunk.type):
        return [None] * len(chunk)
    plain = chunk.dictionary_decode() if types.is_dictionary(chunk.type) else chunk
    data = plain.view(pyarrow.large_binary() if types.is_large_string(plain.type) else pyarrow.binary()).to_pylist()
    return [None if text is None else text.decode(errors="replace") for text in data]


def _numbers(column: pyarrow.ChunkedArray) -> tuple[Rows, Numbers]:
    """The numbers in a column and the rows in which there is one, (n,) each.

    Its buffers are read as they are: what would convert them imports pandas first, for longer than all of this takes.
    """
    rows, numbers, before = [np.empty(0, np.int64)], [np.empty(0)], 0
    for chunk in column.chunks:
        if not len(chunk):
            continue
        valid, data = chunk.buffers()
        here = slice(chunk.offset, chunk.offset + len(chunk))
        values = np.frombuffer(data, column.type.to_pandas_dtype())[here].astype(np.float64)
        if chunk.null_count:
            at = np.flatnonzero(np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[here])
            values = values[at]
        else:
            at = np.arange(len(values))
        rows.append(at + before)
        numbers.append(values)
        before += len(chunk)
    return np.concatenate(rows), np.concatenate(numbers)
