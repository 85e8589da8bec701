"""What each framework calls things: exact names to canonical metrics and settings, version by version.

One TOML file per framework. Names are matched exactly, never by suffix or likeness; a name that is not in the file is
reported as unmapped.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

Version = tuple[int, ...]


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
    since: Version = ()
    until: Version = (1_000_000,)
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
    """The names of one framework. `understood` are names that need no canonical metric, such as `epoch`."""

    framework: str
    metrics: tuple[Name, ...]
    settings: tuple[Name, ...]
    understood: frozenset[str]

    def metric(self, name: str, version: Version) -> str | None:
        """The canonical metric that `name` meant in `version`, None where it is not known."""
        for entry in self.metrics:
            if entry.since <= version < entry.until:
                component = entry.component(name)
                if component is not None:
                    return f"{entry.means}[{component}]" if component else entry.means
        return None

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
def vocabulary(framework: str) -> Vocabulary:
    """The vocabulary of `framework`; KeyError names the frameworks there are."""
    paths = files(__package__).iterdir()
    tables = {path.name.removesuffix(".toml"): path for path in paths if path.name.endswith(".toml")}
    if framework not in tables:
        raise KeyError(f"no vocabulary for {framework!r}; there are {', '.join(sorted(tables))}")
    data = tomllib.loads(tables[framework].read_text(encoding="utf-8"))
    return Vocabulary(
        framework,
        tuple(_name(e, "metric") for e in data.get("metrics", ())),
        tuple(_name(e, "setting") for e in data.get("settings", ())),
        frozenset(data.get("understood", ())),
    )


def _name(entry: Mapping[str, Any], kind: str) -> Name:
    return Name(
        entry["name"],
        entry[kind],
        parse_version(entry.get("since", "")),
        parse_version(entry["until"]) if "until" in entry else (1_000_000,),
        entry.get("values", {}),
    )
