from __future__ import annotations

from pathlib import Path

import pytest

from diagnostics.errors import UserError
from trainers.data import few, hold_out, read_rows
from trainers.rewards import load


def test_a_reward_is_found_in_the_current_folder(reward_module: str) -> None:
    assert load(f"{reward_module}:likes_a")(prompts=["x"], completions=["ab"]) == [0.5]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("{}", "is no function. Write it as module:function"),
        ("no_such_module:f", "the reward no_such_module:f cannot be imported"),
        ("{}:missing", "has no function missing"),
    ],
)
def test_a_reward_that_is_missing(reward_module: str, name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(name.format(reward_module))


@pytest.mark.parametrize(
    ("function", "says"), [("too_few", "returned 1 rewards for 2 completions"), ("words", "returned 'good'")]
)
def test_a_reward_that_answers_wrongly(reward_module: str, function: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(f"{reward_module}:{function}")(prompts=["x", "y"], completions=["a", "b"])


def test_our_own_packages_win_over_a_folder_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "__init__.py").write_text("raise AssertionError")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="has no function nothing"):
        load("trainers.rewards:nothing")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    from datasets import Dataset

    data = Dataset.from_list([{"prompt": "one", "answer": 1}, {"prompt": "two", "answer": 2}])
    path = str(tmp_path / f"data{suffix}")
    {".jsonl": data.to_json, ".csv": data.to_csv, ".parquet": data.to_parquet}[suffix](path)
    assert read_rows(Path(path)) == ({"prompt": "one", "answer": 1}, {"prompt": "two", "answer": 2})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.jsonl", None, "there is no dataset"),
        ("data.txt", "x", "is no dataset that autotune reads"),
        ("data.jsonl", '{"question": "x"}\n', "has no column prompt, only question"),
        ("data.csv", "prompt,answer\n", "has no rows"),
        ("data.jsonl", "", "cannot be read"),
        ("data.jsonl", "{\n", "cannot be read"),
    ],
)
def test_a_dataset_that_cannot_be_used(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        read_rows(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_held_out_prompts_stay_held_out() -> None:
    rows = tuple({"prompt": f"p{i % 50}", "id": i} for i in range(100))
    splits = hold_out(rows)
    prompts = [{row["prompt"] for row in split} for split in splits]
    assert [len(p) for p in prompts] == [40, 5, 5]
    assert not (prompts[0] & prompts[1] or prompts[0] & prompts[2] or prompts[1] & prompts[2])
    again = hold_out(tuple(reversed(rows)))
    assert {row["id"] for row in again[1]} == {row["id"] for row in splits[1]}


def test_too_few_prompts_to_hold_any_out() -> None:
    with pytest.raises(UserError, match="2 distinct prompts are too few"):
        hold_out(({"prompt": "a"}, {"prompt": "b"}))


def test_validation_is_cut_to_the_same_few_prompts_whatever_their_order() -> None:
    rows = tuple({"prompt": f"p{i}"} for i in range(400))
    assert len(few(rows)) == 256
    assert few(rows) == few(tuple(reversed(rows)))
