"""What came of a change, line by line: what changed, what went, what came of the reward.

Every text has passed `visible`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from diagnostics.comparison import Comparison
from diagnostics.differences import Fate, FindingChange, Judged, SettingChange
from diagnostics.finding import Severity
from diagnostics.naming import PLAIN
from diagnostics.parting import Parting
from diagnostics.report.remedies import without_moot
from diagnostics.report.words import amounts
from diagnostics.text import count, visible

SOME = 4  # that one line names of many
LONGEST = 60  # characters that are shown of a value
# Of names of settings that hold what must not be shown; `max_tokens` is a number. OpenRLHF's `use_wandb` is an API key.
_SECRET = re.compile(r"key|token|secret|passw|credential|^(?:.*\.)?use_wandb$", flags=re.IGNORECASE)
# The same in texts under other names: a login in an address, an object with such a name, what keys begin with.
_HOLDS_SECRET = re.compile(
    r"://[^/\s@]+@|(?:key|token|secret|passw|credential)\w*['\"]?\s*[:=]|\b(?:hf_|sk-|gh[opsu]_|wandb_v1_|AKIA)[\w-]{8}",
    flags=re.IGNORECASE,
)
HIDDEN = "(hidden)"


def frameworks(runs: Sequence[Judged]) -> str:
    """What trained the runs of a side, as far as it is known."""
    known = (one.run.framework for one in runs if one.run.framework not in ("", PLAIN))
    return ", ".join(dict.fromkeys(map(visible, known)))


def side(runs: Sequence[Judged], trained_by: str = "") -> str:
    """What the runs of a side are called, how far they go, and how many findings there are of each severity."""
    sources = [visible(one.run.source) + _segment(one) for one in runs]
    last = sorted({one.report.steps for one in runs})
    steps = f"to step {last[0]}" if len(last) == 1 else f"to steps {last[0]} to {last[-1]}"
    worst = amounts(finding.severity for one in runs for finding in without_moot(one.report).findings) or "no findings"
    more = f" and {len(sources) - SOME} more" if len(sources) > SOME else ""
    by = f" ({trained_by})" if trained_by else ""
    return f"{', '.join(sources[:SOME])}{more}{by}, {steps}: {worst}"


def _segment(one: Judged) -> str:
    """Which run of its log it is, where its steps begin anew."""
    return f" (the last of {one.run.segment} runs in it)" if one.run.segment > 1 else ""


def answer(comparison: Comparison, names: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """What changed and what came of it, each line with its lead."""
    yield "Changed", _changed(comparison, names)
    for lead, fate in (("Gone", Fate.GONE), ("New", Fate.NEW), ("Unknown", Fate.UNKNOWN)):
        found = comparison.of_fate(fate)
        if fate is Fate.UNKNOWN and not any(map(grave, found)):
            continue
        told = [
            f"{finding.worst.name} {visible(finding.code)} {visible(finding.name)}" for finding in filter(grave, found)
        ]
        rest = [f"{len(found) - len(told)} info"] if len(told) < len(found) else []
        yield lead, ", ".join([*told, *rest]) or "no finding"
    for lead, sign in (("Milder", 1), ("Worse", -1)):
        moved = [_moved_by(finding) for finding in comparison.of_fate(Fate.BOTH) if sign * _milder(finding) > 0]
        if moved:
            yield lead, ", ".join(moved)
    reward = comparison.reward()
    if reward is not None:
        yield "Reward", _moved(reward, comparison.unit)
    yield "Apart", _apart(comparison)
    if comparison.broken:
        yield "Broken", _broken(comparison, names)


def _milder(finding: FindingChange) -> int:
    """By how much the severity fell."""
    return 0 if finding.before is None or finding.after is None else finding.before - finding.after


def _moved_by(finding: FindingChange) -> str:
    before, after = (severity.name for severity in (finding.before, finding.after) if severity is not None)
    return f"{visible(finding.code)} {visible(finding.name)} ({before} → {after})"


def grave(finding: FindingChange) -> bool:
    """Whether it is more than INFO."""
    return finding.worst > Severity.INFO


def _changed(comparison: Comparison, names: tuple[str, str]) -> str:
    changes, seeds = comparison.changes(), comparison.seeds()
    more = [count(len(changes) - SOME, "more setting")] if len(changes) > SOME else []
    told = [*map(_change, changes[:SOME]), *more]
    numbers = [c for c in comparison.others if c.before and c.after and not _has_text(c)]
    room = SOME - len(told)
    told += map(_change, numbers[:room])
    rest = len(numbers[room:]) if told else len(comparison.others)  # texts are mostly names of runs and folders
    if rest:
        told.append(f"{count(rest, 'other setting' if told else 'setting')} that autotune has no name for")
    seed = [f"the seed ({listed(seeds.before)} → {listed(seeds.after)})"] if seeds else []
    if comparison.one_sided:
        told.append(f"{count(len(comparison.one_sided), 'setting')} that only one side logs")
    silent = _silent(comparison, names)
    if silent:
        told.append(f"{'others are' if told else 'it is'} not known, {silent} no settings")
    if told:
        return "; ".join([*told, *seed])
    return f"nothing but {seed[0]}" if seed else "no setting"


def _silent(comparison: Comparison, names: tuple[str, str]) -> str:
    """`the log of A has`: which sides log no settings."""
    sides = zip(names, (comparison.before, comparison.after), strict=True)
    silent = [name for name, side in sides if not all(one.run.settings for one in side)]
    return "" if not silent else f"the log of {silent[0]} has" if len(silent) == 1 else "the logs have"


def _has_text(change: SettingChange) -> bool:
    return any(isinstance(value, str) for value in (*change.before, *change.after))


def _change(change: SettingChange) -> str:
    """`learning_rate 0.003 → 0.0001 (÷ 30)`."""
    return f"{setting_name(change)} {listed(change.before)} → {listed(change.after)}{ratio(change)}"


def setting_name(change: SettingChange) -> str:
    """What users of the framework call it, with the canonical name where that is another."""
    spoken = list(dict.fromkeys(change.spoken))
    own = " and ".join(spoken)
    return visible(own if spoken == [change.name] else f"{own} ({change.name})")


def ratio(change: SettingChange) -> str:
    """How many times larger or smaller it became, of two numbers above 0."""
    if len(change.before) != 1 or len(change.after) != 1:
        return ""
    before, after = change.before[0], change.after[0]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in (before, after))
    if not numbers:
        return ""
    times = after / before
    return f" (× {times:.3g})" if times > 1 else f" (÷ {1 / times:.3g})" if times > 0 else ""


def listed(values: Sequence[Any]) -> str:
    """The values of the runs of a side."""
    return ", ".join(map(_value, values)) or "not logged"


def shown(change: SettingChange, values: Sequence[Any]) -> list[Any]:
    """The values of a setting, less texts that may be secrets."""
    return [HIDDEN if isinstance(value, str) and _may_be_secret(change.name, value) else value for value in values]


def _may_be_secret(name: str, text: str) -> bool:
    return bool(_SECRET.search(name) or _HOLDS_SECRET.search(text))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = visible(str(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _moved(parting: Parting, unit: str) -> str:
    """Where a metric ended up, and since when it lies apart."""
    if parting.at is None:
        hint = ", a hint at most" if abs(parting.difference) > parting.error else ""
        return (
            f"{visible(parting.metric)} does not part beyond noise: {_amount(parting)} "
            f"({number(parting.before)} → {number(parting.after)}){hint}"
        )
    until = f", until {position(parting.until, unit)}" if parting.until is not None else ""
    ends = "ends" if parting.until is None else "was"
    return (
        f"{visible(parting.metric)} {ends} {_amount(parting)} ({number(parting.before)} → {number(parting.after)}), "
        f"apart since {position(parting.at, unit)}{until}"
    )


def _amount(parting: Parting) -> str:
    """`0.72 ± 0.1 higher`."""
    direction = "higher" if parting.difference > 0 else "lower" if parting.difference else "apart"
    return f"{number(abs(parting.difference))} ± {parting.error:.2g} {direction}"


def number(value: float) -> str:
    """To three digits."""
    return f"{value:.3g}"


def position(at: float | None, unit: str) -> str:
    """`step 12`, `3,200 completions`."""
    assert at is not None
    return f"step {math.ceil(at)}" if unit == "steps" else f"{math.ceil(at):,} {unit}"


def _apart(comparison: Comparison) -> str:
    apart, compared = comparison.apart(), len(comparison.partings)
    if not compared:
        return "no metric has points enough on both sides to be compared"
    if not apart:
        return f"none of {count(compared, 'metric')} parts beyond noise"
    first = f"{visible(apart[0].metric)} first, at {position(apart[0].at, comparison.unit)}"
    return f"{len(apart)} of {count(compared, 'metric')} {'parts' if len(apart) == 1 else 'part'} beyond noise, {first}"


def _broken(comparison: Comparison, names: tuple[str, str]) -> str:
    """Which side ceases to log numbers, and since when."""
    told = []
    for place, name in enumerate(names):
        since = [end for ends in comparison.broken.values() if (end := ends[place]) is not None]
        if since:
            verb = "is" if len(since) == 1 else "are"
            told.append(f"{count(len(since), 'metric')} of {name} {verb} not finite from step {min(since)} on")
    return "; ".join(told)
