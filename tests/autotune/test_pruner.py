"""The pruner on recorded curves, and each part of its forecast on curves made for it."""

import json
import math
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from autotune.pruner import CannotCatchUp, Forecast

CURVES = json.loads((Path(__file__).parents[1] / "data" / "curves.json").read_text(encoding="utf-8"))
RUNS = {name: [(c, v) for c, v in run["points"]] for name, run in CURVES["arithmetic"].items()}
RATES = {name: float(run["settings"].split()[1].rstrip(",")) for name, run in CURVES["arithmetic"].items()}
# Two standard deviations of the difference of two runs with the settings of lr1e-4, whose five seeds differ by 0.026.
LUCK = 2 * math.sqrt(2) * 0.026

Points = Sequence[tuple[int, float]]


def study_of(*finished: Points, direction: str = "maximize", constraint: float = 0.0) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    for points in finished:
        trial = create_trial(value=points[-1][1], intermediate_values=dict(points))
        trial.set_constraint("findings_at_error", constraint)
        study.add_trial(trial)
    return study


def seen(points: Points) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, intermediate_values=dict(points))


def stopped_at(study: optuna.Study, points: Points, pruner: CannotCatchUp | None = None) -> int | None:
    """The cost at which the pruner stops a run whose evaluations come one by one."""
    pruner = pruner or CannotCatchUp()
    made = (points[:n] for n in range(1, len(points)))
    return next((part[-1][0] for part in made if pruner.prune(study, seen(part))), None)


def line(start: float, end: float, cost: int = 1000, step: int = 100) -> list[tuple[int, float]]:
    return [(c, start + (end - start) * c / cost) for c in range(0, cost + 1, step)]


@pytest.mark.slow
def test_no_recorded_run_that_learns_is_stopped_for_one_that_ended_no_better_than_luck_explains() -> None:
    stopped = []
    for name, other in permutations(RUNS, 2):
        if RATES[name] > 1e-6 and stopped_at(study_of(RUNS[other]), RUNS[name]) is not None:
            stopped.append((RUNS[other][-1][1] - RUNS[name][-1][1], name, other))
    assert len(stopped) > 500
    assert min(stopped)[0] > LUCK, min(stopped)


def test_recorded_runs_that_learn_next_to_nothing_are_stopped_at_half_of_their_cost() -> None:
    for name, points in RUNS.items():
        others = study_of(*(other for n, other in RUNS.items() if n != name))
        if RATES[name] <= 1e-5:
            assert stopped_at(others, points) == 6400, name
        if 3e-5 <= RATES[name] <= 4e-5:  # slow starters: at a quarter of the cost 0.4 behind, at the end 0.1
            assert stopped_at(others, points) is None, name


@pytest.mark.parametrize("task", [task for task in CURVES if task != "arithmetic"])
def test_no_repaired_run_is_stopped_for_another_seed_of_its_repair(task: str) -> None:
    for one, other in permutations(CURVES[task].values(), 2):
        if one["settings"] == other["settings"] and one["settings"].endswith("_fix"):
            assert stopped_at(study_of(other["points"]), one["points"]) is None


def test_minimising_is_maximising_upside_down() -> None:
    good, bad = RUNS["rates/lr1e-4-seed0"], RUNS["rates/lr1e-5-seed0"]
    down = study_of([(c, -v) for c, v in good], direction="minimize")
    assert stopped_at(down, [(c, -v) for c, v in bad]) == stopped_at(study_of(good), bad) == 6400
    assert stopped_at(down, [(c, -v) for c, v in good]) is None


def test_a_steady_climb_is_carried_to_the_end() -> None:
    flat, exact = study_of(line(1.0, 1.0)), CannotCatchUp(noise=0.0)
    assert stopped_at(flat, line(0.0, 1.01), exact) is None
    assert stopped_at(flat, line(0.0, 0.99), exact) == 500
    late = [(c, max(0.0, (c - 400) / 600)) for c in range(0, 1001, 100)]  # flat at first, then as good as the other
    assert stopped_at(flat, late, exact) == 500
    assert stopped_at(study_of(line(1.0, 1.0), late), late, exact) is None  # once that was seen, it is waited for


