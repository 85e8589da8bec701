"""Histories that a server of wandb exports: numbers of all kinds, and what is none."""

import decimal
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from diagnostics.readers import wandb_parquet
from diagnostics.readers.table import Table

N = 20
KINDS: dict[str, Any] = {
    "int": pyarrow.array([None if i == 2 else i for i in range(N)], pyarrow.int32()),
    "unsigned": pyarrow.array(range(N), pyarrow.uint64()),
    "float": [None if i % 3 == 0 else i * 1.5 for i in range(N)],
    "half": pyarrow.array(np.arange(N), pyarrow.float16()),
    "decimal": [decimal.Decimal(i) / 2 for i in range(N)],
    "nan": [math.nan if i == 4 else math.inf for i in range(N)],
    "spelt": ["NaN" if i == 3 else "-Infinity" if i == 4 else str(i) for i in range(N)],
    "coded": pyarrow.array(["Infinity"] * N).dictionary_encode(),
    "nested": [None if i == 7 else {"x": i, "y": {"z": None if i == 5 else 2.0 * i}} for i in range(N)],
}
NONE: dict[str, Any] = {
    "flag": [True] * N,
    "text": ["hello"] * N,
    "nothing": pyarrow.nulls(N),
    "list": [[1.0]] * N,
    "time": pyarrow.array([0] * N, pyarrow.timestamp("s")),
    "page": [None, *[{"_type": "histogram", "bins": [1]}] * (N - 1)],
}


def written(path: Path, columns: dict[str, Any], group: int) -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"_step": range(N)} | columns), path, row_group_size=group)
    return path


def points(table: Table, name: str) -> list[tuple[int, str]]:
    rows, numbers = table.columns[name].since(0)
    return [(row, repr(number)) for row, number in zip(rows.tolist(), numbers.tolist(), strict=True)]


@pytest.mark.parametrize("group", [1, 6, 100])
def test_numbers_of_all_kinds(tmp_path: Path, group: int) -> None:
    table = Table()
    file = written(tmp_path / "a.parquet", KINDS, group)
    assert wandb_parquet.read(file, table, {}) and wandb_parquet.read(file, table, {})  # one behind the other
    logged = {
        "int": [(i, float(i)) for i in range(N) if i != 2],
        "unsigned": [(i, float(i)) for i in range(N)],
        "float": [(i, i * 1.5) for i in range(N) if i % 3],
        "half": [(i, float(i)) for i in range(N)],
        "decimal": [(i, i / 2) for i in range(N)],
        "nan": [(i, math.nan if i == 4 else math.inf) for i in range(N)],
        "spelt": [(i, {3: math.nan, 4: -math.inf}.get(i, float(i))) for i in range(N)],
        "coded": [(i, math.inf) for i in range(N)],
        "nested.x": [(i, float(i)) for i in range(N) if i != 7],
        "nested.y.z": [(i, 2.0 * i) for i in range(N) if i not in (5, 7)],
    }
    assert table.columns.keys() == {"_step", *logged}
    for name, known in logged.items():
        twice = [(row + start, repr(number)) for start in (0, N) for row, number in known]
        assert points(table, name) == twice, name
    assert table.rows == 2 * N


def test_a_column_in_several_pieces() -> None:
    whole = pyarrow.table({"_step": range(N)} | KINDS)
    pieces = pyarrow.concat_tables([whole.slice(0, 3), whole.slice(3, 0), whole.slice(3, 8), whole.slice(11)])
    assert pieces.column("int").num_chunks > 2
    one, several = Table(), Table()
    wandb_parquet.add(whole, one, {})
    wandb_parquet.add(pieces, several, {})
    assert {name: points(several, name) for name in several.columns} == {n: points(one, n) for n in one.columns}


def test_what_is_no_number(tmp_path: Path) -> None:
    table, objects = Table(), dict[str, str]()
    assert wandb_parquet.read(written(tmp_path / "a.parquet", NONE, 7), table, objects)
    assert table.columns.keys() == {"_step"}
    assert table.texts == {"text": "hello"} and objects == {"page": "histogram"}


def test_what_is_no_parquet(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.parquet", KINDS, 6).read_bytes()
    for i in range(0, len(whole), 97):
        (tmp_path / "cut").write_bytes(whole[:i])
        assert not wandb_parquet.read(tmp_path / "cut", Table(), {})
        with pytest.raises(ValueError, match="damaged"):
            wandb_parquet.steps(tmp_path / "cut", "_step")
        (tmp_path / "bad").write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        wandb_parquet.read(tmp_path / "bad", Table(), {})  # whatever it says, it raises nothing


def test_the_steps_of_a_file(tmp_path: Path) -> None:
    file = written(tmp_path / "a.parquet", {"x": [1.0] * N, "y": ["a"] * N}, 6)
    assert wandb_parquet.steps(file, "_step") == (0, N - 1)
    for name in ("x", "y", "z"):
        with pytest.raises(ValueError, match=r"a\.parquet"):
            wandb_parquet.steps(file, name)
