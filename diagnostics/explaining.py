"""Explains what looks wrong in a run and is not, with the run's own numbers, for whoever asks.

One thing is one decorated function in one file of `diagnostics/harmless/`. It names the findings that it would
contradict: where one of them was raised, it is silent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from diagnostics.cause import Explained
from diagnostics.finding import Finding
from diagnostics.reasoning import members
from diagnostics.series import MetricSeries, RunHistory, Values

HEADINGS = ("What it looks like", "Why it is harmless", "When it is not")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen in one run: a text with its numbers, and the points that it is about."""

    text: str
    series: MetricSeries

    @property
    def steps(self) -> tuple[int, int]:
        """The first and the last step."""
        return int(self.series.steps[0]), int(self.series.steps[-1])


Look = Callable[[RunHistory], Seen | None]


@dataclass(frozen=True, slots=True)
class Harmless:
    """Something that looks wrong and is not, `unless` one of these codes was found."""

    name: str
    title: str
    unless: frozenset[str]
    look: Look

    @property
    def page(self) -> str:
        """The documentation, as Markdown."""
        return inspect.getdoc(self.look) or ""


def harmless(title: str, *, unless: Iterable[str]) -> Callable[[Look], Harmless]:
    """Make a function `(run) -> Seen | None` an explanation, called like the function."""

    def make(look: Look) -> Harmless:
        return Harmless(look.__name__, title, frozenset(unless), look)

    return make


def explained(findings: Iterable[Finding], run: RunHistory) -> tuple[Explained, ...]:
    """What looks wrong in `run` and is not, as far as none of `findings` says that it is."""
    found = {finding.code for finding in findings}
    told = []
    for thing in all_harmless().values():
        seen = thing.look(run) if found.isdisjoint(thing.unless) else None
        if seen is not None:
            told.append(Explained(thing.name, thing.title, seen.text, seen.series.metric, *seen.steps, run.segment))
    return tuple(told)


def first_logged(run: RunHistory, *metrics: str, least: int) -> MetricSeries | None:
    """The finite points of the first of `metrics` that has `least` of them, None where none has."""
    for metric in metrics:
        series = finite(run.get(metric))
        if len(series) >= least:
            return series
    return None


def finite(series: MetricSeries) -> MetricSeries:
    """The points of `series` that are finite."""
    kept = abs(series.values) < float("inf")
    return MetricSeries(series.metric, series.steps[kept], series.values[kept])


def ends(values: Values, points: int) -> tuple[float, float]:
    """The means of the first and of the last `points`."""
    return float(values[:points].mean()), float(values[-points:].mean())


@cache
def all_harmless() -> Mapping[str, Harmless]:
    """Everything in `diagnostics/harmless/`, by name."""
    from diagnostics import harmless as folder

    return {thing.name: thing for thing in members(folder, Harmless)}
