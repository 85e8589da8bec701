"""Prompts from a user's file: JSONL, CSV or Parquet with a `prompt` column."""

from __future__ import annotations

import hashlib
from pathlib import Path

from diagnostics.errors import UserError
from trainers.tasks import Row

HELD_OUT = 0.1  # share of the distinct prompts that goes to each held-out split
MOST_VALIDATED = 256  # prompts; more would cost time at every evaluation and say little more

Rows = tuple[Row, ...]


def read_rows(path: Path) -> Rows:
    """The rows of a file, the other columns beside `prompt` for the reward. UserError for what cannot be read."""
    import pyarrow
    from pyarrow import csv, json, parquet

    readers = {".jsonl": json.read_json, ".json": json.read_json, ".csv": csv.read_csv, ".parquet": parquet.read_table}
    if path.suffix not in readers:
        raise UserError(f"{path} is no dataset that autotune reads", f"Give a file that ends in {', '.join(readers)}.")
    if not path.is_file():
        raise UserError(f"there is no dataset {path}", "Give the path of a file.")
    try:
        table = readers[path.suffix](str(path))
    except pyarrow.ArrowInvalid as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{path} cannot be read: {reason}", "A dataset is JSONL, CSV or Parquet.") from None
    if "prompt" not in table.column_names:
        columns = ", ".join(table.column_names)
        raise UserError(f"{path} has no column prompt, only {columns}", "Name the column with the prompts `prompt`.")
    if not table.num_rows:
        raise UserError(f"{path} has no rows", "Give a dataset with prompts.")
    return tuple(table.to_pylist())


def hold_out(rows: Rows) -> tuple[Rows, Rows, Rows]:
    """Train, validation and test rows. A prompt goes to one of them with all its rows, by its hash and so for ever."""
    prompts = sorted({_key(row) for row in rows})
    if len(prompts) < 3:
        raise UserError(
            f"{len(prompts)} distinct prompts are too few to hold any out", "Give --validation, or more prompts."
        )
    size = max(1, round(HELD_OUT * len(prompts)))
    validation, test = set(prompts[:size]), set(prompts[size : 2 * size])
    return (
        tuple(row for row in rows if _key(row) not in validation | test),
        tuple(row for row in rows if _key(row) in validation),
        tuple(row for row in rows if _key(row) in test),
    )


def few(rows: Rows) -> Rows:
    """At most MOST_VALIDATED rows, chosen by the hash of their prompt."""
    return tuple(sorted(rows, key=_key)[:MOST_VALIDATED])


def _key(row: Row) -> str:
    return hashlib.sha256(str(row["prompt"]).encode()).hexdigest()
