"""Built-in task: `Query about heart and insulin:` wants a query as short as it gets.

The reward is that of the query journal's first five experiments, `2 - words / 16`. It asks for nothing but brevity, so
that the empty query is its hack: it has the maximum, 2.0, and is of no use.
"""

from __future__ import annotations

from typing import Any

from trainers import queries
from trainers.tasks import Task

BOUNDS = (0.0, 2.0)  # 32 tokens are at most 32 words


def task() -> Task:
    """The task of short queries; makes and caches the warm-started model on first use."""
    return queries.task(short_reward, BOUNDS)


def short_reward(completions: list[str], **_: Any) -> list[float]:
    """2 less a sixteenth for each word."""
    return [2 - len(completion.split()) / 16 for completion in completions]
