"""Lets a Meter listen to what a GRPOTrainer keeps to itself: wrappers around bound methods of one trainer.

Evaluation passes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from trainers.measure import Meter, Sampled, completion_hashes, ended, loss_sums, weighted
from trainers.seams import GRPOTrainer

_CLIPPED_LOSSES = {"grpo", "bnpo", "dr_grpo", "dapo", "luspo"}  # the others have no clipped surrogate


def attach_sampling(trainer: GRPOTrainer, meter: Meter) -> None:
    """Time generation and rewards, and take in the raw rewards of each completion."""
    generate: Callable[..., Any] = trainer._generate
    calculate: Callable[..., torch.Tensor] = trainer._calculate_rewards

    def timed(*args: Any, **kwargs: Any) -> Any:
        if not trainer.model.training:
            return generate(*args, **kwargs)
        with meter.timed("generation_seconds"):
            return generate(*args, **kwargs)

    def measured(inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        if not trainer.model.training:
            return calculate(inputs, prompts, completions, completion_ids_list)
        with meter.timed("reward_seconds"):
            per_function = calculate(inputs, prompts, completions, completion_ids_list)  # (completions everywhere, F)
        n = trainer.num_generations
        hashes = torch.tensor(completion_hashes(completion_ids_list), device=per_function.device)
        raw = weighted(per_function, trainer.reward_weights).double().cpu().numpy()
        meter.rollout(raw.reshape(-1, n), trainer.accelerator.gather(hashes).cpu().numpy().reshape(-1, n))
        own = trainer.accelerator.process_index * len(prompts)
        meter.last = Sampled(
            prompts,
            completions,
            raw[own : own + len(prompts)].tolist(),
            [len(ids) for ids in completion_ids_list],
            ended(completion_ids_list, trainer.eos_token_ids),
            n,
        )
        return per_function

    trainer._generate, trainer._calculate_rewards = timed, measured


def attach_loss(trainer: GRPOTrainer, meter: Meter) -> None:
    """Measure with the log-probabilities of the loss's own forward pass: a second one would double the cost."""
    score, compute = trainer._get_per_token_logps_and_entropies, trainer._compute_loss
    seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def captured(*args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():  # the loss's own; those of the rollout and the reference run without gradient
            scored = score(*args, **kwargs)
            seen.append(scored[:2])
            return scored
        if not trainer.model.training:
            return score(*args, **kwargs)
        with meter.timed("scoring_seconds"):
            return score(*args, **kwargs)

    def measured(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
        seen.clear()
        loss = compute(model, inputs)
        if trainer.model.training and seen:
            (logps, entropies), *_ = seen
            mask = inputs["completion_mask"]
            sums = loss_sums(
                logps,
                entropies,
                mask * inputs["tool_mask"] if "tool_mask" in inputs else mask,
                inputs["advantages"],
                reference=inputs.get("ref_per_token_logps"),
                rollout=inputs.get("old_per_token_logps"),
                clip=(trainer.epsilon_low, trainer.epsilon_high) if trainer.loss_type in _CLIPPED_LOSSES else None,
                per_sequence=trainer.importance_sampling_level == "sequence",
            )
            meter.micro_batch(sums)
        return loss

    trainer._get_per_token_logps_and_entropies, trainer._compute_loss = captured, measured
