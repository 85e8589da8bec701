"""Verdicts: the formula by hand, what equal cost means, and how often they are right on recorded runs."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.verdict import Run, by_order, judge, judge_trial, run_of
from diagnostics.finding import Confidence, Direction, Finding, Hypothesis, Severity
from studies.record import Judgement, Origin, Proposal, State, StudyRecord, TrialRecord, Verdict
from studies.spec import load
from studies.trial_log import Evaluation, TrialLog

KL, OBJECTIVE = "kl.reference.k3.token", "validation_reward"
BUDGET = 1000.0
CONFIRMED, REFUTED, UNDECIDED = Judgement.CONFIRMED, Judgement.REFUTED, Judgement.UNDECIDED


def said(direction: str = "down", amount: float = 0.0, by: float = 0.5, metric: str = KL) -> Hypothesis:
    return Hypothesis(metric, Direction(direction), amount, by, "because")


def flat(kl: float, reward: float, end: int = 1000) -> Run:
    """A run with the same KL at every 10th completion up to `end`, and the same reward at every 100th from 0."""
    return Run(
        {
            KL: [(float(c), kl) for c in range(10, end + 1, 10)],
            OBJECTIVE: [(float(c), reward) for c in range(0, end + 1, 100)],
        },
        BUDGET,
    )


def sides(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]], hypothesis: Hypothesis | None = None
) -> Verdict:
    """The verdict where the runs before and after have these KLs and rewards."""
    return judge(hypothesis or said(), [flat(*b) for b in before], [flat(*a) for a in after], OBJECTIVE, {})


# ---- the formula


def test_the_error_is_that_of_the_pooled_seeds() -> None:
    verdict = sides([(2.0, 0.0), (2.2, 0.2)], [(1.0, 1.0), (1.2, 1.2)])
    assert verdict.objective is not None and verdict.mechanism is not None
    # squares .02 + .02 over 2 degrees of freedom, times 1/2 + 1/2
    assert verdict.objective.error == pytest.approx(math.sqrt(0.02))
    assert (verdict.objective.before, verdict.objective.after) == (pytest.approx(0.1), pytest.approx(1.1))
    assert (verdict.objective.runs, verdict.objective.completions) == ((2, 2), 1000)
    assert (verdict.mechanism.after - verdict.mechanism.before, verdict.mechanism.completions) == (
        pytest.approx(-1),
        500,
    )


def test_recorded_noise_counts_as_four_further_degrees_of_freedom() -> None:
    runs = [flat(2.0, 0.0), flat(2.2, 0.2)], [flat(1.0, 1.0), flat(1.2, 1.2)]
    verdict = judge(said(), *runs, OBJECTIVE, {OBJECTIVE: 0.1})
    assert verdict.objective is not None and verdict.mechanism is not None
    assert verdict.objective.error == pytest.approx(math.sqrt((0.04 + 4 * 0.01) / 6))
    assert verdict.mechanism.error == pytest.approx(math.sqrt(0.02))


def test_one_run_a_side_is_judged_by_the_recorded_noise_alone() -> None:
    noise = {KL: 0.1, OBJECTIVE: 0.1}
    limit = 2.1318 * 0.1 * math.sqrt(2)
    for factor, judgement in ((1.01, CONFIRMED), (0.99, UNDECIDED)):
        verdict = judge(said(), [flat(2.0, 0.0)], [flat(1.0, factor * limit)], OBJECTIVE, noise)
        assert verdict.judgement is judgement


def test_without_replicates_or_recorded_noise_nothing_is_decided() -> None:
    verdict = sides([(2.0, 0.0)], [(1.0, 1.0)])
    assert verdict.judgement is UNDECIDED
    assert verdict.why == (
        "validation_reward rose by 1 at 1,000 completions, and nothing tells the noise between seeds; "
        "kl.reference.k3.token fell by 1 at 500 completions, and nothing tells the noise between seeds"
    )
    assert verdict.objective is not None and verdict.objective.error is None
    assert judge(said(), [flat(2, 0)], [flat(1, 1)], OBJECTIVE, {KL: 0.1}).judgement is UNDECIDED


def test_seeds_that_all_agree_are_judged_by_their_number() -> None:
    assert by_order((3, 3)) == 1 / 20
    for n, judgement, error in ((2, UNDECIDED, None), (3, CONFIRMED, 0.0)):
        verdict = sides([(1.0, 0.0)] * n, [(0.0, 1.0)] * n)
        assert verdict.judgement is judgement
        assert verdict.objective is not None and verdict.objective.error == error
    assert sides([(1.0, 0.0)] * 3, [(0.0, 1.0)] * 3, said(amount=2.0)).judgement is UNDECIDED
    assert sides([(1.0, 0.0)] * 3, [(1.0, 0.0)] * 3).judgement is UNDECIDED


# ---- the judgement

SICK, WELL = [(2.0, 0.0), (2.1, 0.05), (1.9, -0.05)], [(1.0, 1.0), (1.1, 1.05), (0.9, 0.95)]


def test_confirmed_when_both_moved_as_said() -> None:
    verdict = sides(SICK, WELL, said(amount=0.9))
    assert verdict.judgement is CONFIRMED
    assert verdict.why == (
        "validation_reward rose by 1 ± 0.041 at 1,000 completions and "
        "kl.reference.k3.token fell by 1 ± 0.082 at 500 completions (0.9 promised)"
    )


def test_less_than_was_promised_is_not_confirmed() -> None:
    # 1 ± 0.082 with 4 degrees of freedom is not significantly less than 1.17, and is significantly less than 1.18.
    assert sides(SICK, WELL, said(amount=1.17)).judgement is CONFIRMED
    assert sides(SICK, WELL, said(amount=1.18)).judgement is UNDECIDED


def test_a_mechanism_without_a_gain_confirms_nothing() -> None:
    verdict = sides(SICK, [(kl, reward) for (kl, _), (_, reward) in zip(WELL, SICK, strict=True)])
    assert verdict.judgement is UNDECIDED
    assert verdict.why.startswith("validation_reward moved by 0 ± 0.041 at 1,000 completions, within the noise; ")


def test_refuted_when_the_mechanism_went_the_other_way_though_the_objective_rose() -> None:
    assert sides(SICK, WELL, said("up")).judgement is REFUTED


def test_refuted_when_the_objective_fell_though_the_mechanism_moved_as_said() -> None:
    worse = [(kl, -reward) for kl, reward in WELL]
    assert sides(SICK, worse).judgement is REFUTED


def test_one_that_hardly_went_the_other_way_does_not_refute_and_two_do() -> None:
    up = 0.09  # 2.2 standard errors, a chance of .046: below 5 %, above the half of it that one of two is granted
    still = [kl for kl, _ in SICK]
    worse = [(kl, reward - up) for kl, (_, reward) in zip(still, SICK, strict=True)]
    assert sides(SICK, worse).judgement is UNDECIDED
    assert sides(SICK, [(kl + 2 * up, reward) for kl, reward in worse]).judgement is REFUTED


# ---- equal cost


def test_a_run_stopped_early_is_compared_where_it_stopped() -> None:
    def rising(end: int) -> Run:
        return Run({m: [(float(c), c / 1000) for c in range(0, end + 1, 10)] for m in (KL, OBJECTIVE)}, BUDGET)

    verdict = judge(said(), [rising(490), rising(300)], [rising(1000)], OBJECTIVE, {KL: 0.1, OBJECTIVE: 0.1})
    for comparison in (verdict.mechanism, verdict.objective):
        assert comparison is not None
        assert comparison.completions == 300
        assert comparison.before == comparison.after == pytest.approx(0.255)  # the median of .21 to .30
    assert verdict.judgement is UNDECIDED


def test_the_mechanism_is_compared_at_its_deadline_or_where_it_went_wrong() -> None:
    runs = [flat(2.0, 0.0)], [flat(1.0, 1.0)]
    for by, since, cost in ((0.5, 0.0, 500), (0.25, 0.0, 250), (0.5, 800.0, 800), (1.0, 0.0, 1000)):
        verdict = judge(said(by=by), *runs, OBJECTIVE, {}, since)
        assert verdict.mechanism is not None and verdict.objective is not None
        assert (verdict.mechanism.completions, verdict.objective.completions) == (cost, 1000)


def test_one_step_does_not_decide() -> None:
    spiked = replace(
        flat(1.0, 0.0), curves=flat(1.0, 0.0).curves | {KL: [*flat(1.0, 0.0).curves[KL][:49], (500.0, 1e6)]}
    )
    verdict = judge(said(), [spiked], [flat(1.0, 0.0)], OBJECTIVE, {})
    assert verdict.mechanism is not None and verdict.mechanism.before == 1.0


def test_runs_that_are_evaluated_at_other_steps_are_compared_where_both_were() -> None:
    rare = Run({OBJECTIVE: [(0.0, 0.0), (350.0, 0.5), (700.0, 0.7)]}, BUDGET)
    verdict = judge(said(), [rare], [flat(1.0, 1.0)], OBJECTIVE, {})
    assert verdict.objective is not None
    assert (verdict.objective.completions, verdict.objective.before) == (700, 0.7)
    assert verdict.why.endswith("kl.reference.k3.token was not logged on both sides at any equal cost")


# ---- numbers that are none


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_a_run_ends_where_its_numbers_cease_to_be_numbers(value: float) -> None:
    broken = flat(2.0, 0.0).curves[KL][:20]
    runs = Run({KL: [*broken, *((float(c), value) for c in range(210, 1001, 10))]}, BUDGET), flat(1.0, 0.0)
    verdict = judge(said(), [runs[0]], [runs[1]], OBJECTIVE, {KL: 0.1})
    assert verdict.mechanism is not None
    assert (verdict.mechanism.completions, verdict.mechanism.before) == (200, 2.0)
    never = Run({KL: [(100.0, value)]}, BUDGET)
    assert judge(said(), [never], [runs[1]], OBJECTIVE, {KL: 0.1}).mechanism is None


def test_no_runs_and_empty_curves_are_undecided() -> None:
    empty = Run({KL: [], OBJECTIVE: []}, 0.0)
    for before, after in (([], []), ([flat(1, 1)], []), ([empty], [flat(1, 1)]), ([Run({}, 0.0)], [Run({}, 0.0)])):
        verdict = judge(said(amount=0.1), before, after, OBJECTIVE, {KL: 0.1, OBJECTIVE: 0.1})
        assert (verdict.judgement, verdict.mechanism, verdict.objective) == (UNDECIDED, None, None)
        assert verdict.why.startswith("validation_reward was not logged on both sides")


level = st.floats(-100, 100, allow_nan=False)
side = st.lists(st.tuples(level, level), min_size=1, max_size=4)
recorded = st.dictionaries(st.sampled_from([KL, OBJECTIVE]), st.floats(1e-3, 10), max_size=2)


@given(side, side, recorded, st.sampled_from(list(Direction)))
def test_swapped_sides_turn_confirmed_into_refuted(
    before: list[tuple[float, float]], after: list[tuple[float, float]], noise: Mapping[str, float], way: Direction
) -> None:
    runs = [flat(*b) for b in before], [flat(*a) for a in after]
    there, back = (judge(said(way), *pair, OBJECTIVE, noise).judgement for pair in (runs, runs[::-1]))
    if there is CONFIRMED:
        assert back is REFUTED
    if back is CONFIRMED:
        assert there is REFUTED


@given(side, recorded, st.sampled_from(list(Direction)))
def test_a_setting_against_itself_is_undecided(
    runs: list[tuple[float, float]], noise: Mapping[str, float], way: Direction
) -> None:
    same = [flat(*r) for r in runs]
    assert judge(said(way), same, same, OBJECTIVE, noise).judgement is UNDECIDED


# ---- from the events of a trial, and in a study


def log(curves: Mapping[str, list[tuple[int, float]]], max_steps: int = 0) -> TrialLog:
    """A trial that logged `curves`, the objective under a name of its own."""
    told = [Evaluation(step, 0, value) for step, value in curves.get(OBJECTIVE, [])]
    last = max((step for points in curves.values() for step, _ in points), default=0)
    others = {metric: points for metric, points in curves.items() if metric != OBJECTIVE}
    return TrialLog(Path("trial"), OBJECTIVE, {"max_steps": max_steps}, curves=others, evaluations=told, step=last)


def test_steps_become_completions() -> None:
    # two passes over each batch of 64: two steps cost as much as one elsewhere
    two = log(
        {"completions_generated": [(1, 64.0), (2, 64.0), (3, 128.0)], KL: [(1, 0.1), (3, 0.2)], OBJECTIVE: [(0, 0.0)]},
        6,
    )
    assert run_of(two, {KL, OBJECTIVE}) == Run({KL: [(64, 0.1), (128, 0.2)], OBJECTIVE: [(0, 0.0)]}, 256.0)
    assert run_of(two, {KL}).curves.keys() == {KL}
    rare = log({"completions_generated": [(4, 400.0)], KL: [(2, 0.1)]}, 0)
    assert run_of(rare, {KL}) == Run({KL: [(200, 0.1)]}, 400.0)


def test_a_recorded_run_with_four_steps_a_batch_costs_what_the_others_do() -> None:
    runs = {}
    for name in ("many-epochs", "good-0"):
        followed = TrialLog(Path(__file__).parents[1] / "data" / "runs" / name, OBJECTIVE)
        followed.poll()
        followed.close()
        runs[name] = run_of(followed, {OBJECTIVE})
        assert runs[name].budget == 12_800
    costs = [[cost for cost, _ in run.curves[OBJECTIVE]] for run in runs.values()]
    assert costs[0] == costs[1] == [1280.0 * k for k in range(11)]


def test_a_log_without_completions_is_compared_by_its_steps() -> None:
    own = log({KL: [(1, 0.1), (5, 0.2)], OBJECTIVE: [(5, 0.3)]}, 10)
    assert run_of(own, {KL, OBJECTIVE}) == Run({KL: [(1, 0.1), (5, 0.2)], OBJECTIVE: [(5, 0.3)]}, 10.0, by_steps=True)
    verdict = judge(said(), [run_of(own, {KL, OBJECTIVE})], [run_of(own, {KL, OBJECTIVE})], OBJECTIVE, {KL: 1.0})
    assert verdict.why.startswith("validation_reward moved by 0 at 5 steps, and nothing tells the noise")
    assert run_of(log({}), {KL}) == Run({}, 0.0, by_steps=True)


SPEC = replace(load("arithmetic-grpo"), noise={})


def trial(
    number: int, rate: float, state: State = State.COMPLETE, parent: int | None = None, *findings: Finding
) -> TrialRecord:
    hypothesis = None if parent is None else said(by=0.5)
    origin = Origin.START if parent is None else Origin.FINDING
    proposal = Proposal({"learning_rate": rate}, origin, "why", parent, "KL002", "learning_rate", hypothesis)
    return TrialRecord(number, 0, number, proposal, state, findings=findings)


def ran(kl: float, reward: float, steps: int = 100) -> TrialLog:
    return log(
        {
            "completions_generated": [(s, 10.0 * s) for s in range(1, steps + 1)],
            KL: [(s, kl) for s in range(1, steps + 1)],
            OBJECTIVE: [(s, reward) for s in range(0, steps + 1, 10)],
        },
        100,
    )


def test_a_trial_is_judged_with_all_runs_of_its_settings_and_of_its_parents() -> None:
    sick, well = 3e-3, 3e-4
    trials = (
        trial(0, sick, State.PRUNED),
        trial(1, well, parent=0),
        trial(2, sick, State.PRUNED),
        trial(3, well),
        trial(4, sick, State.FAILED),
        trial(5, well, State.RUNNING),
        trial(6, 1e-5),
    )
    logs = {
        0: ran(2.0, 0.0, 40), 1: ran(1.0, 1.0), 2: ran(2.1, 0.1, 30), 3: ran(1.1, 1.1),
        4: ran(0.0, 9.0), 5: ran(0.0, 9.0, 10), 6: ran(0.0, 9.0),
    }  # fmt: skip
    verdict = judge_trial(StudyRecord(Path("study"), SPEC, trials), logs, 1)
    assert verdict is not None and verdict.objective is not None and verdict.mechanism is not None
    assert verdict.judgement is CONFIRMED
    assert (verdict.objective.runs, verdict.objective.completions) == ((2, 2), 300)
    assert (verdict.objective.before, verdict.objective.after) == (pytest.approx(0.05), pytest.approx(1.05))


def test_a_parent_that_does_not_count_its_completions_is_compared_at_equal_steps() -> None:
    study = StudyRecord(Path("study"), SPEC, (trial(0, 3e-3), trial(1, 3e-4, parent=0)))
    parent, child = ran(2.0, 0.0), ran(1.0, 1.0, 60)
    del parent.curves["completions_generated"]
    verdict = judge_trial(study, {0: parent, 1: child}, 1)
    assert verdict is not None and verdict.objective is not None and verdict.mechanism is not None
    assert (verdict.objective.completions, verdict.mechanism.completions) == (60, 50)
    assert "at 60 steps" in verdict.why


def test_there_is_no_verdict_without_a_hypothesis_a_parent_or_two_runs_that_count() -> None:
    whole = StudyRecord(Path("study"), SPEC, (trial(0, 3e-3), trial(1, 3e-4, parent=0)))
    logs = {0: ran(2.0, 0.0), 1: ran(1.0, 1.0)}
    assert judge_trial(whole, logs, 1) is not None
    assert judge_trial(whole, logs, 0) is None
    assert judge_trial(whole, logs, 7) is None
    assert judge_trial(whole, {1: logs[1]}, 1) is None
    assert judge_trial(replace(whole, trials=whole.trials[1:]), logs, 1) is None
    for number, state in ((0, State.FAILED), (1, State.FAILED), (1, State.RUNNING)):
        assert judge_trial(whole.with_trial(replace(whole.trials[number], state=state)), logs, 1) is None


def test_the_noise_of_the_study_counts() -> None:
    study = StudyRecord(Path("study"), SPEC, (trial(0, 3e-3), trial(1, 3e-4, parent=0)))
    logs = {0: ran(2.0, 0.0), 1: ran(1.0, 1.0)}
    verdict = judge_trial(study, logs, 1)
    assert verdict is not None and verdict.judgement is UNDECIDED
    noisy = replace(study, spec=replace(SPEC, noise={KL: 0.1, OBJECTIVE: 0.1}))
    verdict = judge_trial(noisy, logs, 1)
    assert verdict is not None and verdict.judgement is CONFIRMED


def test_a_late_finding_moves_the_comparison() -> None:
    late = Finding("KL002", "kl_explosion", Severity.FATAL, Confidence.HIGH, 60, 80, 80, "", ())
    study = StudyRecord(Path("study"), SPEC, (trial(0, 3e-3, State.PRUNED, None, late), trial(1, 3e-4, parent=0)))
    verdict = judge_trial(study, {0: ran(2.0, 0.0), 1: ran(1.0, 1.0)}, 1)
    assert verdict is not None and verdict.mechanism is not None
    assert verdict.mechanism.completions == 800


# ---- on recorded runs


@pytest.fixture(scope="module")
def table() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "table_verdicts.py"
    spec = importlib.util.spec_from_file_location("table_verdicts", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_of_the_repairs_that_work_four_fifths_are_confirmed_with_three_seeds_a_side(table: ModuleType) -> None:
    found = list(table.repairs())
    working = [r for r in found if r.works]
    assert len(working) >= 15
    assert sum(r.verdict.judgement is CONFIRMED for r in working) >= 0.8 * len(working)
    assert not [r.name for r in working if r.verdict.judgement is REFUTED]
    assert not [r.name for r in found if not r.works and r.verdict.judgement is CONFIRMED]


def test_a_setting_against_itself_is_confirmed_in_one_case_of_twenty_at_most(table: ModuleType) -> None:
    settings = {name: runs for name, runs in table.seeds().items() if len(runs) >= table.MANY}
    assert len(settings) >= 4
    for seeds, recorded in ((3, False), (2, False), (1, True), (3, True)):
        for name, runs in settings.items():
            others = {n: r for n, r in settings.items() if n != name}
            found = table.against_itself(runs, (seeds, seeds), table.noise_of(others) if recorded else {}, draws=30)
            assert found.total() >= 10 * len(table.SAID)
            assert found[CONFIRMED] <= 0.05 * found.total(), (name, seeds, recorded)


def test_changes_of_the_built_in_task_that_help_are_confirmed_and_never_refuted(table: ModuleType) -> None:
    settings, noise = table.seeds(stopped=True), load("arithmetic-grpo").noise
    assert len(table.CHANGES) == 5
    for seeds, recorded in ((3, {}), (3, noise), (1, noise)):
        found = {c.before: table.changed(c, settings, seeds, recorded) for c in table.CHANGES}
        # ten times a learning rate of 1e-6 helps, by half of what was promised: too little to confirm as a rule
        late = found.pop("asleep")
        assert late[CONFIRMED] < 0.5 * late.total() and not late[REFUTED]
        for before, counts in found.items():
            assert counts[CONFIRMED] >= 0.8 * counts.total() and not counts[REFUTED], (before, seeds)


def test_the_preset_says_the_noise_that_was_measured(table: ModuleType) -> None:
    measured = table.noise_of(table.seeds())
    assert load("arithmetic-grpo").noise == pytest.approx(measured, rel=0.05)
