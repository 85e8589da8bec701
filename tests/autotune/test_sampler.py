"""Our sampler in plain Python: `study.optimize`, with findings that the objective reports."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase

from autotune.ledger import PROPOSAL, distribution, record_of, space_of
from autotune.sampler import STARTUP_TRIALS, FindingsSampler, confirm, propose, report_findings
from diagnostics.finding import (
    Add,
    Change,
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Scale,
    Set,
    Severity,
)
from studies.record import Origin, Proposal, State, TrialRecord
from studies.space import Choices, Range
from studies.trial_log import Evaluation

SPACE = {"learning_rate": Range(1e-6, 1e-2, log=True), "temperature": Range(0.5, 1.5)}


def finding(knob: str, change: Change, severity: Severity = Severity.WARNING, code: str = "RWD004") -> Finding:
    hypothesis = Hypothesis("reward_mean", Direction.UP, 0.1, 0.5, "it says so")
    evidence = Evidence("reward_mean", 0, 9, "mean", 0.0, 1.0)
    return Finding(
        code, "name", severity, Confidence.HIGH, 0, 9, 9, "message", (evidence,),
        (Prescription(knob, change, hypothesis),),
    )  # fmt: skip


TOO_HIGH = finding("lr", Scale(1 / 8), Severity.FATAL, "KL002")


def seven_steps_down(trial: optuna.Trial) -> float:
    """Collapses above 1e-4, and says so; below it is the better the nearer to 1e-4."""
    rate = trial.suggest_float("lr", 1e-6, 1e-1, log=True)
    trial.suggest_float("other", 0.0, 1.0)
    if rate > 1e-4:
        report_findings(trial, [TOO_HIGH])
        trial.report(-1.0, 10)
        raise optuna.TrialPruned
    return math.log10(rate)


def proposals(study: optuna.Study) -> list[str]:
    return [t.system_attrs[PROPOSAL]["origin"] if PROPOSAL in t.system_attrs else "" for t in study.trials]


@pytest.mark.parametrize("url", ["", "sqlite:///{}/study.db"], ids=["memory", "sqlite"])
def test_it_follows_what_the_objective_reports(url: str, tmp_path: Path) -> None:
    study = optuna.create_study(
        direction="maximize", sampler=FindingsSampler(seed=0), storage=url.format(tmp_path) or None
    )
    study.enqueue_trial({"lr": 1e-1, "other": 0.3})
    study.optimize(seven_steps_down, n_trials=5)
    assert [t.params["lr"] for t in study.trials[:5]] == pytest.approx([1e-1 / 8**n for n in range(4)] + [1e-1 / 8**4])
    assert {t.params["other"] for t in study.trials[:5]} == {0.3}  # one knob at a time
    assert proposals(study) == ["", *["finding"] * 4]
    assert study.trials[0].user_attrs["findings"] == {"KL002": "fatal"}
    assert record_of(study.trials[0]).findings == (TOO_HIGH,)


def test_what_is_minimised_is_followed_just_so() -> None:
    """At the best trial, the one of least loss, learning is said to be too slow."""

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-6, 1e-1, log=True)
        report_findings(trial, [finding("lr", Scale(10))] if rate < 1e-4 else [])
        return abs(math.log10(rate / 1e-3))

    study = optuna.create_study(direction="minimize", sampler=FindingsSampler(seed=0))
    for rate in (1e-6, 1e-5):
        study.enqueue_trial({"lr": rate})
    study.optimize(objective, n_trials=4)
    assert [t.params["lr"] for t in study.trials] == pytest.approx([1e-6, 1e-5, 1e-4, 1e-4 * math.sqrt(10)])
    assert proposals(study) == ["", "", "finding", "bracket"]


def test_a_trial_that_a_person_enqueued_goes_first() -> None:
    study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=0))
    study.enqueue_trial({"lr": 1e-1, "other": 0.3})
    study.optimize(seven_steps_down, n_trials=1)
    study.enqueue_trial({"lr": 5e-5})
    study.optimize(seven_steps_down, n_trials=1)
    assert study.trials[1].params["lr"] == 5e-5


def test_without_findings_it_is_optunas_tpe() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, n = trial.suggest_float("x", -5, 5), trial.suggest_int("n", 1, 64, log=True)
        return -((x - 1) ** 2) - math.log(n) + (trial.suggest_categorical("c", ["a", "b"]) == "a")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        tpe = TPESampler(seed=3, multivariate=True, n_startup_trials=STARTUP_TRIALS)
    studies = [optuna.create_study(direction="maximize", sampler=s) for s in (FindingsSampler(seed=3), tpe)]
    for study in studies:
        study.optimize(objective, n_trials=25)
    ours, theirs = ([t.params for t in study.trials] for study in studies)
    assert ours == theirs


def test_equal_seeds_suggest_alike_and_others_do_not() -> None:
    found = []
    for seed in (1, 1, 2):
        study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=seed))
        study.optimize(seven_steps_down, n_trials=12)
        found.append([t.params for t in study.trials])
    assert found[0] == found[1] != found[2]


def test_trials_side_by_side_do_not_try_the_same() -> None:
    study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=0))
    study.enqueue_trial({"lr": 1e-1, "other": 0.3})
    study.optimize(seven_steps_down, n_trials=1)
    one, two = study.ask(), study.ask()  # neither has suggested anything yet
    rates = [trial.suggest_float("lr", 1e-6, 1e-1, log=True) for trial in (one, two)]
    assert rates[0] == pytest.approx(1e-1 / 8)
    assert rates[1] != pytest.approx(rates[0])


def test_several_threads_may_ask_at_once() -> None:
    study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=0))
    study.optimize(seven_steps_down, n_trials=20, n_jobs=2)
    assert {t.state.name for t in study.trials} <= {"COMPLETE", "PRUNED"}
    assert len(study.trials) == 20


def test_a_knob_that_some_trials_lack_is_left_to_the_base() -> None:
    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-6, 1e-2, log=True)
        if trial.number != 1:
            trial.suggest_float("only sometimes", 0, 1)
        report_findings(trial, [finding("lr", Scale(0.5))])
        return rate

    study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=0))
    study.optimize(objective, n_trials=8)
    assert "finding" in proposals(study)
    assert len({t.params["only sometimes"] for t in study.trials if t.number != 1}) == 7


# ---- the contract that Optuna has for any sampler


class Contract:
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: FindingsSampler(seed=0)


class TestBasic(Contract, BasicSamplerTestCase):
    pass


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
class TestRelative(RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:  # a base that suggests from the first trial on
        return lambda: FindingsSampler(base=TPESampler(n_startup_trials=0, multivariate=True))


class TestSingleObjective(Contract, SingleOnlySamplerTestCase):
    pass


# ---- suggestions are inside the distributions, whatever these are


def _ints(low: int, width: int, step: int) -> BaseDistribution:
    return IntDistribution(low, low + width * step, step=step)


DISTRIBUTIONS: st.SearchStrategy[BaseDistribution] = st.one_of(
    st.builds(_ints, st.integers(-5, 5), st.integers(1, 9), st.integers(1, 4)),
    st.builds(lambda low, ratio: IntDistribution(low, low * ratio, log=True), st.integers(1, 9), st.integers(2, 99)),
    st.builds(lambda low, width: FloatDistribution(low, low + width), st.floats(-9, 9), st.floats(0.1, 9)),
    st.builds(
        lambda low, ratio: FloatDistribution(low, low * ratio, log=True), st.floats(1e-9, 9), st.floats(1.5, 1e6)
    ),
    st.builds(
        lambda low, width, step: FloatDistribution(low, low + width, step=step),
        st.sampled_from([-1.0, 0.0, 0.1, 0.5]), st.floats(0.5, 3), st.sampled_from([0.1, 0.05, 0.25, 0.3]),
    ),
    st.sampled_from(
        [
            CategoricalDistribution(choices)
            for choices in [(2, 4, 8), (0, 0.1, 1), (8, 2), ("a", "b"), (None, 0.1), (True, False), ("a", 1, 2), (3,)]
        ]
    ),
)  # fmt: skip
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.sampled_from([0.125, 0.5, 2.0, 10.0]).map(Scale),
    st.floats(-10, 10).map(Set),
    st.sampled_from([-0.3, 0.1, 5.0]).map(Add),
)


@pytest.mark.filterwarnings("ignore:.*not divisible by `step`:UserWarning")  # some of DISTRIBUTIONS are not
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), DISTRIBUTIONS, min_size=1),
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), CHANGES, st.sampled_from(Severity)), max_size=3),
        min_size=2,
        max_size=7,
    ),
    st.lists(st.sampled_from(["complete", "prune", "fail"]), min_size=7, max_size=7),
    st.integers(0, 3),
)
def test_any_suggestion_is_inside_its_distribution(
    space: dict[str, BaseDistribution],
    found: Sequence[Sequence[tuple[str, Change, Severity]]],
    ends: Sequence[str],
    seed: int,
) -> None:
    study = optuna.create_study(direction="maximize", sampler=FindingsSampler(seed=seed, trials=len(found)))
    for findings, end in zip(found, ends, strict=False):
        trial = study.ask(space)
        report_findings(trial, [finding(knob, change, severity) for knob, change, severity in findings])
        trial.report(0.5, 1)
        study.tell(trial, 1.0 if end == "complete" else None, state=STATES[end])
    for t in study.trials:
        for name, value in t.params.items():
            place = space[name]
            assert place._contains(place.to_internal_repr(value)), (name, value, place)


STATES = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "prune": optuna.trial.TrialState.PRUNED,
    "fail": optuna.trial.TrialState.FAIL,
}


@pytest.mark.filterwarnings("ignore:.*not divisible by `step`:UserWarning")
@given(DISTRIBUTIONS)
def test_a_distribution_and_its_space_hold_the_same(one: BaseDistribution) -> None:
    space = space_of(one)
    if isinstance(space, Choices):
        for value in space.values:
            assert one._contains(one.to_internal_repr(value))
    else:
        assert distribution(space) == one


# ---- what to try next


def trial(
    number: int, value: float | None, *findings: Finding, origin: Origin = Origin.START, state: State = State.COMPLETE,
    **knobs: float,
) -> TrialRecord:  # fmt: skip
    evaluations = (Evaluation(100, 12800, value),) if value is not None else ()
    settings: dict[str, Any] = {"learning_rate": 1e-3, "temperature": 1.0, **knobs}
    return TrialRecord(number, 1, number, Proposal(settings, origin, ""), state, "", evaluations, findings)


SLOW = finding("learning_rate", Scale(2))


def test_prescriptions_have_their_turn_while_they_pay() -> None:
    """Two of two are theirs in advance, one of two the model's: 2/2, 2/3, 2/4 against 1/2, then 2/5."""
    trials = [trial(0, 0.5, SLOW)]
    for number in (1, 2, 3):
        proposal = propose(trials, SPACE, "objective", None)
        assert proposal.origin is Origin.FINDING, number
        trials.append(trial(number, 0.1, origin=Origin.FINDING, learning_rate=10.0**-number / 3, temperature=0.5))
    proposal = propose(trials, SPACE, "objective", None)
    assert proposal.origin is Origin.SAMPLER
    assert proposal.why.startswith("what findings called for last brought nothing better, so the model has its turn")
    assert proposal.knobs == {"learning_rate": 1e-3}  # what findings spoke of is held
    assert proposal.parent == 0
    trials.append(trial(4, 0.2, origin=Origin.SAMPLER, temperature=1.2))  # 2/5 against 1/3: their turn again
    assert propose(trials, SPACE, "objective", None).origin is Origin.FINDING
    trials[-1] = trial(4, 0.6, origin=Origin.SAMPLER, temperature=1.2)  # 2/5 against 2/3
    assert propose(trials, SPACE, "objective", None).origin is Origin.SAMPLER


