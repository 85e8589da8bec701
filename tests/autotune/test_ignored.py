"""Knobs that a script does not seem to use, and near misses."""

import math
from pathlib import Path

import pytest

from autotune.ignored import ignored_knobs
from studies.command import CommandSpec
from studies.record import Origin, Proposal, StudyRecord, TrialRecord
from studies.spec import StudySpec
from studies.trial_log import Evaluation, TrialLog

SPEC = StudySpec("s", "", 8, 0, "score", CommandSpec("x", "score"), {}, {})


def told(*trials: tuple[dict, dict, dict]) -> list[str]:
    """What is said of the last of `trials`: each its knobs, its curves and its settings."""
    records, logs = [], {}
    for number, (knobs, curves, settings) in enumerate(trials):
        records.append(TrialRecord(number, 1, number, Proposal(knobs, Origin.START, "")))
        points = {name: list(enumerate(values)) for name, values in curves.items()}
        evaluations = [Evaluation(step, step, value) for step, value in points.get("score", ())]
        logs[number] = TrialLog(Path(), "score", settings=settings, curves=points, evaluations=evaluations)
    return ignored_knobs(StudyRecord(Path(), SPEC, tuple(records)), logs, len(trials) - 1)


@pytest.mark.parametrize(
    ("asked", "logged", "said"),
    [
        (3e-5, [1e-3, 1e-3], True),
        (1e-3, [3e-5, 3e-5], True),
        (1e-3, [1.05e-3, 1.05e-3], False),
        (1e-3, [0, 5e-4, 1e-3, 5e-4, 0], False),  # warmed up, decayed
        (1e-3, [5e-4, 1e-4, 0], False),  # decayed when it was first logged
        (1e-3, [0, 5e-3, 0], True),  # no schedule rises above its peak
        (1e-3, [5e-3], False),  # one point is no series
        (1e-3, [math.nan, math.nan], False),
        (1e-3, [], False),
    ],
)
def test_a_learning_rate_is_compared_with_the_highest_that_is_logged(asked, logged, said):
    found = told(({"learning_rate": asked}, {"learning_rate": logged}, {"learning_rate": asked}))
    assert bool(found) is said
    if said:
        assert found[0].startswith("trial 0 does not seem to use learning_rate: it logs ")


def test_the_sentence_says_both_numbers():
    (said,) = told(({"learning_rate": 3e-5}, {"learning_rate": [0.001, 0.001]}, {}))
    assert said == "trial 0 does not seem to use learning_rate: it logs 0.001 where 3e-05 was asked for"


def test_a_factor_of_the_scripts_own_is_no_sign_of_neglect():
    first = ({"learning_rate": 1e-4}, {"learning_rate": [8e-4, 8e-4]}, {})
    assert told(first)
    assert not told(first, ({"learning_rate": 1e-3}, {"learning_rate": [8e-3, 8e-3]}, {}))
    assert told(first, ({"learning_rate": 1e-3}, {"learning_rate": [8e-4, 8e-4]}, {}))


def test_a_schedule_that_is_the_same_whatever_is_asked_for():
    first = ({"learning_rate": 1e-3}, {"learning_rate": [5e-4, 4e-4]}, {})
    (said,) = told(first, ({"learning_rate": 1e-2}, {"learning_rate": [5e-4, 4e-4]}, {}))
    assert said == "trial 1 does not seem to use learning_rate: it logs the same as trial 0, which had 0.001"
    assert not told(first, ({"learning_rate": 1e-2}, {"learning_rate": [5e-3, 4e-3]}, {}))
    assert not told(first, ({"learning_rate": 1.02e-3}, {"learning_rate": [5e-4, 4e-4]}, {}))


def test_a_setting_that_the_script_tells_of_itself():
    assert told(({"kl_coef": 0.1}, {}, {"kl_coef": 0.04}))
    assert not told(({"kl_coef": 0.1}, {}, {"kl_coef": 0.1}))
    (said,) = told(({"loss_type": "dapo"}, {}, {"loss_type": "grpo"}))
    assert said == "trial 0 does not seem to use loss_type: it logs grpo where dapo was asked for"
    assert told(({"beta": 0.1}, {"beta": [0.04, 0.04]}, {}))  # by a name of its own
    assert not told(({"beta": 0.1}, {"beta": [0.04, 0.08]}, {}))  # a controller's


CURVES = {"score": [0.1, 0.2, 0.3], "loss": [3.0, 2.0, math.nan], "train_runtime": [1.0, 2.0, 3.0]}


def test_two_trials_that_log_the_same_whatever_is_asked_for():
    first = ({"lr": 0.001, "beta": 0.1}, CURVES, {})
    other = CURVES | {"train_runtime": [1.1, 2.3, 3.1], "tokens/s": [1.0]}
    (said,) = told(first, ({"lr": 0.01, "beta": 0.1}, other, {}))
    assert said == "trial 1 does not seem to use lr: all that it logs equals what trial 0 logged, which had lr 0.001"
    (said,) = told(first, ({"lr": 0.01, "beta": 0.2}, other, {}))
    assert said.startswith("trial 1 does not seem to use lr and beta: ")
    assert said.endswith("which had lr 0.001, beta 0.1")


@pytest.mark.parametrize(
    ("knobs", "curves"),
    [
        ({"lr": 0.001, "beta": 0.1}, CURVES),  # the same settings
        ({"lr": 0.01, "beta": 0.1}, CURVES | {"loss": [3.0, 2.0, 1.0]}),
        ({"lr": 0.01, "beta": 0.1}, CURVES | {"score": [0.1, 0.2, 0.31]}),
        ({"lr": 0.01, "beta": 0.1}, CURVES | {"score": [0.1, 0.2]}),  # too short to tell
    ],
)
def test_trials_that_differ_somewhere_raise_no_doubt(knobs, curves):
    assert not told(({"lr": 0.001, "beta": 0.1}, CURVES, {}), (knobs, curves, {}))


def test_a_score_that_never_moves_tells_nothing():
    still = {"score": [0.0, 0.0, 0.0, 0.0]}
    assert not told(({"lr": 0.001}, still, {}), ({"lr": 0.01}, still, {}))
