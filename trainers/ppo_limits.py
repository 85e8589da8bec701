"""What settings of PPO cannot be, and which contradict each other. Imports nothing: a study asks before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

KL_COEF = 0.05  # where nothing is said; TRL's PPO had the same
KL_ESTIMATORS = ("k1", "k2", "k3", "abs")
KL_CONTROLLERS = ("fixed", "adaptive")
# What PPO calls by its own name, and what GRPOTrainer reads.
ALIASES = {"num_ppo_epochs": "num_iterations", "cliprange": "epsilon", "kl_coef": "beta"}
OF_GRPO = (
    "loss_type",
    "scale_rewards",
    "importance_sampling_level",
    "multi_objective_aggregation",
    "top_entropy_quantile",
    "off_policy_mask_threshold",
    "use_adaptive_entropy",
    "delta",
)
_AT_LEAST_ONE = ("num_ppo_epochs", "num_mini_batches", "num_generations")
_NOT_BELOW_ZERO = ("kl_coef", "vf_coef", "value_learning_rate", "missing_eos_penalty")
_ABOVE_ZERO = ("cliprange", "cliprange_value", "kl_target", "kl_horizon", "target_kl", "ratio_threshold")
_ABOVE_ZERO_OR_NONE = ("reward_clip", "logprob_temperature")
_SHARES = ("gamma", "lam")


def refuse_names(names: Iterable[str]) -> None:
    """ValueError, in one line, for the first name of a setting that GRPO has and PPO has not, or calls otherwise."""
    own = {inherited: name for name, inherited in ALIASES.items()}
    for name in names:
        if name in OF_GRPO:
            raise ValueError(f"{name} is GRPO's and means nothing to PPO")
        if name in own:
            raise ValueError(f"{name} is GRPO's name: PPO's is {own[name]}")


def refuse(settings: Mapping[str, Any]) -> None:
    """ValueError, in one line, for the first of the given settings of a PPOConfig that cannot be."""
    given = {name: value for name, value in settings.items() if value is not None}
    for name in _AT_LEAST_ONE:
        if given.get(name, 1) < 1:
            raise ValueError(f"{name} is {given[name]}: at least 1 is needed")
    for name in _NOT_BELOW_ZERO:
        if given.get(name, 0) < 0:
            raise ValueError(f"{name} is {given[name]:g}: it cannot be below 0")
    for name in (*_ABOVE_ZERO, *_ABOVE_ZERO_OR_NONE):
        if given.get(name, 1) <= 0:
            none = ", or None" if name in _ABOVE_ZERO_OR_NONE else ""
            raise ValueError(f"{name} is {given[name]:g}: it must be above 0{none}")
    for name in _SHARES:
        if not 0 <= given.get(name, 0) <= 1:
            raise ValueError(f"{name} is {given[name]:g}: it lies between 0 and 1")
    for name, known in (("kl_estimator", KL_ESTIMATORS), ("kl_controller", KL_CONTROLLERS)):
        if given.get(name, known[0]) not in known:
            raise ValueError(f"{name} is {given[name]!r}: it is one of {', '.join(known)}")
    if given.get("kl_controller") == "adaptive" and given.get("kl_coef") == 0:
        raise ValueError("kl_controller is adaptive and kl_coef is 0, which no factor changes: give it a start above 0")
    if given.get("fp16") and not {"target_kl", "ratio_threshold"}.isdisjoint(given):
        raise ValueError(
            "target_kl and ratio_threshold leave steps out, which fp16's loss scaling does not bear: use bf16"
        )
