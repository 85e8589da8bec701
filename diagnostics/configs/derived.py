"""Canonical settings that a framework has no name for: they come from several of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from diagnostics.configs.known import Known, Raw

_LARGE = 1_000_000  # completions, above which no divisor is looked for
_ALONE = ("gae", "reinforce", "reinforce_plus_plus", "remax")
_Derived = Iterator[tuple[str, Known]]


def derived(framework: str, raw: Raw) -> dict[str, Known]:
    """What follows from the settings of `framework`, under canonical names."""
    derive = _BY_FRAMEWORK.get(framework)
    return dict(derive(raw)) if derive is not None else {}


def product(
    name: str, raw: Raw, parts: Iterator[str] | tuple[str, ...], *, processes: int | None = None
) -> Known | None:
    """The product of settings, as one called `name`; None where one of them is not known."""
    names = tuple(parts)
    values = [raw.whole(part) for part in names]
    total, told = 1, []
    for part, value in zip(names, values, strict=True):
        if value is None:
            return None
        total *= value
        if value != 1 or raw.says(part):
            told.append(f"{part} {value}" + (f" ({raw.default(part)})" if raw.default(part) else ""))
    if processes is not None:
        total *= processes
        told.append(f"{processes} process{'' if processes == 1 else 'es'}")
    places = [raw.place(part) for part in names if raw.says(part)]
    place = places[0] if places else raw.place(names[0])
    default = "" if places else raw.default(names[0])
    return Known(total, name, place.line, default, " x ".join(told), place.file)


def _grpo(raw: Raw) -> _Derived:
    yield "group_baseline", Known(True, "the algorithm", 0)
    yield from _trl(raw)


def _trl(raw: Raw) -> _Derived:
    """TRL: a rollout is what one pass of `steps_per_generation` batches uses up (GRPOConfig.__post_init__)."""
    whole = raw.get("generation_batch_size")
    steps = "steps_per_generation" if raw.says("steps_per_generation") else "gradient_accumulation_steps"
    if whole is None:
        each = product("a process's batch", raw, ("per_device_train_batch_size", steps))
        if each is not None:
            yield "process_batch_size", each
        if raw.processes is not None and isinstance(raw.processes.value, int):
            total = product(
                "generation_batch_size",
                raw,
                ("per_device_train_batch_size", steps),
                processes=raw.processes.value,
            )
            if total is not None:
                yield "batch_size", total
    yield from _suppressed(raw)
    if raw.on("use_vllm") and raw.whole("vllm_max_model_length") is not None:
        place = raw.place("vllm_max_model_length")
        yield "context_length", Known(raw.whole("vllm_max_model_length"), "vllm_max_model_length", place.line)


def whole_groups(raw: Raw) -> str:
    """What makes the groups of TRL's batch whole, "" where its parts are not known."""
    each, group = raw.whole("per_device_train_batch_size"), raw.whole("num_generations")
    steps = "steps_per_generation" if raw.says("steps_per_generation") else "gradient_accumulation_steps"
    times, processes = raw.whole(steps), raw.processes.value if raw.processes is not None else None
    if not each or not group or not times or not isinstance(processes, int):
        return ""
    at_a_time = each * processes
    least = math.lcm(at_a_time, group)  # what both divide
    whole = raw.whole("generation_batch_size")
    if whole:
        return f"Set generation_batch_size to {max(1, round(whole / least)) * least}, which holds whole groups."
    batch = at_a_time * times
    divisors = [n for n in range(2, batch + 1) if batch % n == 0] if batch < _LARGE else []
    nearest = min(divisors, key=lambda n: (max(n / group, group / n), -n), default=None)
    other = f"num_generations to {nearest}, or " if nearest else ""
    return f"Set {other}{steps} to {least // at_a_time}, so that the batch holds whole groups."


def _suppressed(raw: Raw) -> _Derived:
    name = "generation_kwargs.suppress_tokens"
    tokens = raw.get(name)
    if isinstance(tokens, list):
        yield "suppressed_tokens", Known(len(tokens), name, raw.place(name).line)


def _ppo(raw: Raw) -> _Derived:
    yield from _suppressed(raw)


def _alone(raw: Raw, name: str) -> _Derived:
    """A completion is judged by itself, or by a critic; the vocabulary has those that are judged by their group."""
    estimator = raw.get(name)
    if estimator in _ALONE:
        place = raw.place(name)
        yield "group_baseline", Known(False, name, place.line, raw.default(name), file=place.file, written=estimator)


def _verl(raw: Raw) -> _Derived:
    yield from _alone(raw, "algorithm.adv_estimator")
    parts = ("data.train_batch_size", "actor_rollout_ref.rollout.n")
    total = product("data.train_batch_size", raw, parts)
    if total is not None:
        yield "batch_size", total
    yield from _rank(raw, "actor_rollout_ref.model.lora_rank")
    yield from _at_most(raw, "data.train_max_samples")
    used, reward = raw.get("actor_rollout_ref.actor.use_kl_loss"), raw.get("algorithm.use_kl_in_reward")
    if used is False and reward is False:
        given = [
            name for name in ("algorithm.use_kl_in_reward", "actor_rollout_ref.actor.use_kl_loss") if raw.says(name)
        ]
        name = given[0] if given else "actor_rollout_ref.actor.use_kl_loss"
        yield "kl_coef", Known(0.0, name, raw.place(name).line, raw.default(name), written=False)
    place = raw.place("actor_rollout_ref.rollout.max_model_len")
    context = raw.whole("actor_rollout_ref.rollout.max_model_len")
    if context is not None:
        yield "context_length", Known(context, "actor_rollout_ref.rollout.max_model_len", place.line)


def _openrlhf(raw: Raw) -> _Derived:
    flat = raw.get("rollout_batch_size") is not None
    parts = (
        ("rollout_batch_size", "n_samples_per_prompt")
        if flat
        else ("rollout.batch_size", "rollout.n_samples_per_prompt")
    )
    yield from _alone(raw, "advantage_estimator" if flat else "algo.advantage.estimator")
    total = product(parts[0], raw, parts)
    if total is not None:
        yield "batch_size", total
    yield from _rank(raw, "lora_rank" if flat else "ds.lora.rank")
    yield from _at_most(raw, "max_samples" if flat else "data.max_samples")


def _at_most(raw: Raw, name: str) -> _Derived:
    """Of how many prompts a dataset is cut to: there may be fewer, which is as bad or worse."""
    most = raw.whole(name)
    if most is not None and raw.says(name):
        yield "dataset_size", Known(most, name, raw.place(name).line, file=raw.place(name).file)


def _rank(raw: Raw, name: str) -> _Derived:
    rank = raw.get(name)
    if isinstance(rank, int) and not isinstance(rank, bool):
        yield "peft", Known(rank > 0, name, raw.place(name).line, raw.default(name))


_BY_FRAMEWORK: Mapping[str, Callable[[Raw], _Derived]] = {
    "trl-grpo": _grpo,
    "trl-rloo": _grpo,
    "unsloth": _grpo,
    "autotune-ppo": _ppo,
    "lab-grpo": _trl,
    "lab-ppo": _ppo,
    "verl": _verl,
    "openrlhf": _openrlhf,
}
