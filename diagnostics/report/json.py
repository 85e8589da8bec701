"""Reports as JSON for other programs. The shape is a contract: it changes only with `VERSION`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from diagnostics.cause import cause_to_json, explained_to_json
from diagnostics.finding import Json, Report, finding_to_json
from diagnostics.report.survey import survey, survey_to_json

VERSION = 4


def render(reports: Iterable[Report], unread: Mapping[str, str] = MappingProxyType({})) -> str:
    """All reports as one JSON document, in ASCII and without NaN; `unread` is why sources could not be read.

    `overview` has the sick ones first, `runs` all reports in the order in which they were asked for.
    """
    told = list(reports)
    document = {
        "version": VERSION,
        "overview": survey_to_json(survey(told, unread)),
        "runs": [report_to_json(report) for report in told],
        "unread": [{"source": source, "reason": reason} for source, reason in unread.items()],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def report_to_json(report: Report) -> Json:
    """One report as plain JSON types. `names` are canonical metrics with the names they have in the log."""
    return {
        "source": report.source,
        "format": report.format,
        "framework": report.framework,
        "framework_version": report.version,
        "recognised_by": report.recognised,
        "steps": report.steps,
        "segments": report.segments,
        "rules": report.rules,
        "causes": [cause_to_json(cause) for cause in report.causes],
        "findings": [finding_to_json(finding) for finding in report.findings],
        "explained": [explained_to_json(explained) for explained in report.explained],
        "skips": [{"code": skip.code, "reason": skip.reason} for skip in report.skips],
        "names": dict(report.names),
        "unmapped": list(report.unmapped),
        "suggestions": {name: list(metrics) for name, metrics in report.suggestions.items()},
        "notes": list(report.notes),
    }