def test_what_another_trial_gained_late_is_possible_for_this_one() -> None:
    asleep = line(0.0, 0.0)
    jump = [(c, 0.0 if c < 800 else 1.0) for c, _ in asleep]
    assert stopped_at(study_of(line(1.0, 1.0)), asleep) == 500
    assert stopped_at(study_of(line(1.0, 1.0), jump), asleep) == 800


def test_the_margin_grows_with_the_noise_of_either_trial() -> None:
    rough = [(c, 0.1 * (-1) ** (c // 100)) for c in range(0, 1001, 100)]
    assert stopped_at(study_of(line(0.5, 0.5)), line(0.0, 0.0)) == 500
    assert stopped_at(study_of(line(0.5, 0.5)), rough) is None
    assert stopped_at(study_of([(c, v + 0.5) for c, v in rough]), line(0.0, 0.0)) is None
    assert stopped_at(study_of(line(0.5, 0.5)), rough, CannotCatchUp(noise=0.01)) == 500
    assert stopped_at(study_of(line(0.5, 0.5)), line(0.0, 0.0), CannotCatchUp(noise=0.2)) is None


def test_it_waits_for_half_of_the_cost_and_for_three_evaluations_after_the_first() -> None:
    good = study_of(line(1.0, 1.0))
    assert stopped_at(good, line(0.0, 0.0, step=10)) == 500
    assert stopped_at(good, [(0, 0.0), (500, 0.0), (700, 0.0), (900, 0.0), (1000, 0.0)]) == 900
    assert stopped_at(good, [(0, 0.0), (500, 0.0), (700, 0.0), (1000, 0.0)]) is None


def test_a_trial_that_no_finished_one_can_be_compared_with_goes_on() -> None:
    bad = line(0.0, 0.0)
    assert stopped_at(study_of(), bad) is None
    assert stopped_at(study_of(line(1.0, 1.0), constraint=1.0), bad) is None  # its reward may be a hacked one
    assert stopped_at(study_of([(0, 1.0), (250, 1.0)]), bad) is None  # already costlier than any
    unfinished = study_of()
    unfinished.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=dict(line(1.0, 1.0))))
    assert stopped_at(unfinished, bad) is None


def test_values_that_are_not_finite_are_left_out() -> None:
    gaps = [(c, math.nan if c in (200, 400) else v) for c, v in line(0.0, 0.0)]
    assert stopped_at(study_of(line(1.0, 1.0)), gaps) == 500
    assert stopped_at(study_of([(0, math.nan), (500, math.nan), (1000, 1.0)]), line(0.0, 0.0)) == 500


def test_a_forecast_says_why() -> None:
    forecast = CannotCatchUp().forecast(study_of(line(1.0, 1.0)), seen(line(0.0, 0.0)[:6]))
    assert forecast == Forecast(0.0, 1.0, 0, 500, 1000)
    assert str(forecast) == "cannot catch up: at 500 of 1,000 completions it may still reach 0, and trial 0 ended at 1"


@pytest.mark.parametrize("noise", [-1.0, math.nan, math.inf])
def test_a_noise_that_is_none_is_refused(noise: float) -> None:
    with pytest.raises(ValueError, match="noise"):
        CannotCatchUp(noise=noise)


def test_it_works_in_anyones_optimize() -> None:
    def objective(trial: optuna.Trial) -> float:
        slope = trial.suggest_float("slope", 0.0, 1.0)
        for cost in range(0, 101, 10):
            trial.report(slope * cost, cost)
            if trial.should_prune():
                raise optuna.TrialPruned
        return slope * 100

    study = optuna.create_study(direction="maximize", pruner=CannotCatchUp(noise=0.1))
    study.enqueue_trial({"slope": 1.0})
    study.enqueue_trial({"slope": 0.2})
    study.optimize(objective, n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert max(study.trials[1].intermediate_values) == 50
