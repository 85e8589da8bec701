"""A report for a person at a terminal: causes, what is wrong, the numbers, what to change, what was not checked.

Everything is built from `Text`, never from markup, and passes `visible`: names and messages come from logs of others.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from diagnostics.cause import Cause
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
from diagnostics.report.digest import Remedies, remedies, shared, without_moot
from diagnostics.report.excerpt_plot import ExcerptPlot
from diagnostics.report.styles import STYLES
from diagnostics.report.words import amounts, read_as, spoken, to_log, told
from diagnostics.text import count, visible

MOST_NAMES, MOST_SUGGESTED = 40, 12  # of those not understood; some logs have hundreds


def render(report: Report, *, verbose: bool = False) -> RenderableType:
    """The report, causes first and the worst finding first; for any width.

    With `verbose` also what looks wrong and is not, and what single findings say that their cause says as well.
    """
    return Group(*header(report), judgement(report, verbose=verbose), *looks_wrong(report, verbose=verbose))


def judgement(report: Report, *, verbose: bool = False) -> RenderableType:
    """The report without what the log is, for where that is told otherwise."""
    report = report if verbose else without_moot(report)
    parts: list[RenderableType] = [_summary(report), *_causes(report)]
    for finding, told_of in remedies(report):
        if verbose:
            whole = replace(told_of, prescriptions=finding.prescriptions, advice=finding.advice)
            parts += [Text(), *_finding(finding, report, whole)]
        elif finding.severity > Severity.INFO:
            parts += [Text(), *_finding(finding, report, told_of)]
    parts += [] if verbose else _worth_knowing(report)
    parts += _list(f"Not checked: {count(len(report.skips), 'rule')}", _skips(report.skips))
    parts += _list(f"Not understood: {count(len(report.unmapped), 'name')}", _names(report))
    parts += _list("Notes", (Text(visible(note)) for note in report.notes))
    return Group(*parts, Text())


def header(report: Report) -> Iterator[Text]:
    """What the log is."""
    if report.source:  # a table in a notebook has no name
        yield Text(visible(report.source), "bold")
    yield Text(visible(read_as(report)), "dim")


def _summary(report: Report) -> Text:
    """How many findings of each severity, out of how many rules that could be checked at all."""
    checked = report.rules - len(report.skips)
    scope = f"{checked} of {report.rules} rules could be checked"
    if not report.judged:
        return Text("Nothing could be checked: no rule found what it needs.", "bold yellow")
    if not report.findings:
        return Text(f"No findings; {scope}.", "green")
    return Text(f"{amounts(f.severity for f in report.findings)}; {scope}.")


def _causes(report: Report) -> Iterator[RenderableType]:
    """The causes, the likeliest first, and which findings none of them accounts for."""
    for place, causes in enumerate(shared(report.causes), 1):
        yield from (Text(), *_cause(place, causes, report))
    left = report.unexplained()
    if report.causes and left:
        codes = ", ".join(dict.fromkeys(visible(finding.code) for finding in left))  # of several segments
        yield from (Text(), Text(f"{count(len(left), 'finding')} not explained by a common cause: {codes}", "dim"))


def _cause(place: int, causes: Sequence[Cause], report: Report) -> Iterator[RenderableType]:
    """A cause, by the segment in which it is surest, and what became of it in each."""
    cause, *others = causes
    segments = ", ".join(map(str, sorted(c.segment for c in causes)))
    segment = f"{'segments' if others else 'segment'} {segments}, " if report.segments > 1 else ""
    yield Text.assemble(
        (f" CAUSE {place} ", "bold reverse"),
        (f" {visible(cause.title)}", "bold"),
        (f"  {segment}{cause.confidence.name.lower()} confidence", "dim"),
    )
    for one in sorted(causes, key=lambda cause: cause.segment):
        lead = (f"segment {one.segment}: " if others else "", "dim")
        yield _indented(Text.assemble(lead, visible(told(one))))
    yield from (_indented(Text.assemble(("for: ", "dim"), visible(reason))) for reason in cause.speaks_for)
    yield from (_indented(Text.assemble(("against: ", "dim"), visible(reason))) for reason in cause.speaks_against)
    if cause.recommendation is not None:
        yield _indented(_prescription(cause.recommendation, report.framework))
    if cause.advice:
        yield _indented(Text.assemble(("Consider: ", "bold green"), visible(cause.advice)))
    if cause.settled_by:
        yield _indented(Text(f"what would settle it: {visible(to_log(cause.settled_by))}", "dim"))


def looks_wrong(report: Report, *, verbose: bool) -> Iterator[RenderableType]:
    """What looks wrong and is not or, for whoever did not ask, how much of that there is."""
    if not report.explained:
        return
    if not verbose:
        looks = "looks wrong and is" if len(report.explained) == 1 else "look wrong and are"
        things = f"{count(len(report.explained), 'thing')} in this run {looks} not"
        yield from (Text(f"{things}: autotune diagnose --verbose explains.", "dim"), Text())
        return
    yield Text("Looks wrong and is not", "bold")
    for explained in report.explained:
        segment = f"segment {explained.segment}, " if report.segments > 1 else ""
        steps = f"{segment}steps {explained.first_step} to {explained.last_step}"
        yield _indented(Text.assemble(visible(explained.title), (f"  {steps}", "dim")))
        yield _indented(Text(visible(explained.text), "dim"))
    yield Text()


def _worth_knowing(report: Report) -> list[RenderableType]:
    """What is worth knowing and harmless, a line each."""
    lines = [
        Text.assemble(
            (f" {finding.severity.name} ", STYLES[finding.severity]),
            (f" {visible(finding.code)} {visible(finding.name)}", "bold"),
            (f"  {_where(finding, report)}: ", "dim"),
            visible(finding.message),
        )
        for finding in report.findings
        if finding.severity is Severity.INFO
    ]
    return [Text(), *lines] if lines else []


def _finding(finding: Finding, report: Report, told_of: Remedies) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f" {finding.severity.name} ", STYLES[finding.severity]),
        (f" {visible(finding.code)} {visible(finding.name)}", "bold"),
        (f"  {_when(finding, report)}", "dim"),
    )
    yield _indented(Text(visible(finding.message)))
    for i, evidence in enumerate(finding.evidence):
        yield _indented(_evidence(evidence, report))
        shown = report.excerpt(finding) if i == 0 else None
        if shown is not None:
            yield _indented(ExcerptPlot(shown, finding))
    if told_of.see:
        yield _indented(Text(f"see {visible(', '.join(told_of.see))}", "dim"))
    for place, prescription in enumerate(told_of.prescriptions):
        yield _indented(_prescription(prescription, report.framework, another=place > 0))
    for sentence in told_of.advice:
        yield _indented(Text.assemble(("Consider: ", "bold green"), visible(sentence)))


def _when(finding: Finding, report: Report) -> str:
    """Segment, onset, end, the step of each rise of severity, and how sure the rule is where it is not."""
    where = _where(finding, report)
    doubt = "" if finding.confidence is Confidence.HIGH else f", {finding.confidence.name.lower()} confidence"
    if finding.raised_at == finding.first_step == finding.last_step:
        return f"{where}{doubt}"
    earlier = [
        r
        for r in report.raised
        if (r.code, r.segment) == (finding.code, finding.segment) and r.severity < finding.severity
    ]
    rises = [f"{r.severity.name.lower()} at {r.raised_at}" for r in earlier] + [f"raised at {finding.raised_at}"]
    return f"{where}, {', '.join(rises)}{doubt}"


def _where(finding: Finding, report: Report) -> str:
    """Segment, onset and end."""
    segment = f"segment {finding.segment}, " if report.segments > 1 else ""
    if finding.first_step == finding.last_step:
        return f"{segment}at step {finding.first_step}"
    return f"{segment}steps {finding.first_step} to {finding.last_step}"


def _evidence(evidence: Evidence, report: Report) -> Text:
    steps = (
        f"step {evidence.first_step}"
        if evidence.first_step == evidence.last_step
        else f"steps {evidence.first_step} to {evidence.last_step}"
    )
    logged = report.names.get(evidence.metric, evidence.metric)
    return Text.assemble(
        visible(evidence.metric),
        (f" ({visible(logged)} in the log)" if logged != evidence.metric else "", "dim"),
        (f"  {visible(evidence.statistic)} ", "dim"),
        (f"{evidence.value:.4g}", "bold"),
        (f" (limit {evidence.limit:.4g}), {steps}", "dim"),
    )


def _prescription(prescription: Prescription, framework: str, *, another: bool = False) -> Text:
    lead = "Consider" if prescription.safety is Safety.ADVICE else "Or try" if another else "Try"
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


def _skips(skips: Sequence[Skip]) -> Iterator[Text]:
    """What rules need and a run lacks, together where it lacks it in the same way; else one line per reason."""
    by_reason: dict[str, list[str]] = {}
    for skip in skips:
        by_reason.setdefault(skip.reason, []).append(skip.code)
    lacking: dict[str, list[str]] = {}
    for reason, codes in by_reason.items():
        need, which, lack = reason.partition(", which ")
        if which and need.startswith("needs "):
            lacking.setdefault(lack, []).append(f"{', '.join(codes)} {need.removeprefix('needs ')}")
    for lack, needs in lacking.items():
        yield Text.assemble((f"need what {visible(lack)}: ", "dim"), visible("; ".join(needs)))
    for reason, codes in by_reason.items():
        if not any(reason.endswith(f", which {lack}") for lack in lacking):
            yield Text.assemble(", ".join(codes), (f"  {visible(reason)}", "dim"))


def _names(report: Report) -> Iterator[Text]:
    """The names without a meaning: those that may mean something each with how to say so, the others in one line."""
    suggested = dict(list(report.suggestions.items())[:MOST_SUGGESTED])
    for name, metrics in suggested.items():
        mapped = f"--map {shlex.quote(visible(name))}={metrics[0]}"
        yield Text.assemble(visible(name), (f"  perhaps {' or '.join(metrics)}: ", "dim"), (mapped, "bold"))
    rest = [visible(name) for name in report.unmapped if name not in suggested]
    more = f" and {len(rest) - MOST_NAMES} more" if len(rest) > MOST_NAMES else ""
    if rest:
        yield Text(f"{', '.join(rest[:MOST_NAMES])}{more}", "dim")


def _list(title: str, lines: Iterable[Text]) -> list[RenderableType]:
    shown = [_indented(line) for line in lines]
    return [Text(), Text(title, "bold"), *shown] if shown else []


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, 2))
