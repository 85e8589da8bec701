"""Several reports in one table for a terminal: what each source is, how long, and the worst that was found in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diagnostics.finding import Report
from diagnostics.report.styles import STYLES
from diagnostics.report.survey import Line, State, survey
from diagnostics.text import count, visible

SOME = 5  # names that are listed of many


def overview(
    reports: Sequence[Report], unread: Mapping[str, str] = MappingProxyType({}), others: Sequence[Path] = ()
) -> RenderableType:
    """A line for each report and for each source that could not be read, with the reason; the sick ones first.

    `others` are the files beside them that are no logs.
    """
    told = survey(reports, unread)
    formats = {line.format for line in told.lines} - {""}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("source", overflow="fold", ratio=3)
    if len(formats) > 1:
        table.add_column("format", overflow="fold", ratio=2, style="dim")
    table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("worst finding", overflow="fold", ratio=3)
    for line in told.lines:
        table.add_row(Text(line.source), *([Text(line.format)] if len(formats) > 1 else []), line.steps, _worst(line))
    names = ", ".join(visible(path.name) for path in others[:SOME])
    beside = f"No logs: {count(len(others), 'file')} ({names}{', ...' if len(others) > SOME else ''})."
    what = [f"below {told.folder}"] if told.folder else []
    what += [f"all {formats.pop()}"] if len(formats) == 1 and len(reports) > 1 else []
    lead = [Text(", ".join(what), "dim")] if what else []
    return Group(*lead, table, Text(), Text(told.summary), *([Text(beside, "dim")] if others else []))


def _worst(line: Line) -> Text:
    if line.state is State.UNREAD:
        return Text.assemble(("not read", "bold yellow"), f": {line.why}")
    if line.severity is None:
        unchecked = line.state is State.UNCHECKED
        return Text("nothing could be checked", "bold yellow") if unchecked else Text("none", "green")
    since = f"since {line.verdict.onset}" if line.verdict and line.verdict.onset else ""
    below = ", ".join(filter(None, (line.cause, since)))
    return Text.assemble(
        (f" {line.severity.name} ", STYLES[line.severity]),
        f" {line.worst}{f' +{line.more}' if line.more else ''}",
        f"\n{below}" if below else "",
    )
