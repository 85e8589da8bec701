"""What differs between two runs that are watched: read, judged and compared in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from diagnostics.text import visible
from studies.log import trial_directory
from studies.record import State, StudyRecord, TrialRecord
from tui.log_status import Run
from tui.thread import ReadingThread
from tui.watched import RunKey, RunView

if TYPE_CHECKING:  # the first paint waits for no numpy
    from diagnostics.comparison import Comparison
    from diagnostics.differences import Judged
    from diagnostics.readers.events import RunLog
    from diagnostics.rule import Catalogue

INTERVAL = 2.0  # seconds between two comparisons of runs that go on
SHARE = 0.05  # of a core that comparing may take
OPEN = 12  # runs that are remembered as they were judged last


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs to compare; `study` is theirs, where they are trials."""

    before: RunView
    after: RunView
    study: StudyRecord | None

    @property
    def keys(self) -> tuple[RunKey, RunKey]:
        """Which they are."""
        return self.before.key, self.after.key


@dataclass(frozen=True, slots=True)
class CompareView:
    """What came of it: the comparison of two sides that are called `names`, or what keeps us from it."""

    keys: tuple[RunKey, RunKey] | None = None
    comparison: Comparison | None = None
    names: tuple[str, str] = ("", "")
    trouble: str = ""


class CompareFeed(ReadingThread[CompareView]):
    """Compares what is wanted, again as the runs go on; `rules` are those that they are judged by."""

    def __init__(
        self,
        publish: Callable[[CompareView], None],
        failed: Callable[[BaseException], None],
        rules: Catalogue | None = None,
    ) -> None:
        super().__init__(publish, failed)
        self._rules = rules
        self._wanted: Pair | None = None
        self._awake = threading.Event()
        self._judged: dict[RunKey, tuple[object, Judged]] = {}  # with what they were judged at
        self._logs: dict[RunKey, RunLog] = {}
        self._compared: tuple[object, CompareView] = None, CompareView()
        self._busy = 0.0  # seconds

    def want(self, pair: Pair | None) -> None:
        """Compare these from now on, or nothing; other runs at once, news of the same ones when it is time."""
        before, self._wanted = self._wanted, pair
        if (before and before.keys) != (pair and pair.keys):
            self._wake()

    def read(self) -> CompareView:
        """Compare what is wanted, where it is not what was compared last."""
        pair = self._wanted
        if pair is None:
            return CompareView()
        began = time.thread_time()
        try:
            view = self._compare(pair)
        except UserError as error:
            view = CompareView(pair.keys, trouble=str(error))
        except OSError as error:
            view = CompareView(pair.keys, trouble=f"cannot read {visible(str(error.filename))}: {error.strerror}")
        self._busy = time.thread_time() - began
        return view

    def close(self) -> None:
        """Stop reading."""
        for log in self._logs.values():
            log.close()

    def _compare(self, pair: Pair) -> CompareView:
        from diagnostics.comparison import compare

        for run in (pair.before, pair.after):
            why_not = not_yet(run)
            if why_not:
                return CompareView(pair.keys, trouble=why_not)
        sides = sides_of(pair)
        version = tuple(tuple((run.key, _version(run)) for run in side) for side in sides)
        if version != self._compared[0]:
            judged = [[self._judge(run, pair.study) for run in side] for side in sides]
            empty = [
                run.name for run, one in zip((pair.before, pair.after), judged, strict=True) if not one[0].run.series
            ]
            if empty:
                view = CompareView(pair.keys, trouble=f"{empty[0]} logs no metric that has a meaning: see its screen")
            else:
                view = CompareView(pair.keys, compare(*judged), names_of(sides))
            self._compared = version, view
        return self._compared[1]

    def _judge(self, run: RunView, study: StudyRecord | None) -> Judged:
        from diagnostics.differences import Judged
        from diagnostics.engine import diagnose

        version, known = _version(run), self._judged.get(run.key)
        if known is not None and known[0] == version:
            return known[1]
        if isinstance(run.of, Run):
            assert run.of.segment is not None and run.of.log.report is not None
            history = run.of.segment.history
            alone = len(run.of.log.segments) == 1
            judged = Judged(history, run.of.log.report if alone else diagnose(history, self._rules))
        else:
            assert study is not None
            history = self._log(run.key, study, run.of).histories()[0].upto(run.of.steps)
            # Of a script that does not log them the study knows what it was told.
            history = replace(history, settings={**study.settings(run.of), **history.settings})
            judged = Judged(history, diagnose(history, self._rules))
        self._judged.pop(run.key, None)
        if len(self._judged) >= OPEN:
            gone = next(iter(self._judged))
            del self._judged[gone]
            if gone in self._logs:
                self._logs.pop(gone).close()
        self._judged[run.key] = version, judged
        return judged

    def _log(self, key: RunKey, study: StudyRecord, trial: TrialRecord) -> RunLog:
        """What the trial has told by now."""
        from diagnostics.readers.events import RunLog

        if key not in self._logs:
            self._logs[key] = RunLog(trial_directory(study.directory, trial.number))
        while self._logs[key].poll():
            pass
        return self._logs[key]

    def _wait(self) -> None:
        self._awake.wait(max(INTERVAL, self._busy / SHARE) if self._wanted is not None else None)
        self._awake.clear()

    def _wake(self) -> None:
        self._awake.set()


def sides_of(pair: Pair) -> tuple[list[RunView], list[RunView]]:
    """The runs of either side: of trials with other settings also those of the same settings and another seed."""
    before, after = pair.before, pair.after
    if pair.study is None or not isinstance(before.of, TrialRecord) or not isinstance(after.of, TrialRecord):
        return [before], [after]
    if before.of.proposal.knobs == after.of.proposal.knobs:
        return [before], [after]
    return _seeds(before, before.of, pair.study), _seeds(after, after.of, pair.study)


def _seeds(run: RunView, trial: TrialRecord, study: StudyRecord) -> list[RunView]:
    others = [
        RunView(other.number, f"trial {other.number}", other)
        for other in study.trials
        if other.number != trial.number
        and other.proposal.knobs == trial.proposal.knobs
        and other.state in (State.COMPLETE, State.PRUNED)
        and other.steps
    ]
    return [run, *others]


def names_of(sides: tuple[list[RunView], list[RunView]]) -> tuple[str, str]:
    """What the sides are called in tables: trials by their numbers, runs of logs by a letter."""
    if isinstance(sides[0][0].of, TrialRecord):
        before, after = (
            f"trial{'s' if len(side) > 1 else ''} {', '.join(str(run.key) for run in side)}" for side in sides
        )
        return before, after
    return "A", "B"


def not_yet(run: RunView) -> str:
    """Why a run cannot be compared yet; "" where it can."""
    if isinstance(run.of, TrialRecord):
        if run.of.state is State.WAITING:
            return f"{run.name} has not begun: it waits for an answer"
        return "" if run.metrics else f"{run.name} has not begun: no step yet"
    log = run.of.log
    if run.of.segment is None or log.report is None:
        return f"{visible(run.name)}: {log.trouble or 'is being read'}"
    return "" if run.metrics or run.others else f"{visible(run.name)} has not begun: it holds no step yet"


def _version(run: RunView) -> object:
    """Changes with what is known of a run."""
    if isinstance(run.of, TrialRecord):
        return run.of.attempt, run.of.steps, run.of.state
    return run.of.segment  # which is another one with each look at a log that has grown
