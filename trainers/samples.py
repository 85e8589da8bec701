"""What is kept of completions for a person to read: of a rollout whole groups, as much as a log can bear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainers.measure import Sampled

GROUPS = 2  # of a rollout
ALONE = 8  # completions of a rollout in which each prompt has one
OF_GROUP = 16  # completions
LONGEST = 4_000  # characters of a text


def of_rollout(rollout: Sampled, advantages: Sequence[float] = ()) -> list[dict[str, Any]]:
    """Some groups of a rollout, spread over it whatever their rewards, each with all its completions.

    Of a larger group than `OF_GROUP` the best, the worst and those between them that stand evenly by their rewards, and
    of one that several processes share the part of this one; `of` then says how many there were. `advantages` are those
    of the completions, where one each is known.
    """
    n = min(rollout.group, len(rollout.prompts))
    groups = len(rollout.prompts) // n if n else 0
    wanted = GROUPS if rollout.group > 1 else ALONE
    told = []
    for group in sorted({k * groups // wanted for k in range(wanted)} if groups else ()):
        some = _some(range(group * n, group * n + n), rollout.rewards)
        for i in some:
            more = {"advantage": float(advantages[i])} if advantages else {}
            more |= {"of": rollout.group} if len(some) < rollout.group else {}
            told.append({"split": "train", "group": group, **sample(rollout, i), **more})
    return told


def sample(said: Sampled, i: int) -> dict[str, Any]:
    """One completion; `tokens` counts those it has, and `ended` says whether it ended by itself."""
    return {
        "prompt": shortened(said.prompts[i]),
        "completion": shortened(said.completions[i]),
        "reward": float(said.rewards[i]),
        "tokens": said.tokens[i],
        "ended": said.ended[i],
    }


def shortened(text: Any) -> Any:
    """A text without its middle where it is long, and messages with such texts."""
    match text:
        case str() if len(text) > LONGEST:
            half = LONGEST // 2
            return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"
        case Mapping():
            return {str(name): shortened(value) for name, value in text.items()}
        case list() | tuple():
            return [shortened(value) for value in text]
        case None | str() | int() | float():
            return text
        case _:  # a picture, say
            return shortened(str(text))


def _some(places: range, rewards: Sequence[float]) -> Sequence[int]:
    if len(places) <= OF_GROUP:
        return places
    ordered = sorted(places, key=lambda i: (math.isnan(rewards[i]), rewards[i]))
    return sorted(ordered[round(k * (len(places) - 1) / (OF_GROUP - 1))] for k in range(OF_GROUP))
