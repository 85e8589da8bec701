"""What each framework calls things: exact names to canonical metrics and settings, version by version.

One TOML file per framework. Names are matched exactly, never by suffix or likeness; a name that is not in the file is
reported as unmapped.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from diagnostics import metrics as canonical

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


@dataclass(frozen=True, slots=True)
class Name:
    """One name of a framework and what it means from version `since` (inclusive) until `until` (exclusive)."""

    name: str
    means: str
    since: Version = FIRST
    until: Version = LAST
    values: Mapping[str, Any] = field(default_factory=dict)

    def component(self, name: str) -> str | None:
        """What stands at the `*` of a family's pattern such as `rewards/*/mean`; "" for a plain match, else None."""
        head, star, tail = self.name.partition("*")
        if not star:
            return "" if name == self.name else None
        if name.startswith(head) and name.endswith(tail) and len(name) > len(head) + len(tail):
            return name[len(head) : len(name) - len(tail)]
        return None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of one framework. `understood` are names that need no canonical metric, such as `epoch`.

    Where nothing but its names tells where a log comes from, one of `signature` tells that it is this framework, and
    `doubtful` are names that mean something else in another framework with the same signature.
    """

    framework: str
    metrics: tuple[Name, ...]
    settings: tuple[Name, ...]
    understood: frozenset[str]
    signature: frozenset[str] = frozenset()
    doubtful: frozenset[str] = frozenset()

    def metric(self, name: str, version: Version) -> str | None:
        """The canonical metric that `name` meant in `version`, None where it is not known."""
        for entry in self.metrics:
            if entry.since <= version < entry.until:
                component = entry.component(name)
                if component is not None:
                    return f"{entry.means}[{component}]" if component else entry.means
        return None

    def meanings(self, name: str) -> tuple[str, ...]:
        """All canonical metrics that `name` meant in any version."""
        return tuple(dict.fromkeys(means for _, means in self._entries(name)))

    def versions(self, names: Iterable[str]) -> tuple[Version, Version]:
        """The versions, first (inclusive) and last (exclusive), that can have logged all of `names`."""
        since, until = FIRST, LAST
        for name in names:
            entries = [entry for entry, _ in self._entries(name)]
            if entries:
                since = max(since, min(entry.since for entry in entries))
                until = min(until, max(entry.until for entry in entries))
        return since, until

    def metric_between(self, name: str, since: Version, until: Version) -> str | None:
        """The canonical metric that `name` meant in all versions from `since` until `until`, None where they differ.

        Meanings that differ in their estimator alone are that metric with an unknown estimator.
        """
        if name in self.doubtful:
            return None
        found = {means for entry, means in self._entries(name) if entry.since < until and since < entry.until}
        if len(found) > 1:
            found = {_of_unknown_estimator(means) for means in found}
        means = found.pop() if len(found) == 1 else ""
        return means if canonical.is_metric(means) else None

    def _entries(self, name: str) -> list[tuple[Name, str]]:
        """All entries for `name`, each with what it means."""
        found = [(entry, entry.component(name)) for entry in self.metrics]
        return [(entry, f"{entry.means}[{part}]" if part else entry.means) for entry, part in found if part is not None]

    def canonical_settings(self, raw: Mapping[str, Any], version: Version) -> dict[str, Any]:
        """The settings of `raw` that have a canonical name, under that name."""
        found = {}
        for entry in self.settings:
            if entry.name in raw and entry.since <= version < entry.until:
                value = raw[entry.name]
                found[entry.means] = entry.values.get(str(value), value)
        return found

    def spoken(self, setting: str, version: Version = (1_000_000 - 1,)) -> str:
        """What this framework's users call a canonical setting; the canonical name where it has no other."""
        for entry in self.settings:
            if entry.means == setting and entry.since <= version < entry.until:
                return entry.name
        return setting


@cache
def frameworks() -> tuple[str, ...]:
    """The frameworks that there is a vocabulary of."""
    names = (path.name for path in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def vocabulary(framework: str) -> Vocabulary:
    """The vocabulary of `framework`; KeyError names the frameworks there are."""
    if framework not in frameworks():
        raise KeyError(f"no vocabulary for {framework!r}; there are {', '.join(frameworks())}")
    data = tomllib.loads(files(__package__).joinpath(f"{framework}.toml").read_text(encoding="utf-8"))
    return Vocabulary(
        framework,
        tuple(_name(e, "metric") for e in data.get("metrics", ())),
        tuple(_name(e, "setting") for e in data.get("settings", ())),
        frozenset(data.get("understood", ())),
        frozenset(data.get("signature", ())),
        frozenset(data.get("doubtful", ())),
    )


def recognised(names: Iterable[str]) -> Vocabulary | None:
    """The vocabulary of the one framework with a name of its signature among `names`, None where none has."""
    seen = set(names)
    found = [words for words in map(vocabulary, frameworks()) if words.signature & seen]
    return found[0] if len(found) == 1 else None


def meanings(name: str, framework: str) -> tuple[str, ...]:
    """All canonical metrics that `framework` meant by `name` in any version; none where it is not known."""
    return vocabulary(framework).meanings(name) if framework in frameworks() else ()


def _of_unknown_estimator(metric: str) -> str:
    known = canonical.metrics().get(metric)
    return (
        metric
        if known is None or known.estimator is None
        else replace(known, estimator=canonical.Estimator.UNKNOWN).name
    )


def _name(entry: Mapping[str, Any], kind: str) -> Name:
    return Name(
        entry["name"],
        entry[kind],
        parse_version(entry.get("since", "")),
        parse_version(entry["until"]) if "until" in entry else LAST,
        entry.get("values", {}),
    )
