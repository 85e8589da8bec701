import math
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.outcome import conclude, fatal, has_ended
from diagnostics.events import Outcome, RunEnded
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from studies.record import Origin, Proposal, State, TrialRecord
from studies.trial_log import Evaluation, TrialLog


def found(severity: Severity, code: str = "KL002") -> Finding:
    evidence = Evidence("reward_mean", 0, 9, "mean", 0.0, 1.0)
    return Finding(code, "name", severity, Confidence.HIGH, 1, 9, 9, "message", (evidence,))


def record(value: float | None, *findings: Finding, attempt: int = 1) -> TrialRecord:
    evaluations = (Evaluation(100, 12800, value),) if value is not None else ()
    return TrialRecord(
        3, attempt, 0, Proposal({}, Origin.START, ""), evaluations=evaluations,
        findings=tuple(sorted(findings, key=lambda f: -f.severity)),
    )  # fmt: skip


def log(outcome: Outcome | None, attempt: int = 1) -> TrialLog:
    made = TrialLog(Path(), "validation_reward")
    made.attempt, made.ended = attempt, None if outcome is None else RunEnded(100, outcome, "")
    return made


COMPLETE, PRUNED, FAILED = State.COMPLETE, State.PRUNED, State.FAILED
FATAL, ERROR, WARNING = found(Severity.FATAL), found(Severity.ERROR), found(Severity.WARNING)


@pytest.mark.parametrize(
    ("trial", "outcome", "why_stopped", "state", "reason"),
    [
        (record(0.5), Outcome.FINISHED, "", COMPLETE, "ran to its end"),
        (record(0.5, WARNING), Outcome.FINISHED, "", COMPLETE, "ran to its end"),
        (record(0.5, ERROR), Outcome.FINISHED, "", COMPLETE, "ran to its end"),
        (record(0.5), Outcome.FINISHED, "a person stopped it", COMPLETE, "ran to its end"),
        (record(0.5, FATAL), Outcome.STOPPED, "", PRUNED, "KL002 name at step 9"),
        (record(0.5, FATAL), Outcome.FINISHED, "", PRUNED, "KL002 name at step 9"),
        (record(None, FATAL), None, "", PRUNED, "KL002 name at step 9"),
        (record(0.5, FATAL), Outcome.STOPPED, "the pruner", PRUNED, "KL002 name at step 9"),
        (record(0.5), Outcome.STOPPED, "the pruner", PRUNED, "the pruner"),
        (record(0.5), None, "the pruner", PRUNED, "the pruner"),
        (record(None), Outcome.FAILED, "the pruner", PRUNED, "the pruner"),
        (record(0.5, ERROR), Outcome.FAILED, "", PRUNED, "broke down after KL002 name"),
        (record(0.5, ERROR), None, "", PRUNED, "broke down after KL002 name"),
        (record(math.nan, ERROR), Outcome.FINISHED, "", PRUNED, "broke down after KL002 name"),
        (record(0.5, ERROR), Outcome.STOPPED, "", FAILED, "last words"),  # from outside: it is to go on
        (record(0.5, WARNING), Outcome.FAILED, "", FAILED, "last words"),
        (record(0.5), Outcome.INTERRUPTED, "", FAILED, "last words"),
        (record(0.5), Outcome.STOPPED, "", FAILED, "last words"),
        (record(0.5), None, "", FAILED, "last words"),
        (record(None), Outcome.FINISHED, "", FAILED, "it logged no finite validation_reward"),
        (record(math.inf), Outcome.FINISHED, "", FAILED, "it logged no finite validation_reward"),
    ],
)
def test_what_becomes_of_a_trial(
    trial: TrialRecord, outcome: Outcome | None, why_stopped: str, state: State, reason: str
) -> None:
    ended = conclude(
        trial,
        log(outcome),
        objective="validation_reward",
        stop_on=Severity.FATAL,
        why_stopped=why_stopped,
        last_words="last words",
    )
    assert (ended.state, ended.reason) == (state, reason)
    assert replace(ended, state=trial.state, reason=trial.reason) == trial


def test_the_worst_finding_is_the_one_that_ends_a_trial() -> None:
    findings = record(0.5, WARNING, FATAL, found(Severity.ERROR, "KL001")).findings
    assert fatal(findings, Severity.FATAL) == FATAL
    assert fatal(findings, Severity.WARNING) == FATAL
    assert fatal(findings[1:], Severity.FATAL) is None
    assert fatal(findings, None) is None


@pytest.mark.parametrize(
    ("outcome", "attempt", "ended"),
    [
        (Outcome.FINISHED, 2, True),
        (Outcome.STOPPED, 2, True),
        (Outcome.FAILED, 2, False),
        (Outcome.INTERRUPTED, 2, False),
        (None, 2, False),
        (Outcome.FINISHED, 1, False),  # of an earlier attempt
    ],
)
def test_who_has_said_the_last_word(outcome: Outcome | None, attempt: int, ended: bool) -> None:
    assert has_ended(record(0.5, attempt=2), log(outcome, attempt)) is ended
