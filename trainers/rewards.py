"""A user's reward: a function named `module:function`, with the signature that TRL knows."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from trainers.tasks import Reward


def load(name: str) -> Reward:
    """The function `module:function`, checked at each call. UserError says what is missing.

    The current folder is searched last: a user's `trainers/` must not hide ours.
    """
    module_name, colon, function_name = name.partition(":")
    if not (module_name and colon and function_name):
        raise UserError(f"the reward {name!r} is no function", "Write it as module:function.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"the reward {name} cannot be imported: {error}", f"Is {module_name} in {here} or installed?"
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"{module.__file__} has no function {function_name}", "Name the reward as module:function.")
    return checked(function, name)


def checked(function: Reward, name: str) -> Reward:
    """`function`, whose answer is held against what it was asked: one number (or None) per completion."""
    if inspect.iscoroutinefunction(function):  # TRL awaits it, and makes the same checks
        return function

    @functools.wraps(function)
    def reward(*args: Any, **kwargs: Any) -> list[float]:
        rewards = list(function(*args, **kwargs))
        expected = len(kwargs["completions"])
        if len(rewards) != expected:
            raise UserError(
                f"the reward {name} returned {len(rewards)} rewards for {expected} completions",
                "Return one number for each completion.",
            )
        for value in rewards:
            if value is not None and not hasattr(value, "__float__"):
                raise UserError(f"the reward {name} returned {value!r}", "Return one number for each completion.")
        return rewards

    return reward
