"""How long a study will still take, as far as trials like those to come tell. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from statistics import fmean, stdev

from studies.record import Origin, State, StudyRecord, TrialRecord

LEAST_STEPS = 5  # of a trial, before its pace says anything: its first steps pay for compiling and filling caches
WIDE = 1.3  # a range is told where its ends lie further apart than this


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds that are left. `at_most` where no trial has ended yet: some may be stopped early.

    `besides` says that trials stand still, for which nobody knows how long they will.
    """

    low: float
    high: float
    at_most: bool = False
    besides: bool = False

    def __str__(self) -> str:
        low, high = roughly(self.low), roughly(self.high)
        if self.at_most:
            told = f"at most about {high}"
        elif low == high or self.high <= WIDE * self.low:
            told = f"about {roughly((self.low + self.high) / 2)}"
        else:
            told = f"about {_span(low, high)}"
        return f"{told} of running left" if self.besides else f"{told} left"


def remaining(study: StudyRecord, now: float) -> Remaining | None:
    """How long until all trials have run, at `now` (seconds since the epoch); None where nothing tells it.

    What a trial takes is told by those that have ended, stopped ones among them, for of those to come some will be
    stopped, too. The sum of k of them lies about `s * sqrt(k + k^2 / n)` around k times the mean of the n that ended,
    `s` being their standard deviation: the first part is the luck of each, the second that of the mean.
    """
    running = [t for t in study.trials if t.state is State.RUNNING]
    to_come = 0 if study.ending else max(0, study.spec.trials - study.begun) + len(study.waiting)
    places = max(1, study.search.parallel)
    lengths = _lengths(study, math.ceil(to_come / places))
    if lengths is None:
        return None
    low, high, ended = lengths
    left = [
        _all_done([_rest(t, length) for t in running], to_come, length, places, _deadline(study, now))
        for length in (low, high)
    ]
    besides = bool(study.waiting) or any(t.paused for t in running)
    return Remaining(left[0], left[1], not ended, besides)


def roughly(seconds: float) -> str:
    """Seconds as precisely as a forecast can be: `50 s`, `12 min`, `3 h 20 min`, `2 d 5 h`."""
    if seconds < 95:
        return f"{max(10, 10 * round(seconds / 10))} s"
    minutes = round(seconds / 60)
    if minutes < 95:
        return f"{minutes} min"
    hours, minutes = divmod(10 * round(seconds / 600), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _span(low: str, high: str) -> str:
    """`8 to 14 min`, `50 s to 2 min`."""
    same = low.partition(" ")[2] == high.partition(" ")[2] and low.count(" ") == 1
    return f"{low.partition(' ')[0] if same else low} to {high}"


def _lengths(study: StudyRecord, each: int) -> tuple[float, float, bool] | None:
    """What one of `each` trials that follow one another will take, at least and at most; whether any has ended."""
    ended = [
        t
        for t in study.trials
        if t.state in (State.COMPLETE, State.PRUNED) and t.seconds and t.proposal.origin is not Origin.RUN
    ]
    if not ended:
        whole = [_whole(t) for t in study.trials if t.state is State.RUNNING and _has_pace(t)]
        return (fmean(whole), fmean(whole), False) if whole else None
    taken = [t.seconds for t in ended]
    longest = max(_whole(t) if _has_pace(t) else t.seconds for t in ended)
    if len(taken) == 1:
        return taken[0], longest, True
    spread = stdev(taken) * math.sqrt(1 / max(1, each) + 1 / len(taken))
    mean = fmean(taken)
    return max(min(taken), mean - spread), min(max(longest, *taken), mean + spread), True


def _has_pace(trial: TrialRecord) -> bool:
    return trial.steps >= LEAST_STEPS and trial.max_steps > 0 and trial.seconds > 0


def _whole(trial: TrialRecord) -> float:
    """Seconds that a trial takes that runs to its end, at its pace so far."""
    return trial.seconds / trial.steps * max(trial.steps, trial.max_steps)


def _rest(trial: TrialRecord, length: float) -> float:
    """Seconds that a running trial will still take, at its own pace, else as one of that `length`."""
    return max(0.0, (_whole(trial) if _has_pace(trial) else length) - trial.seconds)


def _all_done(rests: list[float], to_come: int, length: float, places: int, deadline: float) -> float:
    """Seconds until the trials that run, and those to come, are over, where each place takes the next that comes."""
    free = [*rests, *[0.0] * (places - len(rests))]
    heapify(free)
    end = max(rests, default=0.0)
    for _ in range(to_come):
        begin = heappop(free)
        if begin >= deadline:
            break
        heappush(free, begin + length)
        end = max(end, begin + length)
    return end


def _deadline(study: StudyRecord, now: float) -> float:
    """Seconds from `now` after which no trial begins."""
    if study.search.timeout is None:
        return math.inf
    began = max((d.time for d in study.decisions if d.kind in ("study_started", "study_resumed")), default=now)
    return began + study.search.timeout - now
