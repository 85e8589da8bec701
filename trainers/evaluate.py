"""Reward on held-out prompts, sampled and greedy, by the trainer's own generation and rewards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from diagnostics.events import Emit, SamplesLogged
from trainers.instrument import Instruments
from trainers.measure import Sampled, ended, weighted
from trainers.ppo import PPOTrainer
from trainers.samples import of_rollout, sample
from trainers.seams import GRPOTrainer
from trainers.tasks import Row

SEED = 20_250_614  # of every evaluation of every trial, so that two trials differ by what they learned
SAMPLES = 4  # completions kept of each split
_SAMPLING = ("temperature", "top_p", "top_k")  # greedy decoding is told nothing of these, or it warns


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The mean reward over the prompts, and what was said to some of them."""

    reward: float
    samples: tuple[Mapping[str, Any], ...]


def evaluate(trainer: GRPOTrainer, rows: Sequence[Row], temperature: float) -> Evaluated:
    """Answer each prompt once, greedily where `temperature` is 0. Training goes on as if nothing had happened.

    Generation and rewards are TRL's own, so vLLM, adapters and sharded models work as in training. Every process must
    call it: the prompts are dealt out, and the reward is the mean over all of them. Rows that no reward function scored
    do not count.
    """
    model, accelerator = trainer.model, trainer.accelerator
    processes, own = accelerator.num_processes, accelerator.process_index
    rewards, samples, was_training = [], [], model.training
    model.eval()
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with _sampling(trainer, temperature), torch.random.fork_rng(devices):
        torch.manual_seed(SEED + own)
        size = trainer.args.per_device_eval_batch_size * processes
        for start in range(0, len(rows), size):
            batch = list(rows[start : start + size])
            share = -(-len(batch) // processes)  # every process answers as many, or the others would wait for it
            padded = batch + batch[:1] * (share * processes - len(batch))
            inputs = [dict(row) for row in padded[own * share : (own + 1) * share]]
            prompts = [row["prompt"] for row in inputs]
            _, ids, _, completions, *_ = trainer._generate(prompts)
            per_function = trainer._calculate_rewards(inputs, prompts, completions, ids)  # (share x processes, F)
            scored = weighted(per_function, trainer.reward_weights)
            rewards.append(scored[: len(batch)])
            if len(samples) < SAMPLES:
                mine = scored[own * share : (own + 1) * share].tolist()
                lengths = [len(tokens) for tokens in ids]
                said = Sampled(prompts, completions, mine, lengths, ended(ids, trainer.eos_token_ids))
                samples += [sample(said, i) for i in range(min(share, SAMPLES - len(samples)))]
    model.train(was_training)
    trainer._metrics["eval"].clear()  # lengths that TRL noted, and would log as if it had evaluated itself
    trainer._pending_metrics.clear()
    trainer._pending_extra_logs.clear()
    return Evaluated(float(torch.cat(rewards).nanmean()), tuple(samples))


class Evaluator(TrainerCallback):
    """Evaluates before the first step, every `every` steps and after the last; adds the result to the step."""

    def __init__(
        self,
        recorder: Instruments,
        splits: Mapping[str, Sequence[Row]],
        *,
        every: int,
        temperature: float,
        emit_samples: Emit,
    ) -> None:
        self._recorder, self._splits, self._every = recorder, splits, every
        self._temperature, self._emit_samples = temperature, emit_samples

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """What the model can do before it learns anything."""
        if state.global_step == 0:  # else it goes on from a checkpoint
            self._evaluate(0, tuple(self._splits))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """What it can do now, where it is time to ask; the test split is asked at the end only."""
        if state.global_step >= state.max_steps:
            self._evaluate(state.global_step, tuple(self._splits))
        elif state.global_step % self._every == 0:
            self._evaluate(state.global_step, ("validation",))

    def _evaluate(self, step: int, names: Sequence[str]) -> None:
        trainer = self._recorder.trainer
        if not _finite(trainer):  # sampling would raise; the step is told as what it is, and the rules say the rest
            lost = {f"{name}_reward{how}": math.nan for name in names for how in ("", "_greedy")}
            self._recorder.add(lost)
            return
        rollout = self._recorder.meter.last
        # TRL's log of the newest rollout; PPO has an advantage for each token instead.
        advantages = [] if isinstance(trainer, PPOTrainer) else list(trainer._logs["advantages"])
        samples = of_rollout(rollout, advantages)
        for name in names:
            sampled = evaluate(trainer, self._splits[name], self._temperature)
            greedy = evaluate(trainer, self._splits[name], 0.0)
            self._recorder.add({f"{name}_reward": sampled.reward, f"{name}_reward_greedy": greedy.reward})
            samples += [{"split": name, **sample} for sample in sampled.samples]
        if trainer.accelerator.is_main_process:
            self._emit_samples(SamplesLogged(step, tuple(samples)))


@contextmanager
def _sampling(trainer: GRPOTrainer, temperature: float) -> Iterator[None]:
    """Let the trainer sample from the whole distribution at `temperature`, greedily at 0."""
    if trainer.use_vllm:
        holder = trainer.vllm_generation
        wanted = {
            "temperature": temperature,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": None,
            "repetition_penalty": 1.0,
            "generation_kwargs": {**holder.generation_kwargs, "seed": SEED},
        }
    else:
        holder = trainer
        how = {"temperature": temperature, "top_p": 1.0, "top_k": 0} if temperature > 0 else dict.fromkeys(_SAMPLING)
        kwargs = {**trainer.generation_kwargs, "do_sample": temperature > 0, "min_p": None, "repetition_penalty": 1.0}
        kwargs |= how
        wanted = {"generation_kwargs": kwargs, "generation_config": type(trainer.generation_config)(**kwargs)}
    before = {name: getattr(holder, name) for name in wanted}
    for name, value in wanted.items():
        setattr(holder, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(holder, name, value)


def _finite(trainer: GRPOTrainer) -> bool:
    """Whether no weight, of whatever process, is NaN or infinite."""
    broken = torch.stack([(~p.isfinite()).any() for p in trainer.model.parameters()]).any().float()
    return not trainer.accelerator.reduce(broken, reduction="sum").item()
