"""What verl has against settings, and what it passes over.

Source: verl/utils/config.py and workers/config/{actor,critic}.py of 0.9.1, RayPPOTrainer._validate_config of 0.2.0 and
0.4.1, workers/fsdp_workers.py of 0.4.1 and 0.7.1, protocol.py of 0.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.configs.known import Raw
from diagnostics.configs.objection import Objection

ACTOR, ROLLOUT, REF = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.ref"
TRAIN, MINI = "data.train_batch_size", f"{ACTOR}.ppo_mini_batch_size"
BY_K1 = ("kl", "k1")


def objections(raw: Raw) -> Iterator[Objection]:
    """All of them."""
    yield from _penalties(raw)
    train, mini = raw.whole(TRAIN), raw.whole(MINI)
    fixed = raw.get(f"{ACTOR}.use_dynamic_bsz") is False
    if train and mini and fixed and train < mini:
        default = raw.default(MINI) or raw.default(TRAIN)
        yield Objection(
            f"{TRAIN} {train} is below {MINI} {mini}" + (f" ({default})" if default else ""),
            f"set {MINI} to {train} or a divisor of it",
            (MINI, TRAIN) if raw.says(MINI) else (TRAIN, MINI),
        )
    elif train and mini and train % mini:
        yield Objection(
            f"{MINI} {mini} does not divide {TRAIN} {train}: by version, the last mini-batch of a step is smaller, is "
            "filled up with padding, or the worker stops",
            f"set {MINI} to a divisor of {train}",
            (MINI, TRAIN) if raw.says(MINI) else (TRAIN, MINI),
            refused=False,
        )
    if fixed:
        yield from _sizes(raw)


def _sizes(raw: Raw) -> Iterator[Objection]:
    """Micro-batches and processes, which count where batches are not cut by their tokens."""
    gpus = _product(raw, "trainer.n_gpus_per_node", "trainer.nnodes")
    completions = _product(raw, TRAIN, f"{ROLLOUT}.n")
    plain = raw.get(f"{ACTOR}.strategy") in (None, "fsdp", "fsdp2")
    if gpus and completions and plain and completions % gpus:
        yield Objection(
            f"{completions} completions of a step ({TRAIN} x {ROLLOUT}.n) cannot be shared evenly by {gpus} GPUs "
            "(trainer.n_gpus_per_node x trainer.nnodes)",
            f"set {TRAIN} so that {gpus} divides the product",
            (TRAIN, f"{ROLLOUT}.n", "trainer.n_gpus_per_node"),
        )
    with_reference = raw.on(f"{ACTOR}.use_kl_loss") or raw.on("algorithm.use_kl_in_reward")
    yield from _micro(raw, f"{ACTOR}.ppo_micro_batch_size")
    yield from _micro(raw, f"{ROLLOUT}.log_prob_micro_batch_size")
    if with_reference:
        yield from _micro(raw, f"{REF}.log_prob_micro_batch_size")
    if raw.get("algorithm.adv_estimator") == "gae" and not raw.on("critic.use_dynamic_bsz"):
        yield from _micro(raw, "critic.ppo_micro_batch_size")
    mini, group = raw.whole(MINI), raw.whole(f"{ROLLOUT}.n")
    micro = raw.whole(f"{ACTOR}.ppo_micro_batch_size_per_gpu")
    parallel = raw.whole(f"{ACTOR}.ulysses_sequence_parallel_size") or 1
    if mini and group and micro and gpus and plain and raw.says("trainer.n_gpus_per_node"):
        each = mini * group // max(1, gpus // parallel)
        if each < micro or each % micro:
            yield Objection(
                f"a mini-batch is {each} completions for each GPU ({MINI} {mini} x {ROLLOUT}.n {group} / {gpus} GPUs), "
                f"no multiple of {ACTOR}.ppo_micro_batch_size_per_gpu {micro}: workers up to 0.7 stop with it",
                f"set {ACTOR}.ppo_micro_batch_size_per_gpu to a divisor of {each}" if each else f"set {MINI} higher",
                (f"{ACTOR}.ppo_micro_batch_size_per_gpu", MINI),
                refused=False,
            )


def _micro(raw: Raw, name: str) -> Iterator[Objection]:
    """Exactly one of the two names of a micro-batch's size may be given; the older one is going."""
    per_gpu = f"{name}_per_gpu"
    if raw.says(name) and raw.says(per_gpu):
        yield Objection(f"{name} and {per_gpu} are both set", f"leave {name} out", (name, per_gpu))
    elif raw.silent(name) and raw.silent(per_gpu):
        yield Objection(f"neither {per_gpu} nor {name} is set, and one of them has to be", f"set {per_gpu}", (per_gpu,))


def _penalties(raw: Raw) -> Iterator[Objection]:
    """The two KL penalties, in the loss and in the reward: each has a coefficient, and a switch that is off."""
    in_loss, in_reward = f"{ACTOR}.use_kl_loss", "algorithm.use_kl_in_reward"
    for switch, coefficient, where in (
        (in_loss, f"{ACTOR}.kl_loss_coef", "loss"),
        (in_reward, "algorithm.kl_ctrl.kl_coef", "reward"),
    ):
        weight = raw.number(coefficient)
        if raw.default(switch) and raw.says(coefficient) and weight:
            yield Objection(
                f"{coefficient} is {weight:g}, and nothing reads it: the KL is in the {where} only with "
                f"{switch}, which is off by default",
                f"set {switch}=True, or leave {coefficient} out",
                (coefficient, switch),
                refused=False,
            )
    if raw.on(in_loss) and raw.on(in_reward):
        yield Objection(
            f"{in_loss} and {in_reward} are both on: the KL to the reference is counted twice",
            "leave one of them on: in the loss for GRPO, in the reward for PPO",
            (in_loss, in_reward),
            refused=False,
        )
    kind = raw.get(f"{ACTOR}.kl_loss_type")
    if raw.on(in_loss) and kind in BY_K1:
        yield k1_in_the_loss(
            f"{ACTOR}.kl_loss_type {kind}", f"set {ACTOR}.kl_loss_type=low_var_kl", f"{ACTOR}.kl_loss_type"
        )


def k1_in_the_loss(what: str, remedy: str, name: str) -> Objection:
    """The gradient of k1 is the score, whose mean over the policy's own samples is zero (arXiv 2506.09477)."""
    return Objection(
        f"the KL in the loss is estimated by k1 ({what}), whose gradient is zero on average: it holds nothing",
        remedy,
        (name,),
        refused=False,
    )


def _product(raw: Raw, one: str, other: str) -> int | None:
    first, second = raw.whole(one), raw.whole(other)
    return first * second if first and second else None
