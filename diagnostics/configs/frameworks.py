"""The frameworks whose configurations are known: how they are started, and what holds where nothing is said.

One TOML file each, named as the vocabulary that has its names:

- `called`: what people call it;
- `classes`: the dataclasses that hold its arguments, `packages` what these are imported from;
- `commands`: words of a command line that start it, each with the arguments behind it (`trl grpo`, a module, a script);
- `tells`: names of settings that only this framework and its kin have; `x.*` stands for all that begin so;
- `overrides`: whether arguments are written `name=value`, as Hydra has them, and not `--name value`;
- `processes`: the settings whose product is how many processes train;
- `defaults`: entries `{ name, value }`, with `since` (inclusive) and `until` (exclusive) where it depends on the
  version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from diagnostics.configs.config import Given
from diagnostics.vocabulary import FIRST, LAST, Version, parse_version, vocabulary


@dataclass(frozen=True, slots=True)
class Default:
    """What a setting is where nothing is said, from version `since` on until `until`."""

    name: str
    value: Any
    since: Version
    until: Version


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework's file; the module says what each field is."""

    name: str
    called: str
    classes: tuple[str, ...]
    packages: tuple[str, ...]
    commands: tuple[str, ...]
    tells: tuple[str, ...]
    overrides: bool
    processes: tuple[str, ...]
    defaults: tuple[Default, ...]

    def default(self, versions: tuple[Version, Version]) -> dict[str, Default]:
        """The defaults of the newest of `versions`, the first (inclusive) and the last (exclusive)."""
        since, until = versions
        holding = [d for d in self.defaults if d.since < until <= d.until and since < d.until]
        return {default.name: default for default in holding}

    def told_by(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that tell this framework."""
        heads = tuple(tell[:-1] for tell in self.tells if tell.endswith("*"))
        return [name for name in names if name in self.tells or (heads and name.startswith(heads))]

    @property
    def names(self) -> frozenset[str]:
        """The names of its settings that are known in any version."""
        return frozenset(entry.name for entry in vocabulary(self.name).settings) | {d.name for d in self.defaults}


@cache
def all_frameworks() -> Mapping[str, Framework]:
    """All of them by name."""
    found = sorted(path.name for path in files(__package__).iterdir() if path.name.endswith(".toml"))
    return {name.removesuffix(".toml"): _framework(name.removesuffix(".toml")) for name in found}


def classes() -> tuple[str, ...]:
    """The dataclasses that hold arguments."""
    return tuple(dict.fromkeys(name for one in all_frameworks().values() for name in one.classes))


def of_class(name: str, module: str, modules: Iterable[str], given: Mapping[str, Given]) -> str | None:
    """The framework that a class of arguments is of, None where it is of none that is known.

    `module` is where it is imported from, "" where that is not seen, `modules` are the packages that the script
    imports, and `given` the arguments, which tell between those that have a class of that name.
    """
    package = module.partition(".")[0]
    own = [one for one in all_frameworks().values() if name in one.classes and (not package or package in one.packages)]
    if not own:
        return None
    if "unsloth" in modules and own[0].name == "trl-grpo":
        return "unsloth"
    return max(own, key=lambda one: len(one.names & given.keys())).name


def _framework(name: str) -> Framework:
    data = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    return Framework(
        name,
        data["called"],
        tuple(data.get("classes", ())),
        tuple(data.get("packages", ())),
        tuple(data.get("commands", ())),
        tuple(data.get("tells", ())),
        data.get("overrides", False),
        tuple(data.get("processes", ())),
        tuple(
            Default(
                entry["name"],
                entry["value"],
                parse_version(entry["since"]) if "since" in entry else FIRST,
                parse_version(entry["until"]) if "until" in entry else LAST,
            )
            for entry in data.get("defaults", ())
        ),
    )
