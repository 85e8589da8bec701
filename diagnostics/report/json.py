"""Reports as JSON for other programs. The shape is a contract: it changes only with `VERSION`."""

from __future__ import annotations

import json
from collections.abc import Iterable

from diagnostics.finding import Json, Report, finding_to_json

VERSION = 1


def render(reports: Iterable[Report]) -> str:
    """All reports as one JSON document, in ASCII and without NaN."""
    document = {"version": VERSION, "runs": [_run(report) for report in reports]}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(report: Report) -> Json:
    return {
        "source": report.source,
        "framework": report.framework,
        "steps": report.steps,
        "findings": [finding_to_json(finding) for finding in report.findings],
        "skips": [{"code": skip.code, "reason": skip.reason} for skip in report.skips],
        "unmapped": list(report.unmapped),
        "notes": list(report.notes),
    }
