"""What a rule is: one decorated function in one file, with its page, thresholds and examples."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnostics.finding import Confidence, Evidence, Prescription, Severity
from diagnostics.series import RunHistory, Steps

HEADINGS = ("Meaning", "Why it matters", "Look at", "What to change", "When this is wrong", "References")


class NotApplicable(Exception):
    """Raised by a rule that cannot judge this run; the message says why and becomes a Skip."""


class Failed(NotApplicable):
    """A rule that is not ours raised something else, or told what cannot be reported."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an alarm says at one point: the engine adds code, severity and `raised_at`.

    `first_step` is the onset: the first step of the window that the evidence is of, or where the trouble began.
    `advice` are sentences that a person can act on, for what no knob of a study changes.
    """

    message: str
    first_step: int
    evidence: tuple[Evidence, ...]
    prescriptions: tuple[Prescription, ...] = ()
    confidence: Confidence = Confidence.HIGH
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """One severity of a rule over a run: `holds[i]` (n,) says whether it is met at `steps[i]` (n,).

    `holds[i]` and `tell(i)` use points up to i only: the first `warmup` points of the run and the last `lookback`.
    `tell` is called for the few points at which a finding is raised.
    """

    severity: Severity
    steps: Steps
    holds: NDArray[np.bool_]
    tell: Callable[[int], Told]


@dataclass(frozen=True, slots=True)
class Case:
    """An example run and exactly what the rule raises on it, such as "warning@31 fatal@40" (severity@step)."""

    run: RunHistory
    raises: str


Need = str | tuple[str, ...]
Check = Callable[..., Iterable[Alarm]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule that is not ours comes from, and a digest of the code that is there."""

    where: str
    digest: str


@dataclass(frozen=True, slots=True)
class Tuning:
    """What the configuration `where` changes of a rule: its thresholds, its highest severity, whether it is checked."""

    where: str
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class _Judge:
    """What rules and lints have in common. `severity` is the highest that the rule raises by itself."""

    code: str
    name: str
    severity: Severity
    check: Callable[..., Iterable[Any]]
    origin: Origin | None = field(default=None, kw_only=True)  # None for ours
    tuning: Tuning | None = field(default=None, kw_only=True)

    @property
    def page(self) -> str:
        """The documentation, as Markdown."""
        return inspect.getdoc(self.check) or ""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The thresholds, which are the keyword-only parameters, as the rule comes with them."""
        parameters = inspect.signature(self.check).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @property
    def changed(self) -> Mapping[str, Any]:
        """The thresholds that the configuration changes."""
        return self.tuning.thresholds if self.tuning is not None else {}

    @property
    def thresholds(self) -> Mapping[str, Any]:
        """The thresholds in force."""
        return {**self.defaults, **self.changed}

    @property
    def ignored(self) -> bool:
        """Whether the configuration leaves it out."""
        return self.tuning is not None and self.tuning.ignored

    @property
    def highest(self) -> Severity:
        """The highest severity that findings of it have."""
        asked = self.tuning.severity if self.tuning is not None else None
        return self.severity if asked is None else asked

    def counted(self, severity: Severity) -> Severity:
        """What the rule raises at `severity` counts as.

        A configured severity takes the place of the rule's own highest, and of all above the configured one. The order
        of two severities is never turned, so that they still only rise.
        """
        return self.highest if severity >= self.severity else min(severity, self.highest)


@dataclass(frozen=True, slots=True)
class Rule(_Judge):
    """A rule on a run's metrics.

    `needs` are canonical metrics, a tuple standing for any one of several; `uses` are metrics it reads where they are
    there. `warmup` and `lookback` bound what it reads: the first `warmup` points of each metric, which freeze its
    baseline, and the last `lookback`. Fewer than `min_points` points of a needed metric are reported as a skip.
    """

    needs: tuple[Need, ...]
    uses: tuple[str, ...]
    warmup: int
    lookback: int
    min_points: int
    fires: tuple[Case, ...]
    quiet: tuple[RunHistory, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric the rule may read."""
        needed = [metric for need in self.needs for metric in ((need,) if isinstance(need, str) else need)]
        return tuple(dict.fromkeys([*needed, *self.uses]))

    def logged(self, run: RunHistory) -> bool:
        """Whether `run` has points of everything it needs; without any of a needed metric there is nothing to check."""
        return all(any(map(run.points, (need,) if isinstance(need, str) else need)) for need in self.needs)

    def missing(self, run: RunHistory) -> str:
        """Why the metrics of `run` do not suffice, "" where they do."""
        if not self.needs and run.last_step < 0:
            return "needs a step with any known metric, which this run did not log"
        for need in self.needs:
            names = (need,) if isinstance(need, str) else need
            longest = max(map(run.points, names))
            if not longest:
                return f"needs {' or '.join(names)}, which this run did not log"
            if longest < self.min_points:
                return f"needs {self.min_points} points of {' or '.join(names)}, has {longest}"
        return ""


