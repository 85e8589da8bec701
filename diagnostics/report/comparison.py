"""A comparison in words before it has a format: the answer, tables, and what else is to be known.

Every text has passed `visible`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from diagnostics.comparison import Comparison
from diagnostics.differences import Fate
from diagnostics.finding import Severity
from diagnostics.parting import Parting
from diagnostics.report.comparison_words import (
    answer,
    frameworks,
    grave,
    listed,
    number,
    ratio,
    setting_name,
    shown,
    side,
)
from diagnostics.text import visible

MOST = 12  # settings without a canonical name in the table


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: its title, the heads of its columns, and its rows."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """A comparison: what its sides are, the answer line by line (lead, text), tables, and what else is to be known."""

    sides: tuple[tuple[str, str], ...]
    answer: tuple[tuple[str, str], ...]
    tables: tuple[Rows, ...]
    notes: tuple[str, ...]


def told(comparison: Comparison, names: tuple[str, str]) -> Told:
    """The comparison of two sides that are called `names`."""
    sides = comparison.before, comparison.after
    trained_by = tuple(map(frameworks, sides))
    if trained_by[0] == trained_by[1] or not all(trained_by):
        trained_by = ("", "")  # which tells nothing of what differs
    return Told(
        sides=tuple((name, side(runs, by)) for name, runs, by in zip(names, sides, trained_by, strict=True)),
        answer=tuple(answer(comparison, names)),
        tables=tuple(table for table in _tables(comparison, names) if table.rows),
        notes=tuple(_notes(comparison, names)),
    )


# ---- tables


def _tables(comparison: Comparison, names: tuple[str, str]) -> Iterator[Rows]:
    yield Rows(
        "Settings that differ",
        ("setting", *names),
        tuple((setting_name(c), listed(c.before), listed(c.after) + ratio(c)) for c in comparison.changed),
    )
    yield Rows(
        "Settings that only one side logs",
        ("setting", *names),
        tuple((setting_name(c), listed(c.before), listed(c.after)) for c in comparison.one_sided),
    )
    yield Rows(
        "Other settings, as they are logged",
        ("setting", *names),
        tuple(
            (setting_name(c), listed(shown(c, c.before)), listed(shown(c, c.after))) for c in comparison.others[:MOST]
        ),
    )
    order = list(Fate)
    yield Rows(
        "Findings",
        ("", "finding", *names),
        tuple(
            (
                str(f.fate),
                f"{visible(f.code)} {visible(f.name)}",
                _found(f.before, f.runs[0], len(comparison.before)),
                _found(f.after, f.runs[1], len(comparison.after)),
            )
            for f in sorted(comparison.findings, key=lambda f: order.index(f.fate))
        ),
    )
    yield Rows(
        "Metrics that part",
        (
            "metric",
            "since" if comparison.unit == "steps" else f"since ({comparison.unit})",
            *names,
            "B - A" if names == ("A", "B") else "difference",
        ),
        tuple((visible(p.metric), _span(p), number(p.before), number(p.after), _signed(p)) for p in comparison.apart()),
    )


def _found(severity: Severity | None, runs: int, of: int) -> str:
    if severity is None:
        return "-"
    return severity.name.lower() + (f", {runs} of {of}" if of > 1 else "")


def _span(parting: Parting) -> str:
    assert parting.at is not None
    until = f" to {math.floor(parting.until):,}" if parting.until is not None else ""
    return f"{math.ceil(parting.at):,}{until}"


def _signed(parting: Parting) -> str:
    return f"{parting.difference:+.3g} ± {parting.error:.2g}"


# ---- notes


def _notes(comparison: Comparison, names: tuple[str, str]) -> Iterator[str]:
    alike = comparison.alike()
    if alike:
        yield f"Not beyond noise: {', '.join(visible(p.metric) for p in alike)}"
    if comparison.doubles:
        same = (f"{visible(name)} as {visible(other)}" for name, other in comparison.doubles.items())
        yield f"The same numbers: {', '.join(same)}"
    broken = [
        f"{visible(metric)} in {name} from step {end} on"
        for metric, ends in comparison.broken.items()
        for name, end in zip(names, ends, strict=True)
        if end is not None
    ]
    if broken:
        yield f"Not finite: {', '.join(broken)}"
    for name, metrics in zip(names, comparison.only, strict=True):
        if metrics:
            yield f"Logged by {name} alone: {', '.join(map(visible, metrics))}"
    if comparison.short:
        yield f"Too few points in common: {', '.join(map(visible, comparison.short))}"
    more = comparison.others[MOST:]
    if more:
        yield f"Of other settings these differ, too: {', '.join(visible(change.name) for change in more)}"
    for finding in filter(grave, comparison.of_fate(Fate.UNKNOWN)):
        yield f"{visible(finding.code)} could not be checked on both sides: {visible(finding.why)}"
    single = len(comparison.before) == len(comparison.after) == 1
    yield (
        "± is 95 % by the noise within the runs and by what "
        + ("another seed usually does" if single else "lies between those of a side")
        + "; apart is what lies further apart than runs of equal settings and other seeds were seen to."
        + (" Several seeds a side (A1 A2 -- B1 B2) show smaller differences." if single else "")
    )
