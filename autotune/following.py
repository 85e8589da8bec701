"""Follows the logs that a person names while they are written: findings when they can first be known, then reports."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from autotune.cli import ExitStatus, fail, say
from autotune.looking import Asked, status
from autotune.named import STDIN, UNREADABLE, Named, named, nothing_judged, spooling
from autotune.views.followed import FollowedView
from diagnostics.errors import UserError
from diagnostics.finding import Finding, Report, Severity
from diagnostics.following import Following
from diagnostics.logs import open_log
from diagnostics.sources import Source

INTERVAL = 0.5  # seconds between two looks at the files
_CHUNK = 1 << 16


class Spool:
    """Standard input, copied to a file while it comes. `trouble` says why it ended early."""

    def __init__(self, path: Path) -> None:
        self.ended, self.trouble = False, ""
        self._path = path
        path.touch()
        threading.Thread(target=self._copy, daemon=True).start()

    def _copy(self) -> None:
        try:
            with self._path.open("wb", buffering=0) as file:
                while chunk := os.read(sys.stdin.fileno(), _CHUNK):
                    file.write(chunk)
        except OSError as error:  # it cannot be read, or there is no room to copy it to
            self.trouble = UNREADABLE.format(error.strerror)
        self.ended = True


class Followed:
    """One log that is followed. `over` says whether nothing more will come, `trouble` why it can no longer be read."""

    def __init__(self, source: Source, asked: Asked, spool: Spool | None) -> None:
        self.name, self.over, self.trouble = source.name, False, ""
        self._log, self._spool = open_log(source, asked.mine), spool
        self._following = Following(self._log, asked.rules)
        self._begun = False

    def poll(self) -> tuple[Finding, ...]:
        """What is raised by now for the first time; the step that is still being written is not judged."""
        complete = self._spool is not None and self._spool.ended
        try:
            found = self._following.poll() if self._begun else self._following.catch_up()
        except OSError as error:
            self.trouble = f"{self.name} can no longer be read: {error.strerror}"
            found = ()
        if complete and self._spool is not None:
            self.trouble = self.trouble or self._spool.trouble
        self._begun = True
        self.over = complete or self._following.ended or bool(self.trouble)
        return found

    def finish(self) -> tuple[tuple[Finding, ...], Report]:
        """What the end of the log raises, and the report."""
        found: tuple[Finding, ...] = ()
        try:
            found = self._following.catch_up()
        except OSError as error:
            self.trouble = f"{self.name} can no longer be read: {error.strerror}"
        try:
            found += self._following.finish()
        except UserError as error:  # nothing in it could be read
            self.trouble = f"{self.name}: {error}"
        self._log.close()
        return found, self._following.report()


class Follower:
    """All logs that are named. `errors` say why a place is not followed to its end.

    What holds no log yet is waited for: a run may begin with minutes of silence, or of warnings.
    """

    def __init__(self, arguments: Sequence[str], asked: Asked, stdin: Path) -> None:
        self.errors: list[str] = []
        self.logs: list[Followed] = []
        self._asked = asked
        self._spool = Spool(stdin) if STDIN in arguments else None
        self._stdin = stdin
        self._awaited = {named(argument, stdin): "" for argument in dict.fromkeys(arguments)}  # and what is said of it
        self._seen: set[Source] = set()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return not self._awaited and all(log.over for log in self.logs)

    def poll(self) -> list[tuple[str, Finding]]:
        """What is raised by now for the first time, each with the name of its log."""
        for place in list(self._awaited):
            self._open(place)
        return [(log.name, finding) for log in self.logs for finding in self._wanted(log.poll())]

    def finish(self) -> tuple[list[tuple[str, Finding]], list[Report]]:
        """What the ends of the logs raise, and the reports."""
        for place in list(self._awaited):
            self._open(place)
        self.errors += self._awaited.values()
        last, reports = [], []
        for log in self.logs:
            found, report = log.finish()
            last += [(log.name, finding) for finding in self._wanted(found)]
            reports.append(report if self._asked.chosen is None else self._asked.chosen.of(report))
            if log.trouble or not reports[-1].judged:
                self._error(log.trouble or nothing_judged(reports[-1]))
        return last, reports

    def _wanted(self, findings: Sequence[Finding]) -> list[Finding]:
        return [f for f in findings if self._asked.chosen is None or f.code not in self._asked.chosen.left_out]

    def _open(self, place: Named) -> None:
        """Begin with the logs of `place`, where it holds any by now."""
        spool = self._spool if place.path == self._stdin else None
        may_come = not spool.ended if spool else place.can_be_read()
        try:
            found = place.find()
            new = [source for source in found.sources if source not in self._seen]
            self.logs += [Followed(source, self._asked, spool) for source in new]
        except (OSError, UserError) as error:
            if not may_come:
                del self._awaited[place]
                self._error(spool.trouble if spool and spool.trouble else str(error))
            elif not self._awaited[place] and not spool:  # of what comes through a pipe nobody need be told to wait
                self._awaited[place] = str(error)
                why = error.message if isinstance(error, UserError) else str(error)
                say(f"waiting: {why}")
            return
        del self._awaited[place]
        self._seen.update(new)
        for path, reason in found.unreadable:
            say(f"not followed: {path}: {reason}")

    def _error(self, message: str) -> None:
        self.errors.append(message)
        fail(message)


@contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or kill, which may come while a row is half taken in; the second one ends at once."""
    asked = threading.Event()

    def ask(number: int, _: FrameType | None) -> None:
        asked.set()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as SIGHUP is under nohup
            signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(
    arguments: Sequence[str], asked: Asked, fail_on: Severity, *, as_json: bool, verbose: bool = False
) -> ExitStatus:
    """Follow until every log has said that it is over, or a person ends it; then show the reports."""
    with spooling(arguments) as stdin, asked_to_end() as ending:
        follower = Follower(arguments, asked, stdin)
        view = FollowedView(as_json=as_json, verbose=verbose)
        while not follower.over and not ending.is_set():
            view.found(follower.poll(), logs=len(follower.logs))
            ending.wait(INTERVAL)
        interrupted = ending.is_set()
        found, reports = follower.finish()
        view.found(found, logs=len(follower.logs))
        view.reported(reports)
    if interrupted:
        return ExitStatus.INTERRUPTED
    return ExitStatus.ERROR if follower.errors else status(reports, fail_on)
