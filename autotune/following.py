"""Follows the logs that a person names while they are written: each finding when it can first be known, then reports.

A log is judged anew when it has grown, but not so often that it costs more than a hundredth of a core: a look at a
short log takes milliseconds and comes at once, the one at a very long log waits.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from autotune.cli import ExitStatus, fail
from autotune.named import STDIN, Named, named, nothing_known
from autotune.views.followed import FollowedView
from diagnostics.choice import Choice
from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.finding import Finding, Report, Severity
from diagnostics.logs import open_log
from diagnostics.sources import Source
from diagnostics.user_map import UserMap

INTERVAL = 0.5  # seconds between two looks at the files
SHARE = 0.01  # of a core that judging may take
_CHUNK = 1 << 16


class Spool:
    """Standard input, copied to a file while it comes."""

    def __init__(self, path: Path) -> None:
        self.ended = False
        self._path = path
        path.touch()
        threading.Thread(target=self._copy, daemon=True).start()

    def _copy(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            while chunk := os.read(sys.stdin.fileno(), _CHUNK):
                file.write(chunk)
        self.ended = True


class Followed:
    """One log that is followed. `over` says whether nothing more will come, `trouble` why it can no longer be read."""

    def __init__(self, source: Source, mine: UserMap, spool: Spool | None) -> None:
        self.name, self.over, self.trouble = source.name, False, ""
        self._log, self._spool = open_log(source, mine), spool
        self._new = True  # whether something was not judged yet
        self._not_before = 0.0
        self._told: set[tuple[str, int, int, Severity]] = set()

    def poll(self) -> list[Finding]:
        """What is raised by now for the first time; the step that is still being written is not judged."""
        complete = self._spool is not None and self._spool.ended
        self._read()
        self.over = complete or self._log.ended or bool(self.trouble)
        if not self._new or time.monotonic() < self._not_before:
            return []
        began = time.process_time()
        *past, last = self._log.histories()
        found = self._untold(diagnose([*past, last.upto(last.last_step - 1)]))
        self._new = False
        self._not_before = time.monotonic() + (time.process_time() - began) / SHARE
        return found

    def finish(self) -> tuple[list[Finding], Report]:
        """What the end of the log raises, and the report."""
        self._read()
        self._log.finish()
        report = diagnose(self._log.histories())
        self._log.close()
        return self._untold(report), report

    def _read(self) -> None:
        try:
            while not self.trouble and self._log.poll():
                self._new = True
        except OSError as error:
            self.trouble = f"{self.name} can no longer be read: {error.strerror}"

    def _untold(self, report: Report) -> list[Finding]:
        new = [f for f in report.raised if (f.code, f.segment, f.raised_at, f.severity) not in self._told]
        self._told |= {(f.code, f.segment, f.raised_at, f.severity) for f in new}
        return new


class Following:
    """All logs that are named. An empty file is waited for; `errors` say why a place is not followed to its end."""

    def __init__(self, arguments: Sequence[str], mine: UserMap, stdin: Path) -> None:
        self.errors: list[str] = []
        self.logs: list[Followed] = []
        self._mine = mine
        self._spool = Spool(stdin) if STDIN in arguments else None
        self._stdin = stdin
        self._awaited = [named(argument, stdin) for argument in dict.fromkeys(arguments)]
        self._seen: set[Source] = set()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return not self._awaited and all(log.over for log in self.logs)

    def poll(self) -> list[tuple[str, Finding]]:
        """What is raised by now for the first time, each with the name of its log."""
        self._awaited = [place for place in self._awaited if not self._open(place)]
        return [(log.name, finding) for log in self.logs for finding in log.poll()]

    def finish(self) -> tuple[list[tuple[str, Finding]], list[Report]]:
        """What the ends of the logs raise, and the reports."""
        for place in self._awaited:
            self._error(f"{place.shown} is empty. Has its writer begun?")
        ends = [(log, *log.finish()) for log in self.logs]
        for log, _, report in ends:
            if log.trouble or report.steps < 0:
                self._error(log.trouble or nothing_known(report))
        return [(log.name, f) for log, found, _ in ends for f in found], [report for _, _, report in ends]

    def _open(self, place: Named) -> bool:
        """Begin with the logs of `place`; whether that is settled, or there may be something later."""
        spool = self._spool if place.path == self._stdin else None
        may_come = not spool.ended if spool else place.path.is_file() and not place.path.stat().st_size
        try:
            new = [source for source in place.find().sources if source not in self._seen]
            self.logs += [Followed(source, self._mine, spool) for source in new]
        except (OSError, UserError) as error:
            if not may_come:
                self._error(str(error))
            return not may_come
        self._seen.update(new)
        return True

    def _error(self, message: str) -> None:
        self.errors.append(message)
        fail(message)


def follow(
    arguments: Sequence[str], mine: UserMap, chosen: Choice | None, fail_on: Severity, *, as_json: bool
) -> ExitStatus:
    """Follow until every log has said that it is over, or a person ends it; then show the reports."""
    with tempfile.TemporaryDirectory(prefix="autotune-") as folder:
        following, interrupted = Following(arguments, mine, Path(folder) / "stdin"), False
        view = FollowedView(chosen, as_json=as_json)
        try:
            while not following.over:
                view.found(following.poll(), logs=len(following.logs))
                time.sleep(INTERVAL)
        except KeyboardInterrupt:
            interrupted = True
        found, reports = following.finish()
        view.found(found, logs=len(following.logs))
        worst = view.reported(reports)
    if interrupted:
        return ExitStatus.INTERRUPTED
    if following.errors:
        return ExitStatus.ERROR
    return ExitStatus.FINDINGS if worst is not None and worst >= fail_on else ExitStatus.CLEAN
