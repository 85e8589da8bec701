"""How a study stands, in words: derived from a snapshot and the clock alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from studies import words
from studies.record import State, StudyRecord, TrialRecord
from tui.feed import Snapshot, TrialFeed

# A step is late after this many times its usual length, but not before so many seconds: evaluations take longer than
# steps, and a machine may be busy with other things.
LATE_FACTOR, LATE_SECONDS = 10.0, 30.0
# Before the first step models are loaded, perhaps downloaded; after the last one they are saved.
BEGIN_SECONDS, END_SECONDS = 300.0, 60.0


class Phase(StrEnum):
    """How a study stands."""

    READING = "reading"
    WAITING = "waiting"
    EMPTY = "empty"
    RUNNING = "running"
    STALE = "stale"
    QUIET = "quiet"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    KILLED = "killed"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Status:
    """The phase and what there is to say of it, in one line."""

    phase: Phase
    text: str


def status(snapshot: Snapshot | None, now: float) -> Status:
    """How the study of `snapshot` stands at `now` (seconds since the epoch); None has not been read yet."""
    if snapshot is None:
        return Status(Phase.READING, "the files of the study")
    if snapshot.trouble:
        return Status(Phase.TROUBLE, snapshot.trouble)
    study = snapshot.study
    if study is None:
        if snapshot.running:
            return Status(Phase.WAITING, "for the first line of the study")
        return Status(Phase.FAILED, f"the study ended before its first line{_last(snapshot)}")
    if study.ended:
        return _ended(study, snapshot)
    if not snapshot.running:
        again = f"; go on with: autotune study resume {study.directory}"
        return Status(Phase.KILLED, f"no process runs it any more, and it has no end{_last(snapshot) or again}")
    running = [t for t in study.trials if t.state is State.RUNNING]
    if not study.trials:
        return Status(Phase.EMPTY, "no trial yet: the first is being prepared")
    late = next(_late(snapshot, running, now), None)
    if late:
        return Status(Phase.STALE, late)
    if not running:
        return Status(Phase.RUNNING, "the next trial is being prepared")
    return Status(Phase.RUNNING, ", ".join(_going(t, snapshot, now) for t in running))


def progress(snapshot: Snapshot, now: float) -> str:
    """How many trials are done, the time they took and about how long the others will."""
    study = snapshot.study
    if study is None:
        return ""
    done = [t for t in study.trials if t.state is not State.RUNNING]
    over = bool(study.ended) or not snapshot.running
    last = max((study.decisions[-1].time if study.decisions else 0.0, *(f.last_time for f in snapshot.trials.values())))
    parts = [
        f"{len(done)}/{study.spec.trials} trials",
        words.duration(max(0.0, (last if over else now) - study.started)),
    ]
    left = None if over else _left(study)
    if left is not None:
        parts.append(f"about {words.duration(left)} left")
    return ", ".join(parts)


def _left(study: StudyRecord) -> float | None:
    """Seconds until all trials have run, at the pace of those so far; None while there is none."""
    running = [t for t in study.trials if t.state is State.RUNNING and t.max_steps]
    paces = [t.seconds for t in study.trials if t.state is not State.RUNNING and t.seconds]
    paces = paces or [t.seconds / t.steps * t.max_steps for t in running if t.steps > 4]
    if not paces:
        return None
    ended = sum(t.state is not State.RUNNING for t in study.trials)
    remaining = study.spec.trials - ended - sum(min(1.0, t.steps / t.max_steps) for t in running)
    return fmean(paces) * max(0.0, remaining) / max(1, study.search.parallel)


def _ended(study: StudyRecord, snapshot: Snapshot) -> Status:
    match study.ended:
        case "finished":
            best = study.best()
            if best is None:
                return Status(
                    Phase.FINISHED, "no trial ran to its end without a finding at ERROR: nothing to recommend"
                )
            value = f"{study.spec.objective} {words.result(study, best)}"
            return Status(
                Phase.FINISHED, f"★ trial {best.number} is best: {value} with {words.knobs(best.proposal.knobs)}"
            )
        case "interrupted":
            return Status(Phase.INTERRUPTED, f"by a person; go on with: autotune study resume {study.directory}")
        case "failed":
            return Status(Phase.FAILED, f"an error of the loop ended it{_last(snapshot)}")
        case other:
            return Status(Phase.FINISHED, other)


def _last(snapshot: Snapshot) -> str:
    return f"; its last words: {' | '.join(snapshot.last_words)}" if snapshot.last_words else ""


def _going(trial: TrialRecord, snapshot: Snapshot, now: float) -> str:
    feed = snapshot.trials.get(trial.number, TrialFeed())
    if not feed.last_time:
        return f"trial {trial.number} is starting"
    share = f"{trial.steps}/{trial.max_steps}" if trial.max_steps else str(trial.steps)
    return f"trial {trial.number} at step {share}, news {words.duration(max(0.0, now - feed.last_time))} ago"


def _late(snapshot: Snapshot, running: list[TrialRecord], now: float) -> Iterator[str]:
    """Which trials are silent for longer than fits them."""
    assert snapshot.study is not None
    proposed = {d.trial: d.time for d in snapshot.study.decisions if d.kind in ("trial_proposed", "trial_retried")}
    last_decision = snapshot.study.decisions[-1].time
    for trial in running:
        feed = snapshot.trials.get(trial.number, TrialFeed())
        silence = now - max(feed.last_time, proposed.get(trial.number, 0.0))
        steps = max((curve.steps[-1] for curve in feed.curves.values()), default=0)
        if feed.ended and silence > END_SECONDS:
            yield f"trial {trial.number} ended {words.duration(silence)} ago and the study has not said so"
        elif not steps and not feed.ended and silence > BEGIN_SECONDS:
            yield f"trial {trial.number} began {words.duration(silence)} ago and has made no step"
        elif steps and not feed.ended:
            usual = (feed.last_time - feed.first_time) / steps
            if silence > max(LATE_SECONDS, LATE_FACTOR * usual):
                told = words.duration(usual) if usual >= 1 else f"{usual:.1g} s"
                yield f"trial {trial.number}: no new step for {words.duration(silence)}, usually every {told}"
    if not running and now - last_decision > BEGIN_SECONDS:
        yield f"no new trial for {words.duration(now - last_decision)}"
