"""Which knobs mattered: an answer where there is one, and none where there is not."""

import math
import random
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from autotune.importance import TRIALS, importance
from studies.record import Origin, Proposal, State, StudyRecord, TrialRecord
from studies.space import Choices, Range
from studies.spec import load
from studies.trial_log import Evaluation

SPACE = {"learning_rate": Range(0.0, 1.0), "kl_coef": Range(0.0, 1.0), "num_generations": Choices((2, 4, 8))}


def study(trials: int, *, prune_below: float = -1.0, state: State = State.COMPLETE) -> StudyRecord:
    """One knob decides, two do nothing."""
    rng = random.Random(0)
    records = []
    for number in range(trials):
        knobs = {"learning_rate": rng.random(), "kl_coef": rng.random(), "num_generations": rng.choice((2, 4, 8))}
        reward = knobs["learning_rate"]
        records.append(
            TrialRecord(
                number,
                1,
                0,
                Proposal(knobs, Origin.SAMPLER, ""),
                State.PRUNED if reward < prune_below else state,
                "",
                (Evaluation(0, 0, -1.0), Evaluation(1, 1, reward)),
            )
        )
    return StudyRecord(Path("nowhere"), replace(load("arithmetic-grpo"), space=SPACE), tuple(records))


def test_the_knob_that_decides_comes_first() -> None:
    shares = importance(study(30))
    assert shares is not None
    assert next(iter(shares)) == "learning_rate" and shares["learning_rate"] > 0.5
    assert set(shares) == set(SPACE)
    assert sum(shares.values()) == pytest.approx(1)


def test_too_few_trials_say_nothing() -> None:
    assert importance(study(TRIALS - 1)) is None
    assert importance(study(TRIALS)) is not None


def test_pruned_trials_count_with_what_they_logged_last() -> None:
    made = study(TRIALS, prune_below=0.5)
    assert sum(t.state is State.PRUNED for t in made.trials) > 3
    assert importance(made) == importance(study(TRIALS))


@pytest.mark.parametrize("value", [0.5, math.nan, None])
def test_trials_without_a_value_or_all_with_the_same_say_nothing(value: float | None) -> None:
    made = study(TRIALS)
    evaluations = () if value is None else (Evaluation(1, 1, value),)
    assert importance(replace(made, trials=tuple(replace(t, evaluations=evaluations) for t in made.trials))) is None


@pytest.mark.parametrize("state", [State.FAILED, State.RUNNING])
def test_trials_that_failed_or_run_do_not_count(state: State) -> None:
    assert importance(study(TRIALS, state=state)) is None


def test_nothing_is_said_of_the_study_in_memory(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    importance(study(TRIALS))
    optuna.logging.disable_propagation()
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert not caplog.records
