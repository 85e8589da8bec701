"""A comparison in words before it has a format: what changed, what went, what came of the reward.

Every text has passed `visible`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostics.comparison import Comparison
from diagnostics.differences import Fate, FindingChange, Judged, SettingChange
from diagnostics.finding import Severity
from diagnostics.parting import Parting
from diagnostics.report.words import amounts
from diagnostics.text import count, visible

SOME = 4  # that one line names of many
MOST = 12  # settings without a canonical name in the table
LONGEST = 60  # characters that are shown of a value
# Of names of settings that hold what must not be shown; `max_tokens` is a number.
_SECRET = re.compile(r"key|token|secret|passw|credential", flags=re.IGNORECASE)
HIDDEN = "(hidden)"


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
    return Told(
        sides=((names[0], _side(comparison.before)), (names[1], _side(comparison.after))),
        answer=tuple(_answer(comparison, names)),
        tables=tuple(table for table in _tables(comparison, names) if table.rows),
        notes=tuple(_notes(comparison, names)),
    )


def _side(side: Sequence[Judged]) -> str:
    """What runs of a side are called, how far they go, and how bad the worst findings in them are."""
    sources = [visible(one.run.source) for one in side]
    last = sorted({one.report.steps for one in side})
    steps = f"to step {last[0]}" if len(last) == 1 else f"to steps {last[0]} to {last[-1]}"
    worst = amounts(finding.severity for one in side for finding in one.report.findings) or "no findings"
    more = f" and {len(sources) - SOME} more" if len(sources) > SOME else ""
    return f"{', '.join(sources[:SOME])}{more}, {steps}: {worst}"


# ---- the answer


def _answer(comparison: Comparison, names: tuple[str, str]) -> Iterator[tuple[str, str]]:
    yield "Changed", _changed(comparison, names)
    for lead, fate in (("Gone", Fate.GONE), ("New", Fate.NEW)):
        grave = [f"{f.worst.name} {visible(f.code)} {visible(f.name)}" for f in comparison.of_fate(fate) if _grave(f)]
        light = sum(not _grave(finding) for finding in comparison.of_fate(fate))
        rest = [f"{light} worth knowing"] if light else []
        yield lead, ", ".join([*grave, *rest]) or "no finding"
    reward = comparison.reward()
    if reward is not None:
        yield "Reward", _moved(reward, comparison.unit)
    yield "Apart", _apart(comparison)


def _grave(finding: FindingChange) -> bool:
    return finding.worst > Severity.INFO


def _changed(comparison: Comparison, names: tuple[str, str]) -> str:
    changes, seeds = comparison.changes(), comparison.seeds()
    more = [f"{len(changes) - SOME} more settings"] if len(changes) > SOME else []
    told = [*map(_change, changes[:SOME]), *more]
    numbers = [c for c in comparison.others if c.before and c.after and not _has_text(c)][: SOME - len(told)]
    told += map(_change, numbers)
    rest = len(comparison.others) - len(numbers)
    if rest:
        told.append(f"{count(rest, 'other setting' if told else 'setting')} that autotune has no name for")
    seed = [f"the seed ({_values(seeds.before)} → {_values(seeds.after)})"] if seeds else []
    if told:
        return "; ".join([*told, *seed])
    silent = [
        name
        for name, side in zip(names, (comparison.before, comparison.after), strict=True)
        if any(not one.run.settings for one in side)
    ]
    if silent:
        logs = "the log" if len(silent) == 1 else "the logs"
        return f"not known: {logs} of {' and '.join(silent)} {'has' if len(silent) == 1 else 'have'} no settings"
    return f"nothing but {seed[0]}" if seed else "no setting that both log"


def _has_text(change: SettingChange) -> bool:
    return any(isinstance(value, str) for value in (*change.before, *change.after))


def _change(change: SettingChange) -> str:
    """`learning_rate 0.003 → 0.0001 (÷ 30)`."""
    return f"{_name(change)} {_values(change.before)} → {_values(change.after)}{_ratio(change)}"


def _name(change: SettingChange) -> str:
    """What users of the framework call it, with the canonical name where that is another."""
    spoken = list(dict.fromkeys(change.spoken))
    own = " and ".join(spoken)
    return visible(own if spoken == [change.name] else f"{own} ({change.name})")


def _ratio(change: SettingChange) -> str:
    if len(change.before) != 1 or len(change.after) != 1:
        return ""
    before, after = change.before[0], change.after[0]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in (before, after))
    if not numbers:
        return ""
    ratio = after / before
    return f" (× {ratio:.3g})" if ratio > 1 else f" (÷ {1 / ratio:.3g})" if ratio > 0 else ""


def _values(values: Sequence[Any]) -> str:
    return ", ".join(map(_value, values)) or "not logged"


def shown(change: SettingChange, values: Sequence[Any]) -> list[Any]:
    """The values of a setting, less texts that may be secrets."""
    return [HIDDEN if isinstance(value, str) and _SECRET.search(change.name) else value for value in values]


def _shown(change: SettingChange, values: Sequence[Any]) -> str:
    return _values(shown(change, values))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = visible(str(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _moved(parting: Parting, unit: str) -> str:
    """Where a metric ended up, and since when it lies apart."""
    if parting.at is None:
        return (
            f"{visible(parting.metric)} does not part beyond noise: {_amount(parting)} "
            f"({_number(parting.before)} → {_number(parting.after)})"
        )
    until = f", until {_position(parting.until, unit)}" if parting.until is not None else ""
    ends = "ends" if parting.until is None else "was"
    return (
        f"{visible(parting.metric)} {ends} {_amount(parting)} ({_number(parting.before)} → {_number(parting.after)}), "
        f"apart since {_position(parting.at, unit)}{until}"
    )


def _amount(parting: Parting) -> str:
    """`0.72 ± 0.1 higher`."""
    direction = "higher" if parting.difference > 0 else "lower"
    return f"{_number(abs(parting.difference))} ± {parting.error:.2g} {direction}"


def _number(value: float) -> str:
    return f"{value:.3g}"


def _position(at: float | None, unit: str) -> str:
    assert at is not None
    return f"step {math.ceil(at)}" if unit == "steps" else f"{math.ceil(at):,} {unit}"


def _apart(comparison: Comparison) -> str:
    apart, compared = comparison.apart(), len(comparison.partings)
    if not compared:
        return "no metric has points enough on both sides to be compared"
    if not apart:
        return f"none of {count(compared, 'metric')} parts beyond noise"
    first = f"{visible(apart[0].metric)} first, at {_position(apart[0].at, comparison.unit)}"
    return f"{len(apart)} of {count(compared, 'metric')} {'parts' if len(apart) == 1 else 'part'} beyond noise, {first}"


# ---- tables


def _tables(comparison: Comparison, names: tuple[str, str]) -> Iterator[Rows]:
    yield Rows(
        "Settings that differ",
        ("setting", *names),
        tuple((_name(c), _values(c.before), _values(c.after) + _ratio(c)) for c in comparison.changed),
    )
    yield Rows(
        "Settings that only one side logs",
        ("setting", *names),
        tuple((_name(c), _values(c.before), _values(c.after)) for c in comparison.one_sided),
    )
    yield Rows(
        "Other settings, as they are logged",
        ("setting", *names),
        tuple((_name(c), _shown(c, c.before), _shown(c, c.after)) for c in comparison.others[:MOST]),
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
        ("metric", "since", *names, "B - A" if names == ("A", "B") else "difference"),
        tuple(
            (visible(p.metric), _span(p, comparison.unit), _number(p.before), _number(p.after), _signed(p))
            for p in comparison.apart()
        ),
    )


def _found(severity: Severity | None, runs: int, of: int) -> str:
    if severity is None:
        return "-"
    return severity.name.lower() + (f", {runs} of {of}" if of > 1 else "")


def _span(parting: Parting, unit: str) -> str:
    assert parting.at is not None
    until = f" to {math.floor(parting.until):,}" if parting.until is not None else ""
    return f"{math.ceil(parting.at):,}{until}" + ("" if unit == "steps" else f" {unit}")


def _signed(parting: Parting) -> str:
    return f"{parting.difference:+.3g} ± {parting.error:.2g}"


# ---- notes


def _notes(comparison: Comparison, names: tuple[str, str]) -> Iterator[str]:
    alike = comparison.alike()
    if alike:
        yield f"Not beyond noise: {', '.join(visible(p.metric) for p in alike)}"
    for metric, ends in comparison.broken.items():
        since = [f"{name} from step {end} on" for name, end in zip(names, ends, strict=True) if end is not None]
        yield f"Not finite: {visible(metric)} in {' and '.join(since)}"
    for name, metrics in zip(names, comparison.only, strict=True):
        if metrics:
            yield f"Logged by {name} alone: {', '.join(map(visible, metrics))}"
    if comparison.short:
        yield f"Too few points in common: {', '.join(map(visible, comparison.short))}"
    more = comparison.others[MOST:]
    if more:
        yield f"Of other settings these differ, too: {', '.join(visible(change.name) for change in more)}"
    for finding in comparison.of_fate(Fate.UNKNOWN):
        yield f"{visible(finding.code)} could not be checked on both sides: {visible(finding.why)}"
    single = len(comparison.before) == len(comparison.after) == 1
    yield (
        "± is 95 % by the noise within the runs and by what "
        + ("another seed usually does" if single else "lies between those of a side")
        + "; apart is what lies further apart than runs of equal settings and other seeds were seen to."
        + (" Several seeds a side (A1 A2 -- B1 B2) show smaller differences." if single else "")
    )