@dataclass(frozen=True, slots=True)
class Lint(_Judge):
    """A rule on a run's settings, checked before the run. `needs` are canonical settings.

    What is `ahead` says something of a configuration alone, and nothing of a run that there is.
    """

    needs: tuple[str, ...]
    fires: tuple[Mapping[str, Any], ...]
    quiet: tuple[Mapping[str, Any], ...]
    ahead: bool = False

    def missing(self, settings: Mapping[str, Any]) -> str:
        """Why `settings` do not suffice, "" where they do."""
        absent = [name for name in self.needs if settings.get(name) is None]
        return f"needs the setting {', '.join(absent)}, which is not known of this run" if absent else ""


Catalogue = Mapping[str, Rule | Lint]  # what a run is judged by, by code


def rule(
    code: str,
    severity: Severity,
    *,
    needs: Sequence[Need],
    uses: Sequence[str] = (),
    warmup: int = 0,
    lookback: int = 1,
    min_points: int = 1,
    fires: Sequence[Case],
    quiet: Sequence[RunHistory],
) -> Callable[[Check], Rule]:
    """Make a function `(run, *, thresholds) -> Alarms` a rule; `severity` is the highest it raises."""

    def make(check: Check) -> Rule:
        return Rule(
            code, check.__name__, severity, check, tuple(needs), tuple(uses), warmup, lookback, min_points,
            tuple(fires), tuple(quiet),
        )  # fmt: skip

    return make


def lint(
    code: str,
    severity: Severity,
    *,
    needs: Sequence[str],
    fires: Sequence[Mapping[str, Any]],
    quiet: Sequence[Mapping[str, Any]],
    ahead: bool = False,
) -> Callable[[Callable[..., Iterable[Told]]], Lint]:
    """Make a function `(settings, *, thresholds) -> Tolds` a rule on the configuration."""

    def make(check: Callable[..., Iterable[Told]]) -> Lint:
        return Lint(code, check.__name__, severity, check, tuple(needs), tuple(fires), tuple(quiet), ahead)

    return make


@cache
def all_rules() -> Mapping[str, Rule]:
    """Every rule in `diagnostics/rules/`, by code."""
    from diagnostics import rules

    return _found(rules, Rule)


@cache
def all_lints() -> Mapping[str, Lint]:
    """Every rule in `diagnostics/lint/`, by code."""
    from diagnostics import lint as folder

    return _found(folder, Lint)


@cache
def shipped() -> Catalogue:
    """Every rule and every lint of ours, by code."""
    return {**all_rules(), **all_lints()}


def _found(package: ModuleType, kind: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for judge in judges(package):
        if not isinstance(judge, kind):
            continue
        if judge.code in found:
            raise ValueError(f"code {judge.code} is taken by both {found[judge.code].name} and {judge.name}")
        found[judge.code] = judge
    return dict(sorted(found.items()))


def judges(module: ModuleType) -> list[Rule | Lint]:
    """The rules and lints that are defined in `module` or, where that is a package, in a module of it."""
    inside = pkgutil.iter_modules(getattr(module, "__path__", ()))
    modules = [module, *(importlib.import_module(f"{module.__name__}.{found.name}") for found in inside)]
    return [
        value
        for one in modules
        for value in vars(one).values()
        if isinstance(value, Rule | Lint) and value.check.__module__ == one.__name__
    ]