def test_what_became_best_has_paid_and_what_still_runs_has_not_been_tried() -> None:
    trials = [trial(0, 0.5, SLOW), trial(1, 0.1, origin=Origin.FINDING, temperature=0.5)]
    trials += [trial(n, None, origin=Origin.FINDING, state=State.RUNNING, temperature=0.6) for n in range(2, 9)]
    assert propose(trials, SPACE, "objective", None).origin is Origin.FINDING
    lost = [trial(n, 0.1, origin=Origin.FINDING, temperature=0.6) for n in range(2, 9)]
    assert propose([*trials[:2], *lost], SPACE, "objective", None).origin is Origin.SAMPLER
    won = [trial(n, n / 1000, SLOW, origin=Origin.FINDING, temperature=0.6) for n in range(2, 9)]
    assert propose([trial(0, -1.0, SLOW), *won], SPACE, "objective", None).origin is Origin.FINDING


@pytest.mark.parametrize(("total", "done", "confirms"), [(8, 5, False), (8, 6, True), (3, 2, False), (4, 3, True)])
def test_the_last_quarter_confirms(total: int, done: int, confirms: bool) -> None:
    trials = [trial(n, n / 10, learning_rate=10.0**-n / 100) for n in range(done)]
    assert (propose(trials, SPACE, "objective", total).origin is Origin.CONFIRM) is confirms
    assert propose(trials, SPACE, "objective", None).origin is not Origin.CONFIRM


def test_the_best_mean_is_confirmed_until_it_has_three_seeds() -> None:
    lucky, steady = {"learning_rate": 1e-4}, {"learning_rate": 1e-5}
    trials = [trial(0, 0.9, **lucky), trial(1, 0.5, **steady), trial(2, 0.7)]
    first = confirm(trials)
    assert first is not None
    assert (first.knobs["learning_rate"], first.parent, first.origin) == (1e-4, 0, Origin.CONFIRM)
    assert "run on 1 seed:" in first.why
    trials.append(trial(3, 0.3, **lucky))  # its mean of 0.6 is below the 0.7 of trial 2
    second = confirm(trials)
    assert second is not None
    assert second.parent == 2
    trials += [trial(4, None, state=State.RUNNING), trial(5, None, state=State.PRUNED)]
    assert confirm(trials) is None  # one under way and one that was stopped are seeds, too


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(0, 0.5, state=State.PRUNED)],
        [trial(0, 0.5, finding("learning_rate", Scale(2), Severity.ERROR))],
        [trial(0, None)],
    ],
    ids=["none", "stopped", "not feasible", "no value"],
)
def test_what_cannot_be_confirmed(trials: list[TrialRecord]) -> None:
    assert confirm(trials) is None
