"""Canonical metrics of PPO: of a rollout, and of what its loss sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers import losses
from trainers.measure import COMPLETIONS, TOKENS, Metrics


@dataclass(frozen=True, slots=True)
class Rollout:
    """One process's share of a rollout: B completions of at most T tokens.

    `mask`, `logps` (the policy's when it sampled), `rewards` (`losses.token_rewards`), `values`, `returns` and
    `advantages` are (B, T), rewards and advantages as before whitening; `reference` too, None without a KL penalty.
    `scores` (B,) are rewards as they enter the returns, `ended` (B,) says which completions ended by themselves.
    """

    mask: Tensor
    logps: Tensor
    reference: Tensor | None
    scores: Tensor
    ended: Tensor
    rewards: Tensor
    values: Tensor
    returns: Tensor
    advantages: Tensor


def rollout_sums(rollout: Rollout) -> dict[str, Tensor]:
    """Sums over a rollout, scalars that add up over processes, for `rollout_metrics`."""
    mask = rollout.mask
    live = (mask != 0).any(dim=1)
    wide = torch.float32 if mask.device.type == "mps" else torch.float64  # which Apple's GPUs do not have

    def summed(values: Tensor) -> Tensor:
        return losses.masked_sum(values.to(wide), mask)

    errors = rollout.returns - rollout.values
    sums = {
        TOKENS: (mask != 0).sum().to(wide),
        COMPLETIONS: live.sum().to(wide),
        "surprise": -summed(rollout.logps),
        "scores": rollout.scores.to(wide).masked_fill(~live, 0.0).sum(),
        "ended": (rollout.ended & live).sum().to(wide),
        "rewards": summed(rollout.rewards),
        "values": summed(rollout.values),
        "returns": summed(rollout.returns),
        "returns^2": summed(rollout.returns.to(wide).square()),
        "errors": summed(errors),
        "errors^2": summed(errors.to(wide).square()),
        "advantages": summed(rollout.advantages),
        "advantages^2": summed(rollout.advantages.to(wide).square()),
    }
    if rollout.reference is not None:
        sums["k1"] = summed(losses.kl_k1(rollout.logps, rollout.reference))
        sums["k3"] = summed(losses.kl_k3(rollout.logps, rollout.reference))
    return sums


def rollout_metrics(sums: Mapping[str, float]) -> Metrics:
    """Canonical metrics from the `rollout_sums` of all processes. Empty where no token counted.

    The explained variance is 1 - var(returns - values) / var(returns) with the values of the time of the rollout, over
    all its tokens; it is left out where all returns are equal.
    """
    tokens, completions = sums[TOKENS], sums[COMPLETIONS]
    if not tokens:
        return {}
    penalty = sums["rewards"] - sums["scores"]
    return_var = _variance(sums, "returns")
    metrics = {
        "entropy.sequence": sums["surprise"] / completions,
        "eos_share": sums["ended"] / completions,
        "reward_total": sums["rewards"] / completions,
        "value_mean": sums["values"] / tokens,
        "value_error": sums["errors^2"] / tokens,
        "return_mean": sums["returns"] / tokens,
        "return_var": return_var,
        "advantage_mean": sums["advantages"] / tokens,
        "advantage_std": math.sqrt(_variance(sums, "advantages")),
    }
    if return_var > 0:
        metrics["explained_variance"] = 1 - _variance(sums, "errors") / return_var
    for estimator in ("k1", "k3"):
        if estimator in sums:
            metrics[f"kl.reference.{estimator}.token"] = sums[estimator] / tokens
            metrics[f"kl.reference.{estimator}.sequence"] = sums[estimator] / completions
    if "k1" in sums:
        metrics["kl_penalty_reward.token"] = penalty / tokens
        metrics["kl_penalty_reward.sequence"] = penalty / completions
    return metrics


def update_sums(
    log_ratio: Tensor, values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float
) -> dict[str, Tensor]:
    """Sums over a micro-batch by canonical metric, to go with `measure.loss_sums`: all (B, T) but the clip range."""
    log_ratio, values = log_ratio.detach(), values.detach()
    loss = losses.clipped_value_loss(values, old_values, returns, clip)
    clips = loss > 0.5 * (values - returns).square()
    return {
        "kl.rollout.k1.token": -losses.masked_sum(log_ratio, mask),
        "probability_ratio_mean": losses.masked_sum(log_ratio.exp(), mask),
        "value_loss": losses.masked_sum(loss, mask),
        "value_clip_fraction": losses.masked_sum(clips.to(loss.dtype), mask),
    }


def ratio_extremes(log_ratio: Tensor, mask: Tensor) -> Tensor:
    """The largest ratio of a micro-batch and the inverse of the smallest, (2,): a maximum over parts is that of all.

    Both are 0 where no token counts.
    """
    both = torch.stack([log_ratio.detach(), -log_ratio.detach()])
    return both.masked_fill(mask == 0, -torch.inf).amax(dim=(1, 2)).exp()


def _variance(sums: Mapping[str, float], name: str) -> float:
    """Biased variance over tokens; what rounding leaves of one must not be negative."""
    mean = sums[name] / sums[TOKENS]
    return max(0.0, sums[f"{name}^2"] / sums[TOKENS] - mean * mean)
