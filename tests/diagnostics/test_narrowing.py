"""The signs of a narrow policy, each on both sides of its limit."""

import numpy as np
import pytest

from diagnostics.narrowing import is_far, is_short, is_sudden, rise, usual
from diagnostics.progress import progress
from diagnostics.series import example

STEPS = np.array([30])


def test_usual_entropy_is_that_of_the_start() -> None:
    entropy = example({"entropy": "2*5 1*100"})["entropy"]
    assert usual(entropy)[[4, 60, 104]].tolist() == [2.0, 2.0, 2.0]


def test_a_later_high_is_usual_for_sixty_levels() -> None:
    entropy = example({"entropy": "2*20 8*20 1*100"})["entropy"]
    assert usual(entropy)[[19, 29, 98]].tolist() == [2.0, 8.0, 8.0]  # the last level of 8 is at 39
    assert usual(entropy)[99] == pytest.approx(7.3)  # nine points of 8 and one of 1


def test_no_ratio_to_an_entropy_below_zero() -> None:
    assert np.isnan(usual(example({"entropy": "-1*40"})["entropy"])).all()


@pytest.mark.parametrize(("last", "short"), [(25, True), (26, False)])
def test_short(last: int, short: bool) -> None:
    run = example({"completion_length_mean": f"100*5 {last}*30"})
    assert is_short(run, STEPS, 0.25).tolist() == [short]
    assert is_short(example({}), STEPS, 0.25).tolist() == [False]


@pytest.mark.parametrize(
    ("metric", "limit"),
    [("kl.reference.k1.token", 0.5), ("kl.reference.unknown", 10.0), ("kl.reference.k3.sequence", 10.0)],
)
def test_far_by_the_limit_of_the_unit_in_eight_of_ten_points(metric: str, limit: float) -> None:
    above, below = limit * 1.01, limit * 0.99
    assert is_far(example({metric: f"0*23 {above}*8"}), STEPS, 0.5, 10.0).tolist() == [True]
    assert is_far(example({metric: f"0*24 {above}*7"}), STEPS, 0.5, 10.0).tolist() == [False]
    assert is_far(example({metric: f"{below}*31"}), STEPS, 0.5, 10.0).tolist() == [False]


def test_the_rise_is_over_forty_points_and_of_fewer_since_the_start() -> None:
    run = example({"reward_mean": " ".join(["0 2"] * 15 + ["10 12"] * 35)})
    _, standing = progress(run)
    noise = standing.scale[-1]
    climbed = rise(standing)
    assert climbed[60] == pytest.approx((standing.recent[60] - standing.recent[20]) / noise, rel=0.01)
    assert climbed[99] == 0.0
    assert climbed[40] == pytest.approx(standing.gain[40])


@pytest.mark.parametrize(("left", "sudden"), [(0.45, True), (0.55, False)])
def test_a_level_that_lost_half_at_once_is_sudden_for_forty_points(left: float, sudden: bool) -> None:
    fell = is_sudden(np.array([1.0] * 80 + [left] * 60))
    assert np.flatnonzero(fell).tolist() == ([*range(80, 119)] if sudden else [])
