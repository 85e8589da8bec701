"""What the monitor knows of logs of any format: read in a thread of its own, handed over as one frozen snapshot.

A log that nobody writes to any more is read to its end, as `autotune diagnose` does; until then what is torn at its end
means "not yet", and its last step stays open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.axes import Clock
from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE
from diagnostics.finding import Finding, Report
from diagnostics.plot import Curve
from diagnostics.readers.files import files_below
from diagnostics.report.words import onset
from diagnostics.sources import Found, NoLog, Source, find
from diagnostics.user_map import UserMap
from studies.log import is_study
from tui.thin import Thinner, clock_of
from tui.thread import ReadingThread

if TYPE_CHECKING:  # the first paint waits for no numpy
    from diagnostics.following import Following
    from diagnostics.logs import Log
    from diagnostics.rule import Catalogue
    from diagnostics.series import RunHistory

INTERVAL = 1.0  # seconds between looks at the files; drawing what grew costs more than reading it
SHARE = 0.05  # of a core that looking may take: the look at a very long log waits
SEARCH_INTERVAL = 5.0  # seconds between looks for logs that are new in a folder
TELL_INTERVAL = 0.5  # seconds between two words on how far reading is
QUIET = 300.0  # seconds after which a log that nobody wrote to is read to its end
DEPTH = 3  # folders that files of a run lie down: runs/name/checkpoint-10

Version = tuple[tuple[int, int, int], ...]  # of each file which one, how long, when written


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One run of a log: its metrics under canonical names, and what it logged under names without a meaning.

    `clock` says when its steps were logged, None where the log does not; `knobs` what was changed while it ran, as
    (step, knob, value). Curves are thinned; `history` has all points.
    """

    metrics: Mapping[str, Curve]
    others: Mapping[str, Curve]
    first: int  # step
    last: int  # step, -1 where it has none
    history: RunHistory
    clock: Clock | None = None
    knobs: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class LogView:
    """A log at one moment; `report` is None until it was read once, of which `share` is done.

    `written` is when it was written last (seconds since the epoch). `ended` says that the log tells the end of its run.
    `trouble` is what keeps us from reading it; what is known stays. `source` says where it lies, None for one that was
    found and could not be read.
    """

    name: str
    source: Source | None = None
    written: float = 0.0
    report: Report | None = None
    segments: tuple[Segment, ...] = ()
    size: int = 0  # bytes
    share: float = 0.0
    ended: bool = False
    trouble: str = ""

    def findings(self, segment: int) -> tuple[Finding, ...]:
        """Those of the `segment`-th run (from 1), the worst first, each from where it was milder on."""
        if self.report is None:
            return ()
        mine = (f for f in self.report.findings if f.segment == segment)
        return tuple(replace(f, first_step=onset(f, self.report)) for f in mine)


@dataclass(frozen=True, slots=True)
class Logs:
    """All logs at a path; `others` are the files beside them that are none.

    `trouble` tells of the path itself, `awaited` why there is no log at it yet.
    """

    logs: tuple[LogView, ...] = ()
    others: tuple[Path, ...] = ()
    trouble: str = ""
    awaited: str = ""


