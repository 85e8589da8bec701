"""A report for a person at a terminal: what is wrong, the numbers, what to change, and what was not checked.

Everything is built from `Text`, never from markup, and passes `visible`: names and messages come from logs of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from diagnostics.finding import (
    Add,
    Confidence,
    Evidence,
    Finding,
    Prescription,
    Report,
    Safety,
    Scale,
    Set,
    Severity,
    Skip,
)
from diagnostics.report.styles import STYLES
from diagnostics.rule import all_lints, all_rules
from diagnostics.series import RunHistory
from diagnostics.text import NOT_FINITE, sparkline, visible
from diagnostics.vocabulary import vocabulary

CURVE_CELLS = 24


def render(report: Report, run: RunHistory) -> RenderableType:
    """The report of `run`, worst finding first; for any width."""
    parts: list[RenderableType] = [_header(report), _summary(report)]
    for finding in report.findings:
        parts += [Text(), *_finding(finding, report, run)]
    parts += _list(f"Not checked: {_count(len(report.skips), 'rule')}", _skips(report.skips))
    parts += _list(f"Not understood: {_count(len(report.unmapped), 'name')}", _names(report.unmapped))
    parts += _list("Notes", (Text(visible(note)) for note in report.notes))
    return Group(*parts, Text())


def overview(reports: Sequence[Report]) -> Text:
    """How many of several runs are clean, and how bad the others are."""
    worst = [report.worst() for report in reports]
    counts = [(s, worst.count(s)) for s in reversed(Severity)]
    found = [f"{n} {severity.name.lower()}" for severity, n in counts if n]
    return Text(
        f"{_count(len(reports), 'run')} by their worst finding: {', '.join([*found, f'{worst.count(None)} none'])}."
    )


def _header(report: Report) -> Text:
    steps = f"last step {report.steps}" if report.steps >= 0 else "no steps"
    return Text.assemble((visible(report.source), "bold"), (f"  {visible(report.framework)}, {steps}", "dim"))


def _summary(report: Report) -> Text:
    """How many findings of each severity, out of how many rules that could be checked at all."""
    rules = len(all_rules()) + len(all_lints())
    checked = rules - len(report.skips)
    scope = f"{checked} of {rules} rules could be checked"
    if not checked:
        return Text(f"Nothing could be checked: none of the {rules} rules found what it needs.", "bold yellow")
    if not report.findings:
        return Text(f"No findings; {scope}.", "green")
    counts = [(s, sum(f.severity is s for f in report.findings)) for s in reversed(Severity)]
    found = ", ".join(f"{n} {severity.name.lower()}" for severity, n in counts if n)
    return Text(f"{found}; {scope}.")


def _finding(finding: Finding, report: Report, run: RunHistory) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f" {finding.severity.name} ", STYLES[finding.severity]),
        (f" {finding.code} {finding.name}", "bold"),
        (f"  {_when(finding, report)}", "dim"),
    )
    yield _indented(Text(visible(finding.message)))
    if finding.evidence:
        yield from _curve(finding.evidence[0], run)
    for evidence in finding.evidence:
        yield _indented(_evidence(evidence))
    for prescription in finding.prescriptions:
        yield _indented(_prescription(prescription, report.framework))


def _when(finding: Finding, report: Report) -> str:
    """Onset, end, the step of each rise of severity, and how sure the rule is where it is not."""
    doubt = "" if finding.confidence is Confidence.HIGH else f", {finding.confidence.name.lower()} confidence"
    if finding.raised_at == finding.first_step == finding.last_step:
        return f"at step {finding.first_step}{doubt}"
    earlier = [r for r in report.raised if r.code == finding.code and r.severity < finding.severity]
    rises = [f"{r.severity.name.lower()} at {r.raised_at}" for r in earlier] + [f"raised at {finding.raised_at}"]
    return f"steps {finding.first_step} to {finding.last_step}, {', '.join(rises)}{doubt}"


def _curve(evidence: Evidence, run: RunHistory) -> Iterator[RenderableType]:
    values = run.get(evidence.metric).values
    finite = values[np.isfinite(values)]
    if len(values) > 1 and len(finite):
        legend = f", {NOT_FINITE} not finite" if len(finite) < len(values) else ""
        yield _indented(
            Text(f"{sparkline(values.tolist(), CURVE_CELLS)}  {finite.min():.4g} to {finite.max():.4g}{legend}", "cyan")
        )


def _evidence(evidence: Evidence) -> Text:
    steps = (
        f"step {evidence.first_step}"
        if evidence.first_step == evidence.last_step
        else f"steps {evidence.first_step} to {evidence.last_step}"
    )
    return Text.assemble(
        visible(evidence.metric),
        (f"  {visible(evidence.statistic)} ", "dim"),
        (f"{evidence.value:.4g}", "bold"),
        (f" (limit {evidence.limit:.4g}), {steps}", "dim"),
    )


def _prescription(prescription: Prescription, framework: str) -> Text:
    lead = "Consider" if prescription.safety is Safety.ADVICE else "Try"
    hypothesis = prescription.hypothesis
    amount = f" by {hypothesis.amount:.3g}" if hypothesis.amount else ""
    return Text.assemble(
        (f"{lead}: ", "bold green"),
        _change(prescription, visible(spoken(prescription.knob, framework))),
        f", because {visible(hypothesis.because)}",
        (f"; expect {visible(hypothesis.metric)} to go {hypothesis.direction}{amount}", "dim"),
    )


def _change(prescription: Prescription, knob: str) -> str:
    match prescription.change:
        case Scale(factor) if 0 < factor < 1:
            return f"divide {knob} by {1 / factor:.4g}"
        case Scale(factor):
            return f"multiply {knob} by {factor:.4g}"
        case Set(value):
            return f"set {knob} to {value:.4g}"
        case Add(amount):
            return f"lower {knob} by {-amount:.4g}" if amount < 0 else f"raise {knob} by {amount:.4g}"


def spoken(knob: str, framework: str) -> str:
    """What users of `framework` call a knob; its canonical name where the framework has no vocabulary."""
    try:
        return vocabulary(framework).spoken(knob)
    except KeyError:
        return knob


def _skips(skips: Sequence[Skip]) -> Iterator[Text]:
    """One line per reason with the codes that share it."""
    by_reason: dict[str, list[str]] = {}
    for skip in skips:
        by_reason.setdefault(skip.reason, []).append(skip.code)
    for reason, codes in by_reason.items():
        yield Text.assemble(", ".join(codes), (f"  {visible(reason)}", "dim"))


def _names(names: Sequence[str]) -> Iterator[Text]:
    if names:
        yield Text(", ".join(visible(name) for name in names), "dim")


def _list(title: str, lines: Iterable[Text]) -> list[RenderableType]:
    shown = [_indented(line) for line in lines]
    return [Text(), Text(title, "bold"), *shown] if shown else []


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"
