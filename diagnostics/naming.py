"""What the names of one log mean: canonical metrics and settings, and why they are read that way.

    naming = settle(names, settings=..., packages=..., framework=..., mine=user_map)
    meaning = naming.metrics.get(name)        # its metric, and how to get that from the number that is logged
    naming.understood, naming.unmapped        # the other names: those that need no metric, and those nobody knows
    naming.recognised                         # "trl-grpo 0.17.0 or newer, by completions/clipped_ratio"

`settle` takes all names seen so far and says the same of the same names in whatever order they came; it is to be asked
again when a new name appears. What a person maps (`mine`) goes first, then the framework's own table, then names that
are canonical by themselves. Where no framework is recognised, names are read as `plain` ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np

from diagnostics import metrics as canonical
from diagnostics.metrics import Kind, is_metric
from diagnostics.readers.table import Numbers, flat, number
from diagnostics.user_map import UserMap
from diagnostics.vocabulary import (
    FIRST,
    LAST,
    Name,
    Transport,
    Version,
    Vocabulary,
    frameworks,
    parse_version,
    vocabulary,
)

PLAIN = "plain"
PLAINLY = "no framework is recognised: names are read as the plain words that they are"
SHOWN = 3  # names of a signature that are told

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a logged number means: the canonical metric is `times * number ** power + plus`.

    Where not `zeros`, exact zeros before the first other number are no measurements (a KL that was not computed).
    """

    metric: str
    times: float = 1.0
    plus: float = 0.0
    zeros: bool = True
    power: int = 1

    def of(self, numbers: Numbers) -> Numbers:
        """The canonical values (n,) of logged numbers (n,); the same array where nothing is to be changed."""
        if (self.times, self.plus, self.power) == (1, 0, 1):
            return numbers
        with np.errstate(over="ignore"):  # infinity is what the square of too large a number is
            return self.times * numbers**self.power + self.plus


@dataclass(frozen=True, slots=True)
class Naming:
    """What the names of a log mean. Every name is in one of `metrics`, `understood` and `unmapped`.

    `framework` is that of the vocabulary that they are read by, and `recognised` says why, in words. `versions` are
    those that can have logged these names, from the first to below the last. `settings` are canonical and checked;
    `steps` are the framework's own x-axes, the best first. `notes` say what of it a person should know.
    """

    framework: str = PLAIN
    versions: tuple[Version, Version] = (FIRST, LAST)
    recognised: str = ""
    metrics: Mapping[str, Meaning] = field(default_factory=dict)
    understood: frozenset[str] = frozenset()
    unmapped: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """`versions` in words, such as "0.17.0 or newer"; "" for all of them."""
        return _spoken(self.versions)


class _Source(IntEnum):
    """Whose word it is that a name means a metric, the most trusted first."""

    PERSON = 0
    FRAMEWORK = 1
    PLAIN = 2
    ITSELF = 3


