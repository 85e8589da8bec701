"""How logs stand, in words: derived from a snapshot and the clock alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from diagnostics.finding import Finding
from studies import words
from tui.log_feed import QUIET, Logs, LogView
from tui.log_feed import Segment as SegmentView
from tui.status import LATE_FACTOR, LATE_SECONDS, Phase, Status

COARSE = 5  # seconds


@dataclass(frozen=True, slots=True)
class Run:
    """The `number`-th run (from 1) of a log."""

    log: LogView
    number: int = 1

    @property
    def key(self) -> tuple[str, int]:
        """What it is known by from one snapshot to the next."""
        return self.log.name, self.number

    @property
    def segment(self) -> SegmentView | None:
        """Its curves; None before the log was read."""
        return self.log.segments[self.number - 1] if self.number <= len(self.log.segments) else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The worst first."""
        return self.log.findings(self.number)

    @property
    def last(self) -> bool:
        """Whether it is the one that may go on."""
        return self.number >= len(self.log.segments)


def runs(logs: Logs) -> list[Run]:
    """Every run of every log; a log that was not read yet is one."""
    return [Run(log, number) for log in logs.logs for number in range(1, max(1, len(log.segments)) + 1)]


def newest(all_runs: Sequence[Run]) -> Run:
    """The run that was written last; there must be one."""
    return max(all_runs, key=lambda run: (run.log.written, run.last))


def status(run: Run | None, logs: Logs | None, now: float) -> Status:
    """How the selected run stands at `now` (seconds since the epoch)."""
    if logs is not None and logs.awaited:
        return Status(Phase.WAITING, f"for a log: {logs.awaited}")
    if run is None or logs is None:
        return Status(Phase.TROUBLE, logs.trouble) if logs and logs.trouble else Status(Phase.READING, "the logs")
    log = run.log
    if logs.trouble or log.trouble:
        return Status(Phase.TROUBLE, log.trouble or logs.trouble)
    if log.report is None:
        return Status(Phase.READING, f"{log.share:.0%} of {size(log.size)}" if log.size else "the log")
    step = f"step {run.segment.last}" if run.segment and run.segment.last >= 0 else "no step"
    if not run.last:
        return Status(
            Phase.FINISHED, f"{step}, where the steps began anew: segment {run.number} of {len(log.segments)}"
        )
    if len(log.segments) > 1:
        step = f"{step} of segment {run.number}"
    old = max(0.0, now - log.written)
    if log.ended:
        return Status(Phase.FINISHED, f"{step}, written {words.duration(old)} ago; the log says that its run is over")
    usual = pace(run)
    usually = f", usually every {words.pace(usual)}" if usual is not None else ""
    if old > QUIET:
        return Status(Phase.QUIET, f"{step}, nothing written for {words.duration(old)}{usually}")
    if usual is not None and old > max(LATE_SECONDS, LATE_FACTOR * usual):
        return Status(Phase.STALE, f"{step}, no new step for {words.duration(old)}{usually}")
    old = max(1, ceil(old / COARSE)) * COARSE  # a clock that no second moves: painting it would cost as much as a step
    return Status(Phase.RUNNING, f"{step}, data up to {words.duration(old)} old")


def pace(run: Run) -> float | None:
    """Seconds from one logged step to the next, on average; None where the log does not say when they were logged."""
    clock = run.segment.clock if run.segment else None
    if clock is None or len(clock.steps) < 2:
        return None
    return (clock.seconds[-1] - clock.seconds[0]) / (len(clock.steps) - 1)


def brief(run: Run, now: float) -> str:
    """How a run stands, in a few cells."""
    stands = status(run, Logs((run.log,)), now)
    match stands.phase:
        case Phase.READING:
            return f"reading {run.log.share:.0%}"
        case Phase.RUNNING | Phase.QUIET | Phase.STALE:
            lead = "" if stands.phase is Phase.RUNNING else f"{stands.phase} "
            return f"{lead}{words.duration(max(0.0, now - run.log.written))}{'' if lead else ' ago'}"
        case Phase.FINISHED:
            return "ended" if run.last else "began anew"
        case _:
            return "not read" if run.log.report is None else "trouble"


def size(n: int) -> str:
    """Bytes as a person says them."""
    return f"{n / 1e6:,.0f} MB" if n >= 1e6 else f"{n / 1e3:,.0f} kB"
