"""Several reports in one table: what each source is, how long, and the worst that was found in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diagnostics.finding import Finding, Report
from diagnostics.report.styles import STYLES
from diagnostics.report.words import amounts
from diagnostics.text import count, visible

SOME = 5  # names that are listed of many


def overview(
    reports: Sequence[Report], unread: Mapping[str, str] = MappingProxyType({}), others: Sequence[Path] = ()
) -> RenderableType:
    """A line for each report and, below them, for each source that could not be read, with the reason.

    `others` are the files beside them that are no logs.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("source", overflow="fold", ratio=3)
    table.add_column("format", overflow="fold", ratio=2)
    table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("worst finding", overflow="fold", ratio=3)
    folder = _folder([*(report.source for report in reports), *unread])
    for report in reports:
        steps = str(report.steps) if report.steps >= 0 else "-"
        table.add_row(
            Text(visible(report.source.removeprefix(folder))),
            Text(visible(report.format), "dim"),
            steps,
            _worst(report),
        )
    for source, reason in unread.items():
        table.add_row(
            Text(visible(source.removeprefix(folder))), Text("not read", "bold yellow"), "-", Text(visible(reason))
        )
    names = ", ".join(visible(path.name) for path in others[:SOME])
    beside = f"No logs: {count(len(others), 'file')} ({names}{', ...' if len(others) > SOME else ''})."
    below = [Text(f"below {visible(folder)}", "dim")] if folder else []
    return Group(*below, table, Text(), Text(_summary(reports, unread)), *([Text(beside, "dim")] if others else []))


def _folder(sources: Sequence[str]) -> str:
    """The folder that all sources lie below, with a separator at its end; "" where there is none."""
    try:
        folder = os.path.commonpath(sources) if len(sources) > 1 else ""
    except ValueError:  # paths from here and paths from the root
        return ""
    return "" if folder in ("", os.sep) or folder in sources else folder + os.sep


def _worst(report: Report) -> Text:
    if not report.findings:
        return Text("none", "green") if report.judged else Text("nothing could be checked", "bold yellow")
    worst: Finding = report.findings[0]
    more = f" +{len(report.findings) - 1}" if len(report.findings) > 1 else ""
    return Text.assemble(
        (f" {worst.severity.name} ", STYLES[worst.severity]),
        f" {visible(worst.code)} {visible(worst.name)}{more}",
        *([f"\n{visible(report.causes[0].title)}"] if report.causes else []),
    )


def _summary(reports: Sequence[Report], unread: Mapping[str, str]) -> str:
    """How many runs are clean, how bad the others are, and how many could not be checked or read."""
    worst = [severity for report in reports if (severity := report.worst()) is not None]
    silent = [report for report in reports if report.worst() is None]
    clean = [report for report in silent if report.judged]
    told = [
        amounts(worst),
        f"{len(clean)} none" if clean else "",
        f"{len(silent) - len(clean)} in which nothing could be checked" if len(clean) < len(silent) else "",
    ]
    runs = f"{count(len(reports), 'run')} by their worst finding: {', '.join(filter(None, told))}." if reports else ""
    return " ".join(part for part in (runs, f"{len(unread)} could not be read." if unread else "") if part)
