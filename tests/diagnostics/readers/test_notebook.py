"""Tables and printed lines of notebooks, as Jupyter saves them."""

import html
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from diagnostics.readers import notebook
from diagnostics.readers.table import Table

HEADER = ["Step", "Training Loss", "reward", "rewards / <check>"]
ROWS = [["10", "No log", "0.500000", "1"], ["20", "0.250000", "nan", "2"], ["30", "1e-05", "0.75", "3"]]


def shown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Trainer shows it in a notebook (transformers/utils/notebook.py), under its bar."""
    head = "".join(f"      <th>{html.escape(name)}</th>\n" for name in header)
    body = "".join("    <tr>\n" + "".join(f"      <td>{cell}</td>\n" for cell in row) + "    </tr>\n" for row in rows)
    return (
        "\n    <div>\n      \n      <progress value='30' max='30'></progress>\n      [30/30 00:10]\n    </div>\n"
        f'    <table border="1" class="dataframe">\n  <thead>\n <tr style="text-align: left;">\n{head}'
        f"    </tr>\n  </thead>\n  <tbody>\n{body}  </tbody>\n</table><p>"
    )


def display(source: str, *, lines: bool = True) -> dict[str, Any]:
    text = source.splitlines(keepends=True) if lines else source
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text, "text/plain": ["<HTML>"]}}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}


def document(*cells: Sequence[dict[str, Any]]) -> str:
    made: list[dict[str, Any]] = [{"cell_type": "markdown", "source": ["| Step | x |"], "metadata": {}}]
    made += [{"cell_type": "code", "source": [], "metadata": {}, "outputs": list(outputs)} for outputs in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def parts(path: Path) -> list[str] | None:
    found = notebook.parts(path, path.read_bytes()[: 1 << 16])
    return None if found is None else list(found)


def read(path: Path, part: str = "") -> Table:
    reader = notebook.open_log([path], part)
    while reader.poll():
        pass
    reader.finish()
    reader.close()
    return reader.table


def columns(table: Table) -> dict[str, list[tuple[int, float | str]]]:
    found = {}
    for name, column in table.columns.items():
        rows, numbers = column.since(0)
        found[name] = [(r, n if n == n else "nan") for r, n in zip(rows.tolist(), numbers.tolist(), strict=True)]
    return found


@pytest.mark.parametrize("lines", [True, False])
def test_the_table_of_trainer(lines, tmp_path):
    path = write(tmp_path / "n.ipynb", document([], [stream("hello\n"), display(shown(HEADER, ROWS), lines=lines)]))
    assert parts(path) == [""]
    table = read(path)
    assert columns(table) == {
        "Step": [(0, 10), (1, 20), (2, 30)],
        "Training Loss": [(1, 0.25), (2, 1e-5)],
        "reward": [(0, 0.5), (1, "nan"), (2, 0.75)],
        "rewards / <check>": [(0, 1), (1, 2), (2, 3)],
    }
    assert table.rows == 3 and not table.lost


def test_tables_and_printed_rows_are_runs_of_their_own(tmp_path):
    frame = "<table><thead><tr><th></th><th>epoch</th><th>loss</th></tr></thead><tbody>"
    frame += "".join(f"<tr><th>{i}</th><td>{i}</td><td><b>{i / 4}</b></td></tr>" for i in range(3)) + "</tbody></table>"
    other = shown(["name", "count", "mean"], [["a", "1", "2"], ["b", "2", "3"]])
    printed = "".join(f"{{'loss': {i / 4}, 'epoch': {i}}}\n" for i in range(4))
    path = write(
        tmp_path / "n.ipynb",
        document(
            [display(other)], [display(shown(HEADER, ROWS)), display(other + frame)], [stream(printed)], [stream("3 4")]
        ),
    )
    assert parts(path) == ["cell 3, table 1", "cell 3, table 2", "cell 4"]
    assert read(path, "cell 3, table 1").rows == 3
    assert columns(read(path, "cell 3, table 2"))["loss"] == [(0, 0), (1, 0.25), (2, 0.5)]
    assert columns(read(path, "cell 4"))["loss"] == [(0, 0), (1, 0.25), (2, 0.5), (3, 0.75)]


def test_what_is_printed_beside_a_table_is_not_a_second_run(tmp_path):
    printed = stream("".join(f"{{'loss': {i / 4}, 'epoch': {i}}}\n" for i in range(4)))
    path = write(tmp_path / "n.ipynb", document([printed, display(shown(HEADER, ROWS))]))
    assert parts(path) == [""] and read(path).rows == 3


def test_rows_that_cannot_be_read_are_counted(tmp_path):
    rows = [*ROWS, ["40", "0.5"], ["...", "...", "...", "..."]]
    table = read(write(tmp_path / "n.ipynb", document([display(shown(HEADER, rows))])))
    assert table.rows == 3
    assert dict(table.lost) == {"lines with more or fewer cells than the header": 1, "rows without a number": 1}


def test_a_notebook_that_is_saved_again_adds_its_new_rows(tmp_path):
    path = write(tmp_path / "n.ipynb", document([display(shown(HEADER, ROWS[:1]))]))
    reader = notebook.open_log([path], "")
    assert reader.poll() and not reader.poll()
    assert reader.table.rows == 1
    text = document([display(shown(HEADER, ROWS))])
    write(path, text[:200])  # still being written
    os.utime(path, ns=(1, 1))
    assert not reader.poll()
    write(path, text)
    os.utime(path, ns=(2, 2))
    assert reader.poll() and not reader.poll()
    reader.finish()
    assert reader.table.rows == 3 and not reader.table.lost


def test_printed_lines_that_become_more(tmp_path):
    lines = [f"{{'loss': {i / 4}, 'epoch': {i}}}\n" for i in range(6)]
    path = write(tmp_path / "n.ipynb", document([stream("".join(lines[:3]))]))
    reader = notebook.open_log([path], "")
    assert reader.poll()
    write(path, document([stream("".join(lines))]))
    os.utime(path, ns=(2, 2))
    assert reader.poll()
    reader.finish()
    assert columns(reader.table)["epoch"] == [(i, i) for i in range(6)]


def test_what_holds_no_table_with_a_step_is_no_log(tmp_path):
    for text in (
        document(),
        document([display(shown(["name", "count"], [["a", "1"]]))], [stream("accuracy 0.5\n")]),
        document([display(shown(["Step", "text"], [["1", "a"]]))]),
        document([stream("{'eval_loss': 0.5, 'epoch': 1.0}\n")]),
        '{"cells": 3, "nbformat": 4}',
        '{"cells": [3, {"outputs": 4}, '
        '{"outputs": [5, {"data": 6, "text": 7}, {"data": {"text/html": {}}}]}], "nbformat": 4}',
        '{"nbformat": [1]}',
    ):
        assert parts(write(tmp_path / "n.ipynb", text)) is None
    assert notebook.parts(tmp_path, b'{"log_history": []}') is None


def test_a_torn_notebook_is_one_and_says_so(tmp_path):
    path = write(tmp_path / "n.ipynb", document([display(shown(HEADER, ROWS))])[:-30])
    assert parts(path) == [""]
    table = read(path)
    assert table.rows == 0 and dict(table.lost) == {"notebooks that are no whole JSON": 1}
    deep = write(tmp_path / "deep.ipynb", '{"nbformat": 4, "cells": ' + "[" * 200_000)
    assert dict(read(deep).lost) == {"notebooks that are no whole JSON": 1}


@pytest.mark.parametrize(
    "source", ["<table>" * 50_000, "<td" * 100_000, "<table><tr>" + "<td>1" * 50_000, "<!--" * 90_000]
)
def test_html_that_never_ends_takes_no_time(source, tmp_path):
    path = write(tmp_path / "n.ipynb", document([display(source, lines=False)], [display(shown(HEADER, ROWS))]))
    assert parts(path) == [""] and read(path).rows == 3


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_notebook_is_read_or_says_so(seed, tmp_path):
    rng = random.Random(seed)
    raw = bytearray(document([display(shown(HEADER, ROWS))], [stream("step 1 loss 0.5\nstep 2 loss 0.4\n")]).encode())
    for _ in range(rng.randrange(1, 6)):
        begin = rng.randrange(len(raw))
        raw[begin : begin + rng.randrange(3)] = rng.choice(
            (b"", b"<", b"\xff", b"9" * 400, b"\\u0000", b"</table>", b"&#x110000;")
        )
    path = tmp_path / "n.ipynb"
    path.write_bytes(raw)
    if parts(path) is not None:
        table = read(path)
        assert table.rows or table.lost
