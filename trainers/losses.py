"""Per-token quantities of policy optimisation as pure functions of tensors.

Shapes: B completions of at most T tokens. Log-probabilities are natural logarithms of the sampled tokens, (B, T);
masks are (B, T) with 1 on the tokens that count; KL estimators follow Schulman, joschu.net/blog/kl-approx.html, with
samples from the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def kl_k1(policy: Tensor, other: Tensor) -> Tensor:
    """log(policy / other) of each token, (B, T) nats: unbiased, may be negative."""
    return policy - other


def kl_k2(policy: Tensor, other: Tensor) -> Tensor:
    """Half the squared log ratio of each token, (B, T) nats: biased, never negative."""
    return 0.5 * (policy - other).square()


def kl_k3(policy: Tensor, other: Tensor) -> Tensor:
    """r - 1 - log r with r = other / policy, (B, T) nats: unbiased, never negative."""
    log_ratio = other - policy
    return log_ratio.expm1() - log_ratio


def kl_abs(policy: Tensor, other: Tensor) -> Tensor:
    """|log(policy / other)| of each token, (B, T) nats: biased upwards, never negative (TRL <= 0.11, `kl_penalty`)."""
    return (policy - other).abs()


KL_ESTIMATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": kl_k1,
    "k2": kl_k2,
    "k3": kl_k3,
    "abs": kl_abs,
}


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum over the tokens that count, a scalar; what stands at the others may be NaN."""
    return values.masked_fill(mask == 0, 0.0).sum()


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, low: float, high: float) -> Tensor:
    """PPO's clipped policy loss of each token, (B, T): -min(r A, clip(r, 1 - low, 1 + high) A).

    `log_ratio` (B, T) or (B, 1) is log(policy / rollout policy), `advantages` (B, 1) or (B, T).
    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7.
    """
    ratio = log_ratio.exp()
    return -(ratio * advantages).minimum(ratio.clamp(1 - low, 1 + high) * advantages)


def clipped_sides(log_ratio: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Where the clip binds, given the sign of the advantage: at the lower side and at the upper, booleans (B, T).

    Elsewhere the minimum in `clipped_surrogate` picks the unclipped term, and the gradient passes.
    """
    ratio = log_ratio.exp()
    return (ratio < 1 - low) & (advantages < 0), (ratio > 1 + high) & (advantages > 0)


def clipped_value(values: Tensor, old_values: Tensor, clip: float) -> Tensor:
    """`values` kept within `clip` of those at the time of the rollout, (B, T)."""
    return values.clamp(old_values - clip, old_values + clip)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """PPO's clipped value loss of each token, (B, T): max((V - R)^2, (clip(V) - R)^2) / 2.

    Source: baselines' ppo2, as in Huang et al. 2022, "The 37 implementation details of PPO", detail 9.
    """
    clipped = clipped_value(values, old_values, clip)
    return 0.5 * (values - returns).square().maximum((clipped - returns).square())


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """What each token earns, (B, T): minus `kl_coef` times its KL, and the last that counts the completion's score too.

    `scores` (B,), `kl` (B, T) nats by any estimator. Source: Ziegler et al. 2019, arXiv:1909.08593, equation 2.
    """
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (mask != 0).mul(positions + 1).argmax(dim=1, keepdim=True)
    rewards = (-kl_coef * kl).scatter_add(1, last, scores.unsqueeze(1).to(kl.dtype))
    return rewards.masked_fill(mask == 0, 0.0)


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """GAE: advantages and returns, both (B, T), 0 where the mask is 0.

    A_t = delta_t + gamma lam A_next, delta_t = r_t + gamma V_next - V_t, R_t = A_t + V_t, where "next" is the next
    token that counts: what a tool wrote in between is no action. After the last one there is no value: a completion
    that was cut counts as ended. Source: Schulman et al. 2015, arXiv:1506.02438, equation 16.
    """
    next_value = next_advantage = torch.zeros_like(values[:, 0])
    columns = []
    for t in reversed(range(values.shape[1])):
        counts = mask[:, t] != 0
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = torch.where(counts, delta + gamma * lam * next_advantage, next_advantage)
        next_value = torch.where(counts, values[:, t], next_value)
        columns.append(next_advantage)
    advantages = torch.stack(columns[::-1], dim=1).masked_fill(mask == 0, 0.0)
    return advantages, (advantages + values).masked_fill(mask == 0, 0.0)


def moments(values: Tensor, mask: Tensor, total: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance over the tokens that count in all processes, two scalars; `total` adds over these.

    In two passes: the difference of two large sums would cost the digits of a small variance.
    """
    count, summed = total(torch.stack([(mask != 0).sum(), masked_sum(values, mask)]))
    mean = summed / count.clamp(min=1)
    variance = total(masked_sum((values - mean).square(), mask)) / count.clamp(min=1)
    return mean, variance


def whiten(values: Tensor, mask: Tensor, mean: Tensor, variance: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Values of variance 1 over the tokens that count, (B, T), and of mean 0 or, without `shift_mean`, the old one.

    Source: Ziegler et al. 2019, as in TRL's `masked_whiten`.
    """
    whitened = (values - mean) * (variance + 1e-8).rsqrt()
    return (whitened if shift_mean else whitened + mean).masked_fill(mask == 0, 0.0)
