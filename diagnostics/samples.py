"""What a model said at a step: groups of completions, the best and the worst of them."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostics.events import SamplesLogged

TRAIN = "train"  # the split of what is trained on
# What a run logs of all completions of a step.
OF_BATCH = ("reward_mean", "zero_std_share", "unique_share", "eos_share")
KEPT = 4  # steps of a run that are kept in memory


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion; what is not known of it is None.

    `reward` is raw, `advantage` what the trainer made of it; `tokens` is how many it has, `ended` whether by itself.
    """

    prompt: str
    completion: str
    reward: float | None = None
    advantage: float | None = None
    tokens: int | None = None
    ended: bool | None = None

    @property
    def worth(self) -> float | None:
        """What it is ranked by within its group: the reward, where that is not known the advantage; None without."""
        known = self.reward if self.reward is not None else self.advantage
        return None if known is None or math.isnan(known) else known


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one prompt, or all those of a split whose prompts have one each (`prompt` is None).

    `of` is how many there were in training, where not all are told.
    """

    split: str
    prompt: str | None
    samples: tuple[Sample, ...]
    of: int = 0

    @property
    def rewards(self) -> list[float]:
        """Those that are known and numbers, as they were logged."""
        known = (sample.reward for sample in self.samples)
        return [reward for reward in known if reward is not None and not math.isnan(reward)]

    @property
    def alike(self) -> bool:
        """Whether all rewards are the same, so that nothing is learned from them."""
        rewards = self.rewards
        return len(rewards) == len(self.samples) > 1 and len(set(rewards)) == 1

    def distinct(self) -> list[tuple[Sample, int]]:
        """Each completion once with how often it is there, the best first, those of which nothing is known last."""
        counted = Counter((sample.prompt, sample.completion, sample.reward) for sample in self.samples)
        first: dict[tuple[str, str, float | None], Sample] = {}
        for sample in self.samples:
            first.setdefault((sample.prompt, sample.completion, sample.reward), sample)
        return sorted(((first[key], n) for key, n in counted.items()), key=lambda pair: _rank(pair[0]), reverse=True)


@dataclass(frozen=True, slots=True)
class Spread:
    """Rewards in a few numbers: how many are known, and of those that are finite their mean, deviation, ends."""

    known: int
    mean: float
    deviation: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class SampledStep:
    """What is told of one step; `odd` counts the entries that are no samples."""

    step: int
    groups: tuple[Group, ...]
    odd: int = 0

    def of_split(self, split: str) -> list[Group]:
        """Its groups."""
        return [group for group in self.groups if group.split == split]


def spread(rewards: Sequence[float]) -> Spread | None:
    """None where no reward is finite."""
    finite = [reward for reward in rewards if math.isfinite(reward)]
    if not finite:
        return None
    deviation = statistics.stdev(finite) if len(finite) > 1 else 0.0
    return Spread(len(rewards), statistics.fmean(finite), deviation, min(finite), max(finite))


def sampled(event: SamplesLogged) -> SampledStep:
    """The samples of a step in groups: neighbours of one split and one group or, where no group is told, one prompt."""
    together: dict[tuple[str, object, str], list[Mapping[str, Any]]] = {}
    odd = 0
    for entry in event.samples:
        if "completion" not in entry:
            odd += 1
            continue
        key = plain(entry.get("split", "")), repr(entry.get("group")), plain(entry.get("prompt", ""))
        together.setdefault(key, []).append(entry)
    groups: dict[object, Group] = {}
    for (split, number, prompt), entries in together.items():
        samples = tuple(map(_sample, entries))
        if len(samples) > 1:
            of = max((n for entry in entries if (n := _whole(entry.get("of"))) is not None), default=0)
            groups[split, number, prompt] = Group(split, prompt, samples, of)
        else:  # one completion is no group: those of a split stand side by side
            before = groups.get(split)
            groups[split] = Group(split, None, (*before.samples, *samples) if before else samples)
    return SampledStep(event.step, tuple(groups.values()), odd)


def plain(value: Any) -> str:
    """A prompt or a completion as text: of messages each with who says it."""
    match value:
        case str():
            return value
        case None:
            return ""
        case list() if value and all(isinstance(message, dict) and "content" in message for message in value):
            return "\n".join(f"{plain(message.get('role', '?'))}: {plain(message['content'])}" for message in value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _said(value: Any) -> str:
    """A completion as text: who says it stands beside it only where it is several messages."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "content" in value[0]:
        return plain(value[0]["content"])
    return plain(value)


def _sample(entry: Mapping[str, Any]) -> Sample:
    ended = entry.get("ended")
    return Sample(
        plain(entry.get("prompt", "")),
        _said(entry["completion"]),
        _number(entry.get("reward")),
        _number(entry.get("advantage")),
        _whole(entry.get("tokens")),
        ended if isinstance(ended, bool) else None,
    )


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _rank(sample: Sample) -> tuple[bool, float]:
    worth = sample.worth
    return worth is not None, worth or 0.0
