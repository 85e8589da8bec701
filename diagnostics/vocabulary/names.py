"""One entry of a vocabulary: a name, from which version on, and what it means; and how loggers respell names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Version = tuple[int, ...]
FIRST: Version = ()
LAST: Version = (1_000_000,)


def parse_version(text: str) -> Version:
    """`1.16.0.dev0` as (1, 16, 0); parts that are no numbers end it."""
    parts: list[int] = []
    for part in text.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts)


# transformers.utils.notebook; with Unsloth's patch of it, the table of a notebook has all other metrics as well.
_IN_NOTEBOOKS = {"Training Loss": "loss", "Validation Loss": "eval_loss"}


class Transport(StrEnum):
    """How names are respelt on their way into a log."""

    EXACT = "exact"
    TRAIN = "train"  # some loggers put `train/` in front
    # wandb, TensorBoard and others get `train/x` for `x` and `eval/x` for `eval_x`; notebooks show `a / b` for `a/b`
    TRANSFORMERS = "transformers"
    PLAIN = "plain"  # people's own: small letters or capitals, spaces or "_" between words, `train/` in front or not

    def spellings(self, name: str) -> tuple[str, ...]:
        """How `name` may stand in a vocabulary's file: as it is, and before it was respelt."""
        match self:
            case Transport.EXACT:
                return (name,)
            case Transport.TRAIN:
                return (name, name[6:]) if name.startswith("train/") else (name,)
            case Transport.TRANSFORMERS:  # transformers.integrations.rewrite_logs
                if name in _IN_NOTEBOOKS or " / " in name:
                    return (name, _IN_NOTEBOOKS.get(name, name.replace(" / ", "/")))
                head, slash, tail = name.partition("/")
                if not slash or (head == "train" and tail.startswith(("eval_", "test_"))):
                    return (name,)
                return (name, {"train": tail, "eval": f"eval_{tail}", "test": f"test_{tail}"}.get(head, name))
            case Transport.PLAIN:
                return (name.strip().lower().replace(" ", "_").replace("-", "_").removeprefix("train/"),)

    def spelt(self, names: Iterable[str]) -> dict[str, str]:
        """Each of `names` by all its spellings."""
        return {spelling: name for name in names for spelling in self.spellings(name)}


@dataclass(frozen=True, slots=True)
class Name:
    """One name of a framework and what it means from version `since` (inclusive) until `until` (exclusive).

    The canonical metric is `times * number ** power + plus` of the number that is logged. Where not `zeros`, an exact 0
    may stand for what was not measured.
    """

    name: str
    means: str
    since: Version = FIRST
    until: Version = LAST
    values: Mapping[str, Any] = field(default_factory=dict)
    times: float = 1.0
    plus: float = 0.0
    zeros: bool = True
    where: tuple[tuple[str, frozenset[str]], ...] = ()
    power: int = 1

    def component(self, name: str) -> str | None:
        """What stands at the first `*` of a pattern such as `rewards/*/mean`; "" for a plain match, else None."""
        head, star, tail = self.name.partition("*")
        if not star:
            return "" if name == self.name else None
        middle, second, tail = tail.partition("*") if "*" in tail else ("", "", tail)
        if not (name.startswith(head) and name.endswith(tail) and len(name) > len(head) + len(tail)):
            return None
        part = name[len(head) : len(name) - len(tail)]
        if not second:
            return part
        part, _, text = part.rpartition(middle)
        return part if part and text else None

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether the run's own settings are those that this entry is for."""
        return all(name in settings and str(settings[name]) in values for name, values in self.where)
