"""What a rule says: findings with evidence and prescriptions, skips, and the report that holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from sys import float_info
from typing import TYPE_CHECKING, Any

from diagnostics.excerpt import Excerpt

if TYPE_CHECKING:
    from diagnostics.cause import Cause, Explained

Json = dict[str, Any]
STEP_RESET = "LOG001"
NOT_READ = "could not be read"  # in notes on a log


class Severity(IntEnum):
    """How bad it is. FATAL means the run cannot recover: stop it."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    FATAL = 3

    @classmethod
    def parse(cls, text: str) -> Severity:
        """The severity called `text`, whatever its case; ValueError names the choices."""
        try:
            return cls[text.upper()]
        except KeyError:
            choices = ", ".join(s.name.lower() for s in cls)
            raise ValueError(f"unknown severity {text!r}; choose one of {choices}") from None


class Confidence(IntEnum):
    """How sure the rule is, apart from how bad the finding would be."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2


class Safety(StrEnum):
    """What may act on a prescription: anyone, only the tuner, or only a person who has read it."""

    SAFE = "safe"  # never changes the objective
    UNSAFE = "unsafe"  # the tuner may try it in a new trial
    ADVICE = "advice"  # text for a person


class Direction(StrEnum):
    """Where a hypothesis says a metric will go."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply a knob by `factor`."""

    factor: float

    def apply(self, value: float) -> float:
        """`value` after the change."""
        return value * self.factor

    def __str__(self) -> str:
        return f"x {self.factor:g}" if self.factor >= 1 else f"/ {1 / self.factor:g}"


@dataclass(frozen=True, slots=True)
class Set:
    """Set a knob to `value`."""

    value: float

    def apply(self, value: float) -> float:
        """The new value; the old one does not matter."""
        return self.value

    def __str__(self) -> str:
        return f"= {self.value:g}"


@dataclass(frozen=True, slots=True)
class Add:
    """Add `amount` to a knob."""

    amount: float

    def apply(self, value: float) -> float:
        """`value` after the change."""
        return value + self.amount

    def __str__(self) -> str:
        return f"{self.amount:+g}"


Change = Scale | Set | Add
# How statistics begin that are a level of their metric.
_LEVELS = ("mean", "median", "value", "highest", "size")
_CHANGES: dict[str, type[Scale] | type[Set] | type[Add]] = {"scale": Scale, "set": Set, "add": Add}


def _finite(value: float) -> float:
    """`value` within the range of float64, 0 for NaN: what a rule says of an absurd log is absurd, but no error."""
    return value if math.isfinite(value) else 0.0 if math.isnan(value) else math.copysign(float_info.max, value)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The mechanism a prescription counts on, so that it can be judged later.

    `metric` (canonical name) moves in `direction` by at least `amount` (in the metric's own unit, at the same step
    as in the parent run) before `by`, a share of the run's budget in (0, 1].
    """

    metric: str
    direction: Direction
    amount: float
    by: float
    because: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "amount", _finite(self.amount))

    def __str__(self) -> str:
        return (
            f"{self.because}; {self.metric} goes {self.direction} by {self.amount:.3g} within {self.by:.0%} of the run"
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number that a finding rests on, with the limit it crossed; beyond the range of float64 its largest number."""

    metric: str
    first_step: int
    last_step: int
    statistic: str
    value: float
    limit: float

    @property
    def in_unit(self) -> bool:
        """Whether value and limit are in the metric's own unit, as its curve is, and no counts, shares or distances."""
        return self.statistic.startswith(_LEVELS)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _finite(self.value))
        object.__setattr__(self, "limit", _finite(self.limit))


