"""What a configuration means: canonical settings, each with the name, the line or the default that it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from diagnostics import metrics as canonical
from diagnostics.configs.config import Config, Given, NoConfig
from diagnostics.configs.derived import derived
from diagnostics.configs.frameworks import Framework, all_frameworks
from diagnostics.configs.known import Known, Raw
from diagnostics.metrics import Kind
from diagnostics.readers.table import number
from diagnostics.vocabulary import FIRST, LAST, Name, Version, Vocabulary, frameworks, vocabulary

NEARLY = 0.88  # how alike a name is to one that it is taken for a slip of
DUMPED = 60  # settings in one document: it is a dump of all that there are, and what it leaves out is not there
ALIKE = ("trl-grpo", "trl-rloo")  # whose names mostly mean the same


@dataclass(frozen=True, slots=True)
class Understood:
    """A configuration as its framework has it.

    `settings` are canonical, `raw` the framework's own with its defaults. `unknown` are the settings that are given,
    and whose value cannot be known; `names` all that mean something.
    """

    config: Config
    framework: str
    called: str
    recognised: str
    raw: Raw
    settings: Mapping[str, Known]
    unknown: Mapping[str, Given]
    names: frozenset[str]
    notes: tuple[str, ...] = field(default=())

    @property
    def given(self) -> int:
        """How many settings the configuration itself gives, of those that mean something."""
        return len(self.config.given) - len(self.unknown) - len(self.unmapped)

    @property
    def unmapped(self) -> tuple[str, ...]:
        """The names that mean nothing to anybody, once all rules have looked."""
        known = self.names | self.raw.used
        return tuple(name for name, one in self.config.given.items() if name not in known and not one.unknown)


def understand(config: Config) -> Understood:
    """What `config` means; NoConfig where none of its names is known."""
    name, why, alike = _recognised(config)
    known = all_frameworks().get(name)
    words = vocabulary(name)
    given = {setting: one for setting, one in config.given.items() if not one.unknown}
    own = {**given, **{k: v for k, v in words.own(given).items() if isinstance(v, Given)}}
    versions = _versions(words, own)
    called = known.called if known is not None else name
    dumped = config.document and len(config.given) >= DUMPED
    in_part = config.document and known is not None and known.overrides  # what else is set, the command line says
    defaults = known.default(versions) if known is not None and not (config.open or dumped) else {}
    for other in alike:
        its = all_frameworks()[other].default(versions)
        defaults = {n: d for n, d in defaults.items() if n in its and its[n].value == d.value}
    unknown = {setting: one for setting, one in config.given.items() if one.unknown}
    raw = Raw(
        own,
        {setting: default for setting, default in defaults.items() if setting not in config.given},
        called,
        config.processes,
        frozenset(unknown),
        not (config.open or dumped or in_part),
        dumped,
    )
    if config.processes is not None and config.processes is config.given.get("num_processes"):
        raw.used.add("num_processes")
    words = words.given(raw.values)
    settings, left_out = _mapped(words.settings_between(*_newest(words, versions)), raw)
    if config.adapter:
        settings.setdefault("peft", Known(True, "the adapter", 0))
    settings |= {k: v for k, v in derived(name, raw).items() if k not in settings}
    return Understood(
        config,
        name,
        called,
        why,
        raw,
        settings,
        unknown,
        _names(words) | (known.names if known is not None else frozenset()),
        (
            *config.notes,
            *_misspelt(config, known),
            *(f"the names fit {name} and {other} alike" for other in alike),
            *left_out,
        ),
    )


def _recognised(config: Config) -> tuple[str, str, list[str]]:
    """The framework, why, and others that fit as well and mean the same by the names, but have other defaults."""
    names = list(config.given)
    if config.framework:
        return config.framework, "", []
    fits = {one: (told, sum(n in own for n in names)) for one, told, own in _candidates(names) if told}
    if not fits:
        raise NoConfig(_untold(names))
    best = max(known for _, known in fits.values())
    first = [one for one, (_, known) in fits.items() if known == best]
    why = f"by {', '.join(fits[first[0]][0][:3])}"
    if len(first) > 1 and set(first) == set(ALIKE):
        parts = {word for part in Path(config.source).parts for word in re.split(r"[^a-z]+", part.lower())}
        in_path = [one for one in first if one.removeprefix("trl-") in parts]
        if len(in_path) == 1:
            return in_path[0], f"{why} and its path", []
        return first[0], why, first[1:]
    if len(first) > 1:
        raise NoConfig(f"has names that fit {' and '.join(first)} alike")
    return first[0], why, []


def _untold(names: list[str]) -> str:
    """Why no framework is told by `names`: they mean nothing, or trainers of any kind have them."""
    known = frozenset[str]().union(*(own for _, _, own in _candidates(names)))
    common = [name for name in names if name in known]
    tells = [tell for framework in all_frameworks().values() for tell in framework.tells]
    near = {name: get_close_matches(name, tells, n=1, cutoff=NEARLY) for name in names if name not in known}
    meant = next((f" ({name}: is {likely[0]} meant?)" for name, likely in near.items() if likely), "")
    if len(common) < 2 and not meant:  # one may be chance
        return "has no setting that is understood"
    return f"has {', '.join(common[:3]) or 'settings'} and no setting that tells which trainer it is for{meant}"


def _candidates(names: list[str]) -> Iterator[tuple[str, list[str], frozenset[str]]]:
    """Each framework, the names that tell it, and all names of it."""
    for one in frameworks():
        known = all_frameworks().get(one)
        words = vocabulary(one)
        if known is not None:
            yield one, known.told_by(names), known.names
        elif words.setting_signature and "extends" not in one:
            signed = words.signed_settings(words.own(dict.fromkeys(names)))
            yield one, list(signed), frozenset(entry.name for entry in words.settings)


def _versions(words: Vocabulary, given: Iterable[str]) -> tuple[Version, Version]:
    """The versions, first (inclusive) and last (exclusive), that have all the names; all where there are none such."""
    names = set(given)
    ranges = [(mark.since, mark.until) for mark in words.marks if mark.name in names]
    for name in names:
        entries = [entry for entry in words.settings if entry.name == name]
        if entries:
            ranges.append((min(e.since for e in entries), max(e.until for e in entries)))
    since, until = max((a for a, _ in ranges), default=FIRST), min((b for _, b in ranges), default=LAST)
    return (since, until) if since < until else (FIRST, LAST)


def _newest(words: Vocabulary, versions: tuple[Version, Version]) -> tuple[Version, Version]:
    """The newest of `versions` alone: whose defaults count, its names count as well."""
    since, until = versions
    return max([since, *(e.since for e in words.settings if e.since < until)]), until


def _misspelt(config: Config, known: Framework | None) -> Iterator[str]:
    """Names that are none, and nearly one that is not given."""
    names = known.names if known is not None else frozenset()
    for name in config.given:
        if name in names:
            continue
        near = get_close_matches(name, names - config.given.keys(), n=1, cutoff=NEARLY)
        if near:
            line = f" in line {config.given[name].line}" if config.given[name].line else ""
            yield f"{name}{line} is no setting that is known here: is {near[0]} meant?"


def _names(words: Vocabulary) -> frozenset[str]:
    asked = frozenset(name for entry in words.settings for name, _ in entry.where)
    return asked | {entry.name for entry in words.settings} | {mark.name for mark in words.marks}


def _mapped(entries: Iterable[Name], raw: Raw) -> tuple[dict[str, Known], list[str]]:
    """The canonical settings, and notes on those that are not what they should be."""
    settings: dict[str, Known] = {}
    notes = []
    for entry in entries:
        value = raw.values.get(entry.name)
        if value is None or entry.means in settings:
            continue
        value = entry.values.get(str(value), value)
        if value == "":
            continue
        setting = canonical.settings()[entry.means]
        value = _spelt(value, setting.kind)
        place = raw.place(entry.name)
        if setting.accepts(value):
            settings[entry.means] = Known(
                value, entry.name, place.line, raw.default(entry.name), file=place.file, written=raw.values[entry.name]
            )
        else:
            where = f" in line {place.line}" if place.line else ""
            notes.append(f"{entry.name}{where} is left out: it should be {setting.expected}")
    return settings, notes


def _spelt(value: Any, kind: Kind) -> Any:
    if isinstance(value, str) and kind in (Kind.NUMBER, Kind.INTEGER):
        spelt = number(value)
        return value if spelt is None else spelt
    return value
