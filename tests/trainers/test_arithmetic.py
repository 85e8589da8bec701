from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diagnostics.errors import UserError
from trainers.tasks import arithmetic, built_in


def test_the_splits_hold_every_problem_once() -> None:
    splits = arithmetic.splits()
    prompts = [row["prompt"] for split in splits for row in split]
    assert len(prompts) == len(set(prompts)) == 21 * 21 * 3
    assert [len(split) for split in splits] == [923, 200, 200]
    assert splits == arithmetic.splits()


def test_prompts_and_answers() -> None:
    rows = {row["prompt"]: row["answer"] for split in arithmetic.splits() for row in split}
    assert rows["Calculate: 7 * 6 = "] == "42"
    assert rows["Calculate: 3 - 20 = "] == "-17"
    assert rows["Calculate: 20 + 0 = "] == "20"


@pytest.mark.parametrize(
    ("completion", "answer"),
    [("42", "42"), (" -17 apples", "-17"), ("= 42", "="), ("forty two", "forty"), ("", ""), ("4 2", "4"), ("4.2", "4")],
)
def test_extraction(completion: str, answer: str) -> None:
    assert arithmetic.extract(completion) == answer


def test_rewards_are_the_declared_bounds() -> None:
    rewards = arithmetic.arithmetic_reward(completions=["42", "41", ""], answer=["42", "42", "42"])
    assert rewards == [1.0, -1.0, -1.0]
    assert set(rewards) == set(arithmetic.BOUNDS)


def test_the_tokenizer_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Config

    ours = arithmetic.tokenizer()
    ours.save_pretrained(tmp_path)
    Qwen2Config(vocab_size=len(ours)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for split in arithmetic.splits():
        for row in split:
            text = row["prompt"] + row["answer"]
            assert loaded(text).input_ids == ours(text).input_ids
            assert loaded.decode(ours(text).input_ids) == text
            assert len(ours(row["answer"]).input_ids) + 1 <= arithmetic.LONGEST_ANSWER


def test_a_warm_start_is_deterministic_cached_and_changes_no_global_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_CACHE", str(tmp_path))
    recipe = replace(arithmetic.Recipe(), steps=3, hidden=16)
    random_state = torch.get_rng_state()
    first = arithmetic.warm_start(recipe, arithmetic.tokenizer()).state_dict()
    again = arithmetic.warm_start(recipe, arithmetic.tokenizer()).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.equal(random_state, torch.get_rng_state())
    folder = arithmetic.model_folder(recipe)
    made = (folder / "config.json").stat().st_mtime_ns
    assert arithmetic.model_folder(recipe) == folder and (folder / "config.json").stat().st_mtime_ns == made
    assert arithmetic.model_folder(replace(recipe, seed=1)) != folder
    assert len(list(tmp_path.iterdir())) == 2  # nothing half made is left


def test_the_warm_start_has_read_every_answer_and_no_held_out_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = arithmetic.tokenizer()
    examples = arithmetic._Examples(arithmetic.Recipe(), words, None)
    train, *held_out = arithmetic.splits()
    assert {words.decode(prompt) for prompt, *_ in examples._prompts} == {row["prompt"] for row in train}
    facts = {words.decode(question) + words.decode(answer[:-1]) for question, answer in examples._facts}
    problems = [row for split in (train, *held_out) for row in split]
    assert facts == {row["prompt"].removeprefix("Calculate: ") + row["answer"] for row in problems}
    assert not any(fact.startswith("Calculate") for fact in facts)
    monkeypatch.setattr(arithmetic, "model_folder", lambda recipe: tmp_path)
    assert "has read the answers of all problems, held-out ones too" in arithmetic.task().notes[0]


def test_an_unknown_task_names_those_there_are() -> None:
    with pytest.raises(UserError) as error:
        built_in("chess")
    assert str(error.value) == (
        "there is no built-in task 'chess'. Choose one of arithmetic, boolean-query, short-query."
    )
