"""From the study so far to the next settings: findings, what is known on either side of a knob, and a hypothesis.

Pure: the same trials give the same proposal. Nothing here knows a metric; a finding's prescriptions say which knob to
turn which way, and this module turns them into a value inside the space that was not tried yet. Verdicts say how far a
prescription is trusted: a move that was refuted is not repeated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from diagnostics.finding import Direction, Finding, Hypothesis, Prescription, Safety, Severity
from studies.record import Judgement, Origin, Proposal, State, StudyRecord, TrialRecord
from studies.space import Choices, Range, Space
from studies.trial import Knob

# Two values of a knob nearer than this share of its space are the same experiment: for a learning rate from 1e-6 to
# 1e-2 a factor of 1.6, less than what seeds make of it (reference: five seeds at one setting differ as much).
SAME = 0.05
# How far to step into unknown country when looking for a better value around the best: a quarter of a decade and
# more would skip the optimum, less would not show above the noise.
STEP = math.sqrt(10)
LINT = "CFG"  # how the codes of findings begin that were raised on settings, before anything had run
# A prescription that was refuted twice more often than confirmed is not followed in this study any more.
DISTRUST = -2


class Side(IntEnum):
    """Where a better value of a knob lies."""

    LOWER = -1
    HIGHER = 1


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one finding of one trial says about one knob: a better value lies on `side` of `value`."""

    trial: TrialRecord
    finding: Finding
    prescription: Prescription
    knob: str
    value: float
    side: Side


def prescribe(trials: Sequence[TrialRecord], space: Mapping[str, Space], objective: str) -> Proposal | None:
    """The next trial that the findings of the study so far call for; None where they call for nothing new.

    The prescriptions of the best trial are followed, the worst finding first, then the one that held true most often,
    and of equally grave ones that agree the one that asks for most; while no trial is feasible, those of the latest. A
    prescription that would reach or pass a value of which more is known goes to the middle instead: between a value
    that is too high and one that is too low, or one that is fine. When the best trial calls for nothing more, its
    neighbourhood is searched along the knobs that findings have spoken of. Trials under way count as tried, and what a
    person refused is not proposed again.
    """
    finished = _best_first([t for t in trials if t.state in (State.COMPLETE, State.PRUNED)])
    lessons = _lessons(finished, trials, space)
    best = next((t for t in finished if t.feasible), None)
    for lesson in lessons:
        if best is None or lesson.trial is best:
            proposal = _follow(_boldest(lesson, lessons), lessons, trials, space)
            if proposal is not None:
                return proposal
    return None if best is None else _around(best, lessons, trials, space, objective)


def settled(trials: Sequence[TrialRecord], space: Mapping[str, Space]) -> tuple[TrialRecord, dict[str, Knob]] | None:
    """The best trial, and its values of the knobs that findings have spoken of; None while no trial is feasible.

    When nothing more is prescribed, these are not for a model of eight points to find anew: it searches the others.
    """
    finished = _best_first([t for t in trials if t.state in (State.COMPLETE, State.PRUNED)])
    if not finished or not finished[0].feasible:
        return None
    spoken = dict.fromkeys(lesson.knob for trial in finished for lesson in _of_one(trial, space))
    return finished[0], {knob: finished[0].proposal.knobs[knob] for knob in spoken if len(spoken) < len(space)}


def out_of_reach(trial: TrialRecord, space: Mapping[str, Space]) -> list[str]:
    """A sentence for each finding of `trial` that calls for what the space does not have, alone or beside what it has.

    Such a finding may go away by another change, and its cause stay: that is for a person to know.
    """
    beyond = ((f, _beyond(f, space)) for f in trial.findings)
    return [f"{finding.code} {finding.name} calls for {wanted}" for finding, wanted in beyond if wanted]


