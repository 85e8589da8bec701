"""Several reports at a glance, before any format: a line for each log, the sick ones first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from diagnostics.finding import Json, Report, Severity
from diagnostics.report.digest import Verdict, digest
from diagnostics.report.words import amounts
from diagnostics.text import count, visible


class State(StrEnum):
    """What came of a log."""

    SICK = "sick"  # a finding at WARNING or above
    UNREAD = "unread"
    UNCHECKED = "unchecked"  # it was read, and no rule could judge it
    HEALTHY = "healthy"


_ORDER = list(reversed(State))


@dataclass(frozen=True, slots=True)
class Line:
    """One log. `place` is where its report stands among all, None if unread; `source` its name below the common folder.

    `name` is all of that as it was given, and may hold anything; the other texts are `visible`. `worst` is its worst
    finding and `more` how many there are beside it; `why` is why it could not be read.
    """

    place: int | None
    name: str
    source: str
    state: State
    format: str = ""
    steps: str = "-"
    severity: Severity | None = None
    worst: str = ""
    more: int = 0
    verdict: Verdict | None = None
    cause: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """All logs, the sick ones first, the worst of them first; else as they were given. `folder` holds them all."""

    folder: str
    lines: tuple[Line, ...]
    summary: str


def survey(reports: Sequence[Report], unread: Mapping[str, str] = MappingProxyType({})) -> Survey:
    """The reports, and why other sources could not be read, at a glance."""
    folder = _folder([*(report.source for report in reports), *unread])
    lines = [_line(place, report, folder) for place, report in enumerate(reports)]
    lines += [
        Line(None, source, visible(source.removeprefix(folder)), State.UNREAD, why=visible(why))
        for source, why in unread.items()
    ]
    lines.sort(
        key=lambda line: (_ORDER.index(line.state), -1 if line.severity is None else line.severity), reverse=True
    )
    return Survey(visible(folder), tuple(lines), _summary(reports, unread))


def survey_to_json(told: Survey) -> list[Json]:
    """A line for each log as plain JSON types, the sick ones first; `run` is its place among the runs."""
    return [
        {
            "source": line.name,
            "run": line.place,
            "state": str(line.state),
            "worst": None if line.severity is None else line.severity.name.lower(),
            "verdict": line.verdict.what if line.verdict else line.why,
            "since": line.verdict.since if line.verdict else "",
        }
        for line in told.lines
    ]


def _line(place: int, report: Report, folder: str) -> Line:
    worst = report.findings[0] if report.findings else None
    loud = worst is not None and worst.severity > Severity.INFO
    return Line(
        place=place,
        name=report.source,
        source=visible(report.source.removeprefix(folder)),
        state=State.SICK if loud else State.HEALTHY if report.judged else State.UNCHECKED,
        format=visible(report.format),
        steps=str(report.steps) if report.steps >= 0 else "-",
        severity=worst.severity if worst else None,
        worst=f"{visible(worst.code)} {visible(worst.name)}" if worst else "",
        more=max(0, len(report.findings) - 1),
        verdict=digest(report).verdict,
        cause=visible(report.causes[0].title) if report.causes else "",
    )


def _folder(sources: Sequence[str]) -> str:
    """The folder that all sources lie below, with a separator at its end; "" where there is none."""
    try:
        folder = os.path.commonpath(sources) if len(sources) > 1 else ""
    except ValueError:  # paths from here and paths from the root
        return ""
    return "" if folder in ("", os.sep) or folder in sources else folder + os.sep


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
    whose = "its" if len(reports) == 1 else "their"
    runs = f"{count(len(reports), 'run')} by {whose} worst finding: {', '.join(filter(None, told))}." if reports else ""
    return " ".join(part for part in (runs, f"{len(unread)} could not be read." if unread else "") if part)
