"""The weight of the KL penalty from one rollout to the next: fixed, or led to a target."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ERROR = 0.2  # of one update, either way


@dataclass(slots=True)
class KLController:
    """The KL coefficient. Without a `target` it stays as it is.

    `target` is a KL per completion in nats, `horizon` a number of completions. With a target it is the proportional
    controller of Ziegler et al. 2019, arXiv:1909.08593, section 2.2:
    coef <- coef (1 + clip(KL / target - 1, -0.2, 0.2) n / horizon).
    """

    coef: float
    target: float | None = None
    horizon: float = 10_000.0

    def error(self, kl: float) -> float:
        """How far `kl` is above the target, as a share of it; 0 where there is no target."""
        return kl / self.target - 1 if self.target is not None else 0.0

    def update(self, kl: float, completions: int) -> None:
        """Take in a rollout of `completions` whose KL to the reference was `kl`, nats per completion."""
        error = min(max(self.error(kl), -MOST_ERROR), MOST_ERROR)
        self.coef *= 1 + error * completions / self.horizon