def unrepaired(study: StudyRecord) -> list[str]:
    """What the study ends with: a sentence for all that its space might still repair, one for each that it cannot.

    It ends with what the recommended settings have on any of their seeds; where nothing is recommended, with what most
    trials have. That a finding calls for more than the space has may show only once what the space has was tried, so
    any trial may say so.
    """
    ended = [t for t in study.trials if t.state in (State.COMPLETE, State.PRUNED)]
    times = _loud(ended)
    best = study.best()
    if best is None:
        same, left = [], Counter({code: n for code, n in times.items() if n > len(ended) / 2})
    else:
        same = [t for t in ended if t.proposal.knobs == best.proposal.knobs]
        left = _loud(same)
    said, names = {}, {}
    for finding in (f for t in ended for f in t.findings if f.code in left):
        code, wanted = finding.code, _beyond(finding, study.spec.space)
        names[code] = finding.name
        if wanted and not _in_reach(finding, study.spec.space):
            said[code] = f"{code} {finding.name}, found in {times[code]} of {len(ended)} trials: it calls for {wanted}"
    others = [
        f"{code} {names[code]}" + (f" (in {n} of {len(same)} runs)" if len(same) > 1 else "")
        for code, n in sorted(left.items())
        if same and code not in said
    ]
    still = [f"what is recommended still has {', '.join(others)}"] if others else []
    return still + [f"this study cannot repair {what}" for _, what in sorted(said.items())]


def _loud(trials: Sequence[TrialRecord]) -> Counter[str]:
    """In how many of the trials each code was found at WARNING or above."""
    return Counter(code for t in trials for code in {f.code for f in t.findings if f.severity >= Severity.WARNING})


def _beyond(finding: Finding, space: Mapping[str, Space]) -> str:
    """What a finding calls for that the space does not have, "" where it has all, and of one below WARNING."""
    if finding.severity < Severity.WARNING:
        return ""
    if not finding.prescriptions:
        return f"what no knob changes: {finding.advice[0].rstrip('.')}" if finding.advice else ""
    knobs = [knob for knob in dict.fromkeys(p.knob for p in finding.prescriptions) if knob not in space]
    return f"a change of {' or '.join(knobs)}, which the space does not have" if knobs else ""


def _in_reach(finding: Finding, space: Mapping[str, Space]) -> bool:
    """Whether the space has anything that a finding calls for."""
    return any(p.knob in space for p in finding.prescriptions)


