"""Reports as Markdown, for an issue, a chat or the summary of a CI job: the verdict, causes, findings, the rest folded.

Names from logs stand in code spans, where nothing is markup and nobody is mentioned; other text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from diagnostics.finding import Report
from diagnostics.report.digest import Digest, Number, Remedy, ToldCause, ToldFinding, digest
from diagnostics.report.survey import Line, State, Survey, survey
from diagnostics.text import count, sparkline

CELLS = 24  # of a curve in a table
# Within a word `_` is no markup, and at the start of a line only some marks are: fewer escapes read better in a chat.
_PUNCTUATION = re.compile(r"[\\`*\[\]<|~&$]|(?<!\w)_|_(?!\w)|^[>#+=-]")
_NUMBERED = re.compile(r"^(\d+)([.)])")
# A word joiner, which nobody sees, keeps `@name` from calling a person and `:name:` from being a picture.
_CALLS = re.compile(r"(?<=@)(?=\w)|(?<=:)(?=[\w+-]+:)")


def render(
    reports: Sequence[Report],
    unread: Mapping[str, str] = MappingProxyType({}),
    *,
    verbose: bool = False,
    most_bytes: int | None = None,
) -> str:
    """All reports, the sick ones first; of several runs a table before them.

    With `most_bytes` as many runs as fit in, and a line that says how many do not.
    """
    seen = survey(reports, unread)
    told = [digest(reports[line.place], verbose=verbose) for line in seen.lines if line.place is not None]
    if len(told) == 1 and not unread:
        return _joined(_run(told[0], "#"))
    text, sections = _joined(_overview(seen)), ["\n" + _joined(_run(one, "##")) for one in told]
    if most_bytes is None:
        return "".join((text, *sections))
    if _bytes(text + _left_out(len(told))) > most_bytes:
        return _joined([f"# {escaped(seen.summary)}"])
    left, room = len(told), most_bytes - _bytes(text)
    for section in sections:
        room -= _bytes(section)
        if room < _bytes(_left_out(left - 1)):
            break
        text += section
        left -= 1
    return text + _left_out(left)


def _bytes(text: str) -> int:
    return len(text.encode())


def _left_out(runs: int) -> str:
    return f"\n{count(runs, 'run')} more would not fit here.\n" if runs else ""


def escaped(text: str) -> str:
    """`text` in which nothing is markup; it must be `visible`."""
    marked = _NUMBERED.sub(r"\1\\\2", _PUNCTUATION.sub(lambda match: f"\\{match[0]}", text))
    return _CALLS.sub("\u2060", marked)


def code(name: str) -> str:
    """`name` as a code span, in a table too; it must be `visible`."""
    if "|" in name:  # divides cells even in a code span
        return f"<code>{''.join(c if c.isalnum() else f'&#{ord(c)};' for c in name)}</code>"
    fence = "`" * (max(map(len, re.findall("`+", name)), default=0) + 1)
    room = " " if name.startswith("`") or name.endswith("`") or name.strip(" ") != name or not name else ""
    return f"{fence}{room}{name}{room}{fence}"


def _joined(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _overview(seen: Survey) -> Iterator[str]:
    yield from (f"# {escaped(seen.summary)}", "")
    if seen.folder:
        yield from (f"Below {code(seen.folder)}:", "")
    yield from ("| | run | last step | what is wrong | since | what to do |", "|---|---|--:|---|---|---|")
    yield from map(_row, seen.lines)


def _row(line: Line) -> str:
    name = code(line.source) if line.source else ""
    if line.state is State.UNREAD or line.verdict is None:
        return f"| not read | {name} | | {escaped(line.why)} | | |"
    if line.state is not State.SICK:
        state = "healthy" if line.state is State.HEALTHY else "unchecked"
        return f"| {state} | {name} | {line.steps} | {escaped(line.verdict.what)} | | |"
    remedy = line.verdict.remedy
    assert line.severity is not None
    return " | ".join(
        (
            f"| **{line.severity.name}**",
            name,
            line.steps,
            escaped(f"{line.worst}: {line.verdict.what}"),
            line.verdict.onset,
            f"{escaped(remedy.what)} |" if remedy else " |",
        )
    )


def _run(told: Digest, heading: str) -> Iterator[str]:
    verdict = told.verdict
    severity = f"{verdict.severity.name}: " if verdict.severity is not None else ""
    yield from (f"{heading} {severity}{escaped(verdict.what)}", "")
    if told.source:
        yield from (f"{code(told.source)}, {escaped(told.read_as)}", "")
    if verdict.since:
        yield from (f"**{verdict.since[0].upper()}{verdict.since[1:]}.**", "")
    if verdict.remedy:
        yield from (f"{verdict.remedy.lead}: **{escaped(verdict.remedy.what)}**", "")
    yield escaped(told.summary)
    for cause in told.causes:
        yield from _cause(cause, heading)
    if told.unexplained:
        yield from ("", escaped(told.unexplained) + ".")
    if told.findings:
        yield from _findings(told.findings, heading)
    if told.worth_knowing:
        yield from ("", f"{heading}# Worth knowing", "")
        for finding in told.worth_knowing:
            yield f"- {finding.severity.name} {code(finding.code)} {escaped(f'{finding.name}, {finding.where}: ')}" + (
                escaped(finding.message)
            )
    yield from _rest(told, heading)


def _cause(cause: ToldCause, heading: str) -> Iterator[str]:
    yield from ("", f"{heading}# {cause.name}: {escaped(cause.title)}", "", f"*{escaped(cause.scope)}*", "")
    yield from (f"- {lead}{escaped(chain)}" for lead, chain in cause.chains)
    yield from (f"- for: {escaped(reason)}" for reason in cause.speaks_for)
    yield from (f"- against: {escaped(reason)}" for reason in cause.speaks_against)
    yield from (f"- {_remedy(remedy)}" for remedy in cause.remedies)
    if cause.settle:
        yield f"- what would settle it: {escaped(cause.settle)}"


def _findings(findings: Sequence[ToldFinding], heading: str) -> Iterator[str]:
    yield from ("", f"{heading}# Findings", "")
    yield from ("| | finding | since step | known at | its number | around it |", "|---|---|--:|--:|---|---|")
    for told in findings:
        number = told.numbers[0] if told.numbers else None
        segment = f" (segment {told.finding.segment})" if told.where.startswith("segment") else ""
        yield " | ".join(
            (
                f"| **{told.severity.name}**",
                f"{code(told.code)} {escaped(told.name)}",
                f"{told.onset}{segment}",
                str(told.finding.raised_at),
                f"{code(number.metric)} {number.value} (limit {number.limit})" if number else "",
                f"{_curve(told)} |",
            )
        )
    for told in findings:
        yield from ("", f"{heading}## {told.severity.name} {escaped(f'{told.code} {told.name}')}", "")
        yield from (f"*{escaped(told.when)}*", "", escaped(told.message), "")
        yield from (f"- {_number(number)}" for number in told.numbers)
        if told.see:
            yield f"- see {escaped(told.see)}"
        yield from (f"- {_remedy(remedy)}" for remedy in told.remedies)


def _curve(told: ToldFinding) -> str:
    """The curve around a finding in a line; what was not logged leaves no mark in it."""
    values = [value for value in told.excerpt.values if value is not None] if told.excerpt else []
    return code(sparkline(values, CELLS)) if values else ""


def _number(number: Number) -> str:
    logged = f" ({code(number.logged)} in the log)" if number.logged else ""
    statistic = f" {escaped(number.statistic)}" if number.statistic else ""
    return f"{code(number.metric)}{logged}{statistic} **{number.value}** (limit {number.limit}), {number.steps}"


def _remedy(remedy: Remedy) -> str:
    because = f", because {escaped(remedy.because)}" if remedy.because else ""
    expect = f"; {escaped(remedy.expect)}" if remedy.expect else ""
    what = f"**{escaped(remedy.what)}**" if remedy.prescription else escaped(remedy.what)
    return f"{remedy.lead}: {what}{because}{expect}"


def _rest(told: Digest, heading: str) -> Iterator[str]:
    if told.explained:
        yield from ("", f"{heading}# Looks wrong and is not", "")
        yield from (f"- {escaped(title)} ({steps}): {escaped(text)}" for title, steps, text in told.explained)
    if told.skips:
        yield from _folded(f"Not checked: {count(told.skips, 'rule')}")
        yield from (f"- {escaped(f'{lack}: {needs}')}" for lack, needs in told.lacking)
        yield from (f"- {escaped(f'{codes}: {reason}')}" for codes, reason in told.skipped)
        yield from ("", "</details>")
    if told.unmapped:
        yield from _folded(f"Not understood: {count(told.unmapped, 'name')}")
        yield from (f"- {code(n.name)} {escaped(n.perhaps)}: {code(n.option)}" for n in told.suggested)
        yield from ([f"- {escaped(told.unknown)}"] if told.unknown else [])
        yield from ("", "</details>")
    if told.notes:
        yield from ("", f"{heading}# Notes", "")
        yield from (f"- {escaped(note)}" for note in told.notes)


def _folded(title: str) -> Iterator[str]:
    """What a reader may open; the line after the summary is Markdown again."""
    yield from ("", f"<details><summary>{title}</summary>", "")
