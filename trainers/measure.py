"""From what a trainer holds in its hands during a step to canonical metrics: statistics of rewards and of tokens."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers import losses

Metrics = dict[str, float]

TOKENS = "tokens"  # how many tokens the sums of a step cover
COMPLETIONS = "completions"  # how many completions


def weighted(per_function: Tensor, weights: Tensor) -> Tensor:
    """One reward for each completion, (B,), from (B, F) scores: those there are, weighted; NaN where no one scored."""
    rewards = (per_function * weights.to(per_function.device)).nansum(dim=1)
    return rewards.masked_fill(per_function.isnan().all(dim=1), torch.nan)


def group_statistics(rewards: NDArray[np.float64], bounds: tuple[float, float] | None = None) -> Metrics:
    """Canonical reward metrics of one batch. `rewards` is (groups, n): raw, before any scaling; NaN was not scored.

    A group with an unscored completion counts for the batch, not among the groups. The share of groups without spread
    splits into those at the ceiling and those at the floor only where the `bounds` (low, high) of the reward are known.
    """
    scored = rewards[~np.isnan(rewards)]
    groups = rewards[~np.isnan(rewards).any(axis=1)]
    metrics: Metrics = {}
    if len(scored):
        metrics["reward_mean"] = float(scored.mean())
    if len(scored) > 1:
        metrics["reward_std.batch"] = float(scored.std(ddof=1))
    if len(groups) and groups.shape[1] > 1:  # one completion has no best and no spread
        best, worst = groups.max(axis=1), groups.min(axis=1)
        flat = best == worst
        metrics["reward_best_of_n"] = float(best.mean())
        metrics["reward_worst_of_n"] = float(worst.mean())
        metrics["zero_std_share"] = float(flat.mean())
        metrics["reward_std.group"] = float(groups.std(axis=1, ddof=1).mean())
        if bounds is not None:
            low, high = np.float32(bounds[0]), np.float32(bounds[1])  # as exact as TRL's float32 rewards can be
            metrics["zero_std_share_ceiling"] = float((flat & (worst >= high)).mean())
            metrics["zero_std_share_floor"] = float((flat & (best <= low)).mean())
    return metrics


def unique_share(completions: NDArray[np.int64]) -> float:
    """Distinct completions within a group over its size, mean over groups; `completions` (groups, n) are hashes."""
    distinct = [len(set(group)) for group in completions.tolist()]
    return float(np.mean(distinct) / completions.shape[1])


def ended(completion_ids: Sequence[Sequence[int]], ends: Sequence[int]) -> list[bool]:
    """Which completions ended by themselves: with one of the tokens `ends`."""
    return [bool(len(ids)) and ids[-1] in ends for ids in completion_ids]


def completion_hashes(completion_ids: Sequence[Sequence[int]]) -> list[int]:
    """A 64-bit number for each completion, equal for equal tokens, the same in every process."""
    return [hash(tuple(ids)) for ids in completion_ids]


def loss_sums(
    logps: Tensor,
    entropies: Tensor | None,
    mask: Tensor,
    advantages: Tensor,
    *,
    reference: Tensor | None,
    rollout: Tensor | None,
    clip: tuple[float, float] | None,
    per_sequence: bool = False,
) -> dict[str, Tensor]:
    """Sums over one micro-batch by canonical metric, scalars that add up over micro-batches and processes.

    `logps` (B, T) are the policy's, `reference` those of the frozen policy, `rollout` those at sampling time (None
    while the policy is still the one that sampled); `entropies` (B, T) nats; `advantages` (B,) or (B, T). `clip` is
    (low, high) where the loss is the clipped surrogate; `per_sequence` clips the mean log ratio of a completion (GSPO).
    `averages` divides by the counts that come along.
    """
    logps = logps.detach()
    sums = {TOKENS: mask.sum(), COMPLETIONS: mask.any(dim=1).sum()}
    if entropies is not None:
        sums["entropy.token"] = losses.masked_sum(entropies.detach(), mask)
    if reference is not None:
        k1 = losses.masked_sum(losses.kl_k1(logps, reference), mask)
        k3 = losses.masked_sum(losses.kl_k3(logps, reference), mask)
        sums |= {"kl.reference.k1.token": k1, "kl.reference.k1.sequence": k1}
        sums |= {"kl.reference.k3.token": k3, "kl.reference.k3.sequence": k3}
    log_ratio = torch.zeros_like(logps) if rollout is None else logps - rollout
    if rollout is not None:
        sums["kl.rollout.k2.token"] = losses.masked_sum(losses.kl_k2(logps, rollout), mask)
    if clip is not None:
        if per_sequence:
            lengths = mask.sum(dim=1, keepdim=True).clamp(min=1)
            log_ratio = (log_ratio.masked_fill(mask == 0, 0.0).sum(dim=1, keepdim=True) / lengths).expand_as(logps)
        advantages = advantages.unsqueeze(1) if advantages.dim() == 1 else advantages
        low, high = losses.clipped_sides(log_ratio, advantages, *clip)
        sums["policy_loss.token"] = losses.masked_sum(losses.clipped_surrogate(log_ratio, advantages, *clip), mask)
        sums["clip_fraction_low.token"] = losses.masked_sum(low.to(logps.dtype), mask)
        sums["clip_fraction_high.token"] = losses.masked_sum(high.to(logps.dtype), mask)
        sums["clip_fraction.token"] = sums["clip_fraction_low.token"] + sums["clip_fraction_high.token"]
    return sums


def averages(sums: Mapping[str, Tensor], total: Callable[[Tensor], Tensor]) -> Metrics:
    """Canonical metrics from the sums of a step; `total` (k,) -> (k,) adds over processes, and is called once.

    Sums are divided by sums and never means by means, so that neither gradient accumulation nor the number of
    processes changes a value. Empty where no token counted.
    """
    values = dict(zip(sums, total(torch.stack([s.float() for s in sums.values()])).tolist(), strict=True))
    tokens, completions = values.pop(TOKENS), values.pop(COMPLETIONS)
    if not tokens:
        return {}
    return {name: value / (completions if name.endswith(".sequence") else tokens) for name, value in values.items()}


@dataclass(slots=True)
class Sampled:
    """Completions that this process sampled, `group` neighbours of one prompt each, with their raw rewards.

    `tokens` is how many each has, and `ended` whether it ended by itself.
    """

    prompts: Sequence[Any] = ()
    completions: Sequence[Any] = ()
    rewards: Sequence[float] = ()
    tokens: Sequence[int] = ()
    ended: Sequence[bool] = ()
    group: int = 1


class Meter:
    """Gathers one step of a trainer: any number of rollouts and micro-batches."""

    def __init__(self, reward_bounds: tuple[float, float] | None = None) -> None:
        self.reward_bounds = reward_bounds
        self.last = Sampled()  # the newest rollout
        self.generated = 0  # completions, over the whole run
        self._rewards: list[NDArray[np.float64]] = []
        self._hashes: list[NDArray[np.int64]] = []
        self._sums: dict[str, Tensor] = {}
        self._noted: Metrics = {}
        self.seconds: Counter[str] = Counter()

    def rollout(self, rewards: NDArray[np.float64], hashes: NDArray[np.int64]) -> None:
        """One batch of completions of all processes: raw rewards (groups, n) and `completion_hashes` (groups, n)."""
        self.generated += rewards.size
        self._rewards.append(rewards)
        self._hashes.append(hashes)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count what is done here as time of a `phase`, a metric in seconds; of a GPU what the host waits for."""
        began = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - began

    def micro_batch(self, sums: Mapping[str, Tensor]) -> None:
        """The `loss_sums` of one micro-batch of this process; nothing is copied from the device yet."""
        for name, value in sums.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def note(self, metrics: Mapping[str, float]) -> None:
        """Canonical metrics of the step that are the same in all processes already."""
        self._noted |= metrics

    def read(self, total: Callable[[Tensor], Tensor]) -> Metrics:
        """The step's canonical metrics, after which the next step begins. `total` as in `averages`."""
        metrics = self._noted | (averages(self._sums, total) if self._sums else {})
        if self._rewards:
            rewards, hashes = np.concatenate(self._rewards), np.concatenate(self._hashes)
            metrics |= group_statistics(rewards, self.reward_bounds)
            if hashes.shape[1] > 1:
                metrics["unique_share"] = unique_share(hashes)
        metrics["completions_generated"] = float(self.generated)
        metrics |= {name: float(seconds) for name, seconds in self.seconds.items()}
        self._rewards, self._hashes, self._sums, self._noted, self.seconds = [], [], {}, {}, Counter()
        return metrics
