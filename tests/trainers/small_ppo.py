"""A PPOTrainer on the model of letters, and what it did: for the tests that train one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from trainers.ppo import PPOConfig, PPOTrainer

LETTERS = "abcdefgh"
PROMPTS = tuple(f"{a} {b} " for a in LETTERS[:4] for b in LETTERS[4:])

Reward = Callable[..., list[Any]]


def likes_letters(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """By how much more `a` than `b` there is, and how much of the prompt's first letter."""
    return [c.count("a") - 0.5 * c.count("b") + c.count(p[0]) for p, c in zip(prompts, completions, strict=True)]


class Tape(TrainerCallback):
    """Keeps the log of each step, and the parameters at the start and after each."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.parameters: list[dict[str, Tensor]] = []

    def on_train_begin(self, *_: Any, model: Any, **__: Any) -> None:
        """Copy the parameters."""
        self.start = state(model)

    def on_step_end(self, *_: Any, model: Any, **__: Any) -> None:
        """Copy the parameters."""
        self.parameters.append(state(model))

    def on_log(self, *_: Any, logs: Mapping[str, float], **__: Any) -> None:
        """Keep what is no time, and no sum over a run."""
        if "train_runtime" not in logs:
            self.rows.append({k: v for k, v in logs.items() if "seconds" not in k and k != "step_time"})


@dataclass
class Trained:
    """A trainer after its training."""

    trainer: PPOTrainer
    tape: Tape = field(default_factory=Tape)

    @property
    def rows(self) -> list[dict[str, float]]:
        """The log of each step."""
        return self.tape.rows

    def column(self, name: str) -> list[float]:
        """A metric in each step that has it."""
        return [row[name] for row in self.rows if name in row]


def ppo(
    model: Path,
    folder: Path,
    *,
    reward: Reward = likes_letters,
    prompts: Sequence[str] = PROMPTS,
    peft_config: Any = None,
    **options: Any,
) -> PPOTrainer:
    """A trainer that samples 16 completions of at most 6 tokens at a time."""
    torch.set_num_threads(1)  # the order of sums depends on it
    parts = options.get("gradient_accumulation_steps", 1) * options.get("num_mini_batches", 1)
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 16 // parts,
        "max_completion_length": 6,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "max_steps": 1,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    return PPOTrainer(
        model=str(model),
        reward_funcs=reward,
        args=PPOConfig(**(settings | options)),
        train_dataset=Dataset.from_dict({"prompt": list(prompts)}),
        peft_config=peft_config,
    )


def train(model: Path, folder: Path, *, resume: Path | None = None, **options: Any) -> Trained:
    """`ppo`, trained."""
    trained = Trained(ppo(model, folder, **options))
    trained.trainer.add_callback(trained.tape)
    trained.trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trained


def sharpened(model: Path, folder: Path) -> Path:
    """A copy of the model that has preferences: what it likes best depends on the prompt, and ends here and there."""
    copy = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        for weight in copy.parameters():
            if weight.dim() == 2:
                weight.mul_(12)
    copy.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def state(model: Any) -> dict[str, Tensor]:
    """A copy of the parameters."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether all is equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
