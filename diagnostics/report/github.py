"""Reports as annotations of a GitHub job: workflow commands, one on each line, and no more than GitHub shows.

A step shows ten errors, ten warnings and ten notices, and drops the others without a word: of more, the tenth says how
many there are. Escapes as in GitHub's own toolkit (actions/toolkit, packages/core/src/command.ts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from diagnostics.finding import Report, Severity
from diagnostics.report.digest import Digest, Remedy, ToldFinding, digest
from diagnostics.report.survey import survey
from diagnostics.text import count, visible

MOST = 10  # annotations of a kind in a step
MOST_SUMMARY_BYTES = 1024 * 1000  # of a step's summary, of which GitHub takes 1 MiB and shows nothing of more


class Kind(StrEnum):
    """What GitHub calls an annotation."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


KINDS = {
    Severity.FATAL: Kind.ERROR,
    Severity.ERROR: Kind.ERROR,
    Severity.WARNING: Kind.WARNING,
    Severity.INFO: Kind.NOTICE,
}


class Annotation(NamedTuple):
    """One annotation; `file` and `line` say where GitHub shows it, "" and 0 for nowhere."""

    kind: Kind
    title: str
    message: str
    file: str = ""
    line: int = 0


def render(
    reports: Sequence[Report], unread: Mapping[str, str] = MappingProxyType({}), errors: Sequence[str] = ()
) -> str:
    """The annotations, the worst findings of the sickest run first; what could not be checked or read is a warning.

    `errors` say why what was asked for was not diagnosed.
    """
    seen = survey(reports, unread)
    made: list[Annotation] = [Annotation(Kind.ERROR, "not diagnosed", error) for error in errors]
    for line in seen.lines:
        if line.place is None and any(line.why in visible(error) for error in errors):
            continue  # it was named, so that it is an error already
        if line.place is None:
            made.append(Annotation(Kind.WARNING, "not read", f"{line.source}: {line.why}"))
        else:
            made += _of_run(digest(reports[line.place]))
    if seen.lines:
        made.append(Annotation(Kind.NOTICE, "autotune", seen.summary))
    return written(made)


def written(made: Sequence[Annotation]) -> str:
    """Annotations as workflow commands, the worst first, as many of a kind as GitHub shows."""
    return "".join(f"{_command(annotation)}\n" for kind in Kind for annotation in _shown(kind, made))


def _of_run(told: Digest) -> Iterator[Annotation]:
    """The annotations of one run."""
    if not told.verdict.checked:
        yield Annotation(Kind.WARNING, "nothing could be checked", f"{told.source}: {told.summary}")
    causes = {cause.name: cause for cause in told.causes}
    for finding in (*told.findings, *told.worth_knowing):
        behind = causes.get(finding.see)
        lines = [f"{told.source}: {finding.message}", _when(finding)]
        if behind is not None:
            lines.append(f"{behind.title} ({behind.scope})")
        lines += [_remedy(remedy) for remedy in (behind.remedies if behind else finding.remedies)]
        title = f"{finding.severity.name} {finding.code} {finding.name} since step {finding.onset}"
        yield Annotation(KINDS[finding.severity], title, "\n".join(lines))


def _when(finding: ToldFinding) -> str:
    return f"{finding.when}" + "".join(
        f"; {number.metric} {number.value} (limit {number.limit})" for number in finding.numbers[:1]
    )


def _remedy(remedy: Remedy) -> str:
    because = f", because {remedy.because}" if remedy.because else ""
    return f"{remedy.lead}: {remedy.what}{because}"


def _shown(kind: Kind, made: Sequence[Annotation]) -> list[Annotation]:
    """The annotations of a kind, as many as GitHub shows."""
    mine = [annotation for annotation in made if annotation[0] is kind]
    if len(mine) <= MOST:
        return mine
    kept = mine[: MOST - 1] if kind is not Kind.NOTICE else [*mine[: MOST - 2], mine[-1]]  # what is said of all runs
    left = len(mine) - len(kept)
    return [
        *kept,
        Annotation(kind, f"and {left} more", f"{count(left, kind)} more: see the summary of the job, or its log"),
    ]


def _command(annotation: Annotation) -> str:
    kind, title, message, file, line = annotation
    where = f"file={_property(file)}," if file else ""
    at = f"line={line}," if file and line else ""
    return f"::{kind} {where}{at}title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    lines = (visible(line) for line in text.split("\n"))
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
