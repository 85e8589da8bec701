"""What OpenRLHF has against settings, and what it passes over.

Source: openrlhf/cli/train_ppo_ray.py of 0.8.11, 0.10.4 and 0.11.2, trainer/ray/ppo_actor.py,
utils/deepspeed/deepspeed.py of 0.11.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from diagnostics.configs.known import Raw
from diagnostics.configs.objection import Objection
from diagnostics.configs.verl import k1_in_the_loss

# The flags, before 0.10.2 and from then on.
_FLAT = {
    "group": "n_samples_per_prompt",
    "rollout": "rollout_batch_size",
    "micro_rollout": "micro_rollout_batch_size",
    "train": "train_batch_size",
    "micro_train": "micro_train_batch_size",
    "nodes": "actor_num_nodes",
    "gpus": "actor_num_gpus_per_node",
    "ring": "ring_attn_size",
    "tensor": "ds_tensor_parallel_size",
    "dynamic": "use_dynamic_batch",
    "kl_loss": "use_kl_loss",
    "estimator": "kl_estimator",
    "filtering": "dynamic_filtering",
    "async": "async_train",
    "sleep": "vllm_enable_sleep",
    "colocated": "colocate_all_models",
}
_PARTS = {
    "group": "rollout.n_samples_per_prompt",
    "rollout": "rollout.batch_size",
    "micro_rollout": "rollout.micro_batch_size",
    "train": "train.batch_size",
    "micro_train": "train.micro_batch_size",
    "nodes": "actor.num_nodes",
    "gpus": "actor.num_gpus_per_node",
    "ring": "ds.ring_attn_size",
    "tensor": "ds.tensor_parallel_size",
    "dynamic": "train.dynamic_batch_enable",
    "kl_loss": "algo.kl.use_loss",
    "estimator": "algo.kl.estimator",
    "filtering": "algo.dynamic_filtering_enable",
    "async": "train.async_enable",
    "sleep": "vllm.enable_sleep",
    "colocated": "train.colocate_all",
}


def objections(raw: Raw) -> Iterator[Objection]:
    """All of them."""
    name = _FLAT if raw.get("rollout_batch_size") is not None else _PARTS
    raw.used.update(name.values())
    group, rollout, train = (raw.whole(name[key]) for key in ("group", "rollout", "train"))
    if raw.on(name["filtering"]) and group == 1:
        yield Objection(
            f"{name['filtering']} is on, and groups of one have nothing to be filtered by",
            f"set {name['group']} to 8",
            (name["filtering"], name["group"]),
        )
    if raw.on(name["async"]) and raw.on(name["sleep"]) and raw.on(name["colocated"]):
        yield Objection(
            f"{name['async']} and {name['sleep']} are both on, and an engine that sleeps cannot sample meanwhile",
            f"leave {name['sleep']} out",
            (name["sleep"], name["async"]),
        )
    if raw.on(name["kl_loss"]) and raw.get(name["estimator"]) == "k1":
        default = raw.default(name["estimator"])
        what = f"{name['estimator']} k1" + (f", {default}" if default else "")
        yield k1_in_the_loss(what, f"set {name['estimator']} to k2 or k3", name["kl_loss"])
    if group and rollout and train:
        yield from _steps(name, raw, group * rollout, train)
    yield from _processes(name, raw)


def _steps(name: Mapping[str, str], raw: Raw, completions: int, train: int) -> Iterator[Objection]:
    """How a rollout is cut into optimizer steps."""
    what = f"{completions} completions of a rollout ({name['rollout']} x {name['group']})"
    names = tuple(sorted((name["train"], name["rollout"], name["group"]), key=lambda one: not raw.says(one)))
    if completions < train:
        yield Objection(
            f"the {what} do not fill {name['train']} {train}: gradients of several policies are summed before a step",
            f"set {name['train']} to {completions} or a divisor of it",
            names,
            refused=False,
        )
    elif completions % train:
        yield Objection(
            f"{name['train']} {train} does not divide the {what}: {completions % train} of each are left for the next "
            "step, or dropped",
            f"set {name['train']} to a divisor of {completions}",
            names,
            refused=False,
        )


def _processes(name: Mapping[str, str], raw: Raw) -> Iterator[Objection]:
    """What has to divide by the processes, where the script says how many these are."""
    nodes, gpus = raw.whole(name["nodes"]) or 1, raw.whole(name["gpus"])
    if not gpus:
        return
    apart = max(1, nodes * gpus // (raw.whole(name["ring"]) or 1) // (raw.whole(name["tensor"]) or 1))
    group, rollout, micro = (raw.whole(name[key]) for key in ("group", "rollout", "micro_rollout"))
    if group and rollout and micro and group * rollout // micro < apart:
        yield Objection(
            f"{group * rollout // micro} micro-batches of a rollout ({name['rollout']} x {name['group']} / "
            f"{name['micro_rollout']}) are fewer than the {apart} processes of the actor",
            f"set {name['micro_rollout']} to {max(1, group * rollout // apart)} or less",
            (name["micro_rollout"], name["rollout"], name["group"]),
        )
    train, each = raw.whole(name["train"]), raw.whole(name["micro_train"])
    if train and each and not raw.on(name["dynamic"]) and train % (each * apart):
        yield Objection(
            f"{name['train']} {train} is no multiple of {name['micro_train']} {each} x {apart} processes of the actor, "
            "which DeepSpeed asserts",
            f"set {name['train']} to {max(1, round(train / (each * apart))) * each * apart}",
            (name["train"], name["micro_train"], name["gpus"]),
        )
