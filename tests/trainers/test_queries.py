from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainers import queries
from trainers.tasks import boolean_query, built_in, short_query


def test_the_splits_hold_every_pair_of_terms_once() -> None:
    splits = queries.splits()
    prompts = [row["prompt"] for split in splits for row in split]
    assert len(prompts) == len(set(prompts)) == 25 * 24
    assert [len(split) for split in splits] == [400, 100, 100]
    assert splits == queries.splits()


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        (" heart insulin", 0.0),
        (" heart OR insulin", 0.3),
        (" heart blood skin bone fever men", 0.2),
        (" heart AND blood OR skin AND bone", 0.5),
        (" ( heart ) AND ( insulin )", 1.0),
        (" ( heart blood ) OR ( insulin )", 1.0),
        ("(heart)OR(insulin)", 0.0),  # an operator is a word of its own
        (" ( heart ) and ( insulin )", 0.2),
        ("", 0.0),
        (" ( heart ) AND ()", 0.3),  # five words, and a clause of nothing
        (" ( heart ) AND ( )", 0.5),
        (" AND" * 29, 0.5),
        (" AND" * 30, 0.3),
        (' " heart " AND " insulin "', 1.0),
        (' " heart blood " OR ( insulin )', 1.0),
        (' ( heart ) OR "insulin"', 0.8),  # five words
        (' " heart " " insulin " OR blood', 0.5),  # no operator between two clauses
        (' " heart " AND " insulin blood', 0.5),  # the quote is not closed
        (' " heart " AND " " skin', 0.5),
        (' ( heart " AND " insulin )', 0.5),  # what is open is not closed by the other sign
    ],
)
def test_rewards_of_boolean_queries(completion: str, reward: float) -> None:
    assert boolean_query.boolean_reward(completions=[completion]) == pytest.approx([reward])
    assert boolean_query.BOUNDS[0] <= reward <= boolean_query.BOUNDS[1]


def test_rewards_of_short_queries() -> None:
    completions = ["", " heart", " ( heart ) AND ( insulin )", " heart" * 16, " heart" * queries.LONGEST_QUERY]
    rewards = short_query.short_reward(completions=completions)
    assert rewards == [2.0, 1.9375, 1.5625, 1.0, 0.0]
    assert (rewards[-1], rewards[0]) == short_query.BOUNDS


def test_the_tokenizer_has_a_token_for_each_word_and_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Config

    ours = queries.tokenizer()
    ours.save_pretrained(tmp_path)
    Qwen2Config(vocab_size=len(ours)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f' ( {" ".join((*queries.TERMS, *queries.FILL))} ) AND " heart " OR ( " skin " )'
    assert len(ours(text).input_ids) == len(text.split())
    for each in (text, *(row["prompt"] for split in queries.splits() for row in split)):
        assert loaded(each).input_ids == ours(each).input_ids
        assert loaded.decode(ours(each).input_ids) == each
    assert len(ours("Query about heart and insulin:").input_ids) == 6


def test_no_token_is_more_than_a_word_so_that_the_longest_query_is_within_the_bounds_of_its_reward() -> None:
    words = queries.tokenizer()
    assert max(len(words.decode([i]).split()) for i in range(len(words))) == 1


def test_the_first_model_is_deterministic_and_sees_no_held_out_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_CACHE", str(tmp_path))
    recipe, words = replace(queries.RECIPE, steps=3, hidden=16), queries.tokenizer()
    monkeypatch.setattr(queries, "RECIPE", recipe)
    assert {row["prompt"] for row in queries.splits()[0]} == set(queries.Examples(recipe, words).prompts)
    task = built_in("boolean-query")
    weights = (Path(task.model) / "model.safetensors").read_bytes()
    assert queries.model_folder(replace(recipe, seed=1)) != Path(task.model)
    (Path(task.model) / "model.safetensors").unlink()
    Path(task.model).rename(tmp_path / "gone")
    assert (Path(built_in("boolean-query").model) / "model.safetensors").read_bytes() == weights


def test_examples_end_within_the_limit_and_show_every_kind_of_query() -> None:
    words = queries.tokenizer()
    examples = queries.Examples(queries.RECIPE, words)
    batches = [examples.batch() for _ in range(30)]
    assert all(batch["labels"].shape == batch["input_ids"].shape for batch in batches)
    answers = [row[row != -100] for batch in batches for row in batch["labels"]]
    assert all(answer[-1] == words.eos_token_id for answer in answers)
    assert max(map(len, answers)) <= queries.LONGEST_QUERY
    shown = [words.decode(answer, skip_special_tokens=True) for answer in answers]
    rewards = boolean_query.boolean_reward(completions=shown)
    assert 0.3 < sum(rewards) / len(rewards) < 0.4
    assert 1.1 < sum(short_query.short_reward(completions=shown)) / len(shown) < 1.3
    full = [query for query, reward in zip(shown, rewards, strict=True) if reward == pytest.approx(1.0)]
    assert {(query.split()[0], query.split()[-1]) for query in full} == {("(", ")"), ('"', '"'), ("(", '"'), ('"', ")")}


def test_the_two_tasks_differ_in_their_reward_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "model_folder", lambda recipe: tmp_path)
    boolean, short = built_in("boolean-query"), built_in("short-query")
    assert boolean == replace(short, reward=boolean_query.boolean_reward, reward_bounds=(0.0, 1.0))
    assert short.reward is short_query.short_reward
    assert (short.reward_bounds, short.max_completion_length) == ((0.0, 2.0), 32)
