"""A report for a person at a terminal: causes, what is wrong, the numbers, what to change, what was not checked.

Everything is built from `Text`, never from markup: names and messages come from logs of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from diagnostics.finding import Report, Severity
from diagnostics.report.digest import Digest, Number, Remedy, ToldCause, ToldFinding, digest
from diagnostics.report.excerpt_plot import ExcerptPlot
from diagnostics.report.styles import STYLES
from diagnostics.text import count

INDENT = 2


def render(report: Report, *, verbose: bool = False, explain: bool = False) -> RenderableType:
    """The report, causes first and the worst finding first; for any width.

    With `explain` also what looks wrong and is not; with `verbose` that, and what single findings say that their cause
    says as well.
    """
    told = digest(report, verbose=verbose)
    return Group(*_header(told), _judgement(told), *_looks_wrong(told, explain=verbose or explain))


def judgement(report: Report) -> RenderableType:
    """The report without what the log is, for where that is told otherwise."""
    return _judgement(digest(report))


def _judgement(told: Digest) -> RenderableType:
    parts: list[RenderableType] = [_summary(told)]
    for cause in told.causes:
        parts += [Text(), *_cause(cause)]
    if told.unexplained:
        parts += [Text(), Text(told.unexplained, "dim")]
    for finding in told.findings:
        parts += [Text(), *_finding(finding)]
    if told.worth_knowing:
        parts += [Text(), *(_Hanging(_worth_knowing(finding), 0) for finding in told.worth_knowing)]
    parts += _list(f"Not checked: {count(told.skips, 'rule')}", _skips(told))
    parts += _list(f"Not understood: {count(told.unmapped, 'name')}", _names(told))
    parts += _list("Notes", map(Text, told.notes))
    return Group(*parts, Text())


def _header(told: Digest) -> Iterator[Text]:
    if told.source:  # a table in a notebook has no name
        yield Text(told.source, "bold")
    yield Text(told.read_as, "dim")


def _looks_wrong(told: Digest, *, explain: bool) -> Iterator[RenderableType]:
    """What looks wrong and is not or, for whoever did not ask, how much of that there is."""
    if not told.explained:
        return
    if not explain:
        looks = "looks wrong and is" if len(told.explained) == 1 else "look wrong and are"
        things = f"{count(len(told.explained), 'thing')} in this run {looks} not"
        yield from (Text(f"{things}: autotune diagnose --verbose explains.", "dim"), Text())
        return
    yield Text("Looks wrong and is not", "bold")
    for title, steps, text in told.explained:
        yield _indented(Text.assemble(title, (f"  {steps}", "dim")))
        yield _indented(Text(text, "dim"))
    yield Text()


def _summary(told: Digest) -> Text:
    return Text(told.summary, "green" if told.clean else "" if told.verdict.checked else "bold yellow")


def _cause(cause: ToldCause) -> Iterator[RenderableType]:
    name = Text.assemble((f" {cause.name} ", "bold reverse"), (f" {cause.title}", "bold"), (f"  {cause.scope}", "dim"))
    yield _Hanging(name, 0)
    yield from (_indented(Text.assemble((lead, "dim"), chain)) for lead, chain in cause.chains)
    yield from (_indented(Text.assemble(("for: ", "dim"), reason)) for reason in cause.speaks_for)
    yield from (_indented(Text.assemble(("against: ", "dim"), reason)) for reason in cause.speaks_against)
    yield from (_indented(_remedy(remedy)) for remedy in cause.remedies)
    if cause.settle:
        yield _indented(Text(f"what would settle it: {cause.settle}", "dim"))


def _finding(told: ToldFinding) -> Iterator[RenderableType]:
    yield _Hanging(Text.assemble(*_named(told), (f"  {told.when}", "dim")), 0)
    yield _indented(Text(told.message))
    for i, number in enumerate(told.numbers):
        yield _indented(_number(number))
        if i == 0 and told.excerpt is not None:
            first = max(told.onset, told.excerpt.steps[0])
            yield _indented(ExcerptPlot(told.excerpt, replace(told.finding, first_step=first)))
    if told.see:
        yield _indented(Text(f"see {told.see}", "dim"))
    yield from (_indented(_remedy(remedy)) for remedy in told.remedies)


def _worth_knowing(told: ToldFinding) -> Text:
    """What is worth knowing and harmless, in a line."""
    return Text.assemble(*_named(told), (f"  {told.where}: ", "dim"), told.message)


def _named(told: ToldFinding) -> tuple[tuple[str, str], tuple[str, str]]:
    severity: Severity = told.severity
    return (f" {severity.name} ", STYLES[severity]), (f" {told.code} {told.name}", "bold")


def _number(number: Number) -> Text:
    return Text.assemble(
        number.metric,
        (f" ({number.logged} in the log)" if number.logged else "", "dim"),
        (f"  {number.statistic} ", "dim"),
        (number.value, "bold"),
        (f" (limit {number.limit}), {number.steps}", "dim"),
    )


def _remedy(remedy: Remedy) -> Text:
    return Text.assemble(
        (f"{remedy.lead}: ", "bold green"),
        remedy.what,
        f", because {remedy.because}" if remedy.because else "",
        (f"; {remedy.expect}" if remedy.expect else "", "dim"),
    )


def _skips(told: Digest) -> Iterator[Text]:
    yield from (Text.assemble((f"{lack}: ", "dim"), needs) for lack, needs in told.lacking)
    yield from (Text.assemble(codes, (f"  {reason}", "dim")) for codes, reason in told.skipped)


def _names(told: Digest) -> Iterator[Text]:
    for name in told.suggested:
        yield Text.assemble(name.name, (f"  {name.perhaps}: ", "dim"), (name.option, "bold"))
    if told.unknown:
        yield Text(told.unknown, "dim")


def _list(title: str, lines: Iterable[Text]) -> list[RenderableType]:
    shown = [_Hanging(line, INDENT) for line in lines]
    return [Text(), Text(title, "bold"), *shown] if shown else []


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, INDENT))


class _Hanging:
    """Text whose first line stands further out than the others, so that one sees where each of many begins."""

    def __init__(self, text: Text, indent: int) -> None:
        self._text, self._indent = text, indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = self._text.wrap(console, max(1, options.max_width - self._indent - INDENT))
        for i, line in enumerate(lines):
            yield Padding(line, (0, 0, 0, self._indent + (INDENT if i else 0)))
