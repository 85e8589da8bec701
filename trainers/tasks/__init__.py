"""What a model is trained to do: prompts in three splits, a reward, and the model to begin with."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.errors import UserError

Row = Mapping[str, Any]  # `prompt`, and the columns that the reward asks for
Reward = Callable[..., list[float]]  # reward(prompts, completions, **columns), one number per completion


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained on what. No prompt stands in two of the splits; `test` may be empty.

    `model` is a folder or a hub name; `max_completion_length` (tokens) is the longest completion that makes sense, None
    where the task does not know; `trl` are settings of TRL's config that suit the task, which a trial may override.
    """

    model: str
    train: tuple[Row, ...]
    validation: tuple[Row, ...]
    test: tuple[Row, ...]
    reward: Reward
    reward_bounds: tuple[float, float] | None = None
    max_completion_length: int | None = None
    trl: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def built_in(name: str) -> Task:
    """The task called `name`, made by the `task()` of its file here; UserError names those there are.

    A name has hyphens where the file's has underscores: `boolean-query` is `trainers/tasks/boolean_query.py`.
    """
    modules = {module.name.replace("_", "-"): module.name for module in pkgutil.iter_modules(__path__)}
    if name not in modules:
        raise UserError(f"there is no built-in task {name!r}", f"Choose one of {', '.join(modules)}.")
    task: Task = importlib.import_module(f"{__name__}.{modules[name]}").task()
    return task
