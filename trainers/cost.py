"""What training costs, in completions: counted where TRL says how many it samples and when, else unknown."""

from __future__ import annotations

import math

from transformers import TrainingArguments


class Completions:
    """Counts the completions that a trainer of TRL has sampled for training, all processes together.

    Since 0.18 GRPOTrainer, and since 0.22 RLOOTrainer, samples `generation_batch_size` completions before every
    `steps_per_generation * num_iterations` batches, beginning with the first one of the process
    (`_prepare_inputs`). Whatever else trains, or trains otherwise, has an unknown cost.
    """

    def __init__(self) -> None:
        self._size = 0  # completions of one rollout; 0 where unknown
        self._every = 1  # batches between two rollouts
        self._before = 0  # completions of the steps that a resumed run does not repeat
        self._batches = 0  # of this process
        self._began = 0  # of those, the ones before this `train()`

    def begin(self, args: TrainingArguments, step: int) -> None:
        """A `train()` begins at optimizer step `step`."""
        sizes = [getattr(args, name, None) for name in ("generation_batch_size", "steps_per_generation")]
        each, per_rollout = (size or 0 for size in sizes)
        self._every = max(1, per_rollout * getattr(args, "num_iterations", 1))
        accumulated = args.gradient_accumulation_steps
        self._began = self._batches
        self._before = step * accumulated // self._every * each
        # What was begun before, by an earlier `train()` or before a checkpoint, must have been whole rollouts. With
        # torch's DataParallel a batch is larger than the arguments say.
        whole = self._batches % self._every == 0 and step * accumulated % self._every == 0
        split = step == 0 or self._every % accumulated == 0  # else the last step of an epoch has fewer batches
        self._size = each if whole and split and args.n_gpu <= 1 else 0

    def batch(self) -> None:
        """One forward and backward pass is done."""
        self._batches += 1

    @property
    def generated(self) -> int | None:
        """Completions sampled since the run began, None where that cannot be known."""
        if not self._size:
            return None
        return self._before + math.ceil((self._batches - self._began) / self._every) * self._size
