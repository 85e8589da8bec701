"""The curves of a page as JSON: of each run its traces, and the ranges of its findings that are marked in them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diagnostics.details import Details, Trace
from diagnostics.finding import Finding, Report, Severity
from diagnostics.report.words import onset
from diagnostics.series import Steps, Values
from diagnostics.text import visible

DIGITS = 5  # of a value, and as many more as a curve is far away from 0 for its height
MOST_DIGITS = 17


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of one run, which a page's figures call by segment and place."""

    details: Details
    marks: tuple[Finding, ...]  # each from its onset on, also as long as it was less severe

    @classmethod
    def of(cls, report: Report, details: Details) -> Curves:
        """The curves of a report's run, with what is marked in them."""
        loud = (f for f in report.findings if f.severity > Severity.INFO)
        return cls(details, tuple(replace(f, first_step=onset(f, report)) for f in loud))

    def place(self, metric: str, segment: int) -> int | None:
        """Where the curve of a canonical metric stands among those of a segment (from 1); None where there is none."""
        traces = self.details.traces[segment - 1] if segment <= len(self.details.traces) else ()
        return next((i for i, t in enumerate(traces) if t.understood and t.metric == metric and t.points > 1), None)


def data(runs: Sequence[Curves]) -> str:
    """All curves as JSON in ASCII that can stand in a script element."""
    written = json.dumps([_run(run) for run in runs], separators=(",", ":"), allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _run(run: Curves) -> dict[str, Any]:
    marks = [
        {
            "code": visible(finding.code),
            "severity": finding.severity.name.lower(),
            "segment": finding.segment - 1,
            "metrics": sorted({evidence.metric for evidence in finding.evidence}),
            "first": finding.first_step,
            "last": max(finding.last_step, finding.raised_at),
            "raised": finding.raised_at,
        }
        for finding in run.marks
    ]
    return {"segments": [_segment(traces) for traces in run.details.traces], "marks": marks}


def _segment(traces: Sequence[Trace]) -> dict[str, Any]:
    """The curves of a segment; those that were logged together share their steps."""
    shared: dict[bytes, int] = {}
    steps: list[list[int]] = []
    written = []
    for trace in traces:
        place = shared.setdefault(trace.steps.tobytes(), len(steps))
        if place == len(steps):
            steps.append(_deltas(trace.steps))
        name, values = visible(trace.metric), _values(trace.values)
        written.append({"name": name, "points": trace.points, "steps": place, "values": values})
    return {"steps": steps, "traces": written}


def _deltas(steps: Steps) -> list[int]:
    """The first step, and the distance of each other one from that before it."""
    return [int(steps[0]), *np.diff(steps).tolist()] if len(steps) else []


def _values(values: Values) -> list[float | str]:
    """Values with as many digits as can be seen; what is not finite by its name in JavaScript."""
    finite = values[np.isfinite(values)]
    digits = DIGITS
    if len(finite):
        span, most = float(finite.max() / 2 - finite.min() / 2) * 2, float(np.abs(finite).max())
        if 0 < span < most:
            digits = min(MOST_DIGITS, DIGITS + math.floor(math.log10(most / span)))
    return [_written(value, digits) for value in values.tolist()]


def _written(value: float, digits: int) -> float | str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    rounded = float(f"{value:.{digits}g}")
    return rounded if math.isfinite(rounded) else value  # the largest number, rounded up
