"""Built-in task: `Query about heart and insulin:` wants a boolean query such as ` ( heart OR blood ) AND ( insulin )`.

The reward is graded, with the weights of the query journal's sixth experiment. Unlike there, operators are in capitals,
as search engines want them (prompts have an `and`), and a clause may also stand in double quotes, and holds a word.
"""

from __future__ import annotations

import re
from typing import Any

from trainers import queries
from trainers.tasks import Task

BOUNDS = (0.0, 1.0)
_CLAUSE = r'(?:\([^)]*\w[^)]*\)|"[^"]*\w[^"]*")'
_CLAUSES = re.compile(rf"{_CLAUSE}\s+(?:AND|OR)\s+{_CLAUSE}")


def task() -> Task:
    """The task of boolean queries; makes and caches the warm-started model on first use."""
    return queries.task(boolean_reward, BOUNDS)


def boolean_reward(completions: list[str], **_: Any) -> list[float]:
    """0.3 for an operator, 0.5 for two clauses with one between, 0.2 for a length of 6 to 29 words."""
    return [
        0.3 * (" AND " in c or " OR " in c) + 0.5 * bool(_CLAUSES.search(c)) + 0.2 * (5 < len(c.split()) < 30)
        for c in completions
    ]
