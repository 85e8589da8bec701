"""What is said of configurations: for a person at a terminal, and as JSON for other programs.

Everything for the terminal is built from `Text`, never from markup, and passes `visible`: names and values are others'.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from diagnostics.configs.known import Known
from diagnostics.configs.linting import Linted, Placed
from diagnostics.finding import Json, Set, finding_to_json
from diagnostics.report.github import KINDS, Annotation, Kind, written
from diagnostics.report.styles import STYLES
from diagnostics.report.words import amounts, spoken
from diagnostics.text import count, visible

VERSION = 1
MOST_NAMES = 40  # of those not understood


def render(linted: Linted, *, brief: bool = False) -> RenderableType:
    """One configuration: what it was taken for, what is wrong with it, what to set, and what was not known.

    Where it is to be `brief`, of the last only how much there is.
    """
    parts: list[RenderableType] = [*_header(linted), _summary(linted)]
    for placed in linted.findings:
        parts += [Text(), *(_finding(placed, linted) if placed.finding.severity else _worth_knowing(placed))]
    if brief:
        return Group(*parts, Text(_left(linted), "dim"), Text())
    parts += _list("Not known", _unknown(linted))
    parts += _list(f"Not checked: {count(len(linted.skips), 'rule')}", _skips(linted))
    parts += _list(f"No rule looks at: {count(len(linted.unmapped), 'name')}", _names(linted.unmapped))
    parts += _list("Notes", (Text(visible(note)) for note in linted.notes))
    return Group(*parts, Text())


def _left(linted: Linted) -> str:
    """How much was not known and not looked at."""
    unknown = len([name for name in linted.unknown if name in linted.meant]) + len(linted.open)
    told = [f"{count(unknown, 'value')} not known"] if unknown else []
    told += [f"{count(len(linted.skips), 'rule')} not checked"] if linted.skips else []
    told += [f"no rule looks at {count(len(linted.unmapped), 'name')}"] if linted.unmapped else []
    told += [count(len(linted.notes), "note")] if linted.notes else []
    return f"{'; '.join(told)}." if told else ""


def where(linted: Linted) -> str:
    """The source, with the line at which the configuration begins where that tells."""
    return f"{linted.source}:{linted.line}" if linted.line else linted.source


def _header(linted: Linted) -> Iterator[Text]:
    yield Text(visible(where(linted)), "bold")
    defaults = sum(bool(known.default) for known in linted.settings.values())
    known = f"{count(linted.given, 'setting')} understood" + (
        f", {defaults} at {linted.called}'s defaults" if defaults else ""
    )
    yield Text(visible(f"{linted.recognised}; {known}"), "dim")


def _summary(linted: Linted) -> Text:
    scope = f"{linted.rules - len(linted.skips)} of {linted.rules} rules could be checked"
    if not linted.findings:
        return Text(f"No findings; {scope}.", "green")
    return Text(f"{amounts(placed.finding.severity for placed in linted.findings)}; {scope}.")


def _finding(placed: Placed, linted: Linted) -> Iterator[RenderableType]:
    finding = placed.finding
    yield Text.assemble(
        (f" {finding.severity.name} ", STYLES[finding.severity]),
        (f" {visible(finding.code)} {visible(finding.name)}", "bold"),
        (f"  line {placed.line}" if placed.line else "", "dim"),
    )
    yield _indented(Text(visible(f"{finding.message}.")))
    for known in placed.rests_on:
        yield _indented(Text(visible(said(known)), "dim"))
    for sentence in advice(placed, linted):
        yield _indented(Text.assemble(("Do: ", "bold green"), visible(sentence)))


def _worth_knowing(placed: Placed) -> Iterator[RenderableType]:
    """What is harmless, in a line or two."""
    finding = placed.finding
    yield Text.assemble(
        (f" {finding.severity.name} ", STYLES[finding.severity]),
        (f" {visible(finding.code)} {visible(finding.name)}", "bold"),
        (f"  line {placed.line}" if placed.line else "", "dim"),
        visible(f": {finding.message}"),
        (visible(f"; {said(placed.rests_on[0])}") if placed.rests_on else "", "dim"),
    )


def said(known: Known) -> str:
    """A setting as it stands there: its name, its value, its line or whose default it is."""
    value = known.value if known.written is None else known.written
    value = f"{value:g}" if isinstance(value, float) else value
    line = f"line {known.line}" + (f" of {known.file}" if known.file else "") if known.line else ""
    about = ", ".join(part for part in (line, known.how or known.default) if part)
    return f"{known.name} is {value}" + (f" ({about})" if about else "")


def advice(placed: Placed, linted: Linted) -> Iterator[str]:
    """What to do about a finding, a sentence each, in the framework's names."""
    for prescription in placed.finding.prescriptions:
        given = linted.settings.get(prescription.knob)
        own = given.name if given is not None else spoken(prescription.knob, linted.framework)
        change = prescription.change
        to = f"to {change.value:g}" if isinstance(change, Set) else str(change)
        yield f"Set {own} {to}, because {prescription.hypothesis.because}."
    yield from placed.finding.advice


