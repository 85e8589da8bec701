"""Numbers against hand-computed ones."""

import math

import numpy as np
import pytest

from diagnostics import stats
from diagnostics.progress import at_ceiling, bounds_of, early, fall, progress, reward_of
from diagnostics.series import MetricSeries, example

NAN = math.nan


def v(*numbers: float) -> np.ndarray:
    return np.array(numbers, dtype=np.float64)


def test_rolling_mean():
    np.testing.assert_array_equal(stats.rolling_mean(v(1, 2, 3, 4, 8), 3), v(NAN, NAN, 2, 3, 5))
    np.testing.assert_array_equal(stats.rolling_mean(v(1, NAN, 3, 5), 2), v(NAN, NAN, NAN, 4))
    np.testing.assert_array_equal(stats.rolling_mean(v(1, 2), 3), v(NAN, NAN))
    np.testing.assert_array_equal(stats.rolling_mean(v(1, 2), 1), v(1, 2))
    assert len(stats.rolling_mean(v(), 3)) == 0


def test_rolling_mean_of_infinities_is_unknown():
    np.testing.assert_array_equal(stats.rolling_mean(v(math.inf, -math.inf, 1, 2), 2), v(NAN, NAN, NAN, 1.5))


@pytest.mark.parametrize("width", range(1, 34))
def test_windows_of_every_width_are_whole(width):
    values = np.random.default_rng(0).standard_normal(50)
    expected = [values[i - width + 1 : i + 1].mean() for i in range(width - 1, 50)]
    np.testing.assert_allclose(stats.rolling_mean(values, width)[width - 1 :], expected)
    expected = [values[max(0, i - width + 1) : i + 1].max() for i in range(50)]
    np.testing.assert_array_equal(stats.rolling_max(values, width), expected)


def test_a_window_gives_the_same_bits_wherever_it_lies():
    values = np.random.default_rng(1).standard_normal(3000)
    whole = stats.rolling_mean(values, 20)
    for end in (20, 21, 777, 3000):
        assert stats.rolling_mean(values[end - 20 : end], 20)[-1] == whole[end - 1]


def test_rolling_max_leaves_nan_out():
    np.testing.assert_array_equal(stats.rolling_max(v(1, NAN, 0, -1), 2), v(1, 1, 0, 0))


def test_sustained():
    held = stats.sustained(np.array([True, True, False, True, True, True]), 2)
    assert held.tolist() == [False, True, False, False, True, True]
    assert stats.sustained(np.array([True]), 2).tolist() == [False]


def test_share():
    np.testing.assert_array_equal(stats.share(np.array([True, False, True, True]), 2), v(NAN, 0.5, 0.5, 1))


def test_lagged():
    np.testing.assert_array_equal(stats.lagged(v(1, 2, 3), 1), v(NAN, 1, 2))
    np.testing.assert_array_equal(stats.lagged(v(1, 2), 5), v(NAN, NAN))


def test_noise_ignores_a_trend():
    assert stats.noise(v(0, 1, 2, 3)) == pytest.approx(1.4826 / math.sqrt(2))
    assert stats.noise(v(5, 5, 5)) == 0
    assert math.isnan(stats.noise(v(1)))


def test_rolling_noise():
    # differences 2, -2, 2: mean square 4, half of it 2
    np.testing.assert_allclose(stats.rolling_noise(v(0, 2, 0, 2), 3), v(NAN, NAN, math.sqrt(2), math.sqrt(2)))


def test_running_median():
    np.testing.assert_array_equal(stats.running_median(v(3, 1, 2))[2:], [2])
    spiked = np.array([1.0, 2, 3] * 20)
    spiked[30::5] = 1e9
    assert stats.running_median(spiked)[59] in (2, 3)
    assert stats.running_median(np.concatenate([np.zeros(100), np.ones(27)]))[[107, 126]].tolist() == [0, 1]
    assert stats.running_median(v(1, 9, 2, 8, 3, 9, 9, 9, 3), threes=1).tolist()[2:] == [2, 8, 3, 8, 9, 9, 9]
    assert stats.running_median(v(1, 9, 2, 8, 3, 9, 9, 9, 3), threes=2)[8] == 8
    assert stats.running_median(v(NAN, 4, NAN, NAN))[3] == 4  # what is not there is left out
    assert len(stats.running_median(v())) == 0


def test_running_median_looks_back_27_points():
    values = np.random.default_rng(0).standard_normal(200)
    np.testing.assert_array_equal(stats.running_median(values)[126:], stats.running_median(values[100:])[26:])


def test_block_trend():
    falling = stats.block_trend(v(3, 3, 2, 2, 1, 1), 2, 3)
    assert np.isnan(falling[:5]).all()
    assert falling[5] == -1
    assert stats.block_trend(v(3, 3, 1, 1, 2, 2), 2, 3)[5] == pytest.approx(-1 / 3)
    assert stats.block_trend(v(1, 1, 1, 1), 2, 2)[3] == 0


