"""What the monitor knows of a study: read in a thread of its own, handed over as one frozen snapshot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from diagnostics.axes import Clock, clock
from diagnostics.errors import UserError
from diagnostics.plot import NONE, Curve, curve
from studies.log import MOST_POINTS, StudyFollower, is_running, is_study
from studies.record import StudyRecord
from studies.requests import Request, pending
from studies.trial_log import TrialLog
from tui.thread import ReadingThread

INTERVAL = 0.5  # seconds between looks at the files
LOCK_INTERVAL = 2.0  # the lock is probed by taking it, which a study that starts in that instant would notice
LAST_WORDS = 4  # lines of a loop that died
LOG_TAIL = 1 << 14  # bytes


@dataclass(frozen=True, slots=True)
class TrialFeed:
    """The curves of one trial, and when its lines came (seconds since the epoch, 0 before the first).

    `clock` says when each step was logged, `knobs` what was changed while it ran, as (step, knob, value). `whole` says
    that all points are there, as those of trials are that run or are looked at.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    attempt: int = 0
    first_time: float = 0.0
    last_time: float = 0.0
    ended: bool = False
    clock: Clock | None = None
    knobs: tuple[tuple[int, str, float], ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A study at one moment; `study` is None before its first line.

    `running` says whether some process writes it. `requests` are those without an answer. `trouble` is what keeps us
    from reading. `last_words` are the last lines of a loop that died. `replayed` says that all of it is past.
    """

    study: StudyRecord | None = None
    trials: Mapping[int, TrialFeed] = field(default_factory=dict)
    running: bool = True
    requests: tuple[Request, ...] = ()
    trouble: str = ""
    last_words: tuple[str, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """The process that runs the study, where it is ours: whether it lives, and the file that holds what it said."""

    alive: Callable[[], bool]
    log: Path


class Feed(ReadingThread[Snapshot]):
    """Follows the study in `directory`."""

    def __init__(
        self,
        directory: Path,
        publish: Callable[[Snapshot], None],
        failed: Callable[[BaseException], None],
        loop: Loop | None = None,
    ) -> None:
        super().__init__(publish, failed)
        self.directory = directory
        self._loop = loop
        self._awake = threading.Event()
        self._follower: StudyFollower | None = None
        self._trials: dict[int, TrialFeed] = {}
        self._running, self._probed = True, 0.0
        self._known = Snapshot()
        self._wanted: frozenset[int] = frozenset()

    def want(self, trials: Iterable[int]) -> None:
        """Have all points of the curves of these trials, soon; of others there may be few."""
        before, self._wanted = self._wanted, frozenset(trials)
        if not self._wanted <= before:
            self.look()

    def read(self) -> Snapshot:
        """Look at the files once; where they cannot be read, what is known stays, and the next look begins anew."""
        try:
            self._known = self._read()
        except UserError as error:
            self._known = self._troubled(str(error))
        except OSError as error:
            self._known = self._troubled(f"cannot read {self.directory}: {error.strerror or error}")
        return self._known

    def close(self) -> None:
        """Stop reading."""
        if self._follower:
            self._follower.close()
            self._follower = None

    def _troubled(self, trouble: str) -> Snapshot:
        self.close()
        return replace(self._known, trouble=trouble)

    def _wake(self) -> None:
        self._awake.set()

    def _wait(self) -> None:
        self._awake.wait(INTERVAL)
        self._awake.clear()

    def _read(self) -> Snapshot:
        if self._follower is None:
            if not is_study(self.directory):
                return self._absent()
            self._follower = StudyFollower(self.directory, MOST_POINTS)
        self._follower.want(self._wanted)
        moved = self._follower.poll()
        study = self._follower.record()
        if study is None:
            return self._absent()
        for number in self._follower.news:
            self._trials[number] = _frozen(self._follower.logs[number], self._trials.get(number, TrialFeed()))
        self._look_for_the_writer(study, moved)
        answered = {str(d.data.get("request")) for d in study.decisions if d.kind == "request_answered"}
        requests = tuple(r for r in pending(self.directory, answered) if isinstance(r, Request))
        died = bool(self._loop) and not self._running and study.ended in ("", "failed")
        return Snapshot(
            study,
            dict(self._trials),
            self._running,
            requests,
            last_words=self._last_words() if died else (),
        )

    def _absent(self) -> Snapshot:
        if self._loop is None or self._loop.alive():
            return Snapshot()
        return Snapshot(running=False, last_words=self._last_words())

    def _look_for_the_writer(self, study: StudyRecord, moved: bool) -> None:
        """A loop of ours is asked; else news come from a writer, and without any the lock tells of one."""
        now = time.monotonic()
        if study.ended:
            self._running = False
        elif (self._loop is not None and self._loop.alive()) or (moved and self._probed):
            self._running = True
        elif now - self._probed >= LOCK_INTERVAL or not self._probed:
            self._running, self._probed = is_running(self.directory), now

    def _last_words(self) -> tuple[str, ...]:
        assert self._loop is not None
        try:
            with self._loop.log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - LOG_TAIL))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-LAST_WORDS:]


def _frozen(log: TrialLog, known: TrialFeed) -> TrialFeed:
    """What `log` holds now; curves that did not grow keep their identity, which is what drawing them is cached by."""
    same = known.attempt == log.attempt and known.whole == log.whole  # a new attempt takes back what was told
    before = known.curves if same else {}
    curves = {metric: curve(points, before.get(metric, NONE)) for metric, points in log.curves.items()}
    return TrialFeed(
        curves,
        log.notes,
        log.attempt,
        log.first_time,
        log.last_time,
        log.ended is not None,
        _clock(log, known.clock if before else None),
        tuple(log.knobs),
        log.whole,
    )


def _clock(log: TrialLog, known: Clock | None) -> Clock | None:
    """When the steps of `log` came; the one that is known where none is new."""
    if known is not None and log.times and known.steps[-1] == log.times[-1][0]:
        return known
    return clock(log.times.steps, log.times.values)
