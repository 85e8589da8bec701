"""JSONL, documents of JSON and trainer_state.json as tables."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.readers import json_document, jsonl, salvage, trainer_state
from diagnostics.readers.columns import MANY, MOST_NAMES, NO_NUMBER, TOO_MANY, add_rows
from diagnostics.readers.reader import HEAD, Reader
from diagnostics.readers.table import Table


def drained(reader: Reader) -> Table:
    while reader.poll():
        pass
    reader.finish()
    reader.close()
    return reader.table


def contents(table: Table) -> str:
    columns = {name: [part.tolist() for part in column.since(0)] for name, column in sorted(table.columns.items())}
    return repr((columns, table.rows, table.settings, dict(table.lost), sorted(table.texts.items())))


def points(table: Table, name: str) -> list[tuple[int, float]]:
    rows, values = table.columns[name].since(0)
    return list(zip(rows.tolist(), values.tolist(), strict=True))


def parts(form: object, path: Path) -> Sequence[str] | None:
    return form.parts(path, path.read_bytes()[:HEAD])  # type: ignore[attr-defined,no-any-return]


# ---- rows into columns

CELL = st.one_of(
    st.floats(),
    st.integers(),
    st.just(10**400),
    st.booleans(),
    st.none(),
    st.sampled_from(["1.5", "NaN", "-inf", "x", "1_0"]),
)
NAME = st.sampled_from(["a", "b", "c/d", "step"])
ROW = st.dictionaries(
    NAME, st.one_of(CELL, st.dictionaries(NAME, CELL, max_size=2), st.lists(CELL, max_size=2)), max_size=4
)


@given(st.lists(ROW, max_size=6), st.integers(1, MANY), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_many_rows_at_once_are_what_they_are_one_by_one(rows, times, cut):
    rows = rows * times
    fast, slow = Table(), Table()
    add_rows(fast, rows[:cut])
    add_rows(fast, rows[cut:])
    for row in rows:
        slow.add(row)
    fast.lost.pop(NO_NUMBER, None)
    assert contents(fast) == contents(slow)
    for column in fast.columns.values():
        assert (np.diff(column.since(0)[0]) >= 0).all()


def test_a_null_stands_for_what_the_format_says_and_settings_are_no_columns():
    table = Table()
    add_rows(table, [{"config": {"lr": 0.1}}, {"a": None, "b": {"c": None, "d": 2}}, {"a": 1.0}], null=math.nan)
    assert [value for _, value in points(table, "a")] == pytest.approx([math.nan, 1.0], nan_ok=True)
    assert points(table, "b.d") == [(0, 2.0)]
    assert table.settings == {"lr": 0.1}
    assert table.lost == {NO_NUMBER: 1}


def test_names_without_end_are_no_columns():
    table = Table()
    add_rows(table, [{f"{i}": 1.0} for i in range(MOST_NAMES + 5)])
    assert len(table.columns) == MOST_NAMES
    assert table.lost == {TOO_MANY: 5}


# ---- JSONL

LINES = [
    '{"config": {"lr": 1e-5, "beta": 0.1}}',
    '{"step": 1, "loss": 0.5, "nested": {"kl": NaN, "deep": {"x": "2.5"}}, "text": "é\u2028"}',
    "",
    '{"step": 2, "loss": -Infinity, "flag": true, "none": null, "list": [1, 2]}',
    '{"step": 2, "eval_reward": "0.75"}',
]


def test_jsonl_of_any_shape(tmp_path):
    path = tmp_path / "anything"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    assert parts(jsonl, path) == ("",)
    table = drained(jsonl.open_log([path], ""))
    assert table.rows == 3
    assert points(table, "step") == [(0, 1.0), (1, 2.0), (2, 2.0)]
    assert points(table, "loss") == [(0, 0.5), (1, -math.inf)]
    assert points(table, "nested.deep.x") == [(0, 2.5)]
    assert math.isnan(points(table, "nested.kl")[0][1])
    assert points(table, "eval_reward") == [(2, 0.75)]
    assert table.settings == {"lr": 1e-5, "beta": 0.1}
    assert table.texts == {"text": "é\u2028"}
    assert table.lost == {NO_NUMBER: 1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_jsonl_in_other_encodings(tmp_path, encoding):
    path = tmp_path / "log.jsonl"
    path.write_bytes("\n".join(LINES).encode(encoding))
    assert parts(jsonl, path) == ("",)
    assert drained(jsonl.open_log([path], "")).rows == 3


@pytest.mark.parametrize(
    ("line", "rows", "bad"),
    [
        ('{"step": 9, "lo', 0, 1),  # cut
        ('{"step": 9, "lo{"step": 3, "loss": 1}', 1, 1),  # two writers
        ('{"step": 8, "loss": 1}{"step": 9, "loss": 2}', 2, 0),  # a newline that was lost
        ('{"step": 8, "inner": {"a": 1}, "b', 0, 1),  # what is inside of a broken object is no row
        ('{"rows": [{"a": 1}, {"b": 2}', 0, 1),
        ('\x00\x00\x00{"step": 9, "loss": 1}', 1, 0),  # a block that was never written
        ("[1, 2]", 0, 1),
        ("loss 3", 0, 1),
        ('{"a": ' * 5000, 0, 1),
        ("{" * 5000, 0, 1),
        ("1" * 5000, 0, 1),
        ('{"a": ' + "1" * 5000 + "}", 0, 1),
    ],
)
def test_damaged_lines_are_counted_and_the_rest_is_read(tmp_path, line, rows, bad):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(['{"step": 1, "loss": 1}'] * 3 + [line] + ['{"step": 4, "loss": 1}']))
    table = drained(jsonl.open_log([path], ""))
    assert table.rows == 4 + rows
    assert table.lost[jsonl.NO_OBJECT] == bad


@given(st.lists(st.integers(0, 400), max_size=12))
@settings(max_examples=60, deadline=None)
def test_the_parts_in_which_a_file_grows_make_no_difference(tmp_path_factory, cuts):
    raw = ("\n".join([*LINES, '{"broken', *LINES]) + "\n").encode()
    folder = tmp_path_factory.mktemp("grow")
    whole, growing = folder / "whole", folder / "growing"
    whole.write_bytes(raw)
    growing.write_bytes(b"")
    reader = jsonl.open_log([growing], "")
    with growing.open("ab", buffering=0) as file:
        for a, b in pairwise(sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})):
            file.write(raw[a:b])
            while reader.poll():
                pass
    assert contents(drained(reader)) == contents(drained(jsonl.open_log([whole], "")))


def test_a_file_that_is_begun_anew_does_not_go_on_in_its_torn_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 1}\n{"step": 2, "lo')
    reader = jsonl.open_log([path], "")
    reader.poll()
    path.write_text('{"step": 1, "loss": 3}\n')
    table = drained(reader)
    assert [value for _, value in points(table, "loss")] == [1, 3]
    assert not table.lost


def test_a_file_that_is_gone_says_so(tmp_path):
    for form in (jsonl, json_document, trainer_state):
        with pytest.raises(OSError):
            form.open_log([tmp_path / "none"], "").poll()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        '{"prompt": "a", "answer": "b"}\n' * 9,
        '{"stream_name": "stdout", "time": 1.0, "data": "x"}\n' * 9,
        "step,loss\n1,2\n",
        '{"hidden": 8, "layers": [1, 2], "rope": {"theta": 1}}',
        "text\n" * 9 + '{"a": 1}\n',
        "[" * 60_000,
    ],
)
def test_what_is_no_jsonl(tmp_path, text):
    path = tmp_path / "x"
    path.write_text(text)
    assert parts(jsonl, path) is None


# ---- documents

ROWS = [{"step": i, "reward": i / 2, "note": "x"} for i in range(4)]
COLUMNS = {"step": [0, 1, 2, 3], "reward": [0.0, 0.5, 1.0, 1.5]}


@pytest.mark.parametrize(
    ("document", "beside"),
    [
        (ROWS, {}),
        ({"lr": 0.1, "history": ROWS}, {"lr": 0.1}),
        ({"config": {"lr": 0.1}, "train": {"log": ROWS}, "other": [{"id": 1}, {"id": 2}]}, {"lr": 0.1}),
        (COLUMNS, {}),
        ({"config": {"lr": 0.1}, "metrics": COLUMNS}, {"lr": 0.1}),
        ({str(row["step"]): {"reward": row["reward"], "k": 1} for row in ROWS}, {}),
    ],
)
def test_rows_are_found_wherever_they_are(tmp_path, document, beside):
    path = tmp_path / "log.json"
    for indent in (None, 2):
        path.write_text(json.dumps(document, indent=indent))
        assert parts(json_document, path) == ("",)
        assert parts(jsonl, path) is None
        table = drained(json_document.open_log([path], ""))
        prefix = "metrics." if isinstance(document, dict) and "metrics" in document else ""
        assert [value for _, value in points(table, f"{prefix}step")] == [0, 1, 2, 3]
        assert [value for _, value in points(table, f"{prefix}reward")] == [0, 0.5, 1, 1.5]
        assert table.settings == beside
        assert not table.lost


def test_columns_of_another_length_are_counted(tmp_path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(COLUMNS | {"eval_reward": [0.5]}))
    table = drained(json_document.open_log([path], ""))
    assert set(table.columns) == {"step", "reward"}
    assert table.lost == {json_document.OTHER_LENGTH: 1}


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        3,
        [1, 2, 3],
        {"added_tokens": [{"id": i, "content": "x", "special": True} for i in range(9)], "version": "1.0"},
        {"hidden_size": 896, "layers": ["a", "b"], "eos_token_id": [1, 2]},
        {"weight_map": {f"layer.{i}": "model.safetensors" for i in range(9)}, "metadata": {"total_size": 1}},
        [{"role": "user", "content": "hi"}] * 4,
        {"cells": [{"cell_type": "code", "execution_count": 1, "outputs": []}] * 4, "nbformat": 4},
        [{"stream_name": "stdout", "time": 1.0, "data": "x"}] * 4,
    ],
)
def test_what_is_no_log(tmp_path, document):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document, indent=1))
    assert parts(json_document, path) is None
    path.write_text("[" * 50_000)
    assert parts(json_document, path) is None


def test_a_document_that_is_cut_gives_the_rows_before_the_cut(tmp_path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(ROWS, indent=1)[:-30])
    table = drained(json_document.open_log([path], ""))
    assert (table.rows, table.lost) == (3, {json_document.TORN: 1})


def test_a_document_written_anew_goes_on(tmp_path):
    path = tmp_path / "log.json"
    path.write_text(json.dumps(ROWS[:2]))
    reader = json_document.open_log([path], "")
    assert reader.poll() and not reader.poll()
    path.write_text(json.dumps(ROWS)[:-9])
    reader.poll()
    assert reader.table.rows == 2
    path.write_text(json.dumps(ROWS))
    assert drained(reader).rows == 4
    assert not reader.table.lost


# ---- trainer_state.json


def state(folder: Path, rows: Sequence[object], **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"epoch": 1.0, "log_history": rows, "max_steps": 9} | more, indent=2))
    return path


def log(first: int, last: int, loss: float = 0.5) -> list[dict[str, object]]:
    return [{"step": i, "loss": loss / (i + 1), "kl": None if i == 2 else 0.1} for i in range(first, last)]


def test_a_state(tmp_path):
    path = state(
        tmp_path, [*log(1, 4), {"step": 3, "eval_loss": 1.5}, {"step": 3, "train_runtime": 2.0}], save_steps=500
    )
    assert parts(trainer_state, path) == ("",)
    assert parts(json_document, path) is None
    table = drained(trainer_state.open_log([path], ""))
    assert table.framework == "transformers"
    assert table.step_names == ("step",)
    assert [value for _, value in points(table, "kl")] == pytest.approx([0.1, math.nan, 0.1], nan_ok=True)
    assert points(table, "eval_loss") == [(3, 1.5)]
    assert table.settings == {"max_steps": 9, "save_steps": 500}
    assert not table.lost


def test_an_adapter_beside_a_state_is_told(tmp_path):
    path = state(tmp_path, log(1, 3))
    (tmp_path / "adapter_config.json").write_text("{}")
    assert drained(trainer_state.open_log([path], "")).settings["peft"] is True


def test_the_newest_checkpoint_is_the_truth(tmp_path):
    old = state(tmp_path / "out" / "checkpoint-2", log(1, 3))
    new = state(tmp_path / "out" / "checkpoint-10", log(1, 11))
    os.utime(old, ns=(1, 1))
    for paths in ([tmp_path / "out"], [old, new], [new, old]):
        assert drained(trainer_state.open_log(paths, "")).rows == 10


def test_checkpoints_are_followed_while_they_come_and_go(tmp_path):
    first = state(tmp_path / "checkpoint-2", log(1, 3))
    reader = trainer_state.open_log([tmp_path], "")
    assert reader.poll() and not reader.poll()
    state(tmp_path / "checkpoint-4", log(1, 5))
    assert reader.poll()
    assert [value for _, value in points(reader.table, "step")] == [1, 2, 3, 4]
    first.unlink()
    assert not reader.poll()
    torn = tmp_path / "checkpoint-6" / "trainer_state.json"
    torn.parent.mkdir()
    torn.write_text('{"log_history": [')
    reader.poll()
    assert reader.table.rows == 4
    state(torn.parent, log(1, 7))
    assert drained(reader).rows == 6
    assert not reader.table.lost


def test_a_run_that_was_resumed_parts_from_what_is_known(tmp_path):
    state(tmp_path / "checkpoint-6", log(1, 7))
    reader = trainer_state.open_log([tmp_path], "")
    reader.poll()
    state(tmp_path / "checkpoint-5", [*log(1, 4), *log(4, 6, loss=0.75)])
    reader.poll()
    assert [value for _, value in points(reader.table, "step")] == [1, 2, 3, 4, 5, 6, 4, 5]
    assert [value for _, value in points(reader.table, "loss")][6] == 0.75 / 5


@pytest.mark.parametrize(("cut", "rows"), [(0.5, 4), (0.9, 8), (0.02, 0)])
def test_a_state_that_is_cut_is_read_as_far_as_it_goes(tmp_path, cut, rows):
    path = state(tmp_path, log(1, 10))
    text = path.read_text()
    path.write_text(text[: int(len(text) * cut)])
    table = drained(trainer_state.open_log([path], ""))
    assert table.lost[trainer_state.TORN] == 1
    assert abs(table.rows - rows) <= 1


def test_entries_that_are_no_rows_are_counted(tmp_path):
    table = drained(trainer_state.open_log([state(tmp_path, [*log(1, 3), 3, "x", [1]])], ""))
    assert (table.rows, table.lost) == (2, {trainer_state.NO_ROW: 3})


@pytest.mark.parametrize("text", ["{}", '{"log_history": 3}', '["log_history"]', "", "x", '{"a": 1, "history": []}'])
def test_what_is_no_state(tmp_path, text):
    path = tmp_path / "trainer_state.json"
    path.write_text(text)
    assert parts(trainer_state, path) is None
    assert drained(trainer_state.open_log([path], "")).rows == 0


def test_objects_within_objects_that_never_end_are_not_tried_each_to_its_end(monkeypatch):
    monkeypatch.setattr(salvage, "MOST_TRIED", 10_000)
    text = '{"step": 1} ' + '{"a": [' * 100 + "1, " * 1000
    found, bad = salvage.salvaged(text, inside=":")
    assert found == [{"step": 1}]
    assert bad == 3  # of 3,700 characters each


def test_a_document_that_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "long.json"
    path.write_text(json.dumps([{"step": i, "loss": 0.5} for i in range(3000)]))
    assert len(path.read_bytes()) > HEAD
    monkeypatch.setattr(json_document, "MOST_BYTES", HEAD)
    assert parts(json_document, path) == ("",)
    table = drained(json_document.open_log([path], ""))
    assert (table.rows, table.lost) == (0, {json_document.TOO_LONG: 1})
    path.write_text(json.dumps(list(range(30000))))
    assert parts(json_document, path) is None
