"""A log in words: what `autotune diagnose` says of it, without the plots, which are in a pane of their own."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from diagnostics.finding import Report
from diagnostics.report import terminal
from diagnostics.report.words import read_as
from diagnostics.text import visible
from tui import theme
from tui.log_status import Run


def about(run: Run) -> RenderableType:
    """All that is known of `run`, the most urgent first; for any width."""
    log = run.log
    trouble = [Text(visible(log.trouble), style=f"bold {theme.BAD}")] if log.trouble else []
    shown = report_on(run)
    if shown is None:
        return Group(*(trouble or [Text("not read yet", style=theme.FAINT)]))
    known: list[RenderableType] = [Text("Log", style="bold"), _indented(log.name), _indented(read_as(shown))]
    return Group(*trouble, terminal.judgement(shown), *known)


def report_on(run: Run) -> Report | None:
    """What the report on a log says of one of its runs; None before it was read."""
    report = run.log.report
    return report and replace(
        report,
        source="",
        findings=run.findings,
        causes=tuple(cause for cause in report.causes if cause.segment == run.number),
        explained=tuple(explained for explained in report.explained if explained.segment == run.number),
        excerpts=(),
    )


def _indented(text: str) -> Padding:
    return Padding(Text(visible(text), style=theme.FAINT), (0, 0, 0, 2))