def _best_first(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Feasible trials by their objective, then the others, the latest first."""
    feasible = sorted((t for t in trials if t.feasible), key=lambda t: -(t.value if t.value is not None else -math.inf))
    return feasible + sorted((t for t in trials if not t.feasible), key=lambda t: -t.number)


def _lessons(
    finished: Sequence[TrialRecord], trials: Sequence[TrialRecord], space: Mapping[str, Space]
) -> list[Lesson]:
    """What the findings of all finished trials say of the knobs, less what was refuted."""
    verdicts = [(move, t) for t in trials if t.verdict is not None and (move := _move(t, trials)) is not None]
    refuted = {(t.proposal.parent, *move) for move, t in verdicts if _is(t, Judgement.REFUTED)}
    trust: dict[tuple[str, str, Side], float] = {}
    for (knob, side), t in verdicts:
        what = (t.proposal.code, knob, side)
        trust[what] = trust.get(what, 0) + _is(t, Judgement.CONFIRMED) - _is(t, Judgement.REFUTED)
    lessons = []
    for trial in finished:
        mine = [
            lesson
            for lesson in _of_one(trial, space)
            if (trial.number, lesson.knob, lesson.side) not in refuted
            and trust.get((lesson.finding.code, lesson.knob, lesson.side), 0) > DISTRUST
        ]
        mine.sort(key=lambda le: (-le.finding.severity, -trust.get((le.finding.code, le.knob, le.side), 0)))
        lessons += mine
    return lessons


def _is(trial: TrialRecord, judgement: Judgement) -> bool:
    return trial.verdict is not None and trial.verdict.judgement is judgement


def _move(trial: TrialRecord, trials: Sequence[TrialRecord]) -> tuple[str, Side] | None:
    """The knob that a trial changed against its parent, and which way; None where it changed none in particular."""
    knob = trial.proposal.knob
    parent = next((t for t in trials if t.number == trial.proposal.parent), None)
    if not knob or parent is None:
        return None
    before, after = parent.proposal.knobs[knob], trial.proposal.knobs[knob]
    if isinstance(before, str) or isinstance(after, str) or before == after:
        return None
    return knob, Side.HIGHER if after > before else Side.LOWER


def _of_one(trial: TrialRecord, space: Mapping[str, Space]) -> Iterator[Lesson]:
    """What the findings of `trial` say about the knobs of the space, the weightiest first.

    Of two as grave, what was seen comes before what the settings alone let suspect. What is only worth knowing of the
    settings is an unusual choice: the usual one is tried before a search knows of nothing better.
    """
    weighty = sorted(trial.findings, key=lambda f: (-f.severity, f.code.startswith(LINT), -f.confidence, f.raised_at))
    for finding in weighty:
        if finding.severity < Severity.WARNING and not finding.code.startswith(LINT):
            continue
        for prescription in finding.prescriptions:
            knob = prescription.knob
            if prescription.safety is Safety.ADVICE or knob not in space or knob not in trial.proposal.knobs:
                continue
            place, value = space[knob], trial.proposal.knobs[knob]
            if isinstance(value, str) or (isinstance(place, Choices) and not place.ordered):
                continue
            target = prescription.change.apply(value)
            if target != value:
                side = Side.HIGHER if target > value else Side.LOWER
                yield Lesson(trial, finding, prescription, knob, float(value), side)


def _boldest(lesson: Lesson, lessons: Sequence[Lesson]) -> Lesson:
    """Of what equally grave findings of a trial say of one knob and side, the one that asks for most.

    One that would be content with less may be right about itself, but each of its steps costs a trial.
    """
    peers = [
        other
        for other in lessons
        if other.trial is lesson.trial
        and (other.knob, other.side, other.finding.severity) == (lesson.knob, lesson.side, lesson.finding.severity)
    ]
    return max(peers, key=lambda other: float(other.prescription.change.apply(other.value)) * other.side)


def _follow(
    lesson: Lesson, lessons: Sequence[Lesson], trials: Sequence[TrialRecord], space: Mapping[str, Space]
) -> Proposal | None:
    """The prescription of `lesson` carried out, None where it leads nowhere new.

    Where a trial further on said the same, the change begins from there: what did not help is not repeated.
    """
    opposite = _nearest_opposite(lesson, lessons)
    furthest = _furthest(lesson, lessons, opposite)
    knob, place, value, side = lesson.knob, space[lesson.knob], furthest.value, lesson.side
    target = place.nearest(furthest.prescription.change.apply(value))
    why = (
        f"{furthest.finding.code} {furthest.finding.name} in trial {furthest.trial.number}: {furthest.finding.message}"
    )
    if opposite is not None and (float(target) - opposite.value) * side >= 0:
        target = place.middle(min(value, opposite.value), max(value, opposite.value))
        why += (
            f"; {_show(opposite.value)} was wrong the other way "
            f"({opposite.finding.code} in trial {opposite.trial.number}), so the middle of the two"
        )
    fine = _nearest_fine(furthest, lessons, trials)
    if fine is not None and (float(target) - fine) * side >= 0:
        target = place.middle(min(value, fine), max(value, fine))
        why += f"; {_show(fine)} is known to be fine, so between them"
    knobs = {**lesson.trial.proposal.knobs, knob: target}
    if tried(knobs, trials, space):
        return None
    return Proposal(
        knobs,
        Origin.FINDING if opposite is None else Origin.BRACKET,
        why,
        lesson.trial.number,
        furthest.finding.code,
        knob,
        furthest.prescription.hypothesis,
    )


def _furthest(lesson: Lesson, lessons: Sequence[Lesson], opposite: Lesson | None) -> Lesson:
    """The lesson that says the same of the value furthest on, short of the nearest one that says the opposite."""
    same = [
        other
        for other in lessons
        if other.knob == lesson.knob
        and other.side is lesson.side
        and (other.value - lesson.value) * lesson.side > 0
        and (opposite is None or (opposite.value - other.value) * lesson.side > 0)
    ]
    return max(same, key=lambda other: other.value * lesson.side, default=lesson)


def _nearest_opposite(lesson: Lesson, lessons: Sequence[Lesson]) -> Lesson | None:
    """The nearest value beyond `lesson.value`, on the side it points to, of which a finding says to come back."""
    beyond = [
        other
        for other in lessons
        if other.knob == lesson.knob
        and other.side is not lesson.side
        and (other.value - lesson.value) * lesson.side > 0
    ]
    return min(beyond, key=lambda other: abs(other.value - lesson.value), default=None)


def _nearest_fine(lesson: Lesson, lessons: Sequence[Lesson], trials: Sequence[TrialRecord]) -> float | None:
    """The nearest value on the side `lesson` points to of a feasible trial of which nothing says to go further."""
    restless = {other.trial.number for other in lessons if other.knob == lesson.knob and other.side is lesson.side}
    values = [float(t.proposal.knobs[lesson.knob]) for t in trials if t.feasible and t.number not in restless]
    beyond = [v for v in values if (v - lesson.value) * lesson.side > 0]
    return min(beyond, key=lambda v: abs(v - lesson.value), default=None)


def _around(
    best: TrialRecord,
    lessons: Sequence[Lesson],
    trials: Sequence[TrialRecord],
    space: Mapping[str, Space],
    objective: str,
) -> Proposal | None:
    """A value beside the best one of a knob that findings spoke of, while its neighbours are far away."""
    for knob in dict.fromkeys(lesson.knob for lesson in lessons):
        place = space[knob]
        if not isinstance(place, Range) or not place.log:
            continue
        here = float(best.proposal.knobs[knob])
        # a finding that the best value is too low (or high) rules out everything on its other side
        wrong = {-o.side for o in lessons if o.knob == knob and (here - o.value) * o.side <= 0}
        beside = _beside(best, knob, place, [side for side in Side if side not in wrong], trials, space)
        if beside is not None:
            value, reason = beside
            return Proposal(
                {**best.proposal.knobs, knob: value},
                Origin.BRACKET,
                f"trial {best.number} is the best so far at {knob} {_show(here)}; {reason}",
                best.number,
                "",
                knob,
                Hypothesis(objective, Direction.UP, 0.0, 1.0, f"the best {knob} may lie beside {_show(here)}"),
            )
    return None


def _beside(
    best: TrialRecord,
    knob: str,
    place: Range,
    sides: Sequence[Side],
    trials: Sequence[TrialRecord],
    space: Mapping[str, Space],
) -> tuple[Knob, str] | None:
    """Halfway to the nearest value tried on the wider side, or one step where nothing was tried yet; and why."""
    here = float(best.proposal.knobs[knob])
    others = [float(t.proposal.knobs[knob]) for t in trials if t.state is not State.REFUSED]
    options: list[tuple[float, Knob, str]] = []
    for side in sides:
        beyond = [v for v in others if (v - here) * side > 0]
        neighbour = min(beyond, key=lambda v: abs(v - here), default=None)
        if neighbour is None:
            target = place.nearest(here * STEP**side)
            reason = f"nothing {'above' if side is Side.HIGHER else 'below'} it was tried"
        else:
            target = place.middle(min(here, neighbour), max(here, neighbour))
            reason = f"the nearest value tried is {_show(neighbour)}"
        gap = place.distance(here, float(target))
        if gap >= 2 * SAME and not tried({**best.proposal.knobs, knob: target}, trials, space):
            options.append((gap, target, reason))
    if not options:
        return None
    _, target, reason = max(options, key=lambda option: (option[0], float(option[1])))
    return target, reason


def tried(knobs: Mapping[str, Knob], trials: Sequence[TrialRecord], space: Mapping[str, Space]) -> bool:
    """Whether some trial had the same settings, near enough, or was to have them."""
    return any(
        all(_distance(space[k], v, t.proposal.knobs[k]) < SAME for k, v in knobs.items() if k in space) for t in trials
    )


def _distance(place: Space, one: Knob, other: Knob) -> float:
    if isinstance(place, Choices):
        return place.distance(one, other)
    return place.distance(float(one), float(other))


def _show(value: float) -> str:
    return f"{value:.3g}"
