"""Which knobs a script does not seem to use, from what it logs. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from studies import words
from studies.record import StudyRecord, TrialRecord
from studies.trial import Knob
from studies.trial_log import TrialLog

APART = 0.1  # share by which two values differ; optimizers and logs round
ALIKE = 0.01  # share by which the points of a constant differ
RATE = "learning_rate"  # has a schedule: warmed up and decayed, it is what was asked for only at its highest
EVALUATIONS = 3  # that two trials share: below that they may be alike by chance
# Names of clocks, of which no two runs agree. What is a clock by another name keeps the comparison quiet.
_CLOCK = re.compile(r"time|seconds|duration|elapsed|runtime|per_sec|throughput|(^|[/_])(s|sec|fps|sps)$")

Points = Sequence[tuple[int, float]]


def ignored_knobs(study: StudyRecord, logs: Mapping[int, TrialLog], number: int) -> list[str]:
    """For each knob that the trial `number` does not seem to use, a sentence that says so and why.

    It does not where it logs another value than it was asked for, or where all that it logged equals what an earlier
    trial with another value logged. A log that says neither raises no doubt.
    """
    trial, said = study.trial(number), {}
    if trial is None:
        return []
    earlier = [t for t in study.trials if t.number < number and t.number in logs]
    for knob, asked in trial.proposal.knobs.items():
        why = _contradiction(knob, asked, logs[number], [(t.proposal.knobs.get(knob), logs[t.number]) for t in earlier])
        for other in earlier:
            why = why or _unmoved(knob, trial, other, logs)
        if why:
            said[knob] = why
    for other in earlier:
        changed = [k for k, v in trial.proposal.knobs.items() if _differ(v, other.proposal.knobs.get(k, v))]
        silent = [knob for knob in changed if knob not in said]
        if silent and len(silent) == len(changed) and _twins(logs[number], logs[other.number]):
            had = words.knobs({knob: other.proposal.knobs[knob] for knob in silent})
            said[" and ".join(silent)] = f"all that it logs equals what trial {other.number} logged, which had {had}"
            break
    return [f"trial {number} does not seem to use {knob}: {why}" for knob, why in said.items()]


def _contradiction(knob: str, asked: Knob, log: TrialLog, others: Sequence[tuple[Knob | None, TrialLog]]) -> str:
    """Why the value that the trial logs for `knob` is not `asked`; empty where it is, or nothing tells."""
    for logged, schedule in _logged(knob, log):
        decayed = schedule and not isinstance(asked, str) and not isinstance(logged, str) and logged < asked
        if decayed or not _differ(asked, logged):
            continue
        # Where it moves from trial to trial as it was asked to, it is used, times a factor of the script's own.
        if not any(_scaled(asked, logged, had, value) for had, other in others for value, _ in _logged(knob, other)):
            return f"it logs {words.number(logged)} where {words.number(asked)} was asked for"
    return ""


def _logged(knob: str, log: TrialLog) -> list[tuple[Knob, bool]]:
    """What the log says `knob` was, and whether that is the highest of a schedule: a series of it, and a setting."""
    found: list[tuple[Knob, bool]] = []
    values = _values(log.curves.get(knob, ()))
    if len(values) > 1 and (knob == RATE or _constant(values)):
        found.append((max(values), not _constant(values)))
    setting = log.settings.get(knob)
    if isinstance(setting, int | float | str) and not isinstance(setting, bool):
        found.append((setting, False))
    return found


def _scaled(asked: Knob, logged: Knob, theirs: Knob | None, their_logged: Knob) -> bool:
    """Whether what is logged moved from one trial to another as what was asked for did."""
    numbers = [v for v in (asked, logged, theirs, their_logged) if isinstance(v, int | float) and v]
    if len(numbers) < 4 or not _differ(numbers[0], numbers[2]):
        return False
    return not _differ(numbers[1] / numbers[3], numbers[0] / numbers[2])


def _unmoved(knob: str, trial: TrialRecord, other: TrialRecord, logs: Mapping[int, TrialLog]) -> str:
    """Why a series of `knob` that is the same in both trials tells that it is not used; empty where it is not."""
    mine, theirs = trial.proposal.knobs[knob], other.proposal.knobs.get(knob)
    if theirs is None or not _differ(mine, theirs):
        return ""
    pairs = _shared(logs[trial.number].curves.get(knob, ()), logs[other.number].curves.get(knob, ()))
    if len(pairs) < 2 or not any(a for a, _ in pairs) or any(_differ(a, b, ALIKE) for a, b in pairs):
        return ""
    return f"it logs the same as trial {other.number}, which had {words.number(theirs)}"


def _twins(one: TrialLog, other: TrialLog) -> bool:
    """Whether two trials logged the same, point by point, and more than a constant."""
    evaluations = _shared([(e.step, e.value) for e in one.evaluations], [(e.step, e.value) for e in other.evaluations])
    if len(evaluations) < EVALUATIONS or len({value for value, _ in evaluations}) < 2:
        return False
    return all(
        a == b or (math.isnan(a) and math.isnan(b))
        for name in one.curves.keys() & other.curves.keys()
        if not _CLOCK.search(name)
        for a, b in _shared(one.curves[name], other.curves[name])
    )


def _shared(one: Points, other: Points) -> list[tuple[float, float]]:
    there = dict(other)
    return [(value, there[step]) for step, value in one if step in there]


def _values(points: Points) -> list[float]:
    return [value for _, value in points if math.isfinite(value)]


def _constant(values: Sequence[float]) -> bool:
    return not _differ(min(values), max(values), ALIKE) if values else False


def _differ(one: Knob, other: Knob, by: float = APART) -> bool:
    """Whether two values differ, numbers by more than a share of the larger one."""
    if isinstance(one, str) or isinstance(other, str):
        return str(one) != str(other)
    return abs(one - other) > by * max(abs(one), abs(other))
