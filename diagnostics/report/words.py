"""How a report says things, the same in each of its formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from diagnostics.cause import Cause
from diagnostics.finding import Finding, Report, Severity
from diagnostics.text import visible
from diagnostics.vocabulary import vocabulary


def read_as(report: Report) -> str:
    """What the log was taken for: format, framework with the names that told it, how far it goes."""
    of_which = f"{report.segments} segments, of the last one the " if report.segments > 1 else ""
    steps = f"{of_which}last step {report.steps}" if report.steps >= 0 else "no metric at any step"
    return ", ".join(part for part in (report.format, report.recognised or report.framework, steps) if part)


def short(report: Report) -> str:
    """A line on the log, one on its first cause, and one for each finding."""
    found = amounts(f.severity for f in report.findings) or "no findings"
    name = f"{report.source}: " if report.source else ""
    first = [visible(f"{report.causes[0].title}: {told(report.causes[0])}")] if report.causes else []
    return "\n".join([visible(f"{name}{read_as(report)}; {found}"), *first, *map(line, report.findings)])


def line(finding: Finding) -> str:
    """A finding in one line."""
    segment = f" of segment {finding.segment}" if finding.segment > 1 else ""
    return visible(
        f"{finding.severity.name} {finding.code} {finding.name} at step {finding.raised_at}{segment}: {finding.message}"
    )


def told(cause: Cause) -> str:
    """What became of a cause, in one line: its findings in the order of their onset."""
    return " -> ".join(f"{link.code} {link.name} at {link.step}" for link in cause.chain)


def amounts(severities: Iterable[Severity]) -> str:
    """How many there are of each severity, the worst first."""
    counts = Counter(severities)
    return ", ".join(
        f"{counts[severity]} {severity.name.lower()}" for severity in reversed(Severity) if counts[severity]
    )


def spoken(knob: str, framework: str) -> str:
    """What users of `framework` call a knob; its canonical name where the framework has no vocabulary."""
    try:
        return vocabulary(framework).spoken(knob)
    except KeyError:
        return knob
