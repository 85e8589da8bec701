"""Joins the findings of a run into a short list of causes, the likeliest first.

A cause is one decorated function in one file of `diagnostics/causes/`. It looks at which codes were found and which
were not, in which order they set in, at the settings as far as they are known, and at the curves; it says what speaks
for it and what against it. No cause is better than a guessed one: one that has more against it than for it, or nothing
but one hint for it, is not told.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from diagnostics import metrics as canonical
from diagnostics.cause import Cause, Link
from diagnostics.finding import Confidence, Finding, Prescription, Severity
from diagnostics.remedies import setting
from diagnostics.report.words import spoken
from diagnostics.series import RunHistory

HEADINGS = ("What it is", "What speaks for it", "What speaks against it", "What to change")
MOST = 3  # causes of one segment: more than three are no diagnosis


class Weight(IntEnum):
    """How much a reason counts: two hints are as good as one strong reason, four as one that decides alone."""

    HINT = 1
    STRONG = 2
    DECISIVE = 4


# The confidence of a cause by what its reasons weigh together, those against it subtracted; below the last it is a
# guess. House default: one decisive reason, one strong one and a hint, one strong one.
SURE = {4: Confidence.HIGH, 3: Confidence.MEDIUM, 2: Confidence.LOW}


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and how much it counts; `against` the cause where it says so."""

    text: str
    weight: Weight
    against: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """What a cause has to say of a run: its reasons, the one change that repairs it, a sentence for a person.

    `explains` are the codes of this run that it accounts for, where these are not all that the cause can.
    """

    reasons: Sequence[Reason]
    recommendation: Prescription | None = None
    advice: str = ""
    explains: Collection[str] | None = None

    @property
    def weight(self) -> int:
        """What its reasons weigh together."""
        return sum(-reason.weight if reason.against else reason.weight for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Case:
    """One segment of a run and what was found in it, the worst finding of each code.

    What the log says of a setting at each step is among the run's settings where they are not known otherwise.
    """

    run: RunHistory
    found: Mapping[str, Finding]

    def any(self, *codes: str) -> bool:
        """Whether any of `codes` was found, whatever its severity."""
        return any(code in self.found for code in codes)

    def loud(self, *codes: str) -> bool:
        """Whether any of `codes` was found at WARNING or above."""
        return any(code in self.found and self.found[code].severity > Severity.INFO for code in codes)

    def onset(self, *codes: str) -> int | None:
        """The first onset of `codes`, None where none was found."""
        return min((self.found[code].first_step for code in codes if code in self.found), default=None)

    def setting(self, name: str) -> float | None:
        """A setting as a number, None where it is not known or no number."""
        return setting(self.run, name)

    def called(self, name: str) -> str:
        """What the framework of this run calls a setting."""
        return spoken(name, self.run.framework)

    def is_set(self, name: str) -> str:
        """What a known setting is set to, in words."""
        return f"{self.called(name)} is {self.setting(name):g}"


Check = Callable[[Case], Argument | None]


@dataclass(frozen=True, slots=True)
class Theory:
    """A cause that runs can have: `explains` are the codes of the findings that can come from it."""

    name: str
    title: str
    explains: frozenset[str]
    check: Check

    @property
    def page(self) -> str:
        """The documentation, as Markdown."""
        return inspect.getdoc(self.check) or ""


def cause(title: str, *, explains: Iterable[str]) -> Callable[[Check], Theory]:
    """Make a function `(case) -> Argument | None` a cause, called like the function."""

    def make(check: Check) -> Theory:
        return Theory(check.__name__, title, frozenset(explains), check)

    return make


def causes(findings: Iterable[Finding], run: RunHistory) -> tuple[Cause, ...]:
    """What `findings` of `run`, one of each code, come from: the likeliest cause first, none where none is likely.

    A later cause is told where it explains what none before it does.
    """
    case = Case(_with_logged_settings(run), {finding.code: finding for finding in findings})
    arguments = [(theory, argument) for theory in all_theories().values() if (argument := theory.check(case))]
    ranked = sorted(
        (entry for entry in arguments if entry[1].weight >= min(SURE)),
        key=lambda entry: (-entry[1].weight, entry[0].name),
    )
    told: list[Cause] = []
    explained: set[str] = set()
    for theory, argument in ranked:
        chain = _chain(case, theory.explains if argument.explains is None else argument.explains)
        codes = {link.code for link in chain if case.loud(link.code)}
        if len(told) < MOST and (codes - explained):
            told.append(_told(theory, argument, chain, run.segment))
            explained |= codes
    return tuple(told)


def _chain(case: Case, codes: Collection[str]) -> tuple[Link, ...]:
    found = sorted((f for code, f in case.found.items() if code in codes), key=lambda f: (f.first_step, f.raised_at))
    return tuple(Link(finding.code, finding.name, finding.first_step) for finding in found)


def _told(theory: Theory, argument: Argument, chain: tuple[Link, ...], segment: int) -> Cause:
    return Cause(
        theory.name,
        theory.title,
        chain,
        tuple(reason.text for reason in argument.reasons if not reason.against),
        tuple(reason.text for reason in argument.reasons if reason.against),
        next(sure for least, sure in SURE.items() if argument.weight >= least),
        argument.recommendation,
        argument.advice,
        segment,
    )


def _with_logged_settings(run: RunHistory) -> RunHistory:
    """`run` with what it logged of its settings at each step, such as its learning rate, where they are not known."""
    logged = {}
    for name in canonical.settings():
        values = run.get(name).values
        finite = values[np.isfinite(values)]
        if len(finite):
            logged[name] = float(np.max(finite))  # the peak of a schedule
    return replace(run, settings={**logged, **{n: v for n, v in run.settings.items() if v is not None}})


@cache
def all_theories() -> Mapping[str, Theory]:
    """Every cause in `diagnostics/causes/`, by name."""
    from diagnostics import causes as folder

    return {theory.name: theory for theory in members(folder, Theory)}


def members(package: ModuleType, kind: type[Any]) -> list[Any]:
    """What of `kind` the modules of `package` define."""
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, kind)]
