"""One run of TRL 1.12's PPO on a built-in task: python -P ppo_trl112.py TASK SETTINGS FOLDER

Runs in TRL 1.12's own environment. Of ours it has this file, and of the checkout, put at the end of the path, the task
alone: prompts, Python reward and first model of `trainers.tasks`, which need torch and transformers but no TRL.
SETTINGS are options of its PPOConfig as JSON. The trained policy is saved in FOLDER; the output has one JSON object for
each rollout, with what TRL logged of it and `time`, when it was done with it.

TRL 1.12 takes no Python reward. It reads a reward model's score at one token of each row, the last one of the
completion (`get_reward`): here a module without weights stands for the model, which decodes the completion, gives it to
the task's reward, and has the answer at all tokens of the row, so also at the one that is read. Prompts come to it in
one row with what was answered; it knows them by their tokens, and hands the reward the prompt and its columns.

The value model is what TRL's recipe makes it: a network of its own as large as the policy's, here of the same weights,
with one output, which is zero at first. Both are trained at one learning rate, and no gradient is clipped.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

ROOT = Path(__file__).parents[2]


class Scorer(nn.Module):
    """What stands where a reward model has its transformer: its hidden states are the rewards, one feature wide."""

    def __init__(self, task: Any, tokenizer: Any) -> None:
        super().__init__()
        self._reward, self._tokenizer = task.reward, tokenizer
        rows = (*task.train, *task.validation, *task.test)
        self._rows = {tuple(tokenizer(row["prompt"]).input_ids): row for row in rows}
        self._lengths = sorted({len(ids) for ids in self._rows})

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> BaseModelOutput:
        """Hidden states (batch, length, 1) of rows (batch, length): a prompt padded on the left, then a completion."""
        ids = [row[seen].tolist() for row, seen in zip(input_ids, attention_mask.bool(), strict=True)]
        starts = [self._prompt_length(row) for row in ids]
        said = [self._rows[tuple(row[:start])] for row, start in zip(ids, starts, strict=True)]
        answers = [row[start:] for row, start in zip(ids, starts, strict=True)]
        columns = {name: [row[name] for row in said] for name in said[0] if name != "prompt"}
        rewards = self._reward(
            prompts=[row["prompt"] for row in said],
            completions=self._tokenizer.batch_decode(answers, skip_special_tokens=True),
            completion_ids=answers,
            **columns,
        )
        states = torch.tensor(rewards, device=input_ids.device)[:, None, None].expand(*input_ids.shape, 1)
        return BaseModelOutput(last_hidden_state=states, hidden_states=(states,))

    def _prompt_length(self, row: list[int]) -> int:
        """How many tokens of the row are its prompt; ValueError where it begins with none that the task has."""
        for length in self._lengths:
            if tuple(row[:length]) in self._rows:
                return length
        raise ValueError(f"no prompt of the task: {self._tokenizer.decode(row)}")


class RewardModel(nn.Module):
    """A Python reward with the face that TRL wants of a reward model: a backbone, and a score on top of it."""

    base_model_prefix = "scorer"

    def __init__(self, task: Any, tokenizer: Any) -> None:
        super().__init__()
        self.scorer, self.score = Scorer(task, tokenizer), nn.Identity()


def value_model(folder: str) -> Any:
    """A network of the policy's weights whose one output is zero until it has learned."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    nn.init.zeros_(model.score.weight)
    return model


def train(task_name: str, settings: dict[str, Any], folder: Path) -> list[dict[str, float]]:
    """What TRL logged of each rollout."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback, set_seed
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    from trainers.tasks import built_in

    class Log(TrainerCallback):  # type: ignore[misc]
        """Keeps what is logged, and when."""

        def __init__(self) -> None:
            self.rows: list[dict[str, float]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            self.rows.append({**logs, "time": time.time()})

    task = built_in(task_name)
    tokenizer = AutoTokenizer.from_pretrained(task.model, padding_side="left")
    log = Log()
    config = PPOConfig(
        output_dir=str(folder / "checkpoints"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        response_length=task.max_completion_length,
        stop_token="eos",
        temperature=1.0,
        lr_scheduler_type="constant",
        logging_steps=1,
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **settings,
    )
    set_seed(config.seed)  # its epochs are shuffled by NumPy, which PPOTrainer does not seed
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(task.model),
        ref_model=AutoModelForCausalLM.from_pretrained(task.model),
        reward_model=RewardModel(task, tokenizer),
        value_model=value_model(task.model),
        train_dataset=Dataset.from_list([{"input_ids": tokenizer(row["prompt"]).input_ids} for row in task.train]),
        callbacks=[log],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder))
    return log.rows


if __name__ == "__main__":
    sys.path.append(str(ROOT))
    out, sys.stdout = sys.stdout, sys.stderr  # what TRL prints is no row
    for row in train(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])):
        print(json.dumps(row), file=out)
