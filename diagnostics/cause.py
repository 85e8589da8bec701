"""What a report says beyond single findings: causes that join them, and what looks wrong and is not.

Imports no numpy, so that a report that was kept is shown at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnostics.finding import Confidence, Json, Prescription, prescription_from_json, prescription_to_json

OVERALL = ("RWD004", "RWD007")  # said of the whole run so far, so that their onset is its beginning


@dataclass(frozen=True, slots=True)
class Link:
    """A finding in the chain of a cause, and the step of its onset."""

    code: str
    name: str
    step: int


@dataclass(frozen=True, slots=True)
class Cause:
    """What several findings of a segment can come from.

    `chain` are the findings that it explains, in the order of their onset. `recommendation` is the one change that
    repairs it, None where no knob does; `advice` is a sentence for a person in either case, "" where the
    recommendation says it all. `settled_by` are settings and metrics that are not known of the run and would make sure
    of it, none where the confidence is high. Sentences name settings as the run's own framework does.
    """

    name: str
    title: str
    chain: tuple[Link, ...]
    speaks_for: tuple[str, ...]
    speaks_against: tuple[str, ...]
    confidence: Confidence
    recommendation: Prescription | None = None
    advice: str = ""
    settled_by: tuple[str, ...] = ()
    segment: int = 1


@dataclass(frozen=True, slots=True)
class Explained:
    """Something in a run that looks wrong and is not, with this run's numbers."""

    name: str
    title: str
    text: str
    metric: str
    first_step: int
    last_step: int
    segment: int = 1


def cause_to_json(cause: Cause) -> Json:
    """The cause as plain JSON types."""
    return {
        "name": cause.name,
        "title": cause.title,
        "confidence": cause.confidence.name.lower(),
        "segment": cause.segment,
        "chain": [{"code": link.code, "name": link.name, "step": link.step} for link in cause.chain],
        "speaks_for": list(cause.speaks_for),
        "speaks_against": list(cause.speaks_against),
        "recommendation": None if cause.recommendation is None else prescription_to_json(cause.recommendation),
        "advice": cause.advice,
        "settled_by": list(cause.settled_by),
    }


def cause_from_json(data: Mapping[str, Any]) -> Cause:
    """The inverse of `cause_to_json`."""
    change = data["recommendation"]
    return Cause(
        name=data["name"],
        title=data["title"],
        chain=tuple(Link(**link) for link in data["chain"]),
        speaks_for=tuple(data["speaks_for"]),
        speaks_against=tuple(data["speaks_against"]),
        confidence=Confidence[data["confidence"].upper()],
        recommendation=None if change is None else prescription_from_json(change),
        advice=data["advice"],
        settled_by=tuple(data["settled_by"]),
        segment=data["segment"],
    )


def explained_to_json(explained: Explained) -> Json:
    """What looks wrong and is not, as plain JSON types."""
    return {
        "name": explained.name,
        "title": explained.title,
        "text": explained.text,
        "metric": explained.metric,
        "first_step": explained.first_step,
        "last_step": explained.last_step,
        "segment": explained.segment,
    }
