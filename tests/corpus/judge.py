"""How right a diagnosis is, against a label: what was found, missed and false, and where it was said to begin.

Found: something that is present of which any code is raised at WARNING or above (at INFO where that is enough).
False: a code raised at WARNING or above that is neither present nor may be, where the run is healthy or the code is
known to be absent; other codes on a sick run count neither way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from labels import Label, Run, Wanted, ranges

from diagnostics.finding import Finding, Severity
from diagnostics.series import RunHistory, Steps

Said = Mapping[str, tuple[Finding, ...]]  # by code, every rise of it on a run
NEAR = 0.1  # of the length of a run: an onset so far from where it is labelled is right


@dataclass(frozen=True, slots=True)
class Verdict:
    """What findings on one run come to. `found` has what is present with the findings that say so."""

    found: tuple[tuple[Wanted, tuple[Finding, ...]], ...]
    missed: tuple[Wanted, ...]
    false: tuple[Finding, ...]  # the first of each code
    errors: tuple[Finding, ...]  # on a healthy run, at ERROR or above


@dataclass(slots=True)
class Score:
    """Counts over many runs."""

    found: int = 0
    missed: int = 0
    false: int = 0
    onsets: list[Onset] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """The share of what is said that is right, NaN where nothing is said."""
        return _share(self.found, self.false)

    @property
    def recall(self) -> float:
        """The share of what is present that is found, NaN where nothing is."""
        return _share(self.found, self.missed)

    @property
    def near(self) -> int:
        """How many onsets are right."""
        return sum(onset.right for onset in self.onsets)

    @property
    def onset_error(self) -> float:
        """The median distance of the onset from the beginning of its label, as a share of the run; NaN without any."""
        return median(onset.error for onset in self.onsets) if self.onsets else math.nan

    def __add__(self, other: Score) -> Score:
        return Score(
            self.found + other.found, self.missed + other.missed, self.false + other.false, self.onsets + other.onsets
        )


@dataclass(frozen=True, slots=True)
class Onset:
    """Of something found: how far its first step is from where the label begins, and whether that is right.

    `error` is a share of the run. It is right where the stretch from `first_step` to `raised_at` touches the labelled
    range or is no further from it than a tenth of the run.
    """

    error: float
    right: bool


def by_code(raised: Iterable[Finding]) -> Said:
    """What was raised on a run, by code."""
    said: dict[str, list[Finding]] = defaultdict(list)
    for finding in raised:
        said[finding.code].append(finding)
    return {code: tuple(findings) for code, findings in said.items()}


def judged(label: Label, said: Said) -> Verdict:
    """What it comes to that this was said of a run."""
    found, missed = [], []
    for wanted in label.present:
        least = Severity.INFO if wanted.info_is_enough else Severity.WARNING
        enough = tuple(f for code in sorted(wanted.codes) for f in said.get(code, ()) if f.severity >= least)
        if enough:
            found.append((wanted, enough))
        else:
            missed.append(wanted)
    fine = label.maybe.union(*(wanted.codes for wanted in label.present))
    false = tuple(
        loud[0]
        for code, findings in said.items()
        if code not in fine
        and (label.absent is None or code in label.absent)
        and (loud := [f for f in findings if f.severity >= Severity.WARNING])
    )
    errors = [f for findings in said.values() for f in findings if label.healthy and f.severity >= Severity.ERROR]
    return Verdict(tuple(found), tuple(missed), false, tuple(errors))


def verdicts_on(runs: Sequence[Run], said: Mapping[str, Said]) -> dict[str, Verdict]:
    """By the name of the run."""
    return {run.name: judged(run.label, said[run.name]) for run in runs}


def total(verdicts: Mapping[str, Verdict], runs: Sequence[Run]) -> Score:
    """Everything counted once; a thing that several codes stand for is found once."""
    score = Score()
    for run in runs:
        verdict = verdicts[run.name]
        onsets = [onset for wanted, said in verdict.found if (onset := onset_of(run, wanted, said)) is not None]
        score += Score(len(verdict.found), len(verdict.missed), len(verdict.false), onsets)
    return score


def by_rule(verdicts: Mapping[str, Verdict], runs: Sequence[Run]) -> Mapping[str, Score]:
    """For each code: what it found; what nobody found and it could have; its false alarms."""
    scores: dict[str, Score] = defaultdict(Score)
    for run in runs:
        verdict = verdicts[run.name]
        for wanted, said in verdict.found:
            for code in {finding.code for finding in said}:
                onset = onset_of(run, wanted, [finding for finding in said if finding.code == code])
                scores[code] += Score(found=1, onsets=[] if onset is None else [onset])
        for wanted in verdict.missed:
            for code in wanted.codes:
                scores[code] += Score(missed=1)
        for finding in verdict.false:
            scores[finding.code] += Score(false=1)
    return dict(sorted(scores.items()))


def onset_of(run: Run, wanted: Wanted, said: Sequence[Finding]) -> Onset | None:
    """The onset of what was said, the finding nearest to the labelled range; None where the label has no clear one."""
    onsets = []
    for labelled in ranges(wanted.steps):
        for finding in said:
            first, raised, length = _place(run, finding, labelled.rows)
            gap = max(labelled.first - raised, first - labelled.last, 0.0)
            onsets.append((gap, Onset(abs(first - labelled.first) / length, gap <= NEAR * length)))
    return min(onsets, key=lambda entry: (entry[0], entry[1].error))[1] if onsets else None


def _place(run: Run, finding: Finding, rows: bool) -> tuple[float, float, float]:
    """Onset and alarm of a finding, and the length of its run: in steps of its segment, or in rows of the whole log."""
    steps = {segment.segment: _steps(segment) for segment in run.segments}
    here = steps[finding.segment]
    if not rows:
        return finding.first_step, finding.raised_at, max(int(here[-1] - here[0]), 1)
    before = sum(len(of) for segment, of in steps.items() if segment < finding.segment)
    first, raised = np.searchsorted(here, (finding.first_step, finding.raised_at))
    return before + int(first), before + int(raised), sum(map(len, steps.values()))


def _share(some: int, others: int) -> float:
    return some / (some + others) if some + others else math.nan


def _steps(segment: RunHistory) -> Steps:
    """Every step with a known metric."""
    return np.unique(np.concatenate([series.steps for series in segment.series.values()]))
