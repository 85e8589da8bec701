"""Logs that are followed, as they go: lines for a person, or one JSON object on each line for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from diagnostics.finding import Finding, Report, finding_to_json
from diagnostics.report.json import VERSION, report_to_json
from diagnostics.report.words import line
from diagnostics.text import visible


class FollowedView:
    """Says each finding when it comes, and the reports at the end, `verbose` ones where that was asked for."""

    def __init__(self, *, as_json: bool, verbose: bool = False) -> None:
        self._as_json, self._verbose = as_json, verbose

    def found(self, findings: Iterable[tuple[str, Finding]], *, logs: int) -> None:
        """Say findings, each with the name of its log; a person needs that only where there are several `logs`."""
        for source, finding in findings:
            if self._as_json:
                _line({"type": "finding", "source": source, "finding": finding_to_json(finding)})
            else:
                print((f"{visible(source)}  " if logs > 1 else "") + line(finding), flush=True)

    def reported(self, reports: Sequence[Report]) -> None:
        """Show the reports on all logs."""
        if self._as_json:
            for report in reports:
                _line({"type": "report", "version": VERSION, **report_to_json(report)})
        elif reports:
            from autotune.output import show
            from diagnostics.report import terminal
            from diagnostics.report.overview import overview

            print()
            shown = [terminal.render(report, verbose=self._verbose) for report in reports]
            show(*shown, *([overview(reports)] if len(reports) > 1 else []))


def _line(data: dict[str, object]) -> None:
    print(json.dumps(data, allow_nan=False), flush=True)
