"""Logs of anyone's: names that are mapped or left alone, JSONL and trainer_state.json followed while they grow."""

import json
import math
import os
from pathlib import Path

import pytest

from diagnostics.readers.jsonl import JsonlTail
from diagnostics.readers.rows import Names, Row, row
from diagnostics.readers.trainer_state import TrainerStateTail, newest_state
from diagnostics.vocabulary import frameworks, recognised, vocabulary

# What TRL 1.16 logs for a step of GRPO, without the version.
TRL = {
    "loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5, "reward": 0.5, "reward_std": 0.2, "frac_reward_zero_std": 0.1,
    "kl": 0.01, "entropy": 0.7, "clip_ratio/region_mean": 0.05, "completions/mean_length": 9.0,
    "completions/clipped_ratio": 0.0, "rewards/exact/mean": 0.4, "num_tokens": 100.0, "mine": 3.0,
}  # fmt: skip


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


# ---- names


def test_names_of_a_framework_are_mapped_when_its_signature_is_among_them():
    mapped, unmapped = Names().canonical(TRL)
    assert mapped == {
        "total_loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5, "reward_mean": 0.5, "zero_std_share": 0.1,
        "kl.reference.unknown.token": 0.01, "entropy.token": 0.7, "completion_length_mean": 9.0, "truncated_share": 0.0,
        "reward_component_mean[exact]": 0.4,
    }  # fmt: skip
    # of the group until 0.27, of the batch from then on; of tokens in GRPO, of sequences in RLOO; nobody's
    assert unmapped == {"reward_std": 0.2, "clip_ratio/region_mean": 0.05, "mine": 3.0}


def test_without_a_signature_names_that_look_alike_are_left_alone():
    values = {
        "reward": 0.5,
        "kl": 8.0,
        "loss": 1.0,
        "reward_mean": 0.4,
        "learning_rate": 1e-4,
        "kl.reference.k1.token": 0.1,
    }
    mapped, unmapped = Names().canonical(values)
    assert mapped == {"reward_mean": 0.4, "learning_rate": 1e-4, "kl.reference.k1.token": 0.1}  # canonical as they are
    assert unmapped == {"reward": 0.5, "kl": 8.0, "loss": 1.0}


def test_a_format_may_tell_the_framework_and_a_signature_tells_it_better():
    names = Names(vocabulary("transformers"))
    assert names.canonical({"loss": 1.0, "kl": 0.1, "epoch": 0.5}) == ({"total_loss": 1.0}, {"kl": 0.1})
    mapped, _ = names.canonical(TRL)
    assert mapped["kl.reference.unknown.token"] == 0.01
    assert names.framework is vocabulary("trl-grpo")


def test_a_name_that_means_something_else_by_version_is_settled_by_the_versions_that_can_have_logged_it():
    words = vocabulary("trl-grpo")
    assert words.versions(["reward", "rewards/a/mean"]) == ((), (1_000_000,))
    assert words.versions(["clip_ratio/low_mean", "entropy"]) == ((0, 20, 0), (1_000_000,))
    assert words.versions(["completion_length"]) == ((), (0, 17, 0))
    assert words.metric_between("reward_std", (), (0, 17, 0)) == "reward_std.group"
    assert words.metric_between("reward_std", (0, 20), (1_000_000,)) is None
    assert words.metric_between("kl", (), (0, 17, 0)) == "kl.reference.k3.token"
    assert words.metric_between("kl", (0, 20), (1_000_000,)) == "kl.reference.unknown.token"
    assert words.metric_between("rewards/a/mean", (0, 17, 0), (1_000_000,)) == "reward_component_mean[a]"
    assert set(words.meanings("kl")) == {"kl.reference.k3.token", "kl.reference.unknown.token"}


def test_a_framework_is_recognised_by_what_no_other_logs():
    assert recognised(TRL) is vocabulary("trl-grpo")
    assert recognised(["loss", "reward", "kl"]) is None


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


@pytest.mark.parametrize("framework", frameworks())
def test_signatures_and_doubtful_names_are_names_of_the_framework(framework):
    words = vocabulary(framework)
    for name in words.signature | words.doubtful:
        assert words.meanings(name)
