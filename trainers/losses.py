"""Per-token quantities of policy optimisation as pure functions of tensors.

Shapes: B completions of at most T tokens. Log-probabilities are natural logarithms of the sampled tokens, (B, T);
masks are (B, T) with 1 on the tokens that count; KL estimators follow Schulman, joschu.net/blog/kl-approx.html, with
samples from the policy.
"""

from __future__ import annotations

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
