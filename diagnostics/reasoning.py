"""Joins the findings of a run into a short list of causes, the likeliest first.

A cause is one decorated function in one file of `diagnostics/causes/`. It looks at which codes were found and which
were not, in which order they set in, at the settings as far as they are known, and at the curves; it says what speaks
for it and what against it. No cause is better than a guessed one: one that has more against it than for it, or nothing
but one hint for it, is not told.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np

from diagnostics import metrics as canonical
from diagnostics.cause import OVERALL, Cause, Link
from diagnostics.finding import Confidence, Direction, Finding, Prescription, Severity
from diagnostics.progress import KL_TOKEN, RECENT, REWARD, UNTOUCHED, WARMUP, progress
from diagnostics.remedies import setting
from diagnostics.report.words import spoken
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.stats import median

HEADINGS = ("What it is", "What speaks for it", "What speaks against it", "What to change")
CUT = "truncated_share"
CUT_SHARE, NEARLY_ALL = 0.3, 0.95  # the limit of LEN001; all but single completions
RISEN = 2.0  # times its noise that a reward stands above its start when it has clearly risen: house default
MOST = 3  # causes of one segment: more than three are no diagnosis
FEW, SOON = 4, 0.25  # findings that a hint explains, and the share of what is left of the run in which: house default


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


def supports(weight: Weight, text: str) -> Reason:
    """A reason that speaks for a cause."""
    return Reason(text, weight)


def against(weight: Weight, text: str) -> Reason:
    """A reason that speaks against a cause."""
    return Reason(text, weight, against=True)


@dataclass(frozen=True, slots=True)
class Argument:
    """What a cause has to say of a run: its reasons, the one change that repairs it, a sentence for a person."""

    reasons: Sequence[Reason]
    recommendation: Prescription | None = None
    advice: str = ""

    @property
    def weight(self) -> int:
        """What its reasons weigh together."""
        return sum(-reason.weight if reason.against else reason.weight for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Case:
    """One segment of a run and what was found in it, the worst finding of each code.

    `informed` is the same run with what it logged of its settings among them, such as its learning rate.
    """

    run: RunHistory
    found: Mapping[str, Finding]
    informed: RunHistory

    def any(self, *codes: str) -> bool:
        """Whether any of `codes` was found, whatever its severity."""
        return any(code in self.found for code in codes)

    def loud(self, *codes: str) -> bool:
        """Whether any of `codes` was found at WARNING or above."""
        return any(code in self.found and self.found[code].severity > Severity.INFO for code in codes)

    def onset(self, *codes: str) -> int | None:
        """The first onset of `codes` at WARNING or above, None where none was found."""
        return min((_since(self.found[code]) for code in codes if self.loud(code)), default=None)

    def came_first(self, *codes: str) -> bool:
        """Whether one of `codes` set in before all that else went wrong while the run went, of which there is some."""
        others = [code for code in self.found if code not in (*codes, *OVERALL) and not self._from_the_start(code)]
        first, next_one = self.onset(*codes), self.onset(*others)
        return first is not None and next_one is not None and first < next_one

    def _from_the_start(self, code: str) -> bool:
        """Whether a finding tells of something that no update has brought about."""
        return code.startswith("CFG") or (code in ("LEN001", "LEN004") and self.cut_from_the_start())

    def raised_before(self, knob: str, *codes: str) -> tuple[int, float] | None:
        """The step and the value of the last rise of `knob` before the onset of `codes`, None where there was none."""
        onset, value = self.onset(*codes), self.informed.settings.get(knob)
        last = None
        for step, name, new in self.run.knobs:
            if name == knob and onset is not None and step <= onset:
                last, value = ((step, new) if value is None or new > value else None), new
        return last

    def setting(self, name: str) -> float | None:
        """A setting as a number, None where it is not known or no number."""
        return setting(self.informed, name)

    def knows(self, name: str) -> bool:
        """Whether a setting or a metric is known of the run, a KL by any of its estimates."""
        divergence = ".".join(name.split(".")[:2]) + "."  # kl.reference., kl.rollout.
        known = self.run.points(name) > 0 or any(
            _measures(series) for metric, series in self.run.series.items() if metric.startswith(divergence)
        )
        return known or self.informed.settings.get(name) is not None

    def called(self, name: str) -> str:
        """What the framework of this run calls a setting."""
        return spoken(name, self.run.framework)

    def is_set(self, name: str) -> str:
        """What a known setting is set to, in words."""
        return f"{self.called(name)} is {self.setting(name):g}"

    def target(self, *codes: str) -> tuple[str, Direction, float]:
        """What the first of `codes` that prescribes a change expects of it: a metric, where it goes and how far.

        Where none does, the metric that the first one rests on, and how far it is beyond the limit.
        """
        loud = [f for code in codes if (f := self.found.get(code)) and f.severity > Severity.INFO and f.evidence]
        if not loud:
            return REWARD, Direction.UP, 0.0
        first = min(loud, key=lambda finding: (not finding.prescriptions, finding.first_step))
        if first.prescriptions:
            expected = first.prescriptions[0].hypothesis
            return expected.metric, expected.direction, expected.amount
        evidence = first.evidence[0]
        direction = Direction.DOWN if evidence.value > evidence.limit else Direction.UP
        return evidence.metric, direction, abs(evidence.value - evidence.limit)

    def times_the_limit(self, code: str) -> float:
        """How many times its limit what a finding rests on is, 0 where it was not found."""
        evidence = self.found[code].evidence if self.loud(code) else ()
        return evidence[0].value / evidence[0].limit if evidence and evidence[0].limit > 0 else 0.0

    def beyond(self, code: str) -> Direction | None:
        """On which side of its limit a finding is, None where it was not found."""
        evidence = self.found[code].evidence if code in self.found else ()
        if not evidence:
            return None
        return Direction.UP if evidence[0].value > evidence[0].limit else Direction.DOWN

    def kl(self) -> MetricSeries | None:
        """The KL to the reference per token by its best estimate, None where none was measured."""
        return self.run.once(_measured_kl)

    def unmeasured_kl(self) -> bool:
        """Whether a KL to the reference was logged and is 0 throughout."""
        logged = [s for name, s in self.run.series.items() if name.startswith("kl.reference.") and len(s)]
        return bool(logged) and not any(map(_measures, logged))

    def early_kl(self) -> float:
        """The KL to the reference per token once the first updates took hold, 0 where it was not measured."""
        kl = self.kl()
        level = math.nan if kl is None else median(kl.values[:WARMUP][-UNTOUCHED:])
        return level if math.isfinite(level) else 0.0

    def highest_early(self, metric: str) -> float:
        """The highest of the first points of `metric`, 0 where it has none that is finite."""
        first = self.run.get(metric).values[:WARMUP]
        return float(np.max(first[np.isfinite(first)], initial=0.0))

    def start(self, *metrics: str) -> float:
        """The median of the first points of the first of `metrics` that was logged; NaN where none was."""
        return self._level(metrics, slice(0, UNTOUCHED))

    def end(self, *metrics: str) -> float:
        """The median of the last points of the first of `metrics` that was logged; NaN where none was."""
        return self._level(metrics, slice(-RECENT, None))

    def _level(self, metrics: Sequence[str], where: slice) -> float:
        logged = next((series for metric in metrics if len(series := self.run.get(metric))), None)
        return math.nan if logged is None else median(logged.values[where])

    def gain(self) -> tuple[float, float]:
        """How far the reward ended above its early mean, and its highest level, in units of its noise; 0 if unknown."""
        return self.run.once(_gain)

    def cut_from_the_start(self) -> bool:
        """Whether a good part of the completions was cut at the first step already, before anything was learned."""
        return bool((self.run.get(CUT).values[:1] > CUT_SHARE).any())

    def all_cut(self) -> bool:
        """Whether nearly no completion ever ended by itself."""
        shares = self.run.get(CUT).values
        return len(shares) > 0 and bool((shares >= NEARLY_ALL).all())

    def mean_square_return(self) -> float:
        """The mean square of the early returns: the value loss of a critic that knows nothing. 0 where not known."""
        variance, mean = self.start("return_var"), self.start("return_mean")
        square = variance + mean**2
        return square if math.isfinite(square) else 0.0


Check = Callable[[Case], Argument | None]


@dataclass(frozen=True, slots=True)
class Theory:
    """A cause that runs can have.

    `signs` are the codes of findings that show it, `leads_to` those of what it brings about where they set in after the
    first sign. `settled_by` are settings and metrics that make sure of it where they are known.
    """

    name: str
    title: str
    signs: frozenset[str]
    leads_to: frozenset[str]
    settled_by: tuple[str, ...]
    check: Check

    @property
    def page(self) -> str:
        """The documentation, as Markdown."""
        return inspect.getdoc(self.check) or ""


def cause(
    title: str, *, signs: Iterable[str], leads_to: Iterable[str] = (), settled_by: Sequence[str]
) -> Callable[[Check], Theory]:
    """Make a function `(case) -> Argument | None` a cause, called like the function."""

    def make(check: Check) -> Theory:
        return Theory(check.__name__, title, frozenset(signs), frozenset(leads_to), tuple(settled_by), check)

    return make


def causes(findings: Iterable[Finding], run: RunHistory) -> tuple[Cause, ...]:
    """What `findings` of `run`, one of each code, come from: the likeliest cause first, none where none is likely.

    A later cause is told where it explains what none before it does.
    """
    found = {finding.code: finding for finding in findings}
    if not any(finding.severity > Severity.INFO for finding in found.values()):
        return ()
    case = Case(run, found, _with_logged_settings(run))
    arguments = [(theory, argument) for theory in all_theories().values() if (argument := theory.check(case))]
    likely = [(theory, argument) for theory, argument in arguments if argument.weight >= min(SURE)]
    told: list[Cause] = []
    explained: set[str] = set()
    for theory, argument in sorted(likely, key=partial(_likeliest_first, case)):
        chain = _chain(case, theory)
        unsure = _confidence(argument) is Confidence.LOW
        if unsure:
            chain = _modest(case, [link for link in chain if link.code not in explained])
        codes = {link.code for link in chain if case.loud(link.code)}
        guessed = {code for code in codes if unsure and case.found[code].confidence is Confidence.LOW}
        if len(told) < MOST and (codes - explained - guessed):  # a guess at a guess is none
            told.append(_told(theory, argument, chain, case))
            explained |= codes
    return tuple(told)


def _likeliest_first(case: Case, entry: tuple[Theory, Argument]) -> tuple[int, int, int, str]:
    """By the weight of the reasons, then by how much it explains of what is bad."""
    theory, argument = entry
    explained = [case.found[link.code].severity for link in _chain(case, theory) if case.loud(link.code)]
    return (-argument.weight, -max(explained, default=0), -len(explained), theory.name)


def _chain(case: Case, theory: Theory) -> tuple[Link, ...]:
    first = case.onset(*theory.signs)
    links = [
        Link(code, found.name, _since(found))
        for code, found in case.found.items()
        if code in theory.signs or (code in theory.leads_to and first is not None and _since(found) >= first)
    ]
    return tuple(sorted(links, key=lambda link: (link.step, link.code)))


def _modest(case: Case, chain: Sequence[Link]) -> tuple[Link, ...]:
    """What a cause of low confidence claims of its chain: the first few findings, where they set in soon."""
    loud = [link for link in chain if case.loud(link.code)][:FEW]
    return tuple(link for link in loud if link.step - loud[0].step <= SOON * (case.run.last_step - loud[0].step))


def _confidence(argument: Argument) -> Confidence:
    return next(sure for least, sure in SURE.items() if argument.weight >= least)


def _since(finding: Finding) -> int:
    """The onset; of what is said of the run as a whole, which begins with it, the step at which it could be known."""
    return finding.raised_at if finding.code in OVERALL else finding.first_step


def _told(theory: Theory, argument: Argument, chain: tuple[Link, ...], case: Case) -> Cause:
    confidence = _confidence(argument)
    unknown = [case.called(name) for name in theory.settled_by if not case.knows(name)]
    return Cause(
        theory.name,
        theory.title,
        chain,
        tuple(reason.text for reason in argument.reasons if not reason.against),
        tuple(reason.text for reason in argument.reasons if reason.against),
        confidence,
        argument.recommendation,
        argument.advice,
        tuple(unknown) if confidence < Confidence.HIGH else (),
        case.run.segment,
    )


def _measured_kl(run: RunHistory) -> MetricSeries | None:
    return next((series for metric in KL_TOKEN if _measures(series := run.get(metric))), None)


def _measures(series: MetricSeries) -> bool:
    """Whether any of its points is finite and not 0."""
    return bool((np.isfinite(series.values) & (series.values != 0)).any())


def _gain(run: RunHistory) -> tuple[float, float]:
    known = progress(run)[1].gain
    finite = known[np.isfinite(known)]
    return (float(finite[-1]), float(finite.max())) if len(finite) else (0.0, 0.0)


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
