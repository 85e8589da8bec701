"""The table of PPOs compares like with like: one reward for all, one look at every trained model."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import table_ppo_peers
import torch
from ppo_trl112 import RewardModel, value_model
from table_ppo_peers import BATCH, PACKAGE, PEER, held_out, log_probs, peer, place
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.utils import get_reward

from trainers.tasks import Task, built_in


@pytest.fixture(scope="module")
def task() -> Task:
    return built_in("boolean-query")


def tokenized(task: Task, prompts: list[str], completions: list[str]) -> tuple[torch.Tensor, int, int]:
    """Rows as TRL 1.12 hands them over, the padding's id, and where completions begin."""
    tokenizer = AutoTokenizer.from_pretrained(task.model, padding_side="left")
    asked = tokenizer(prompts, return_tensors="pt", padding=True).input_ids
    asked = nn.functional.pad(asked, (2, 0), value=tokenizer.pad_token_id)
    answers = [tokenizer(completion).input_ids for completion in completions]
    longest = max(map(len, answers))
    padded = [ids + [tokenizer.pad_token_id] * (longest - len(ids)) for ids in answers]
    return torch.cat([asked, torch.tensor(padded)], 1), tokenizer.pad_token_id, asked.shape[1]


def test_the_reward_model_stands_for_the_reward(task: Task) -> None:
    prompts = [row["prompt"] for row in task.train[:4]]
    said = [" ( heart ) AND ( brain )", " heart AND risk OR late liver", " heart", " risk" * 31]
    ended = [f"{completion}<eos>" for completion in said[:3]] + said[3:]
    rows, pad, begin = tokenized(task, prompts, ended)
    model = RewardModel(task, AutoTokenizer.from_pretrained(task.model))
    _, rewards, _ = get_reward(model, rows, pad, begin)
    assert rewards.tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0]) == task.reward(completions=said)


def test_the_reward_is_told_the_prompt_and_its_columns(task: Task) -> None:
    told = []

    def reward(prompts: list[str], completions: list[str], want: list[int], **_: object) -> list[float]:
        told.extend(zip(prompts, completions, want, strict=True))
        return [1.0] * len(prompts)

    asked = ("Query about heart and skin:", "Query about skin:")
    train = [{"prompt": prompt, "want": i} for i, prompt in enumerate(asked)]
    rows, pad, begin = tokenized(task, [*asked], [" bone<eos>", " skin : bone"])
    model = RewardModel(Task(task.model, tuple(train), (), (), reward), AutoTokenizer.from_pretrained(task.model))
    get_reward(model, rows, pad, begin)
    assert told == [(asked[0], " bone", 0), (asked[1], " skin : bone", 1)]
    strange, pad, begin = tokenized(task, ["Query about bone:"], [" bone"])
    with pytest.raises(ValueError, match="no prompt of the task: Query about bone: bone"):
        get_reward(model, strange, pad, begin)


def test_the_value_model_has_the_first_models_layers_and_says_zero(task: Task) -> None:
    value, policy = value_model(task.model), AutoModelForCausalLM.from_pretrained(task.model)
    assert all(torch.equal(a, b) for a, b in zip(value.model.parameters(), policy.model.parameters(), strict=True))
    assert value(input_ids=torch.tensor([[3, 4, 5]])).logits.tolist() == [[0.0]]


def test_padding_changes_no_log_probability(task: Task) -> None:
    model = AutoModelForCausalLM.from_pretrained(task.model).eval()
    ids, mask = torch.tensor([[30, 31, 32, 33]]), torch.ones(1, 4)
    padded = log_probs(model, nn.functional.pad(ids, (3, 0)), nn.functional.pad(mask, (3, 0)))
    alone = log_probs(model, ids, mask)
    assert alone.shape == (1, 3)
    torch.testing.assert_close(padded[:, 3:], alone)
    first = model(input_ids=ids[:, :1]).logits.log_softmax(-1)[0, 0, 31]
    torch.testing.assert_close(alone[0, 0], first)


def test_a_model_is_looked_at_on_the_validation_prompts(task: Task, tmp_path: Path) -> None:
    reward, kl = held_out(Path(task.model), task)
    assert 0.1 < reward < 0.5
    assert kl == pytest.approx(0.0, abs=1e-4)
    model = AutoModelForCausalLM.from_pretrained(task.model)
    with torch.no_grad():  # one that says all tokens alike
        model.lm_head.weight.zero_()
    model.save_pretrained(tmp_path)
    reward, kl = held_out(tmp_path, task)
    assert reward < 0.3
    assert kl > 10


@pytest.mark.network
def test_trl_112_trains(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "AUTOTUNE_PEERS" not in os.environ:
        pytest.skip("AUTOTUNE_PEERS is not set: the folder with the environments of the tools")
    monkeypatch.setattr(table_ppo_peers, "ROLLOUTS", 10)
    python = Path(os.environ["AUTOTUNE_PEERS"]) / PACKAGE.replace("==", "-") / "bin" / "python"
    run = peer(python, "boolean-query", 1e-3, 0, place(tmp_path, "boolean-query", PEER, 1e-3, 0))
    assert len(run.rewards) == 10 == len(run.seconds) + 1
    assert run.rewards[0] == pytest.approx(held_out(Path(task.model), task)[0], abs=4 * 0.3 / math.sqrt(BATCH))
    assert held_out(run.model, task)[1] > 0.1
