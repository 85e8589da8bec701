"""Logs that are followed, as they go: lines for a person, or one JSON object on each line for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from diagnostics.choice import Choice
from diagnostics.finding import Finding, Report, Severity, finding_to_json
from diagnostics.report.json import VERSION, report_to_json
from diagnostics.text import visible
from studies import words


class FollowedView:
    """Says each finding when it comes, and the reports at the end, without what is left out."""

    def __init__(self, chosen: Choice | None, *, as_json: bool) -> None:
        self._chosen, self._as_json = chosen, as_json

    def found(self, findings: Iterable[tuple[str, Finding]], *, logs: int) -> None:
        """Say findings, each with the name of its log; a person needs that only where there are several `logs`."""
        for source, finding in findings:
            if self._chosen is not None and finding.code in self._chosen.left_out:
                continue
            if self._as_json:
                _line({"type": "finding", "source": source, "finding": finding_to_json(finding)})
            else:
                print(visible((f"{source}  " if logs > 1 else "") + words.finding(finding)), flush=True)

    def reported(self, reports: Sequence[Report]) -> Severity | None:
        """Show the reports on all logs; the worst that was found."""
        shown = [self._chosen.of(report) for report in reports] if self._chosen is not None else reports
        if self._as_json:
            for report in shown:
                _line({"type": "report", "version": VERSION, **report_to_json(report)})
        elif shown:
            from autotune.output import show
            from diagnostics.report import terminal
            from diagnostics.report.overview import overview

            print()
            show(*map(terminal.render, shown), *([overview(shown)] if len(shown) > 1 else []))
        return max((severity for report in shown if (severity := report.worst()) is not None), default=None)


def _line(data: dict[str, object]) -> None:
    print(json.dumps(data, allow_nan=False), flush=True)
