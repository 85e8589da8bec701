"""How a study stands, in words: derived from a snapshot and the clock alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from diagnostics.events import Outcome
from studies import words
from studies.record import State, StudyRecord, TrialRecord
from tui.feed import Snapshot, TrialFeed
from tui.remaining import remaining

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
    ASKING = "waits for you"
    PAUSED = "paused"
    STALE = "stale"
    QUIET = "quiet"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
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
        return _killed(study, snapshot, now)
    return _alive(study, snapshot, now)


def progress(snapshot: Snapshot, now: float) -> str:
    """How many trials are done, the time they took and about how long the others will."""
    study = snapshot.study
    if study is None:
        return ""
    over = bool(study.ended) or not snapshot.running
    taken = max(0.0, (_last_news(snapshot) if over else now) - study.started)
    parts = [f"{study.done}/{study.spec.trials} trials", words.duration(taken)]
    left = None if over else remaining(study, now)
    return ", ".join([*parts, str(left)] if left else parts)


def _last_news(snapshot: Snapshot) -> float:
    """When something was written last; 0 where nothing was."""
    decisions = snapshot.study.decisions if snapshot.study else ()
    return max((decisions[-1].time if decisions else 0.0, *(f.last_time for f in snapshot.trials.values())))


# ---- while it runs


def _alive(study: StudyRecord, snapshot: Snapshot, now: float) -> Status:
    running = [t for t in study.trials if t.state is State.RUNNING]
    going = [t for t in running if not t.paused]
    told = [_going(t, snapshot, now) for t in going]
    told += [f"trial {t.number} is paused at step {_share(t)}" for t in running if t.paused]
    if study.ending:
        told.append("no new trial begins, as was asked")
    if study.waiting:
        return Status(Phase.ASKING, "; ".join([*(asking(study, t) for t in study.waiting), *told]))
    if not study.trials:
        return Status(Phase.EMPTY, "no trial yet: the first is being prepared")
    late = next(_late(snapshot, going, now), None)
    if late:
        return Status(Phase.STALE, late)
    if not running:
        return Status(Phase.RUNNING, "; ".join(told) or "the next trial is being prepared")
    if not going:
        return Status(Phase.PAUSED, f"{', '.join(told)}; p lets it go on")
    return Status(Phase.RUNNING, ", ".join(told))


def asking(study: StudyRecord, trial: TrialRecord) -> str:
    """A proposal that waits for a person, and the keys that answer; why it is made would push them off the screen."""
    return f"trial {trial.number}: {words.change(study, trial)}; a accepts it, r refuses it"


def _going(trial: TrialRecord, snapshot: Snapshot, now: float) -> str:
    feed = snapshot.trials.get(trial.number, TrialFeed())
    again = f", attempt {trial.attempt}," if trial.attempt > 1 else ""
    if not feed.last_time or feed.attempt < trial.attempt:
        return f"trial {trial.number}{again} is starting"
    news = words.duration(max(0.0, now - feed.last_time))
    return f"trial {trial.number}{again} at step {_share(trial)}, news {news} ago"


def _share(trial: TrialRecord) -> str:
    return f"{trial.steps}/{trial.max_steps}" if trial.max_steps else str(trial.steps)


def _late(snapshot: Snapshot, going: Sequence[TrialRecord], now: float) -> Iterator[str]:
    """Which trials are silent for longer than fits them."""
    assert snapshot.study is not None
    begins = ("trial_proposed", "trial_accepted", "trial_retried", "trial_continued")
    began = {d.trial: d.time for d in snapshot.study.decisions if d.kind in begins}
    last_decision = snapshot.study.decisions[-1].time
    for trial in going:
        feed = snapshot.trials.get(trial.number, TrialFeed())
        silence = now - max(feed.last_time, began.get(trial.number, 0.0))
        steps = max((curve.steps[-1] for curve in feed.curves.values() if curve.steps), default=0)
        if feed.ended and silence > END_SECONDS:
            yield f"trial {trial.number} ended {words.duration(silence)} ago and the study has not said so"
        elif not steps and not feed.ended and silence > BEGIN_SECONDS:
            yield f"trial {trial.number} began {words.duration(silence)} ago and has made no step"
        elif steps and not feed.ended:
            usual = (feed.last_time - feed.first_time - trial.paused_seconds) / steps
            if silence > max(LATE_SECONDS, LATE_FACTOR * usual):
                told = f"no new step for {words.duration(silence)}, usually every {words.pace(usual)}"
                yield f"trial {trial.number}: {told}"
    running = any(t.state is State.RUNNING for t in snapshot.study.trials)
    if not running and now - last_decision > BEGIN_SECONDS:
        yield f"no new trial for {words.duration(now - last_decision)}"


# ---- when it is over


def _ended(study: StudyRecord, snapshot: Snapshot) -> Status:
    match study.ended:
        case Outcome.FINISHED:
            best = study.best()
            if best is None:
                return Status(
                    Phase.FINISHED, "no trial ran to its end without a finding at ERROR: nothing to recommend"
                )
            value = f"{study.spec.objective} {words.result(study, best)}"
            return Status(
                Phase.FINISHED, f"★ trial {best.number} is best: {value} with {words.knobs(best.proposal.knobs)}"
            )
        case Outcome.INTERRUPTED:
            return Status(Phase.INTERRUPTED, f"by a person{_broken_off(study)}; {_resume(study)}")
        case Outcome.STOPPED:
            return Status(Phase.STOPPED, f"as a person asked{_broken_off(study)}; {_resume(study)}")
        case Outcome.FAILED:
            return Status(Phase.FAILED, _why_failed(study, snapshot))
        case other:
            return Status(Phase.FINISHED, other)


def _why_failed(study: StudyRecord, snapshot: Snapshot) -> str:
    """What ended the study: its last words, else a trial that failed."""
    if snapshot.last_words:
        return f"an error ended it{_last(snapshot)}"
    failed = next((t for t in reversed(study.trials) if t.state is State.FAILED), None)
    if failed is None:
        return f"an error of the loop ended it; {_resume(study)}"
    return f"trial {failed.number} failed: {failed.reason}; mend it, then {_resume(study)}"


def _killed(study: StudyRecord, snapshot: Snapshot, now: float) -> Status:
    news = words.duration(max(0.0, now - _last_news(snapshot)))
    last = _last(snapshot) or f"; {_resume(study)}"
    return Status(Phase.KILLED, f"no process runs it any more, the last news came {news} ago{_broken_off(study)}{last}")


def _broken_off(study: StudyRecord) -> str:
    """The trials that a study which goes on takes up again."""
    told = [f"trial {t.number} broke off at step {_share(t)}" for t in study.trials if t.state is State.RUNNING]
    return "".join(f"; {each}" for each in told)


def _resume(study: StudyRecord) -> str:
    return f"go on with: autotune study resume {study.directory}"


def _last(snapshot: Snapshot) -> str:
    return f"; its last words: {' | '.join(snapshot.last_words)}" if snapshot.last_words else ""