def test_wander_of_means_about_their_trend():
    # means of two: 0, 1.5, 3, 1.5, ..; second differences of those two points apart, from the sixth value on: 6, 0, ..
    waves = np.repeat([0.0, 3.0] * 6, 2)
    everywhere = np.ones(len(waves), dtype=bool)
    assert np.isnan(stats.wander(waves, 2, 4, everywhere)).all()  # five differences are never within the span
    spread = stats.wander(waves, 2, 5, everywhere)
    assert np.isnan(spread[:9]).all()
    assert spread[9] == pytest.approx(1.4826 * 6 / math.sqrt(6))  # of 6, 0, 6, 0 and 6
    assert spread[10] == 0
    np.testing.assert_allclose(stats.wander(np.arange(40.0), 3, 9, np.ones(40, dtype=bool))[20:], 0, atol=1e-12)


def test_wander_is_told_only_where_it_is_asked_for_and_looks_back_no_further_than_it_says():
    values = np.random.default_rng(1).standard_normal(300)
    where = np.zeros(300, dtype=bool)
    where[[150, 299]] = True
    spread = stats.wander(values, 10, 100, where)
    assert np.flatnonzero(np.isfinite(spread)).tolist() == [150, 299]
    assert spread[299] == stats.wander(values[-128:], 10, 100, where[-128:])[-1]
    assert spread[299] != stats.wander(values[-127:], 10, 100, where[-127:])[-1]


def test_wander_of_independent_values_is_their_noise_over_the_root_of_the_width():
    values = np.random.default_rng(2).standard_normal(10_000)
    last = np.arange(10_000) == 9_999
    assert stats.wander(values, 10, 9_900, last)[-1] == pytest.approx(1 / math.sqrt(10), rel=0.1)


def test_mean_and_median_leave_non_finite_values_out():
    assert stats.mean(v(1, NAN, 3, math.inf)) == 2
    assert stats.median(v(1, NAN, 3, 8)) == 3
    assert math.isnan(stats.mean(v(NAN)))
    assert math.isnan(stats.median(v()))


def test_early_life_is_frozen():
    series = MetricSeries("m", np.arange(5, 15), np.array([1.0] * 4 + [9.0] * 6))
    known = early(series, 4)
    assert known is not None
    assert (known.level, known.noise, known.known_from) == (1.0, 0.0, 8)
    assert early(series, 11) is None


def test_progress_in_units_of_noise():
    # +-0.1 about 0.3: differences of 0.2, noise 0.2 / sqrt(2)
    _, standing = progress(example({"reward_mean": "0.2 0.4 " * 10 + "0.5 0.7 " * 10}))
    assert np.isnan(standing.gain[:19]).all()
    scale = 0.2 / math.sqrt(2)
    assert standing.scale[19] == pytest.approx(scale)
    assert standing.gain[19] == pytest.approx(0)
    assert standing.loss[19] == pytest.approx(0.1 / scale)
    assert standing.gain[39] == pytest.approx(0.3 / scale)


def test_what_stands_for_a_reward_that_is_not_logged():
    solved, less_penalty = {"success_share": "0 0.5 1"}, {"reward_total": "0 -1 -2"}
    assert reward_of(example({"reward_mean": "0 1 2"} | solved | less_penalty)).values.tolist() == [0, 1, 2]
    assert reward_of(example(solved | less_penalty)).metric == "success_share"
    assert reward_of(example(less_penalty)).metric == "reward_total"
    assert reward_of(example({"reward_mean": "_*3"} | solved)).metric == "success_share"  # a column without a number
    assert len(reward_of(example({}))) == 0
    assert progress(example(solved))[0].metric == "success_share"


def test_a_share_knows_its_bounds_and_a_reward_those_that_are_declared():
    assert bounds_of(example({"reward_mean": "0*3"}, reward_bounds=(-1, 3))) == (-1, 3)
    assert bounds_of(example({"reward_mean": "0*3"})) is None
    assert bounds_of(example({"success_share": "0*3"}, reward_bounds=(-1, 3))) == (0, 1)
    assert bounds_of(example({"reward_total": "0*3"}, reward_bounds=(-1, 3))) is None  # the penalty has none
    assert at_ceiling(example({"success_share": "0*3"}), v(0.89, 0.91), 0.1).tolist() == [False, True]


def test_a_steady_fall():
    falling = fall(example({"reward_mean": "1~0.02*30 1-0.02~0.02*50"}))
    assert falling.before[79] == pytest.approx(1 - 0.02 * 4.5, abs=0.02)
    assert falling.level[79] == pytest.approx(1 - 0.02 * 44.5, abs=0.02)
    assert falling.trend[79] == -1
    assert falling.steady(0.8, 2.0, 3.5, 0.33)[79]
    assert not falling.steady(0.8, 100.0, 3.5, 0.33).any()  # 0.8 is forty times the noise
    waves = fall(example({"reward_mean": "1 0.99 0.98 0.97 0.96 0.97 0.98 0.99 " * 40}))
    assert not waves.steady(0.0, 0.0, 3.5, 0.0).any()


def test_progress_of_a_constant_reward_is_none():
    _, standing = progress(example({"reward_mean": "0*30"}))
    assert standing.gain[-1] == 0
