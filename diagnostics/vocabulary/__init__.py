"""What each framework calls things: exact names to canonical metrics and settings, version by version.

One TOML file per framework. Names are matched exactly, never by suffix or likeness; a name that is not in the file is
reported as unmapped. A file has

- `metrics`: entries `{ name, metric }`, with `since` (inclusive) and `until` (exclusive) where a name's meaning depends
  on the version, `times`, `plus` and `power` where the canonical metric is `times * logged ** power + plus` (another
  unit or sign, a complement, a root that is logged), and `zeros = false` where the framework writes 0 for what it did
  not measure. A `*` in a name stands for the component of a family, a second one for any text; a name that stands there
  as it is goes before. Of two names for the same metric in one log, the first in the file is read.
- `settings`: entries `{ name, setting }`, with `since`, `until`, and `values` where its words are not the canonical
  ones ("" for one that means it is not set); nested settings are joined by ".".
- `conditions`: a name each for what a run's own settings must be, `{ setting = [values] }`. An entry of a metric or a
  setting with `where`, a list of such names, holds only where all of them are met, and then instead of the entries for
  its name in the same versions that have none.
- `understood`: names that need no metric, such as clocks; a `*` stands for any text.
- `transport`: how loggers respell the names (`Transport`), `exact` where nothing is said.
- `signature`: names that tell the framework, each by itself, or a list of which all must be there; a `*` stands for any
  text. `setting_signature`: the same for settings. A log of several frameworks' signatures is of the one that
  understands most of its names.
- `doubtful`: names whose aggregation is another one in a framework with the same signature, so that it is known only
  where settings tell which it is.
- `marks`: settings that only some versions have, `{ name }` with `since` or `until`.
- `settings_in`: the name that the settings may be nested under.
- `steps`: the framework's own x-axes, the best first. `package`: the Python package whose version its versions are.
- `extends`: another file, whose entries hold where this one does not speak of the name or the setting.
- `rest`: another file, by which the names are read that this one does not know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from diagnostics import metrics as canonical
from diagnostics.vocabulary.names import FIRST, LAST, Name, Transport, Version, parse_version

__all__ = [
    "FIRST",
    "LAST",
    "Name",
    "Transport",
    "Version",
    "Vocabulary",
    "frameworks",
    "meanings",
    "parse_version",
    "unsaid",
    "vocabulary",
]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of one framework; the module says what each field is."""

    framework: str
    metrics: tuple[Name, ...]
    settings: tuple[Name, ...]
    understood: frozenset[str]
    signature: tuple[frozenset[str], ...] = ()
    doubtful: frozenset[str] = frozenset()
    transport: Transport = Transport.EXACT
    setting_signature: tuple[frozenset[str], ...] = ()
    steps: tuple[str, ...] = ()
    package: str = ""
    rest: str = ""
    settings_in: str = ""
    marks: tuple[Name, ...] = ()
    told: bool = False  # whether the run's own settings are known; where they are not, no entry with `where` holds
    _positions: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _exact: dict[str, list[Name]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _families: list[Name] = field(init=False, repr=False, compare=False, default_factory=list)
    _texts: list[Name] = field(init=False, repr=False, compare=False, default_factory=list)
    _heads: tuple[str, ...] = field(init=False, repr=False, compare=False, default=())  # how families and texts begin

    def __post_init__(self) -> None:
        for position, entry in enumerate(self.metrics if self.told else _given(self.metrics, {})):
            self._positions.setdefault(entry.name, position)
            if "*" in entry.name:
                self._families.append(entry)
            else:
                self._exact.setdefault(entry.name, []).append(entry)
        self._texts.extend(Name(name, "") for name in self.understood if "*" in name)
        heads = {entry.name.partition("*")[0] for entry in (*self._families, *self._texts)}
        object.__setattr__(self, "_heads", tuple(heads))

    def own(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """A run's settings, those too that are nested under the framework's own name."""
        if not self.settings_in:
            return settings
        inside = f"{self.settings_in}."
        found = {name.removeprefix(inside): value for name, value in settings.items() if name.startswith(inside)}
        return {**settings, **found}

    def given(self, settings: Mapping[str, Any]) -> Vocabulary:
        """These names as they are in a run with its own `settings`, nested ones joined by "."."""
        if not any(entry.where for entry in (*self.metrics, *self.settings)):
            return self
        metrics, options = _given(self.metrics, settings), _given(self.settings, settings)
        return replace(self, metrics=metrics, settings=options, told=True)

    def metric(self, name: str, version: Version) -> str | None:
        """The canonical metric that `name` meant in `version`, None where it is not known."""
        for entry, means in self.entries(name):
            if entry.since <= version < entry.until:
                return means
        return None

    def understands(self, name: str) -> bool:
        """Whether `name` needs no canonical metric."""
        return any(
            spelt in self.understood
            or (spelt.startswith(self._heads) and any(text.component(spelt) is not None for text in self._texts))
            for spelt in self.transport.spellings(name)
        )

    def knows(self, name: str) -> bool:
        """Whether the framework logs `name`, in any version."""
        return bool(self.entries(name)) or self.understands(name)

    def meanings(self, name: str) -> tuple[str, ...]:
        """All canonical metrics that `name` meant in any version, and the one that it means where that is not known."""
        found = [means for _, means in self.entries(name)]
        common = self.metric_between(name, FIRST, LAST)
        return tuple(dict.fromkeys([*found, *([common] if common else [])]))

    def versions(self, names: Iterable[str], settings: Container[str] = ()) -> tuple[Version, Version]:
        """The versions, first (inclusive) and last (exclusive), that can have logged all of `names` in a run with
        `settings`; none where the first is not below the last."""
        ranges = self._ranges(names, settings)
        return max((since for since, _ in ranges), default=FIRST), min((until for _, until in ranges), default=LAST)

    def likely_versions(self, names: Iterable[str], settings: Container[str] = ()) -> tuple[Version, Version]:
        """The versions that can have logged the most of `names`, the latest where several have as many."""
        ranges = self._ranges(names, settings)
        some = max({since for since, _ in ranges} | {FIRST}, key=lambda v: (sum(a <= v < b for a, b in ranges), v))
        those = [(since, until) for since, until in ranges if since <= some < until]
        return max((since for since, _ in those), default=FIRST), min((until for _, until in those), default=LAST)

    def _ranges(self, names: Iterable[str], settings: Container[str]) -> list[tuple[Version, Version]]:
        """The versions that each of `names` and `settings` tells of."""
        ranges = [(mark.since, mark.until) for mark in self.marks if mark.name in settings]
        for name in names:
            entries = [entry for entry, _ in self.entries(name)]
            if entries and self.understood.isdisjoint(self.transport.spellings(name)):  # else other versions log it too
                ranges.append((min(entry.since for entry in entries), max(entry.until for entry in entries)))
        return ranges

    def metric_between(self, name: str, since: Version, until: Version, *, certain: bool = False) -> str | None:
        """The canonical metric that `name` meant in all versions from `since` until `until`, None where they differ."""
        found = self.meaning_between(name, since, until, certain=certain)
        return found.means if found else None

    def meaning_between(self, name: str, since: Version, until: Version, *, certain: bool = False) -> Name | None:
        """What `name` meant in all versions from `since` until `until`, as an entry that means the canonical metric.

        None where meanings differ in more than their estimator and their aggregation; where they differ in these alone,
        it is the metric of which these are not known. Where it is not `certain` that this is the framework, the
        aggregation of a doubtful name is not known.
        """
        found = [(e, means) for e, means in self.entries(name) if e.since < until and since < e.until]
        if len({(entry.times, entry.plus, entry.power) for entry, _ in found}) != 1:
            return None
        entry = found[0][0]
        means = _common({means for _, means in found})
        if means is not None and not certain and entry.name in self.doubtful:
            means = unsaid([canonical.metrics()[means]])
        return replace(entry, means=means, zeros=all(entry.zeros for entry, _ in found)) if means is not None else None

    def position(self, entry: Name) -> int:
        """Where `entry` stands in the file, the first for a name."""
        return self._positions[entry.name]

    def entries(self, name: str) -> list[tuple[Name, str]]:
        """All entries for `name`, each with what it means, a family's component included."""
        for spelt in self.transport.spellings(name):
            found = [(entry, entry.means) for entry in self._exact.get(spelt, ())]
            for entry in self._families if not found and spelt.startswith(self._heads) else ():
                component = entry.component(spelt)
                if component is not None:
                    found.append((entry, f"{entry.means}[{component}]"))
            if found:
                return found
        return []

    def canonical_settings(self, raw: Mapping[str, Any], version: Version) -> dict[str, Any]:
        """The settings of `raw` that have a canonical name, under that name."""
        found = {}
        for entry in _given(self.settings, raw):
            if entry.name in raw and entry.since <= version < entry.until:
                value = entry.values.get(str(raw[entry.name]), raw[entry.name])
                if value != "":
                    found[entry.means] = value
        return found

    def settings_between(self, since: Version, until: Version) -> list[Name]:
        """The settings whose names meant one thing in all versions from `since` until `until`."""
        known = self.settings if self.told else _given(self.settings, {})
        found = [entry for entry in known if entry.since < until and since < entry.until]
        return [entry for entry in found if all(entry.means == e.means for e in found if e.name == entry.name)]

    def spoken(self, setting: str, version: Version = (1_000_000 - 1,)) -> str:
        """What this framework's users call a canonical setting; the canonical name where it has no other."""
        for entry in self.settings:
            if entry.means == setting and entry.since <= version < entry.until:
                return entry.name
        return setting

    def signed(self, names: Mapping[str, str]) -> tuple[str, ...]:
        """The names of signatures that are all there, as a log has them; none where no signature is.

        `names` are those of the log by their spellings: `transport.spelt(...)`.
        """
        return _signed(self.signature, names)

    def signed_settings(self, settings: Iterable[str]) -> tuple[str, ...]:
        """As `signed`, of settings."""
        return _signed(self.setting_signature, {name: name for name in settings})


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
    conditions = data.get("conditions", {})
    metrics = [_name(e, "metric", conditions) for e in data.get("metrics", ())]
    settings = [_name(e, "setting", conditions) for e in data.get("settings", ())]
    understood = {*data.get("understood", ()), *data.get("steps", ())}
    marks = [_name({"mark": "", **e}, "mark", {}) for e in data.get("marks", ())]
    if "extends" in data:
        base = vocabulary(data["extends"])
        own = {entry.name for entry in metrics} | understood
        metrics += [entry for entry in base.metrics if entry.name not in own]
        settings += [e for e in base.settings if not any(e.name == s.name or e.means == s.means for s in settings)]
        understood |= base.understood - own
        marks += base.marks
    return Vocabulary(
        framework,
        tuple(metrics),
        tuple(settings),
        frozenset(understood),
        _signatures(data.get("signature", ())),
        frozenset(data.get("doubtful", ())),
        Transport(data.get("transport", Transport.EXACT)),
        _signatures(data.get("setting_signature", ())),
        tuple(data.get("steps", ())),
        data.get("package", ""),
        data.get("rest", ""),
        data.get("settings_in", ""),
        tuple(marks),
    )


def meanings(name: str, framework: str) -> tuple[str, ...]:
    """All canonical metrics that `framework` meant by `name` in any version; none where it is not known."""
    return vocabulary(framework).meanings(name) if framework in frameworks() else ()


def unsaid(metrics: Iterable[canonical.Metric]) -> str | None:
    """The one canonical metric that `metrics` are where aggregation, and if need be the estimator, are not known."""
    for unknown in (False, True):
        names = {
            replace(
                metric,
                aggregation=None,
                estimator=metric.estimator and canonical.Estimator.UNKNOWN if unknown else metric.estimator,
            ).name
            for metric in metrics
        }
        if len(names) == 1 and canonical.is_metric(*names):
            return names.pop()
    return None


def _given(entries: Iterable[Name], settings: Mapping[str, Any]) -> tuple[Name, ...]:
    holding = [entry for entry in entries if entry.holds(settings)]
    asked = [entry for entry in holding if entry.where]
    return tuple(
        entry
        for entry in holding
        if entry.where
        or not any(a.name == entry.name and a.since < entry.until and entry.since < a.until for a in asked)
    )


def _common(found: set[str]) -> str | None:
    """The one canonical metric that all of `found` are, with no estimator or aggregation where these alone differ."""
    if len(found) == 1:
        means = next(iter(found))
        return means if canonical.is_metric(means) else None
    metrics = [canonical.metrics().get(means) for means in found]
    known = [metric for metric in metrics if metric is not None]
    if not known or len(known) < len(found):
        return None
    estimators = {replace(metric, estimator=metric.estimator and canonical.Estimator.UNKNOWN).name for metric in known}
    if len(estimators) == 1 and canonical.is_metric(*estimators):
        return estimators.pop()
    return unsaid(known)


def _signed(signatures: Iterable[frozenset[str]], names: Mapping[str, str]) -> tuple[str, ...]:
    told: dict[str, None] = {}
    for signature in signatures:
        found = [_first(part, names) for part in sorted(signature)]
        if None not in found:
            told |= dict.fromkeys(name for name in found if name is not None)
    return tuple(told)


def _first(part: str, names: Mapping[str, str]) -> str | None:
    if "*" not in part:
        return names.get(part)
    pattern = Name(part, "")
    return next((names[spelt] for spelt in names if pattern.component(spelt) is not None), None)


def _signatures(entries: Iterable[str | list[str]]) -> tuple[frozenset[str], ...]:
    return tuple(frozenset([entry] if isinstance(entry, str) else entry) for entry in entries)


def _name(entry: Mapping[str, Any], kind: str, conditions: Mapping[str, Mapping[str, list[str]]]) -> Name:
    where = [item for condition in entry.get("where", ()) for item in conditions[condition].items()]
    return Name(
        entry["name"],
        entry[kind],
        parse_version(entry.get("since", "")),
        parse_version(entry["until"]) if "until" in entry else LAST,
        entry.get("values", {}),
        entry.get("times", 1.0),
        entry.get("plus", 0.0),
        entry.get("zeros", True),
        tuple((setting, frozenset(values)) for setting, values in where),
        entry.get("power", 1),
    )