@dataclass(frozen=True, slots=True)
class _Read:
    """What a name means, and its rank among names that mean the same: whose word it is, and where it stands there."""

    source: _Source
    position: int
    meaning: Meaning


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A framework that may have written a log: how well it fits (the greater the better) and what tells it."""

    words: Vocabulary
    fit: tuple[
        bool, int, bool, bool
    ]  # settings tell it; names it knows; a version can have logged all; format tells it
    settings: Mapping[str, Any]
    versions: tuple[Version, Version]
    why: str
    notes: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        return self.fit[0] or self.fit[3]


def settle(
    names: Sequence[str],
    *,
    settings: Mapping[str, Any] = _NOTHING,
    packages: Mapping[str, str] = _NOTHING,
    framework: str = "",
    mine: UserMap | None = None,
) -> Naming:
    """What `names`, all those of a log so far, mean.

    `settings` are the run's own, nested as they were logged, `packages` the versions of Python packages that the log
    tells, and `framework` is the vocabulary that its format tells, "" where it tells none.
    """
    mine = mine or UserMap()
    raw = dict(flat(settings))
    found, notes = _recognised(names, raw, packages, framework)
    meant, understood = _read(names, found, mine)
    metrics, again = _once_each(meant)
    # A framework that logs a metric twice means the same; a person who does so means two things.
    understood |= {name for name in again if meant[name].source < _Source.PLAIN}
    plainly = [name for name in metrics if meant[name].source is _Source.PLAIN] if found.words.rest else []
    values, bad = _settings(found, mine)
    unused = [n for n in dict.fromkeys([*mine.metrics, *mine.settings]) if n not in {*names, *raw}]
    return Naming(
        found.words.framework,
        found.versions,
        found.why,
        metrics,
        frozenset(understood),
        tuple(name for name in names if name not in metrics and name not in understood),
        values,
        found.words.steps,
        (
            *notes,
            *found.notes,
            *(f"{name} is no name of {found.words.framework}: it is read as a plain word" for name in plainly),
            *(f"{name} is not read: {other} is read as the same metric" for name, other in again.items()),
            *bad,
            *(f"there is no {name} in this log, which is mapped" for name in unused),
        ),
    )


class Names:
    """Canonical names for the rows of one log, told as they come.

    What a name means is settled when it is first seen, as long as no other framework is recognised.
    """

    def __init__(self, framework: Vocabulary | None = None) -> None:
        self._hint = framework.framework if framework else ""
        self._naming = settle((), framework=self._hint)
        self._meant: dict[str, Meaning | None] = {}
        self._measured: set[str] = set()  # metrics of which a number other than 0 was seen

    @property
    def framework(self) -> Vocabulary | None:
        """The framework that is recognised, None where names are read as plain words."""
        return vocabulary(self._naming.framework) if self._naming.framework != PLAIN else None

    def canonical(self, values: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """The numbers under canonical names, and those of `values` that have none."""
        if not values.keys() <= self._meant.keys():
            self._learn([*self._meant, *(name for name in values if name not in self._meant)])
        mapped, unmapped = {}, {}
        for name, value in values.items():
            meaning = self._meant[name]
            if meaning is None:
                if name not in self._naming.understood:
                    unmapped[name] = value
            elif meaning.zeros or value != 0 or meaning.metric in self._measured:
                mapped[meaning.metric] = float(meaning.of(np.array([value]))[0])
                self._measured.add(meaning.metric)
        return mapped, unmapped

    def _learn(self, names: list[str]) -> None:
        naming = settle(names, framework=self._hint)
        if naming.framework != self._naming.framework:
            self._meant.clear()
        self._naming = naming
        for name in names:
            self._meant.setdefault(name, naming.metrics.get(name))


def _recognised(
    names: Sequence[str], settings: Mapping[str, Any], packages: Mapping[str, str], framework: str
) -> tuple[_Candidate, list[str]]:
    """The framework that settings tell, or else knows most of `names`, of those that something tells.

    Plain words where none is told, or where several that fit alike read the names differently.
    """
    spelt = {transport: transport.spelt(names) for transport in Transport}
    known = [vocabulary(name) for name in frameworks() if name != PLAIN]
    found = [_candidate(words, spelt[words.transport], names, settings, packages, framework) for words in known]
    told = [candidate for candidate in found if candidate is not None]
    plain = _Candidate(vocabulary(PLAIN), (False, 0, True, True), settings, (FIRST, LAST), PLAINLY)
    fit = max((candidate.fit for candidate in told), default=plain.fit)
    best = [candidate for candidate in told if candidate.fit == fit]
    if len(best) == 1:
        return best[0], []
    readings = [{name: read.meaning for name, read in _read(names, one, UserMap())[0].items()} for one in best]
    if best and all(reading == readings[0] for reading in readings):
        return best[0], []
    fits = " and ".join(one.words.framework for one in best)
    return plain, [f"the names fit {fits} alike, which mean different things by them"] if best else []


def _candidate(
    words: Vocabulary,
    spelt: Mapping[str, str],
    names: Sequence[str],
    settings: Mapping[str, Any],
    packages: Mapping[str, str],
    framework: str,
) -> _Candidate | None:
    settings = words.own(settings)
    by, by_settings, by_format = words.signed(spelt), words.signed_settings(settings), words.framework == framework
    if not (by or by_settings or by_format):
        return None
    words = words.given(settings)
    known = sum(words.knows(name) for name in names)
    if not (by or by_format or known):
        return None
    since, until = words.versions(names, settings)
    consistent = since < until
    # A person may log names of their own beside the framework's.
    versions = (since, until) if consistent else words.likely_versions(names, settings)
    notes = []
    package = _release(packages.get(words.package, "")) if words.package else FIRST
    if package:
        if versions[0] <= package < versions[1]:
            versions = (package, (*package, 0))
        else:
            notes = [f"the log tells {words.package} {packages[words.package]}, which does not log these names"]
    told = [*by, *by_settings, *(["the format of the log"] if by_format else [])]
    shown = ", ".join(told[:SHOWN]) + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
    why = f"{' '.join(filter(None, [words.framework, _spoken(versions)]))}, by {shown}"
    fit = (bool(by_settings), known, consistent, by_format)
    return _Candidate(words, fit, settings, versions, why, tuple(notes))


def _read(names: Iterable[str], found: _Candidate, mine: UserMap) -> tuple[dict[str, _Read], set[str]]:
    """The names with a meaning, and those that need none."""
    words, plain = found.words, vocabulary(PLAIN)
    source = _Source.FRAMEWORK if words.framework != PLAIN else _Source.PLAIN
    meant, understood = {}, set()
    for name in names:
        if name in mine.metrics:
            meant[name] = _Read(_Source.PERSON, 0, Meaning(mine.metrics[name]))
        elif (entry := words.meaning_between(name, *found.versions, certain=found.certain)) is not None:
            position = -1 if source is _Source.PLAIN and name == entry.means else words.position(entry)
            meant[name] = _Read(source, position, _meaning(entry))
        elif words.understands(name) or plain.understands(name):
            understood.add(name)
        elif (entry := _of_the_rest(name, words)) is not None:
            meant[name] = _Read(_Source.PLAIN, vocabulary(words.rest).position(entry), _meaning(entry))
        elif is_metric(name):
            meant[name] = _Read(_Source.ITSELF, 0, Meaning(name))
    return meant, understood


def _of_the_rest(name: str, words: Vocabulary) -> Name | None:
    return vocabulary(words.rest).meaning_between(name, FIRST, LAST) if words.rest else None


def _meaning(entry: Name) -> Meaning:
    return Meaning(entry.means, entry.times, entry.plus, entry.zeros, entry.power)


def _once_each(meant: Mapping[str, _Read]) -> tuple[dict[str, Meaning], dict[str, str]]:
    """Each metric by one name, the one that ranks first, and the names of the others with that one."""
    by_metric: dict[str, str] = {}
    for name, read in sorted(meant.items(), key=lambda item: (item[1].source, item[1].position, item[0])):
        by_metric.setdefault(read.meaning.metric, name)
    first = {name: by_metric[read.meaning.metric] for name, read in meant.items()}
    return (
        {name: read.meaning for name, read in meant.items() if first[name] == name},
        {name: other for name, other in first.items() if other != name},
    )


def _settings(found: _Candidate, mine: UserMap) -> tuple[dict[str, Any], list[str]]:
    """The canonical settings, and notes on those that are not what they should be."""
    values: dict[str, Any] = {}
    notes = []
    entries = [Name(name, means) for name, means in mine.settings.items()]
    entries += found.words.settings_between(*found.versions)
    if found.words.rest:
        entries += vocabulary(found.words.rest).settings
    for entry in entries:
        value = found.settings.get(entry.name)
        if value is None or entry.means in values:
            continue
        value = entry.values.get(str(value), value)
        if value == "":
            continue
        setting = canonical.settings()[entry.means]
        if isinstance(value, str) and setting.kind in (Kind.NUMBER, Kind.INTEGER):
            value = value if (spelt := number(value)) is None else spelt
        if setting.accepts(value):
            values[entry.means] = value
        else:
            notes.append(f"the setting {entry.name} is left out: it should be {setting.expected}")
    return values, notes


def _release(text: str) -> Version:
    """A package's version in three numbers, () where it is none."""
    version = parse_version(text)
    return (*version, 0, 0, 0)[: max(3, len(version))] if version else FIRST


def _spoken(versions: tuple[Version, Version]) -> str:
    """`0.17.0 or newer` and the like, "" for all versions."""
    since, until = (".".join(map(str, version)) for version in versions)
    if versions[1] == (*versions[0], 0):
        return since
    if versions[0] == FIRST:
        return "" if versions[1] == LAST else f"before {until}"
    return f"{since} or newer" if versions[1] == LAST else f"{since} or newer, before {until}"
