"""Series, histories and the shorthand that examples are written in."""

import math

import numpy as np
import pytest

from diagnostics.series import MetricSeries, RunHistory, example, expand


def series(steps: list[int], values: list[float]) -> MetricSeries:
    return MetricSeries("m", np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))


def test_expand():
    assert expand("1.5*3") == [1.5, 1.5, 1.5]
    assert expand("1-0.5*3") == [1.0, 0.5, 0.0]
    assert expand("1 _*2 2") == [1.0, None, None, 2.0]
    assert expand("inf -inf") == [math.inf, -math.inf]
    assert math.isnan(expand("nan")[0] or 0)


def test_expand_draws_the_same_noise_every_time():
    assert expand("1~0.1*5") == expand("1~0.1*5")
    assert len(set(expand("1~0.1*5"))) == 5


def test_expand_names_what_it_cannot_read():
    with pytest.raises(ValueError, match="'1x3'"):
        expand("1*2 1x3")


def test_as_of_join_is_causal():
    joined = series([2, 5], [1, 2]).at(np.array([1, 2, 4, 5, 9]))
    np.testing.assert_array_equal(joined, [math.nan, 1, 1, 2, 2])
    assert np.isnan(series([], []).at(np.array([1]))).all()


def test_upto_includes_the_step():
    assert series([1, 3, 5], [1, 2, 3]).upto(3).values.tolist() == [1, 2]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="steps but"):
        series([1, 2], [1])


def test_missing_samples_are_no_points():
    run = example({"m": "1 _ 3"})
    assert run["m"].steps.tolist() == [0, 2]
    assert "n" not in run
    assert len(run.get("n")) == 0
    assert run.last_step == 2
    assert RunHistory({}).last_step == -1
