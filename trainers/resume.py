"""A trial that broke off goes on from the checkpoint its trainer saved last, where the trial asked for checkpoints.

It then gives the numbers of a run that never broke off, where the checkpoint lies at the end of a rollout: weights,
optimizer, schedule and random numbers travel with it, and what does not is mended here. From a checkpoint in the middle
of a rollout's updates the rest of them is made with completions sampled anew.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from trainers.seams import GRPOTrainer


def latest_checkpoint(folder: Path, max_steps: int) -> Path | None:
    """The complete checkpoint in `folder` of the latest step before `max_steps`; None where there is none.

    One without optimizer (`save_only_model`, DeepSpeed) cannot be gone on from. One of the last step has nothing left
    to train, and the trainer would take a step too many.
    """
    found = {step: path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if (step := _step(path)) is not None}
    return max(((step, path) for step, path in found.items() if step < max_steps), default=(0, None))[1]


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint was written at."""
    return int(_state(checkpoint)["global_step"])


def align(trainer: GRPOTrainer, checkpoint: Path) -> None:
    """Let `trainer` go on with the batch it would have taken next.

    Two things that TRL 1.16 does not restore: the place in a rollout's updates, and the shuffling of later epochs (the
    sampler would begin with the first epoch's order again). Done twice it is done once: a PPOTrainer does it itself.
    """
    state = _state(checkpoint)
    trainer._step = state["global_step"] * trainer.args.gradient_accumulation_steps
    make_sampler = partial(type(trainer)._get_train_sampler, trainer)  # not one that was aligned before

    def in_its_epoch(*args: Any) -> Any:
        sampler = make_sampler(*args)
        if sampler.shuffle:
            for _ in range(int(state["epoch"])):
                torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    trainer._get_train_sampler = in_its_epoch


def _step(path: Path) -> int | None:
    """The step of a checkpoint, None where it is not complete. The trainer's state is what it writes last."""
    whole = (path / OPTIMIZER_NAME).is_file() and (path / SCHEDULER_NAME).is_file() and any(path.glob("rng_state*"))
    if not whole:
        return None
    try:
        return int(_state(path)["global_step"])
    except (OSError, ValueError, KeyError):
        return None


def _state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((path / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
    return state
