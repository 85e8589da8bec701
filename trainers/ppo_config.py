"""The settings of PPOTrainer: TRL's of GRPO for all that the two share, and of PPO what TRL's own PPO had."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from trainers import ppo_limits
from trainers.seams import GRPOConfig


@dataclass
class PPOConfig(GRPOConfig):
    """Settings of a PPOTrainer, a dataclass like TRL's configs: all of GRPOConfig but what is GRPO's alone.

    A rollout is `per_device_train_batch_size x processes x gradient_accumulation_steps x num_mini_batches` completions;
    each epoch over it takes `num_mini_batches` optimizer steps. ValueError, in one line, for settings that contradict
    each other.
    """

    num_generations: int = field(default=1, metadata={"help": "Completions for each prompt of a rollout."})
    disable_dropout: bool = field(default=True, metadata={"help": "Dropout would make a policy differ from itself."})
    num_ppo_epochs: int = field(default=4, metadata={"help": "Passes over a rollout."})
    num_mini_batches: int = field(default=1, metadata={"help": "Optimizer steps of a pass."})
    kl_coef: float = field(
        default=ppo_limits.KL_COEF, metadata={"help": "Weight of the KL to the reference in the reward; at 0 none."}
    )
    kl_estimator: str = field(default="k1", metadata={"help": "Of the KL in the reward: k1, k2, k3 or abs."})
    kl_controller: str = field(default="fixed", metadata={"help": "fixed, or adaptive (Ziegler et al. 2019)."})
    kl_target: float = field(default=6.0, metadata={"help": "Of the adaptive controller, nats per completion."})
    kl_horizon: float = field(default=10_000.0, metadata={"help": "Of the adaptive controller, completions."})
    cliprange: float = field(default=0.2, metadata={"help": "Of the probability ratio, either way."})
    cliprange_value: float = field(default=0.2, metadata={"help": "Of the values, either way, in units of reward."})
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    value_learning_rate: float | None = field(
        default=None, metadata={"help": "Of the value head; None: that of the policy."}
    )
    detach_value_trunk: bool = field(default=False, metadata={"help": "Keep the value loss from the policy's layers."})
    gamma: float = field(default=1.0, metadata={"help": "Discount of a reward one token away."})
    lam: float = field(default=0.95, metadata={"help": "Lambda of generalized advantage estimation."})
    target_kl: float | None = field(
        default=None,
        metadata={"help": "A rollout's remaining steps are left out once KL(old, new) of one is 1.5 times this."},
    )
    ratio_threshold: float | None = field(
        default=None, metadata={"help": "A step whose mean probability ratio is above this changes nothing."}
    )
    reward_scale: float = field(default=1.0, metadata={"help": "Rewards are multiplied by this first,"})
    reward_clip: float | None = field(default=None, metadata={"help": "then kept within this, either way of 0,"})
    missing_eos_penalty: float | None = field(
        default=None, metadata={"help": "then this is taken from completions that did not end by themselves."}
    )
    whiten_rewards: bool = field(default=False, metadata={"help": "Token rewards of variance 1, their mean kept."})
    whiten_advantages: bool = field(default=True, metadata={"help": "Advantages of mean 0 and variance 1."})
    logprob_temperature: float | None = field(
        default=None,
        metadata={"help": "At which log-probabilities are computed; None: as sampled. TRL up to 0.11 took 1 always."},
    )

    def __post_init__(self) -> None:
        self._check()
        for own, inherited in ppo_limits.ALIASES.items():
            setattr(self, inherited, getattr(self, own))
        own, total, wanted = self._split(), self.generation_batch_size, self.num_generations
        self.generation_batch_size = None  # TRL derives it
        if wanted == 1:  # GRPOConfig wants two at least, of what divides a rollout
            self.num_generations = own
            self.num_generations_eval = self.num_generations_eval or 1
        try:
            super().__post_init__()
        finally:
            self.num_generations = wanted
        if total not in (None, self.generation_batch_size):
            raise ValueError(
                f"generation_batch_size is {total}, but batches per device, processes, accumulation and mini-batches "
                f"make it {self.generation_batch_size}"
            )

    def _split(self) -> int:
        """Set the parts of a rollout, and return the completions of one process; ValueError where they contradict."""
        parts = self.gradient_accumulation_steps * self.num_mini_batches
        if self.steps_per_generation not in (None, parts):
            raise ValueError(
                f"steps_per_generation is {self.steps_per_generation}, but {self.num_mini_batches} mini-batches of "
                f"{self.gradient_accumulation_steps} accumulated parts make it {parts}"
            )
        self.steps_per_generation = parts
        if self.per_device_train_batch_size * parts < 2:
            raise ValueError("a process samples one completion at a time, which is no batch: it takes 2 at least")
        return self.per_device_train_batch_size * parts

    def _check(self) -> None:
        """ValueError for what cannot be, or contradicts itself."""
        meant = {inherited: getattr(self, own) for own, inherited in ppo_limits.ALIASES.items()}
        told = (*ppo_limits.OF_GRPO, *ppo_limits.ALIASES.values())
        ppo_limits.refuse_names(n for n in told if getattr(self, n) not in (_default(n), meant.get(n, _default(n))))
        ppo_limits.refuse(vars(self))


def _default(name: str) -> Any:
    """GRPOConfig's default of a setting."""
    (found,) = (f for f in fields(GRPOConfig) if f.name == name)
    return found.default if found.default is not MISSING else found.default_factory()
