"""Whether a change did what its hypothesis said: the runs before it and after it, at equal cost, against their noise.

Pure: the same curves give the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diagnostics.finding import Direction, Hypothesis
from diagnostics.student import student
from studies.record import Comparison, Judgement, State, StudyRecord, Verdict
from studies.trial_log import TrialLog

COST = "completions_generated"
# One-sided. A confirmation asks for two tests at once, so that its own error is at most this whatever their dependence
# (intersection-union test, Berger 1982); a refutation for one of two, for which Hochberg's procedure (1988) corrects.
ALPHA = 0.05
# A level is the median of the points in this share of the budget, so that no single step decides. The objective of a
# trial is taken over its last tenth too.
WINDOW = 0.1
# What a recorded noise weighs against the seeds at hand, in degrees of freedom. The noise of one setting is not that of
# another: by Smyth's estimate (2004, section 6.2) from tests/data/seeds.json 2.6 degrees are right for the validation
# reward at the end and 11 halfway, 5 and more for reward and zero-std share, 2 for the entropy.
RECORDED = 4
# A divergence may be any number. The square of this one is still a float.
LARGEST = 1e100

Curves = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Run:
    """What a verdict needs of one trial: each metric as (completions generated until then, value), by rising cost.

    `budget` is what the run was to cost in completions, had it not been stopped. A script that does not count them is
    compared by its steps.
    """

    curves: Curves
    budget: float
    by_steps: bool = False


@dataclass(frozen=True, slots=True)
class _Test:
    """A comparison and the degrees of freedom of its error, 0 where it has none."""

    comparison: Comparison
    degrees: int

    def chance(self, least: float, sign: int) -> float | None:
        """The chance of a move in the direction of `sign` as large as the one seen, were the true one `least`."""
        c = self.comparison
        further = sign * (c.after - c.before) - least
        if c.error is None:
            return None
        return student(further / c.error, self.degrees) if c.error else by_order(c.runs) if further > 0 else 1.0


def judge(
    hypothesis: Hypothesis,
    before: Sequence[Run],
    after: Sequence[Run],
    objective: str,
    noise: Mapping[str, float],
    since: float = 0.0,
) -> Verdict:
    """Whether what `hypothesis` said came true between the runs `before` a change and those `after` it.

    The mechanism is compared at its deadline, `hypothesis.by` of the budget, the objective at the end; both at the last
    cost that all runs reached, where one was stopped before. A mechanism that went wrong only later, `since` so many
    completions, is compared there: before that there was nothing to mend.

    Confirmed: both moved as said with a one-sided chance of at most `ALPHA` under no change, and the mechanism not by
    significantly less than was promised. Refuted: one moved the other way. Undecided: all else.

    `noise` is the standard deviation between seeds recorded for the task, by metric. It counts as `RECORDED` further
    degrees of freedom beside those of the seeds (moderated t-test, Smyth 2004). Where there is neither, the verdict is
    undecided. One variance is assumed for both sides; with equally many seeds a side the test hardly depends on it.
    """
    budget = max((run.budget for run in (*before, *after)), default=0.0)
    deadline = max(hypothesis.by * budget, since)
    mechanism = _compare(hypothesis.metric, before, after, deadline, budget, noise)
    gain = _compare(objective, before, after, budget, budget, noise)
    said = {Direction.UP: 1, Direction.DOWN: -1}[hypothesis.direction]
    wanted = [(test, sign) for test, sign in ((mechanism, said), (gain, 1)) if test is not None]
    as_said = [chance for test, sign in wanted if (chance := test.chance(0.0, sign)) is not None]
    contrary = sorted(chance for test, sign in wanted if (chance := test.chance(0.0, -sign)) is not None)
    kept = mechanism is not None and (mechanism.chance(hypothesis.amount, said) or 0.0) < 1 - ALPHA
    if any(chance <= ALPHA / (len(contrary) - i) for i, chance in enumerate(contrary)):
        judgement = Judgement.REFUTED
    elif len(as_said) == 2 and max(as_said) <= ALPHA and kept:
        judgement = Judgement.CONFIRMED
    else:
        judgement = Judgement.UNDECIDED
    unit = "steps" if any(run.by_steps for run in (*before, *after)) else "completions"
    words = [_words(gain, objective, unit), _words(mechanism, hypothesis.metric, unit)]
    if hypothesis.amount:
        words[1] += f" ({hypothesis.amount:.3g} promised)"
    return Verdict(
        judgement,
        (" and " if judgement is Judgement.CONFIRMED else "; ").join(dict.fromkeys(words)),
        mechanism.comparison if mechanism else None,
        gain.comparison if gain else None,
    )


def judge_trial(study: StudyRecord, logs: Mapping[int, TrialLog], number: int) -> Verdict | None:
    """The verdict on trial `number`, from all trials with its settings and all with those of its parent.

    None where it had no hypothesis or no parent, and while one of the two runs, failed or has no log in `logs`. A trial
    that was stopped counts as any other: to leave it out would flatter its settings.
    """
    trial = study.trial(number)
    if trial is None or trial.proposal.hypothesis is None:
        return None
    hypothesis, parent = trial.proposal.hypothesis, study.trial(trial.proposal.parent)
    counted = [t for t in study.trials if t.state in (State.COMPLETE, State.PRUNED) and t.number in logs]
    if parent is None or trial not in counted or parent not in counted:
        return None
    metrics = {hypothesis.metric, study.spec.objective}
    # A recorded run of another tool may not count what its trials do: all are compared by their steps then.
    by_steps = any(log.curves and COST not in log.curves for log in (logs[t.number] for t in counted))
    before, after = (
        [run_of(logs[t.number], metrics, by_steps=by_steps) for t in counted if t.proposal.knobs == one.proposal.knobs]
        for one in (parent, trial)
    )
    found = next((f.raised_at for f in parent.findings if f.code == trial.proposal.code), 0)
    (since,) = _cost(logs[parent.number], [found], by_steps=by_steps)
    return judge(hypothesis, before, after, study.spec.objective, study.spec.noise, since)


def run_of(log: TrialLog, metrics: Collection[str], *, by_steps: bool = False) -> Run:
    """What the events of a trial say of `metrics`, by what it had cost at each step, or `by_steps` by these."""
    by_steps = by_steps or COST not in log.curves

    def cost(steps: Sequence[int]) -> list[float]:
        return _cost(log, steps, by_steps=by_steps)

    curves = {
        metric: list(zip(cost([step for step, _ in points]), (value for _, value in points), strict=True))
        for metric, points in log.curves.items()
        if metric in metrics
    }
    if log.objective in metrics:  # it may be logged under another name
        steps = [e.step for e in log.evaluations]
        curves[log.objective] = list(zip(cost(steps), (e.value for e in log.evaluations), strict=True))
    (spent,) = cost([log.step])
    return Run(curves, spent * max(1.0, log.max_steps / log.step) if log.step else spent, by_steps)


def _cost(log: TrialLog, steps: Sequence[int], *, by_steps: bool) -> list[float]:
    """Completions generated by each of `steps`, between the steps that log them on a straight line from 0.

    The steps themselves where it logs none, as in `TrialLog`, and where cost is counted `by_steps`.
    """
    if by_steps or COST not in log.curves:
        return [float(step) for step in steps]
    known = [(0, 0.0), *((step, cost) for step, cost in log.curves[COST] if step > 0)]
    at, cost = zip(*known, strict=True)
    return [float(c) for c in np.interp(steps, at, cost)]


def _compare(
    metric: str,
    before: Sequence[Run],
    after: Sequence[Run],
    limit: float,
    budget: float,
    noise: Mapping[str, float],
) -> _Test | None:
    """`metric` on both sides at the highest cost up to `limit` that all runs reached; None where a side has none.

    A run without the metric does not count, and one whose numbers cease to be finite ends there.
    """
    sides = [[points for run in runs if (points := _until(run, metric, limit))] for runs in (before, after)]
    if not all(sides):
        return None
    cost = min(points[-1][0] for side in sides for points in side)
    x, y = ([level(points, cost, budget) for points in side] for side in sides)
    squares = float(np.var(x) * len(x) + np.var(y) * len(y))
    degrees = len(x) + len(y) - 2
    if metric in noise:
        squares, degrees = squares + RECORDED * noise[metric] ** 2, degrees + RECORDED
    runs = len(x), len(y)
    # Seeds that agree to the last digit, as at the bounds of a share, only tell their noise if they are many.
    known = degrees > 0 and (squares > 0 or by_order(runs) <= ALPHA)
    error = math.sqrt(squares / degrees * (1 / len(x) + 1 / len(y))) if known else None
    return _Test(
        Comparison(metric, float(np.mean(x)), float(np.mean(y)), error, runs, round(cost)), degrees if known else 0
    )


def _until(run: Run, metric: str, limit: float) -> list[tuple[float, float]]:
    return [(c, v) for c, v in run.curves.get(metric, ()) if c <= limit and abs(v) < LARGEST]


def level(points: Sequence[tuple[float, float]], cost: float, budget: float) -> float:
    """The median of the values in the last `WINDOW` of `budget` up to `cost`, or the last value where it has none.

    `points` are (completions, value) by rising cost; IndexError where none is at or below `cost`.
    """
    until = [(c, v) for c, v in points if c <= cost]
    recent = [v for c, v in until if c > cost - WINDOW * budget]
    return float(np.median(recent or [until[-1][1]]))


def by_order(runs: tuple[int, int]) -> float:
    """The chance that of so many runs before and after, all alike, each one after lies above each one before."""
    return 1 / math.comb(sum(runs), runs[0])


def _words(test: _Test | None, metric: str, unit: str) -> str:
    if test is None:
        return f"{metric} was not logged on both sides at any equal cost"
    c = test.comparison
    moved = round(c.after - c.before, 9)  # what float32 makes of equal rewards is no movement
    what = f"{metric} {'rose' if moved > 0 else 'fell'} by {abs(moved):.3g}" if moved else f"{metric} moved by 0"
    at = f"at {c.completions:,} {unit}"
    if c.error is None:
        return f"{what} {at}, and nothing tells the noise between seeds"
    alike = "" if (test.chance(0.0, 1 if moved > 0 else -1) or 0.0) <= ALPHA else ", within the noise"
    return f"{what} ± {c.error:.2g} {at}{alike}"
