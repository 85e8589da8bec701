"""Canonical metrics and settings as typed identities, read from `metrics.toml` and `settings.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from math import inf
from sys import float_info
from typing import Any

MOST = 2**53  # the largest whole number up to which float64 counts exactly; no setting that counts is as large


class Against(StrEnum):
    """The policy that a divergence is measured against."""

    REFERENCE = "reference"
    ROLLOUT = "rollout"
    PREVIOUS_UPDATE = "previous_update"
    SAMPLER = "sampler"


class Estimator(StrEnum):
    """How an expectation is estimated from samples."""

    K1 = "k1"
    K2 = "k2"
    K3 = "k3"
    EXACT = "exact"
    UNKNOWN = "unknown"


class Aggregation(StrEnum):
    """What one logged number averages or sums over."""

    TOKEN = "token"
    SEQUENCE = "sequence"
    ACTION = "action"
    BATCH = "batch"
    BATCH_SUM = "batch_sum"
    GROUP = "group"


class Group(StrEnum):
    """What metrics tell; the groups stand in the order in which a person looks at them."""

    REWARD = "Reward"
    KL = "KL"
    ENTROPY = "Entropy and diversity"
    UPDATES = "Updates"
    VALUE = "Value"
    LENGTH = "Length"
    COST = "Cost and time"


@dataclass(frozen=True, slots=True)
class Metric:
    """A canonical metric. `range` is inclusive: a value outside it is an error of the log, not of the run.

    `place` is where its quantity stands among those of its `group`, from 0.

    Without an aggregation it is one where nothing else is meant, or one of which the log does not say it.
    """

    quantity: str
    against: Against | None
    estimator: Estimator | None
    aggregation: Aggregation | None
    unit: str
    range: tuple[float, float]
    definition: str
    group: Group
    place: int
    family: bool = False

    @property
    def name(self) -> str:
        """The identity as written in events and reports, such as `kl.reference.k3.token`."""
        parts = (self.quantity, self.against, self.estimator, self.aggregation)
        return ".".join(str(p) for p in parts if p is not None)


class Kind(StrEnum):
    """What a setting's value is."""

    NUMBER = "number"
    INTEGER = "integer"
    CHOICE = "choice"  # one of the setting's `choices`
    FLAG = "flag"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Setting:
    """A canonical setting; a `knob` is one that a study may change and a finding may prescribe."""

    name: str
    knob: bool
    range: tuple[float, float]
    definition: str
    kind: Kind = Kind.NUMBER
    choices: tuple[str, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether a log may give this value. A choice may be one that a newer framework has and we do not know."""
        if self.kind is Kind.FLAG:
            return isinstance(value, bool)
        if self.kind in (Kind.CHOICE, Kind.TEXT):
            return isinstance(value, str)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.range
        if self.kind is Kind.INTEGER:
            return low <= value <= high and abs(value) <= MOST and value == int(value)
        return low <= value <= high and abs(value) <= float_info.max

    @property
    def expected(self) -> str:
        """What `accepts` asks for, in words."""
        if self.kind not in (Kind.NUMBER, Kind.INTEGER):
            return {Kind.CHOICE: f"one of {', '.join(self.choices)}", Kind.FLAG: "true or false"}.get(
                self.kind, "a text"
            )
        low, high = self.range
        what = "whole number" if self.kind is Kind.INTEGER else "finite number"
        if low == -inf:
            return f"a {what}"
        return f"a {what} from {low:g}" + ("" if high == inf else f" to {high:g}")


@cache
def metrics() -> Mapping[str, Metric]:
    """All canonical metrics by name."""
    loaded, table = _load("metrics.toml"), {}
    places = {name: (Group(group), i) for group, names in loaded["groups"].items() for i, name in enumerate(names)}
    for parts, entry in _leaves(loaded, ()):
        metric = _metric(parts, entry, *places[parts[0]])
        table[metric.name] = metric
    return table


@cache
def settings() -> Mapping[str, Setting]:
    """All canonical settings by name."""
    return {
        name: Setting(
            name,
            entry.get("knob", False),
            _range(entry),
            entry["definition"],
            Kind(entry.get("kind", Kind.NUMBER)),
            tuple(entry.get("choices", ())),
        )
        for name, entry in _load("settings.toml").items()
    }


def knobs() -> tuple[str, ...]:
    """The canonical names of everything a study may change."""
    return tuple(name for name, setting in settings().items() if setting.knob)


def metric_of(name: str) -> Metric | None:
    """The metric called `name`, of a family's component (`reward_component_mean[format]`) the family."""
    return metrics().get(name.partition("[")[0]) if is_metric(name) else None


def is_metric(name: str) -> bool:
    """Whether `name` is canonical, a family's component (`reward_component_mean[format]`) included."""
    base, bracket, rest = name.partition("[")
    metric = metrics().get(base)
    if metric is None or not metric.family:
        return metric is not None and not bracket
    return rest.endswith("]") and len(rest) > 1


def _metric(parts: tuple[str, ...], entry: Mapping[str, Any], group: Group, place: int) -> Metric:
    quantity, *rest = parts
    against = estimator = aggregation = None
    for part in rest:
        if part in tuple(Against):
            against = Against(part)
        elif part in tuple(Estimator):
            estimator = Estimator(part)
        else:
            aggregation = Aggregation(part)
    return Metric(
        quantity,
        against,
        estimator,
        aggregation,
        entry["unit"],
        _range(entry),
        entry["definition"],
        group,
        place,
        entry.get("family", False),
    )


def _range(entry: Mapping[str, Any]) -> tuple[float, float]:
    low, high = entry.get("range", (float("-inf"), float("inf")))
    return float(low), float(high)


def _leaves(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    for key, value in table.items():
        if isinstance(value, dict):
            if "definition" in value:
                yield (*path, key), value
            yield from _leaves(value, (*path, key))


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads(files("diagnostics").joinpath(name).read_text(encoding="utf-8"))