class LogFeed(ReadingThread[Logs]):
    """Follows the logs that were `found` at `path`, where there were any, and those that appear there later."""

    def __init__(
        self,
        path: Path,
        found: Found,
        publish: Callable[[Logs], None],
        failed: Callable[[BaseException], None],
        *,
        mine: UserMap | None = None,
        rules: Catalogue | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(publish, failed)
        self.path = path
        self._mine, self._rules, self._clock = mine or UserMap(), rules, clock
        self._found = found
        self._trouble, self._awaited = "", ""
        self._followed: dict[Source, Followed] = {}
        self._awake = threading.Event()
        self._busy = 0.0  # seconds that the last look took
        self._search_after = time.monotonic() + SEARCH_INTERVAL if found.sources else 0.0
        self._told = 0.0

    def read(self) -> Logs:
        """Look at each log once, the one that was written last first; where one cannot be read, what is known stays."""
        began, known = time.thread_time(), self._read_once()
        if known:
            self._told = time.monotonic()  # a look that is soon over needs no word on how far it is
        self._search()
        for followed in sorted(self._followed.values(), key=lambda f: f.view.written, reverse=True):
            followed.look(self._clock(), self._progress)
        # What is read for the first time says nothing of what it will cost to follow it.
        self._busy = time.thread_time() - began if self._read_once() == known else 0.0
        return self._snapshot()

    def _read_once(self) -> int:
        """How many logs were read to where they end."""
        return sum(followed.view.report is not None for followed in self._followed.values())

    def close(self) -> None:
        """Stop reading."""
        for followed in self._followed.values():
            followed.close()

    def _snapshot(self) -> Logs:
        views = [self._followed[source].view for source in self._found.sources]
        views += [
            LogView(str(path), trouble=f"not read: {reason}", share=1.0) for path, reason in self._found.unreadable
        ]
        return Logs(tuple(views), self._found.others, self._trouble, self._awaited)

    def _progress(self) -> bool:
        """Say how far reading is, now and then; whether to go on."""
        if time.monotonic() - self._told > TELL_INTERVAL:
            self._told = time.monotonic()
            self.tell(self._snapshot())
        return not self.over

    def _search(self) -> None:
        """Take in logs that are new at the path; those that went away stay as they were, in trouble.

        What kind of log a file is may not be known from its first line: until there is a step, it is looked at anew.
        """
        may_be_more = self.path.is_dir() or not any(followed.has_steps for followed in self._followed.values())
        if may_be_more and time.monotonic() > self._search_after:
            began = time.thread_time()
            self._trouble = self._awaited = ""
            try:
                if not self._found.sources and is_study(self.path):
                    raise UserError(f"a study has begun in {self.path}", "Leave with q and open the monitor again.")
                self._found = self._with_known(find(self.path))
            except NoLog as error:
                if self._found.sources:
                    self._trouble = str(error)
                else:
                    self._awaited = error.message
            except (UserError, OSError) as error:
                self._trouble = str(error)
            self._search_after = time.monotonic() + max(SEARCH_INTERVAL, (time.thread_time() - began) / SHARE)
        self._follow_found()

    def _follow_found(self) -> None:
        for source in self._found.sources:
            if source not in self._followed:
                self._followed[source] = self._follow(source)

    def _follow(self, source: Source) -> Followed:
        return Followed(source, self._mine, self._rules)

    def _with_known(self, found: Found) -> Found:
        """`found`, and the logs that are known and no longer there; one that has another file now is the same log."""
        paths = {path for source in found.sources for path in source.paths}
        gone = [s for s in self._found.sources if s not in found.sources and paths.isdisjoint(s.paths)]
        for source in self._followed.keys() - {*found.sources, *gone}:
            self._followed.pop(source).close()
        return replace(found, sources=(*found.sources, *gone))

    def _wait(self) -> None:
        self._awake.wait(max(INTERVAL, self._busy / SHARE))
        self._awake.clear()

    def _wake(self) -> None:
        self._awake.set()


@dataclass(slots=True)
class _Open:
    """A log that is being read."""

    log: Log
    following: Following


@dataclass(slots=True)
class Followed:
    """One log, and the newest view of it."""

    source: Source
    mine: UserMap
    rules: Catalogue | None
    view: LogView = field(init=False)
    _open: _Open | None = None
    _version: Version = ()
    _finished: bool = False

    def __post_init__(self) -> None:
        self.view = LogView(self.source.name, self.source)
        with suppress(OSError):  # who reads it will be told
            self.view = replace(self.view, written=_written(self._written_to()))

    @property
    def has_steps(self) -> bool:
        """Whether any step of it was read."""
        return any(segment.last >= 0 for segment in self.view.segments)

    def look(self, now: float, progress: Callable[[], bool]) -> None:
        """Read what is new; `progress` is asked between two parts of a long log whether to go on."""
        try:
            self._look(now, progress)
        except OSError as error:
            self.view = replace(self.view, trouble=f"cannot read {self.source.name}: {error.strerror or error}")
            self._version = ()  # so that it is tried again
        except UserError as error:
            self.view = replace(self.view, trouble=str(error), share=1.0)

    def close(self) -> None:
        """Stop reading."""
        if self._open is not None:
            self._open.log.close()
            self._open = None

    def _look(self, now: float, progress: Callable[[], bool]) -> None:
        version = self._written_to()
        size, written = sum(size for _, size, _ in version), _written(version)
        over = self._is_over(now, written)
        if version == self._version and (self._finished or not over):
            return
        if self._finished:  # what was read to its end has grown after all
            self.close()
            self._finished = False
        self._version = version
        opened = self._opened()
        while opened.log.poll():
            self.view = replace(
                self.view, written=written, size=size, share=min(1.0, opened.log.position / max(1, size))
            )
            if not progress():
                return
        opened.following.catch_up()
        if over or opened.log.ended:
            opened.following.finish()
            self._finished = True
        self.view = LogView(
            self.source.name,
            self.source,
            written,
            opened.following.report(),
            tuple(_segments(opened.following.runs)),
            size,
            share=1.0,
            ended=opened.log.ended,
        )

    def _opened(self) -> _Open:
        if self._open is None:
            from diagnostics.following import Following

            log = self._log()
            self._open = _Open(log, Following(log, self.rules))
        return self._open

    def _log(self) -> Log:
        from diagnostics.logs import open_log

        return open_log(self.source, self.mine)

    def _written_to(self) -> Version:
        """What tells that the log has grown. OSError where none of its files is there any more."""
        return _version(self.source)

    def _is_over(self, now: float, written: float) -> bool:
        """Whether nobody writes to it any more, as far as can be told."""
        return now - written > QUIET or self.view.ended


def _version(source: Source) -> Version:
    stats = [file.stat() for file in _files(source)]
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


def _written(version: Version) -> float:
    return max(written for *_, written in version) / 1e9


def _files(source: Source) -> list[Path]:
    """The files of a log; of a folder those that are called as the others are, such as states of later checkpoints."""
    folders = [path for path in source.paths if path.is_dir()]
    files = [path for path in source.paths if path not in folders]
    names = {file.name for file in files} or {EVENTS_FILE}
    below = [file for folder in folders for file in files_below(folder, DEPTH) if file.name in names]
    return below or files or [folder / EVENTS_FILE for folder in folders]


def _segments(runs: Sequence[RunHistory]) -> Iterator[Segment]:
    for run in runs:
        thin = Thinner().thinned
        every = [series for series in (*run.series.values(), *run.others.values()) if len(series)]
        yield Segment(
            {metric: thin(series) for metric, series in run.series.items()},
            {name: thin(series) for name, series in run.others.items() if name not in run.series},
            min((int(series.steps[0]) for series in every), default=0),
            max((int(series.steps[-1]) for series in every), default=-1),
            run,
            clock_of(run.times) if run.times is not None else None,
            run.knobs,
        )
