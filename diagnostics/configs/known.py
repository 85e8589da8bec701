"""Settings that are known before a run: as the framework has them, and as canonical ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import float_info
from typing import Any

from diagnostics.configs.config import Given
from diagnostics.configs.frameworks import Default
from diagnostics.vocabulary import FIRST, LAST


@dataclass(frozen=True, slots=True)
class Known:
    """A canonical setting: its value, what the framework calls it, and the line that gives it, 0 where none does.

    `default` says whose default it is, "" where it is given, `how` how it comes from other settings, and `written` what
    stands there, where that is another word for the value.
    """

    value: Any
    name: str
    line: int
    default: str = ""
    how: str = ""
    file: str = ""
    written: Any = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A framework's own settings: those that are given, and its defaults for the others.

    `unknown` are names that are given, with values that cannot be known; `complete` says whether no others are given,
    and `dumped` that they were written out by a run, with what it made of them.
    `used` collects the names that were asked for.
    """

    given: Mapping[str, Given]
    defaults: Mapping[str, Default]
    called: str
    processes: Given | None = None
    unknown: frozenset[str] = frozenset()
    complete: bool = True
    dumped: bool = False
    used: set[str] = field(default_factory=set)

    @property
    def values(self) -> dict[str, Any]:
        """The value of each setting that is known."""
        return {name: default.value for name, default in self.defaults.items()} | {
            name: given.value for name, given in self.given.items()
        }

    def get(self, name: str) -> Any:
        """The value of a setting, None where it has none or is not known."""
        self.used.add(name)
        if name in self.given:
            return self.given[name].value
        return self.defaults[name].value if name in self.defaults else None

    def whole(self, name: str) -> int | None:
        """The value of a setting that counts something; None where it is not known, or is no whole number above 0."""
        value = self.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 1 <= value < 1e15
            or value != int(value)
        ):
            return None
        return int(value)

    def number(self, name: str) -> float | None:
        """The value of a setting that is a finite number, else None."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if abs(value) <= float_info.max else None

    def on(self, name: str) -> bool:
        """Whether a flag is known to be set."""
        return self.get(name) is True

    def says(self, name: str) -> bool:
        """Whether the configuration itself gives a value to `name`."""
        self.used.add(name)
        return name in self.given and self.given[name].value is not None

    def silent(self, name: str) -> bool:
        """Whether the configuration says nothing of `name`, for sure."""
        self.used.add(name)
        return self.complete and name not in self.given and name not in self.unknown

    def place(self, name: str) -> Given:
        """Where a setting stands; line 0 for a default."""
        return self.given.get(name, Given(None))

    def default(self, name: str) -> str:
        """Whose default a setting is at, in words, "" where it is given."""
        if name in self.given or name not in self.defaults:
            return ""
        default = self.defaults[name]
        since = f" since {'.'.join(map(str, default.since))}" if default.since != FIRST else ""
        until = f" before {'.'.join(map(str, default.until))}" if default.until != LAST else ""
        return f"{self.called}'s default{since}{until}"
