"""After a kill: what the study's record, Optuna's storage and the trials' events say, brought into one.

Each is the truth about something of its own (design, section 4), and they are written one after the other: a trial is
asked of Optuna, then proposed in `study.jsonl`, then it runs; at its end Optuna is told, then `study.jsonl`. So a kill
leaves them at most one step apart, and each gap is closed here, without losing or doubling what was finished.
"""

from __future__ import annotations

import fcntl
import time
from dataclasses import replace
from pathlib import Path

from autotune.launch.local import LOG_FILE
from autotune.ledger import DATABASE, PROPOSAL, REASON, Ledger, state
from autotune.outcome import conclude, has_ended
from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE
from studies.log import StudyLog, trial_directory
from studies.record import State, StudyRecord, TrialRecord
from studies.trial_log import TrialLog

# How long a trial whose study was killed is waited for. It leaves after its step; one that takes longer has broken off,
# and its next attempt waits for it (trainers.run).
ORPHAN_SECONDS = 10.0
LOCK_SECONDS = 0.1  # between two looks whether it has left


def reconcile(
    study: StudyRecord, ledger: Ledger, log: StudyLog
) -> tuple[list[TrialRecord], list[TrialRecord], list[TrialRecord]]:
    """The trials that have ended, those that broke off and are to be run again, and those that wait for a person.

    UserError where the storage does not know a trial that the record has.
    """
    known = ledger.trials()
    lost = [t.number for t in study.trials if t.number not in known]
    if lost:
        raise UserError(
            f"trial {lost[0]} of {study.directory} is not in its Optuna storage",
            f"Restore {study.search.storage or DATABASE}; another storage is named with --storage.",
        )
    for number in sorted(known):
        # In a storage of others' a trial that we did not propose may be another tool's, which runs it at this moment.
        ours = not study.search.storage or PROPOSAL in known[number].system_attrs
        if ours and study.trial(number) is None and not known[number].state.is_finished():
            reason = "the study ended before this trial began"
            log.noted(f"trial {number} was asked for and never began: {reason}", trial=number)
            ledger.fail(number, reason)
    ended, broken_off, waiting = [], [], []
    for record in study.trials:
        if known[record.number].state.is_finished():
            if record.state in (State.RUNNING, State.WAITING):  # told, and killed before it was written down
                record = replace(
                    record,
                    state=state(known[record.number]),
                    reason=str(known[record.number].user_attrs.get(REASON, "")),
                )
                log.ended(record.number, record.state, record.reason, record.value, record.seconds)
            ended.append(record)
            continue
        if record.state is State.WAITING:
            waiting.append(record)
            continue
        if record.state is State.RUNNING:
            _wait_for_orphan(trial_directory(study.directory, record.number) / EVENTS_FILE)
            concluded = _ended_alone(study, record)
            if concluded is None:
                broken_off.append(record)
                continue
            ledger.tell(concluded)
            log.ended(concluded.number, concluded.state, concluded.reason, concluded.value, concluded.seconds)
            record = concluded
        else:
            ledger.tell(record)
        ended.append(record)
    return ended, broken_off, waiting


def _wait_for_orphan(events: Path) -> None:
    """Wait until no process holds the lock of a trial's events: one that still writes may be about to finish it."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    try:
        file = events.open("rb")
    except FileNotFoundError:
        return
    with file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOCK_SECONDS)
            else:
                return


def _ended_alone(study: StudyRecord, record: TrialRecord) -> TrialRecord | None:
    """What became of a trial that ended while nobody followed it, or was to end; None where it broke off."""
    folder = trial_directory(study.directory, record.number)
    log = TrialLog(folder, study.spec.objective)
    log.poll()
    log.close()
    reasons = [d.data["reason"] for d in study.decisions if d.kind == "trial_stopped" and d.trial == record.number]
    if not reasons and not has_ended(record, log):
        return None
    concluded = conclude(
        record.with_log(log),
        log,
        objective=study.spec.objective,
        stop_on=study.spec.trial.stop_on,
        why_stopped=reasons[-1] if reasons else "",
        last_words=f"it ended without a result: see {folder / LOG_FILE}",
    )
    return concluded if concluded.state is not State.FAILED else None
