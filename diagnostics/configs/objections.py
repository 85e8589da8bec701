"""What each framework has against the settings of one of its configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from diagnostics.configs import openrlhf, trl, verl
from diagnostics.configs.known import Raw
from diagnostics.configs.objection import Objection

_BY_FRAMEWORK: Mapping[str, Callable[[Raw], Iterator[Objection]]] = {
    "trl-grpo": trl.grouped,
    "trl-rloo": trl.grouped,
    "unsloth": trl.grouped,
    "trl-ppo": trl.arguments,
    "trl-ppo-classic": trl.classic,
    "autotune-ppo": trl.arguments,
    "verl": verl.objections,
    "openrlhf": openrlhf.objections,
}


def objections(framework: str, raw: Raw) -> list[Objection]:
    """All of them, none for a framework whose source was not read for it."""
    object_to = _BY_FRAMEWORK.get(framework)
    return list(object_to(raw)) if object_to is not None else []


def are_known(framework: str) -> bool:
    """Whether the source of `framework` was read for it."""
    return framework in _BY_FRAMEWORK
