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
from diagnostics.parting import Position
from diagnostics.report.remedies import without_moot
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


def findings(
    before: Sequence[Judged], after: Sequence[Judged], positions: Sequence[Position]
) -> tuple[FindingChange, ...]:
    """What became of each finding, the worst first; `positions` are those of the runs before, then of those after."""
    placed = list(zip((*before, *after), positions, strict=True))
    sides = placed[: len(before)], placed[len(before) :]
    codes = dict.fromkeys(finding.code for one, _ in placed for finding in without_moot(one.report).findings)
    return tuple(sorted((_finding(code, *sides) for code in codes), key=lambda change: (-change.worst, change.code)))


_Placed = Sequence[tuple[Judged, Position]]  # runs, and where their steps lie on the common axis


def _finding(code: str, before: _Placed, after: _Placed) -> FindingChange:
    found = _with_code(code, before), _with_code(code, after)
    mostly = 2 * len(found[0]) > len(before), 2 * len(found[1]) > len(after)
    fate, why = _FATES[mostly], ""
    if fate in (Fate.GONE, Fate.NEW):
        having, side = (found[0], after) if fate is Fate.GONE else (found[1], before)
        why = _unknown(code, min(at for _, at in having), side)
    worst = [max((finding.severity for finding, _ in those), default=None) for those in found]
    name = next(finding.name for those in found for finding, _ in those)
    runs = len(found[0]), len(found[1])
    return FindingChange(code, name, Fate.UNKNOWN if why else fate, worst[0], worst[1], runs, why)


_FATES: Mapping[tuple[bool, bool], Fate] = {  # whether it is found in most runs before, and in most of those after
    (True, False): Fate.GONE,
    (False, True): Fate.NEW,
    (True, True): Fate.BOTH,
    (False, False): Fate.RARE,
}


def _with_code(code: str, side: _Placed) -> list[tuple[Finding, float]]:
    """The finding in each run that has it, and where it was known."""
    return [(f, _at(position, f.raised_at)) for one, position in side for f in one.report.findings if f.code == code]


def _unknown(code: str, known: float, side: _Placed) -> str:
    """Why the runs of a side cannot tell of a finding that was `known` there on the other; "" where they can."""
    if all(code in {skip.code for skip in one.report.skips} for one, _ in side):
        return next(skip.reason for skip in side[0][0].report.skips if skip.code == code)
    short = all(_at(position, one.report.steps) < known for one, position in side)
    return "the run ended before it could be known" if short else ""


def _at(position: Position, step: int) -> float:
    return float(position(np.array([step]))[0])
