"""What became of a trial: its state and the reason, from its events and from how its process ended. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from diagnostics.events import Outcome
from diagnostics.finding import Finding, Severity
from studies.record import State, TrialRecord
from studies.trial_log import TrialLog


def fatal(findings: Sequence[Finding], stop_on: Severity | None) -> Finding | None:
    """The worst finding that ends a trial, None where there is none."""
    return next((f for f in findings if stop_on is not None and f.severity >= stop_on), None)


def has_ended(record: TrialRecord, log: TrialLog) -> bool:
    """Whether this attempt has said its last word of its own accord; an earlier attempt's says nothing.

    A script that trains twice counts each time as an attempt, so the log may be further than the record.
    """
    ended = log.ended if log.attempt >= record.attempt else None
    return ended is not None and ended.outcome in (Outcome.FINISHED, Outcome.STOPPED)


def conclude(
    record: TrialRecord, log: TrialLog, *, objective: str, stop_on: Severity | None, why_stopped: str, last_words: str
) -> TrialRecord:
    """`record` with its final state: COMPLETE, PRUNED where a finding or a decision ended it, else FAILED.

    `why_stopped` is the reason of whoever asked it to end, empty where nobody did; `last_words` is what its process
    wrote last, the reason of a failure that no event explains.
    """
    found = fatal(record.findings, stop_on)
    if found is not None:
        return replace(record, state=State.PRUNED, reason=f"{found.code} {found.name} at step {found.raised_at}")
    finished = has_ended(record, log) and log.ended is not None and log.ended.outcome is Outcome.FINISHED
    if finished and record.value is not None and math.isfinite(record.value):
        return replace(record, state=State.COMPLETE, reason="ran to its end")
    if why_stopped:
        return replace(record, state=State.PRUNED, reason=why_stopped)
    from_outside = has_ended(record, log) and not finished  # and is to go on: whoever stopped the study said no more
    grave = next((f for f in record.findings if f.severity >= Severity.ERROR), None)
    if grave is not None and not from_outside:  # it broke down after a finding: a diverged run, not a fault of ours
        return replace(record, state=State.PRUNED, reason=f"broke down after {grave.code} {grave.name}")
    if finished:
        return replace(record, state=State.FAILED, reason=f"it logged no finite {objective}")
    return replace(record, state=State.FAILED, reason=last_words)
