from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trainers.tasks import built_in, query


def test_the_splits_hold_every_pair_of_terms_once() -> None:
    splits = query.splits()
    prompts = [row["prompt"] for split in splits for row in split]
    assert len(prompts) == len(set(prompts)) == 25 * 24
    assert [len(split) for split in splits] == [400, 100, 100]
    assert splits == query.splits()


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
        (" AND" * 29, 0.5),
        (" AND" * 30, 0.3),
    ],
)
def test_rewards(completion: str, reward: float) -> None:
    assert query.query_reward(completions=[completion]) == pytest.approx([reward])
    assert query.BOUNDS[0] <= reward <= query.BOUNDS[1]


def test_the_tokenizer_has_a_token_for_each_word_and_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen2Config

    ours = query.tokenizer()
    ours.save_pretrained(tmp_path)
    Qwen2Config(vocab_size=len(ours)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f" ( {' '.join((*query.TERMS, *query.FILL))} ) AND ( heart ) OR"
    assert len(ours(text).input_ids) == len(text.split())
    for each in (text, *(row["prompt"] for split in query.splits() for row in split)):
        assert loaded(each).input_ids == ours(each).input_ids
        assert loaded.decode(ours(each).input_ids) == each
    assert len(ours("Query about heart and insulin:").input_ids) == 6


def test_the_first_model_is_deterministic_and_sees_no_held_out_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_CACHE", str(tmp_path))
    recipe, words = replace(query.RECIPE, steps=3, hidden=16), query.tokenizer()
    monkeypatch.setattr(query, "RECIPE", recipe)
    assert {row["prompt"] for row in query.splits()[0]} == set(query._Examples(recipe, words)._prompts)
    task = built_in("query")
    weights = (Path(task.model) / "model.safetensors").read_bytes()
    assert query.model_folder(replace(recipe, seed=1)) != Path(task.model)
    (Path(task.model) / "model.safetensors").unlink()
    Path(task.model).rename(tmp_path / "gone")
    assert (Path(built_in("query").model) / "model.safetensors").read_bytes() == weights
    longest = max(len(words(row["prompt"]).input_ids) for row in task.train)
    batch = query._Examples(recipe, words).batch()
    assert batch["labels"].shape == batch["input_ids"].shape
    assert (batch["labels"] != -100).sum(1).max() <= query.LONGEST_QUERY
    assert batch["input_ids"].shape[1] <= longest + query.LONGEST_QUERY