@dataclass(frozen=True, slots=True)
class Prescription:
    """A change to one knob, the hypothesis behind it, and who may carry it out."""

    knob: str
    change: Change
    hypothesis: Hypothesis
    safety: Safety = Safety.UNSAFE


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a run.

    `first_step` is the onset and may lie before `raised_at`, the step at which the finding at this severity could
    first be known; `last_step` is the last step at which it held. The steps are those of the log's `segment`-th run: a
    log whose steps begin anew holds several. `advice` are sentences for a person: what no knob changes, and, of a
    finding of low confidence, which metric would settle it.
    """

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    first_step: int
    last_step: int
    raised_at: int
    message: str
    evidence: tuple[Evidence, ...]
    prescriptions: tuple[Prescription, ...] = ()
    segment: int = 1
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """A rule that could not run, and why. A report without its skips would claim more than was checked."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What is known of one log: one finding per code and segment (its worst), and what could not be checked.

    `raised` holds every rise of severity in the order of the steps; `findings` the last of them for each code. `steps`
    is the last step of the last segment, -1 where nothing that is understood was logged. A rule is among the skips
    where it could judge none of the segments; `rules` is how many there are.

    `format` is what the log is, `recognised` why its names are read as `framework`'s, and `version` which versions of
    that can have logged them, "" where any can. `names` (metric: name) are the
    names in the log that metrics were read from, `unmapped` those without a meaning, and `suggestions` (name: metrics)
    what some of these may mean. `excerpts` are what a report shows of the run around its findings. `causes` are what
    the findings come from, the likeliest first, and `explained` what looks wrong in the run and is not.
    """

    source: str
    framework: str
    steps: int
    findings: tuple[Finding, ...]
    raised: tuple[Finding, ...]
    skips: tuple[Skip, ...]
    unmapped: tuple[str, ...]
    notes: tuple[str, ...]
    segments: int = 1
    format: str = ""
    version: str = ""
    recognised: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    suggestions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: int = 0
    excerpts: tuple[Excerpt, ...] = ()
    causes: tuple[Cause, ...] = ()
    explained: tuple[Explained, ...] = ()

    def worst(self) -> Severity | None:
        """The highest severity found, or None for a clean report."""
        return max((f.severity for f in self.findings), default=None)

    @property
    def judged(self) -> bool:
        """Whether any rule could judge it: a report without findings is clean only then.

        That its steps did not begin anew (LOG001), which any log with a step can tell, says nothing of a run.
        """
        skipped = len(self.skips) + (STEP_RESET not in {skip.code for skip in self.skips})
        return self.steps >= 0 and (skipped < self.rules or bool(self.findings))

    @property
    def unread(self) -> tuple[str, ...]:
        """Those of the notes that count what of the log could not be read."""
        return tuple(note for note in self.notes if NOT_READ in note)

    def unexplained(self) -> tuple[Finding, ...]:
        """The findings at WARNING or above that none of the causes accounts for."""
        known = {(link.code, cause.segment) for cause in self.causes for link in cause.chain}
        return tuple(f for f in self.findings if f.severity > Severity.INFO and (f.code, f.segment) not in known)

    def excerpt(self, finding: Finding) -> Excerpt | None:
        """What a report shows of the run around `finding`, None where there is nothing to show."""
        wanted = finding.code, finding.segment
        return next((e for e in self.excerpts if (e.code, e.segment) == wanted), None)

    def __repr__(self) -> str:
        from diagnostics.report.words import short

        return short(self)

    def _repr_html_(self) -> str:
        from diagnostics.report.notebook import render

        return render(self)


def finding_to_json(finding: Finding) -> Json:
    """The finding as plain JSON types, as in events and in `autotune diagnose --format json`."""
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.name.lower(),
        "confidence": finding.confidence.name.lower(),
        "first_step": finding.first_step,
        "last_step": finding.last_step,
        "raised_at": finding.raised_at,
        "segment": finding.segment,
        "message": finding.message,
        "evidence": [
            {
                "metric": e.metric,
                "first_step": e.first_step,
                "last_step": e.last_step,
                "statistic": e.statistic,
                "value": e.value,
                "limit": e.limit,
            }
            for e in finding.evidence
        ],
        "prescriptions": [prescription_to_json(p) for p in finding.prescriptions],
        "advice": list(finding.advice),
    }


def prescription_to_json(prescription: Prescription) -> Json:
    """The prescription as plain JSON types: `change` is `{"scale": 0.5}`, `{"set": 1}` or `{"add": 2}`."""
    match prescription.change:
        case Scale(factor):
            written = {"scale": factor}
        case Set(value):
            written = {"set": value}
        case Add(amount):
            written = {"add": amount}
    return {
        "knob": prescription.knob,
        "change": written,
        "hypothesis": hypothesis_to_json(prescription.hypothesis),
        "safety": str(prescription.safety),
    }


def finding_from_json(data: Mapping[str, Any]) -> Finding:
    """The inverse of `finding_to_json`; KeyError or ValueError where `data` is not a finding."""
    return Finding(
        code=data["code"],
        name=data["name"],
        severity=Severity.parse(data["severity"]),
        confidence=Confidence[data["confidence"].upper()],
        first_step=data["first_step"],
        last_step=data["last_step"],
        raised_at=data["raised_at"],
        message=data["message"],
        evidence=tuple(Evidence(**e) for e in data["evidence"]),
        prescriptions=tuple(prescription_from_json(p) for p in data["prescriptions"]),
        segment=data.get("segment", 1),  # events of earlier versions do not say it
        advice=tuple(data.get("advice", ())),
    )


def prescription_from_json(data: Mapping[str, Any]) -> Prescription:
    """The inverse of `prescription_to_json`."""
    ((kind, number),) = data["change"].items()
    return Prescription(
        knob=data["knob"],
        change=_CHANGES[kind](number),
        hypothesis=hypothesis_from_json(data["hypothesis"]),
        safety=Safety(data["safety"]),
    )


def hypothesis_to_json(hypothesis: Hypothesis) -> Json:
    """The hypothesis as plain JSON types."""
    return {
        "metric": hypothesis.metric,
        "direction": str(hypothesis.direction),
        "amount": hypothesis.amount,
        "by": hypothesis.by,
        "because": hypothesis.because,
    }


def hypothesis_from_json(data: Mapping[str, Any]) -> Hypothesis:
    """The inverse of `hypothesis_to_json`."""
    return Hypothesis(data["metric"], Direction(data["direction"]), data["amount"], data["by"], data["because"])
