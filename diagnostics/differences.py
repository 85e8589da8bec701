"""How runs differ in what they were told to do and in what was found in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from diagnostics.finding import Finding, Report, Severity
from diagnostics.metrics import knobs
from diagnostics.series import RunHistory, Values
from diagnostics.vocabulary import frameworks, vocabulary

# Settings that some logs tell as metrics only, and which of the values it was set to: a schedule changes the others.
_LOGGED: Mapping[str, Callable[[Values], float]] = {
    "learning_rate": lambda values: float(values.max()),
    "value_learning_rate": lambda values: float(values.max()),
    "kl_coef": lambda values: float(values[0]),
}
SAME = 1e-9  # relative, of two settings
SAME_LOGGED = 0.01  # the same where one of them may be logged as a metric, in so many digits


@dataclass(frozen=True, slots=True)
class Judged:
    """A run, and what was found in it."""

    run: RunHistory
    report: Report


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting under its canonical name and as the framework of either side calls it.

    Each side has the values of its runs, each once; none where none of them logs it.
    """

    name: str
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    spoken: tuple[str, str]


class Fate(StrEnum):
    """What became of a finding."""

    GONE = "gone"
    NEW = "new"
    BOTH = "both"
    RARE = "rare"  # in no more than half of the runs of either side
    UNKNOWN = "unknown"  # found on one side, and the other could not be checked for it


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A code, the worst severity on each side (None where it was not found), and in how many runs of each it was found.

    `why` says why it is not known what became of it.
    """

    code: str
    name: str
    fate: Fate
    before: Severity | None
    after: Severity | None
    runs: tuple[int, int]
    why: str = ""

    @property
    def worst(self) -> Severity:
        """The worse of the two."""
        return max(severity for severity in (self.before, self.after) if severity is not None)


# ---- settings


def settings(before: Sequence[RunHistory], after: Sequence[RunHistory]) -> list[SettingChange]:
    """All settings of two sides that are not the same, those first that a study may change."""
    names = {name for run in (*before, *after) for name in _names(run)}
    changes = (_setting(name, before, after) for name in sorted(names, key=_knobs_first))
    return [change for change in changes if change is not None]


def _names(run: RunHistory) -> set[str]:
    return {*run.settings, *(name for name in _LOGGED if _logs(name)(run))}


def _knobs_first(name: str) -> tuple[bool, int, str]:
    known = knobs()
    return (name not in known, known.index(name) if name in known else 0, name)


def _setting(name: str, before: Sequence[RunHistory], after: Sequence[RunHistory]) -> SettingChange | None:
    """`name` on both sides, None where it is the same; as a metric where any run logs it as nothing else."""
    having = [run for run in (*before, *after) if name in _names(run)]
    as_metric = name in _LOGGED and any(name not in run.settings for run in having) and all(map(_logs(name), having))
    values = [
        tuple(dict.fromkeys(_value(run, name, as_metric) for run in side if run in having)) for side in (before, after)
    ]
    if _same(values[0], values[1], SAME_LOGGED if as_metric else SAME):
        return None
    return SettingChange(name, values[0], values[1], (_spoken(name, before[0]), _spoken(name, after[0])))


def _logs(name: str) -> Callable[[RunHistory], bool]:
    return lambda run: bool(np.isfinite(run.get(name).values).any())


def _value(run: RunHistory, name: str, as_metric: bool) -> Any:
    """What `run` has for a setting, as a text, a number, a flag or None."""
    if as_metric or name not in run.settings:
        values = run[name].values
        return _LOGGED[name](values[np.isfinite(values)])
    return _plain(run.settings[name])


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _same(before: Sequence[Any], after: Sequence[Any], tolerance: float) -> bool:
    if len(before) != 1 or len(after) != 1:
        return set(before) == set(after)
    numbers = [v for v in (*before, *after) if isinstance(v, int | float) and not isinstance(v, bool)]
    return math.isclose(*numbers, rel_tol=tolerance) if len(numbers) == 2 else bool(before == after)


def _spoken(name: str, run: RunHistory) -> str:
    return vocabulary(run.framework).spoken(name) if run.framework in frameworks() else name


def others(before: Sequence[RunHistory], after: Sequence[RunHistory]) -> list[SettingChange]:
    """Settings without a canonical name that are not the same, as they were logged; none of different frameworks.

    Those first that are no texts, which may be the names of runs and folders, and last those that only one side logs.
    """
    runs = [*before, *after]
    if len({run.framework for run in runs}) != 1:
        return []
    known = {e.name for e in vocabulary(runs[0].framework).settings} if runs[0].framework in frameworks() else set()
    known |= {name for run in runs for name in run.settings}
    changes = []
    for name in {name for run in runs for name in run.raw_settings} - known:
        values = [
            tuple(dict.fromkeys(_plain(run.raw_settings[name]) for run in side if name in run.raw_settings))
            for side in (before, after)
        ]
        if not _same(values[0], values[1], SAME):
            changes.append(SettingChange(name, values[0], values[1], (name, name)))
    return sorted(changes, key=_texts_last)


def _texts_last(change: SettingChange) -> tuple[bool, bool, str]:
    values = (*change.before, *change.after)
    return not (change.before and change.after), any(isinstance(value, str) for value in values), change.name


# ---- findings


def findings(before: Sequence[Judged], after: Sequence[Judged]) -> tuple[FindingChange, ...]:
    """What became of each finding, the worst first."""
    found = [[{f.code: f for f in reversed(one.report.findings)} for one in side] for side in (before, after)]
    codes = dict.fromkeys(code for side in found for one in side for code in one)
    changes = [_finding(code, found, (before, after)) for code in codes]
    return tuple(sorted(changes, key=lambda change: (-change.worst, change.code)))


def _finding(
    code: str, found: Sequence[Sequence[dict[str, Finding]]], judged: tuple[Sequence[Judged], Sequence[Judged]]
) -> FindingChange:
    those = [[one[code] for one in side if code in one] for side in found]
    most = [2 * len(has) > len(side) for has, side in zip(those, found, strict=True)]
    fates = {(True, False): Fate.GONE, (False, True): Fate.NEW, (True, True): Fate.BOTH}
    fate = fates.get((most[0], most[1]), Fate.RARE)
    why = ""
    if fate in (Fate.GONE, Fate.NEW):
        lacking = 1 if fate is Fate.GONE else 0
        since = min(finding.raised_at for finding in those[1 - lacking])
        why = _unknown(code, since, judged[lacking])
    return FindingChange(
        code,
        next(finding.name for side in those for finding in side),
        Fate.UNKNOWN if why else fate,
        max((finding.severity for finding in those[0]), default=None),
        max((finding.severity for finding in those[1]), default=None),
        (len(those[0]), len(those[1])),
        why,
    )


def _unknown(code: str, since: int, side: Sequence[Judged]) -> str:
    """Why the runs of a side cannot tell of a finding that came at step `since` on the other; "" where they can."""
    if all(code in {skip.code for skip in one.report.skips} for one in side):
        return next(skip.reason for skip in side[0].report.skips if skip.code == code)
    last = max(one.report.steps for one in side)
    return f"ends at step {last}, and the other one told it at {since}" if last < since else ""