def _unknown(linted: Linted) -> Iterator[Text]:
    for name, given in linted.unknown.items():
        if name in linted.meant:
            line = f", line {given.line}" if given.line else ""
            yield Text(visible(f"{name}: {given.unknown}{line}"))
    others = [name for name in linted.unknown if name not in linted.meant]
    if others:
        yield Text(visible(f"{', '.join(others)}, which no rule looks at"), "dim")
    for reason in linted.open:
        yield Text(visible(f"whatever else is given: {reason}"))


def _skips(linted: Linted) -> Iterator[Text]:
    needs = {
        skip.code: skip.reason.partition(",")[0].removeprefix("needs the setting ")
        for skip in linted.skips
        if skip.reason.startswith("needs the setting ")
    }
    if needs:
        told = "; ".join(f"{code} {spoken(need, linted.framework)}" for code, need in needs.items())
        yield Text.assemble(("need what is not known here: ", "dim"), visible(told))
    for skip in linted.skips:
        if skip.code not in needs:
            yield Text.assemble(visible(skip.code), (f"  {visible(skip.reason)}", "dim"))


def _names(names: Sequence[str]) -> Iterator[Text]:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    if names:
        yield Text(visible(f"{', '.join(names[:MOST_NAMES])}{more}"), "dim")


def _list(title: str, lines: Iterable[Text]) -> list[RenderableType]:
    shown = [_indented(line) for line in lines]
    return [Text(), Text(title, "bold"), *shown] if shown else []


def _indented(what: RenderableType) -> Padding:
    return Padding(what, (0, 0, 0, 2))


def to_github(all_linted: Iterable[Linted], errors: Iterable[str]) -> str:
    """The findings as annotations of a GitHub job, at their lines."""
    made = [Annotation(Kind.ERROR, "not checked", error) for error in errors]
    for linted in all_linted:
        for placed in linted.findings:
            finding = placed.finding
            lines = [f"{finding.message}.", *map(said, placed.rests_on), *advice(placed, linted)]
            title = f"{finding.severity.name} {finding.code} {finding.name}"
            file = linted.source if Path(linted.source).suffix else ""  # a preset and a command line are no file
            line = placed.line or linted.line
            made.append(Annotation(KINDS[finding.severity], title, "\n".join(lines), file, line))
    return written(made)


def to_json(all_linted: Iterable[Linted], passed_over: Mapping[str, str], errors: Iterable[str]) -> str:
    """All configurations as one JSON document, in ASCII and without NaN."""
    document = {
        "version": VERSION,
        "configurations": [_json(linted) for linted in all_linted],
        "passed_over": [{"source": source, "reason": reason} for source, reason in passed_over.items()],
        "errors": list(errors),
    }
    return json.dumps(document, indent=2, allow_nan=False, default=str) + "\n"


def _json(linted: Linted) -> Json:
    return {
        "source": linted.source,
        "line": linted.line or None,
        "framework": linted.framework,
        "recognised_by": linted.recognised,
        "rules": linted.rules,
        "findings": [
            finding_to_json(placed.finding)
            | {
                "line": placed.line or None,
                "rests_on": [_known(known) for known in placed.rests_on],
                "remedies": list(advice(placed, linted)),
            }
            for placed in linted.findings
        ],
        "settings": {canonical: _known(known) for canonical, known in linted.settings.items()},
        "unknown": [
            {"name": name, "line": given.line or None, "reason": given.unknown}
            for name, given in linted.unknown.items()
        ],
        "open": list(linted.open),
        "skips": [{"code": skip.code, "reason": skip.reason} for skip in linted.skips],
        "unmapped": list(linted.unmapped),
        "notes": list(linted.notes),
    }


def _known(known: Known) -> dict[str, Any]:
    return {
        "name": known.name,
        "value": known.value,
        "line": known.line or None,
        "default": known.default or None,
        "from": known.how or None,
    }
