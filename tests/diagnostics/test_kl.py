"""What the rules on the KL share: which coefficient holds at a step, how long completions are, what is measured."""

import math

import numpy as np
import pytest

from diagnostics.finding import Scale, Set
from diagnostics.kl import coefficient, coefficients, measured, tokens
from diagnostics.lint.kl_coef_out_of_scale import kl_coef_out_of_scale
from diagnostics.lint.truncating_sampling import truncating_sampling
from diagnostics.remedies import tighter
from diagnostics.rule import NotApplicable
from diagnostics.series import example

KL = "kl.reference.k3.token"


def test_the_coefficient_is_the_logged_one_and_before_that_the_one_set():
    run = example({"kl_coef": "_*3 0.2 0.3"}, settings={"kl_coef": 0.1})
    assert coefficients(run, np.arange(6)).tolist() == [0.1, 0.1, 0.1, 0.2, 0.3, 0.3]
    assert coefficient(run, 4) == 0.3


def test_a_coefficient_that_is_neither_logged_nor_set_is_not_known():
    assert math.isnan(coefficient(example({KL: "0.1*5"}), 4))


def test_tokens_are_the_mean_length_of_the_last_ten_points():
    run = example({"completion_length_mean": "10*10 20*10"})
    assert tokens(run, np.array([9, 14, 19])).tolist() == [10.0, 15.0, 20.0]
    assert np.isnan(tokens(run, np.array([5]))).all()  # not known before there are ten


def test_a_kl_that_is_zero_throughout_was_not_measured():
    assert [s.metric for s in measured(example({KL: "0*5 0.1", "kl.rollout.k1.token": "1*5"}))] == [KL]
    with pytest.raises(NotApplicable, match="not measured"):
        measured(example({KL: "0*5"}))
    one = example({KL: "0*5", "kl.reference.k1.token": "0.1*5"})  # one of them is
    assert {s.metric for s in measured(one)} == {KL, "kl.reference.k1.token"}


@pytest.mark.parametrize(
    ("metrics", "settings", "change"),
    [
        ({"kl_coef": "1*5"}, {}, Scale(4)),  # 0.04 would be looser
        ({}, {"kl_coef": 0.1}, Scale(4)),
        ({}, {}, Set(0.04)),
        ({"kl_coef": "0*5"}, {"kl_coef": 0}, Set(0.04)),
    ],
)
def test_a_tighter_penalty_is_never_a_looser_one(metrics, settings, change):
    assert tighter(example(metrics, settings=settings), KL, 0.1).change == change


def test_everything_that_sampling_leaves_out_is_told_at_once():
    settings = {"kl_coef": 0.1, "top_p": 0.9, "top_k": 50, "temperature": 0.7, "scoring_temperature": 1.0}
    (told,) = truncating_sampling.check(settings)
    assert "top_p 0.9, top_k 50, temperature 0.7" in told.message
    assert [(p.knob, p.change) for p in told.prescriptions] == [("top_p", Set(1.0)), ("temperature", Set(1.0))]
    assert "top_k 0" in told.advice[0]


def test_a_coefficient_is_held_to_the_scale_of_what_is_compared():
    (told,) = kl_coef_out_of_scale.check({"kl_coef": 1.0, "reward_weight": 1.5})
    assert "scale 1.5" in told.message
    assert [(p.knob, p.change) for p in told.prescriptions] == [("kl_coef", Set(0.04))]
