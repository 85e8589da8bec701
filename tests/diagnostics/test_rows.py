"""Logs of anyone's: names that are mapped or left alone, JSONL and trainer_state.json followed while they grow."""

import json
import math
import os
from pathlib import Path

import pytest

from diagnostics.readers.jsonl import JsonlTail
from diagnostics.readers.rows import Row, row
from diagnostics.readers.trainer_state import TrainerStateTail, newest_state

# ---- a row


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"step": 3, "reward": 0.5}, Row(3, {"reward": 0.5})),
        ({"global_step": 3.0, "a": 1, "text": "x", "flag": True, "list": [1], "none": None}, Row(3, {"a": 1.0})),
        ({"_step": 0, "train/global_step": 7, "a": 1}, Row(7, {"a": 1.0})),  # wandb counts calls of log in _step
        ({"step": 1, "a": "Infinity"}, Row(1, {"a": math.inf})),
        ({"epoch": 3, "a": 1}, None),
        ({"step": 1.5, "a": 1}, None),
        ({"step": -1, "a": 1}, None),
        ({"step": "3", "a": 1}, None),
        ({"step": True, "a": 1}, None),
        ({"step": 10**400, "a": 1}, None),
        ({"step": [1], "a": 1}, None),
        ({"step": 1}, None),
        ({"step": 1, "a": 10**400, "b": {"c": 1}}, None),
    ],
)
def test_a_row_is_a_step_and_numbers(data, expected):
    assert row(data) == expected


def test_a_null_stands_for_what_the_format_says():
    assert row({"step": 1, "a": None, "b": 2}) == Row(1, {"b": 2.0})
    found = row({"step": 1, "a": None}, null=math.nan)
    assert found is not None and math.isnan(found.values["a"])


# ---- JSONL


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_jsonl_is_followed_line_by_line(tmp_path):
    path = tmp_path / "log.jsonl"
    tail = JsonlTail(path)
    assert tail.poll() == []
    append(path, '{"step": 0, "a": 1}\n{"step": 1, "a"')
    assert tail.poll() == [Row(0, {"a": 1.0})]
    assert tail.poll() == []
    append(path, ': NaN}\n\nnonsense\n[1]\n{"note": "no step"}\n')
    (last,) = tail.poll()
    assert last.step == 1 and math.isnan(last.values["a"])
    assert (tail.unreadable, tail.stepless) == (2, 1)


def test_jsonl_whose_writer_has_ended_has_no_torn_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 4, "a": 1}')
    tail = JsonlTail(path)
    assert tail.poll() == []
    assert tail.poll(ended=True) == [Row(4, {"a": 1.0})]
    assert tail.poll(ended=True) == []
    path.write_text('{"step": 4, "a": 1}\n{"st')
    tail = JsonlTail(path)
    assert tail.poll(ended=True) == [Row(4, {"a": 1.0})]
    assert tail.poll(ended=True) == []
    assert tail.unreadable == 1


def test_jsonl_of_an_earlier_run_is_passed_over_and_one_begun_anew_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 0, "a": 1}\n{"step": 1, "a": 1}\n')
    tail = JsonlTail(path, since=path.stat().st_size)
    assert tail.poll() == []
    append(path, '{"step": 2, "a": 1}\n')
    assert [r.step for r in tail.poll()] == [2]
    path.write_text('{"step": 0, "a": 5}\n')
    assert tail.poll() == [Row(0, {"a": 5.0})]
    other = tmp_path / "other"
    other.write_text('{"step": 7, "a": 1}\n' * 3)
    other.replace(path)
    assert [r.step for r in tail.poll()] == [7, 7, 7]


def test_jsonl_is_read_a_megabyte_at_a_time(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {i}, "a": 1, "text": "{"x" * 1000}"}}\n' for i in range(2000)))
    tail = JsonlTail(path)
    polls = []
    while rows := tail.poll():
        polls.append(rows)
    assert len(polls) == 2
    assert [r.step for rows in polls for r in rows] == list(range(2000))


def test_a_line_nested_too_deeply_is_unreadable(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("[" * 100_000 + "\n")
    tail = JsonlTail(path)
    assert tail.poll() == []
    assert tail.unreadable == 1


# ---- trainer_state.json


def state(folder: Path, *rows: object, max_steps: object = 100) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"log_history": list(rows), "max_steps": max_steps}))
    return path


def test_of_each_state_only_the_new_rows_are_told(tmp_path):
    tail = TrainerStateTail()
    first = {"step": 1, "loss": 1.0}
    path = state(tmp_path / "checkpoint-1", first)
    assert tail.poll(path) == [Row(1, {"loss": 1.0})]
    assert tail.poll(path) == []
    assert tail.max_steps == 100
    later = state(tmp_path / "checkpoint-2", first, {"step": 1, "eval_loss": 2.0}, {"step": 2, "loss": None})
    rows = tail.poll(later)
    assert rows[0] == Row(1, {"eval_loss": 2.0})
    assert rows[1].step == 2 and math.isnan(rows[1].values["loss"])
    assert tail.poll(path) == []  # an older one has nothing new
    assert tail.unreadable == 0


def test_a_state_that_is_being_written_is_not_yet_there(tmp_path):
    tail = TrainerStateTail()
    path = tmp_path / "trainer_state.json"
    assert tail.poll(path) == []
    path.write_text('{"log_history": [{"step": 1, "lo')
    assert tail.poll(path) == []
    assert tail.unreadable == 0
    state(tmp_path, {"step": 1, "loss": 1.0}, "no row", max_steps="many")
    assert tail.poll(path) == [Row(1, {"loss": 1.0})]
    assert (tail.unreadable, tail.max_steps) == (1, 0)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"log_history": 3}', "3"])
def test_a_state_that_never_was_one_is_counted_once_its_writer_has_ended(tmp_path, text):
    path = tmp_path / "trainer_state.json"
    path.write_text(text)
    tail = TrainerStateTail()
    assert tail.poll(path) == tail.poll(path, ended=True) == tail.poll(path, ended=True) == []
    assert tail.unreadable == 1


def test_a_state_of_an_earlier_run_is_passed_over_until_it_changes(tmp_path):
    path = state(tmp_path, {"step": 1, "loss": 1.0})
    tail = TrainerStateTail(known=path)
    assert tail.poll(path) == []
    state(tmp_path, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0})
    assert [r.step for r in tail.poll(path)] == [1, 2]


def test_the_newest_state_is_found_in_checkpoints(tmp_path):
    assert newest_state(tmp_path, 2) is None
    old, new = state(tmp_path / "out" / "checkpoint-5"), state(tmp_path / "out" / "checkpoint-10")
    os.utime(old, ns=(1, 1))
    assert newest_state(tmp_path, 2) == new
    assert newest_state(tmp_path, 1) is None
    os.utime(new, ns=(0, 0))
    assert newest_state(tmp_path, 2) == old
