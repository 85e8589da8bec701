"""The reward in training at each evaluation, worked out by hand."""

import numpy as np

from diagnostics.finding import Scale
from diagnostics.heldout import evaluations, known_noise, on_all, shorter, training
from diagnostics.series import RunHistory, example

REWARD = "1 2 3 4 5 6 7 8 9 10"


def level(run: RunHistory) -> list[float]:
    ((evaluation,),) = evaluations(run)
    return [float(mean) for mean in training(run, evaluation).level]


def test_training_is_its_mean_since_the_evaluation_before() -> None:
    run = example({"reward_mean": REWARD, "eval_reward": "_*2 0.5 _ 0.5 _*4 0.5"})
    assert level(run) == [2.0, 4.5, 8.0]  # of 1, 2, 3; of 4, 5; of 6 to 10


def test_before_the_first_point_of_training_stands_its_start() -> None:
    run = example({"reward_mean": f"_*3 {REWARD}", "eval_reward": "0.5 _*4 0.5"})
    assert level(run) == [3.0, 2.0]  # the mean of 1 to 5; of 1, 2, 3


def test_without_a_point_in_between_the_last_one_stands() -> None:
    run = example({"reward_mean": "1 2 3 4 5 _*3 9", "eval_reward": "_*4 0.5 _ 0.5 0.5"})
    assert level(run) == [3.0, 5.0, 5.0]


def test_successes_are_compared_with_successes() -> None:
    run = example({"reward_mean": "70*10", "success_share": "0.5*10", "eval_success_share": "_*9 0.4"})
    assert level(run) == [0.5]


def test_without_training_nothing_is_known() -> None:
    run = example({"eval_reward": "0.5*5"})
    assert np.isnan(level(run)).all()


def test_training_is_known_from_its_fifth_point_on() -> None:
    run = example({"reward_mean": f"_*3 {REWARD}", "eval_reward": "0.5*12"})
    ((evaluation,),) = evaluations(run)
    assert training(run, evaluation).known == 7


def test_several_sets_are_one_entry() -> None:
    run = example({"eval_set_reward[b]": "0.5*5", "eval_set_reward[a]": "0.5*5", "validation_reward": "0.5*5"})
    assert [[one.metric for one in alike] for alike in evaluations(run)] == [
        ["validation_reward"],
        ["eval_set_reward[a]", "eval_set_reward[b]"],
    ]


def test_what_is_said_holds_on_all_sets_that_have_begun() -> None:
    run = example({"eval_set_reward[a]": "_*2 0.5*3", "eval_set_reward[b]": "0.5*5"})
    ((first, late),) = evaluations(run)
    assert (first.metric, late.metric) == ("eval_set_reward[b]", "eval_set_reward[a]")
    masks = [np.array([True, False, True, True, True]), np.array([True, True, False])]
    assert on_all([first, late], masks).tolist() == [True, False, True, True, False]


def test_noise_of_an_evaluation_is_off_the_line_through_its_neighbours() -> None:
    noise, known = known_noise(np.array([1.0, 2.0, 3.0, 7.0, 11.0]))  # bends of 0, 3 and 0
    assert known.tolist() == [0, 0, 1, 2, 3]
    assert np.isnan(noise[:2]).all()
    np.testing.assert_allclose(noise[2:], [0.0, np.sqrt(9 / 2 / 6), np.sqrt(9 / 3 / 6)])
    _, of_many = known_noise(np.arange(80.0))
    np.testing.assert_allclose(of_many[-1], 50)


def test_the_noise_of_a_mean_is_of_as_many_points_as_it_has() -> None:
    run = example({"reward_mean": " ".join(["0 1"] * 30), "eval_reward": "_*49 1 1 _*3 1"})
    ((evaluation,),) = evaluations(run)
    noise = training(run, evaluation).noise
    assert noise[1] == 2 * noise[2]  # of one point, of four


def test_fewer_passes_are_told_where_there_are_several_and_a_penalty_where_there_is_none() -> None:
    def changed(**settings: float) -> list[str]:
        return [told.knob for told in shorter(example({}, settings=settings), "eval_reward", 0.1)]

    assert changed(num_train_epochs=2, kl_coef=0) == ["num_train_epochs"]
    assert changed(num_train_epochs=1, kl_coef=0) == ["kl_coef"]
    assert changed(num_train_epochs=1, kl_coef=0.1) == changed() == []
    (told,) = shorter(example({}, settings={"num_train_epochs": 2}), "eval_reward", 0.1)
    assert told.change == Scale(0.5)
