"""The axes of a plot: places, heights and round numbers, computed by hand."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.axes import Frame, clock, clock_time, powers_of_ten, round_durations, round_numbers


def test_time_passes_evenly_between_two_steps() -> None:
    watch = clock([0, 10, 20], [100.0, 110.0, 150.0])
    assert watch is not None
    assert [watch.elapsed(step) for step in (-3, 0, 5, 10, 15, 20, 99)] == [0, 0, 5, 10, 30, 50, 50]
    assert [watch.step(seconds) for seconds in (-1, 0, 5, 10, 30, 50)] == [0, 0, 5, 10, 15, 20]
    assert watch.step(51) == math.inf


def test_a_clock_that_was_set_back_stands_still() -> None:
    watch = clock([0, 1, 2, 3], [5.0, 9.0, 7.0, 10.0])
    assert watch is not None
    assert watch.seconds == array("d", [5.0, 9.0, 9.0, 10.0])
    assert watch.step(4.0) == 1
    assert clock([], []) is None


def test_a_decade_is_as_high_as_the_next_on_a_log_scale() -> None:
    where = Frame(0, 10, 0.01, 10.0, 4, 4, log=True)  # 16 rows of dots for three decades: five to each
    assert where.linear_below is None
    assert [where.heights()(value) for value in (10.0, 1.0, 0.1, 0.01)] == [0, 5, 10, 15]
    assert where.heights()(0.001) == 15  # kept within the plot


def test_a_log_scale_of_values_that_are_not_positive_is_symmetric_and_linear_around_0() -> None:
    where = Frame(0, 10, -10.0, 10.0, 4, 4, log=True)
    assert where.linear_below == pytest.approx(0.01)
    height = where.heights()
    assert (height(10.0), height(-10.0)) == (0, 15)
    assert {height(0.0)} <= {7, 8}
    # asinh(1 / 0.01) / asinh(10 / 0.01) = 5.298 / 7.601 = 0.697 of the 7.5 rows above the middle
    assert (height(1.0), height(-1.0)) == (2, 13)
    assert height(0.0) - height(1.0) > 3 * (height(0.0) - height(0.001))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2), st.booleans())
def test_higher_values_never_stand_lower(values: list[float], log: bool) -> None:
    where = Frame(0, 1, min(values), max(values), 1, 5, log=log)
    height = where.heights()
    rows = [height(value) for value in sorted(values)]
    assert rows == sorted(rows, reverse=True)
    assert set(rows) <= set(range(20))
    if min(values) / 2 < max(values) / 2:
        assert (rows[0], rows[-1]) == (19, 0)


@pytest.mark.parametrize(
    ("low", "high", "most", "found"),
    [
        (0, 100, 5, [0, 50, 100]),
        (0, 100, 6, [0, 20, 40, 60, 80, 100]),
        (-0.21, 0.37, 4, [-0.2, 0, 0.2]),
        (3, 3, 5, []),
        (0, math.inf, 5, []),
        (0, 1, 0, []),
    ],
)
def test_round_numbers(low: float, high: float, most: int, found: list[float]) -> None:
    assert round_numbers(low, high, most) == pytest.approx(found)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(1, 20))
def test_never_more_numbers_than_there_is_room_for(low: float, wide: float, most: int) -> None:
    for found in (round_numbers(low, low + wide, most), round_durations(max(0.0, low), max(0.0, low) + wide, most)):
        assert len(found) <= most
        tolerance = 1e-9 * (abs(low) + wide)
        assert all(low - tolerance <= value <= max(0.0, low) + wide + tolerance for value in found)


def test_steps_are_never_closer_than_one() -> None:
    assert round_numbers(0, 3, 10, least=1) == [0, 1, 2, 3]


def test_durations_are_those_that_people_count_in() -> None:
    assert round_durations(0, 50, 4) == [0, 15, 30, 45]
    assert round_durations(0, 7000, 4) == [0, 1800, 3600, 5400]
    assert round_durations(0, 86400 * 30, 4) == [0, 864000, 1728000, 2592000]


def test_powers_of_ten() -> None:
    assert powers_of_ten(0.02, 300) == pytest.approx([0.1, 1, 10, 100])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (2.55, "2.55s"),
        (40, "40s"),
        (60, "1m"),
        (750, "12m30"),
        (5400, "1h30"),
        (7200, "2h"),
        (3 * 86400, "3d"),
    ],
)
def test_a_time_takes_a_few_cells(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
