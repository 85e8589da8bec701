"""A study as Optuna keeps it. The spaces of other people's distributions are in test_sampler.py."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from autotune.ledger import CONSTRAINT, PROPOSAL, Ledger, distribution, record_of, space_of, verdicts_of
from diagnostics.errors import UserError
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from studies.record import Comparison, Judgement, Origin, Proposal, Search, State, TrialRecord, Verdict
from studies.spec import load
from studies.trial_log import Evaluation

SPEC = load("arithmetic-grpo")
START = Proposal(dict(SPEC.start), Origin.START, "where it starts")


def found(severity: Severity) -> Finding:
    evidence = Evidence("reward_mean", 0, 9, "mean", 0.0, 1.0)
    return Finding("KL002", "name", severity, Confidence.HIGH, 1, 9, 9, "message", (evidence,))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(SPEC, Search(storage=f"journal:{tmp_path / 'j'}"), tmp_path) as opened:
        yield opened


def ended(number: int, state: State, *values: float, finding: Finding | None = None) -> TrialRecord:
    evaluations = tuple(Evaluation(10 * i, 1280 * i, v) for i, v in enumerate(values))
    return TrialRecord(number, 1, 0, START, state, "because", evaluations, (finding,) if finding else ())


def test_the_start_is_asked_for_first_and_once(ledger: Ledger) -> None:
    ledger._enqueue(START)  # a kill left it in the queue
    assert ledger.trials() == {}
    assert ledger.ask(SPEC.space, START) == (0, START)
    number, proposal = ledger.ask(SPEC.space, None)
    assert (number, proposal.origin) == (1, Origin.SAMPLER)
    assert set(proposal.knobs) == set(SPEC.space)
    assert [t.state.name for t in ledger.study.trials] == ["RUNNING", "RUNNING"]
    assert ledger.study.trials[0].system_attrs[PROPOSAL]["origin"] == "start"


def test_a_person_who_was_first_goes_first(ledger: Ledger) -> None:
    wanted = {**SPEC.start, "learning_rate": 1e-5}
    ledger.study.enqueue_trial(wanted)
    assert ledger.ask(SPEC.space, START)[1] == Proposal(wanted, Origin.PERSON, "a person asked for these settings")
    assert ledger.ask(SPEC.space, START)[1] == START


def test_evaluations_are_told_once_and_a_later_attempt_says_them_anew(ledger: Ledger) -> None:
    ledger.ask(SPEC.space, START)
    ledger.report(0, [Evaluation(0, 0, -0.3), Evaluation(10, 1280, math.nan), Evaluation(20, 2560, 0.2)])
    ledger.report(0, [Evaluation(0, 0, -0.3), Evaluation(20, 2560, 0.4)])
    assert ledger.study.trials[0].intermediate_values == {0: -0.3, 2560: 0.4}


@pytest.mark.parametrize(
    ("state", "name", "value"),
    [(State.COMPLETE, "COMPLETE", 0.4), (State.PRUNED, "PRUNED", 0.4), (State.FAILED, "FAIL", None)],
)
def test_how_a_trial_ended_is_told_once(ledger: Ledger, state: State, name: str, value: float | None) -> None:
    ledger.ask(SPEC.space, START)
    ledger.tell(ended(0, state, -0.3, 0.4, finding=found(Severity.WARNING)))
    ledger.tell(ended(0, State.COMPLETE, -0.3, 0.9))  # after a kill: it is told already
    (told,) = ledger.study.trials
    assert (told.state.name, told.value, told.user_attrs["reason"]) == (name, value, "because")
    back = record_of(told)
    assert (back.state, back.findings, back.proposal.knobs) == (state, (found(Severity.WARNING),), START.knobs)


def test_a_grave_finding_is_a_constraint_that_optuna_knows(ledger: Ledger) -> None:
    for number, (value, severity) in enumerate([(0.9, Severity.ERROR), (0.2, Severity.WARNING)]):
        ledger.ask(SPEC.space, START)
        ledger.tell(ended(number, State.COMPLETE, value, finding=found(severity)))
    assert [t.constraints for t in ledger.study.trials] == [{CONSTRAINT: 1.0}, {CONSTRAINT: 0.0}]
    assert ledger.study.best_trial.number == 1


def test_a_trial_that_never_began_fails_and_a_persons_waits_again(ledger: Ledger) -> None:
    wanted = {**SPEC.start, "learning_rate": 1e-5}
    ledger.study.enqueue_trial(wanted)
    ledger.ask(SPEC.space, None)
    ledger.fail(0, "killed")
    assert [t.state.name for t in ledger.study.trials] == ["FAIL", "WAITING"]
    assert ledger.ask(SPEC.space, None) == (1, Proposal(wanted, Origin.PERSON, "a person asked for these settings"))


def test_what_does_not_fit_the_space_does_not_wait_for_ever(ledger: Ledger) -> None:
    ledger.study.enqueue_trial({**SPEC.start, "num_generations": 7})
    with pytest.raises(ValueError, match="7"):
        ledger.ask(SPEC.space, None)
    ledger.fail(0, "killed")
    assert [t.state.name for t in ledger.study.trials] == ["FAIL"]


def test_a_verdict_is_kept(ledger: Ledger) -> None:
    ledger.ask(SPEC.space, START)
    ledger.tell(ended(0, State.COMPLETE, 0.4))
    compared = Comparison("reward_mean", 0.1, 0.4, 0.05, (1, 2), 12800)
    verdict = Verdict(Judgement.CONFIRMED, "both moved", compared, None)
    assert verdicts_of(ledger.study) == {}
    ledger.judged(ended(0, State.COMPLETE, 0.4), verdict)
    assert verdicts_of(ledger.study) == {0: verdict}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_trial_as_optuna_knows_it(sign: float) -> None:
    study = optuna.create_study()
    made = study.ask({"x": distribution(SPEC.space["learning_rate"])})
    made.report(5.0, 10)
    running = record_of(study.trials[0], sign=sign)
    assert (running.state, running.evaluations) == (State.RUNNING, (Evaluation(10, 10, sign * 5.0),))
    study.tell(made, 3.0)
    complete = record_of(study.trials[0], sign=sign)
    assert (complete.state, complete.value, complete.proposal.knobs) == (State.COMPLETE, sign * 3.0, made.params)


def test_spaces_of_studies_come_back() -> None:
    assert {knob: space_of(distribution(place)) for knob, place in SPEC.space.items()} == SPEC.space


def test_a_name_in_a_storage_is_taken_once(tmp_path: Path) -> None:
    how = Search(storage=f"journal:{tmp_path / 'j'}", name="mine")
    Ledger.reserve(SPEC, how)
    with pytest.raises(UserError, match="already has a study mine"):
        Ledger.reserve(SPEC, how)
    Ledger.reserve(SPEC, replace(how, name="another"))
    with Ledger.open(SPEC, how, tmp_path) as ledger:
        assert (ledger.study.study_name, ledger.study.direction.name) == ("mine", "MAXIMIZE")
    assert TrialState.WAITING not in [t.state for t in ledger.trials().values()]


def test_what_an_objective_did_not_use_is_no_setting_of_its_trial(ledger: Ledger) -> None:
    ledger._enqueue(START)
    asked = ledger.study.ask({"temperature": distribution(SPEC.space["temperature"])})
    assert record_of(ledger.study.trials[0]).proposal.knobs == START.knobs  # it may still suggest the others
    ledger.study.tell(asked, 0.5)
    assert record_of(ledger.study.trials[0]).proposal.knobs == {"temperature": START.knobs["temperature"]}
