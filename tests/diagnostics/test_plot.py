"""Curves as braille: nothing that a person must see is lost on the way."""

import math
from array import array
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.axes import Frame, clock
from diagnostics.plot import BLANK, BLOCK, DOTS, NONE, braille, curve, frame, gaps, running_median, view


def drawn(cells: list[list[int]]) -> str:
    return "\n".join("".join(chr(BLANK | bits) if bits else " " for bits in row).rstrip() for row in cells)


def test_a_line_goes_from_corner_to_corner() -> None:
    rising = curve([(0, 0.0), (10, 1.0)])
    assert drawn(braille(rising, frame([rising], 0, 4, 2))) == "  ⡠⠊\n⡠⠊"


@given(st.lists(st.integers(0, 23), min_size=1, max_size=30), st.integers(1, 7))
def test_each_dot_between_two_points_is_lit_and_no_other(rows: list[int], apart: int) -> None:
    where = Frame(0, 79, 0.0, 23.0, 40, 6)  # a dot per step, and one per unit
    points = [(apart * i, row) for i, row in enumerate(rows) if apart * i < 80]
    wanted = {*points}
    for (x0, y0), (x1, y1) in pairwise(points):
        n = max(x1 - x0, abs(y1 - y0))
        wanted |= {(round(x0 + (x1 - x0) * i / n), round(y0 + (y1 - y0) * i / n)) for i in range(n + 1)}
    lit = {
        (2 * x + i, 4 * y + j)
        for y, line in enumerate(braille(curve([(step, 23.0 - row) for step, row in points]), where))
        for x, bits in enumerate(line)
        for j, pair in enumerate(DOTS)
        for i, bit in enumerate(pair)
        if bits & bit
    }
    assert lit == wanted


@pytest.mark.parametrize("at", [0, 1, 4_999, 7_013, 9_999])
def test_a_spike_of_one_step_in_ten_thousand_is_seen(at: int) -> None:
    points = [(step, 9.0 if step == at else math.sin(step / 500)) for step in range(10_000)]
    line = curve(points)
    where = frame([line], 0, 40, 5)
    top = braille(line, where)[0]
    assert [x for x, bits in enumerate(top) if bits] == [where.column(at)]


def test_values_that_are_not_finite_leave_a_gap_and_are_told() -> None:
    points = [(step, math.nan if 40 <= step < 60 else math.inf if step == 80 else 1.0) for step in range(101)]
    line = curve(points)
    where = frame([line], 0, 20, 2)
    assert (where.low, where.high) == (1.0, 1.0)
    hidden = {x for x in range(20) if not any(row[x] for row in braille(line, where))}
    assert {9, 10} <= hidden < {8, 9, 10, 11, 12}
    assert set(gaps(line, where)) == {8, 9, 10, 11, where.column(80)}


def test_a_curve_that_was_never_finite_or_never_there_is_drawn_as_nothing() -> None:
    for points in ([], [(0, math.nan), (1, math.inf)]):
        line = curve(points)
        assert drawn(braille(line, frame([line], 0, 10, 2))).strip() == ""


def test_the_largest_numbers_have_a_distance() -> None:
    line = curve([(0, -1.7e308), (10, 1.7e308)])
    assert drawn(braille(line, frame([line], 0, 4, 2))) == "  ⡠⠊\n⡠⠊"


def test_a_curve_that_grows_is_what_it_would_be_at_once() -> None:
    points = [(i, v) for i, v in enumerate([0.5, math.nan, -2.0, 7.0, math.inf, 1.0])]
    line = NONE
    for n in range(len(points) + 1):
        line = curve(points[:n], line)
    whole = curve(points)
    assert (line.steps, line.low, line.high, line.finite) == (whole.steps, -2.0, 7.0, False)
    assert curve(points, line) is line


@given(
    st.lists(st.sampled_from([*range(-9, 10), math.nan, math.inf]), max_size=5 * BLOCK),
    st.integers(1, 2 * BLOCK),
    st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 5 * BLOCK)),
    st.integers(1, 40),
)
def test_what_is_known_of_blocks_shows_what_all_points_show(
    values: list[float], at_once: int, ends: tuple[int, int], width: int
) -> None:
    points, line = list(enumerate(map(float, values))), NONE
    for n in range(at_once, len(points) + at_once, at_once):
        line = curve(points[:n], line)
    assert len(line.lows) == len(line.highs) == len(points) // BLOCK
    plain = replace(line, lows=(), highs=())
    where = view([(plain, None)], min(ends), max(ends), width, 4)
    assert view([(line, None)], min(ends), max(ends), width, 4) == where
    assert braille(line, where) == braille(plain, where)


def test_steps_that_go_back_are_put_in_order() -> None:
    known = curve([(0, 1.0), (5, 2.0)])
    assert curve([(0, 1.0), (5, 2.0), (3, 9.0)], known).steps == array("q", [0, 3, 5])


def dots(cells: list[list[int]]) -> int:
    return sum(bits.bit_count() for row in cells for bits in row)


def test_a_log_scale_has_the_decades_at_one_distance() -> None:
    rising = curve([(0, 0.001), (1, 0.01), (2, 0.1), (3, 1.0)])
    linear, log = (view([(rising, None)], 0, 3, 4, 2, log=log) for log in (False, True))
    assert drawn(braille(rising, linear)) == "   ⡜\n⣀⣀⠴⠁"
    assert drawn(braille(rising, log)) == "  ⡠⠊\n⡠⠊"


def test_a_part_is_drawn_to_its_borders_and_as_high_as_it_is() -> None:
    line = curve([(0, 0.0), (10, 100.0), (20, 0.0), (30, 1.0), (40, 50.0)])
    where = view([(line, None)], 20, 30, 4, 1)
    assert (where.low, where.high) == (0.0, 1.0)
    assert drawn(braille(line, where)) == "⣀⠤⠒⠉"
    between = view([(line, None)], 12, 18, 4, 1)  # no point at all, and yet a line
    assert (between.low, between.high) == (0.0, 0.0)
    assert dots(braille(line, between)) == 8


def test_a_line_to_a_value_immeasurably_far_outside_leaves_at_the_border() -> None:
    def inside(outside: float) -> str:
        line = curve([(0, outside), (1, 1e-9), (2, 2e-9), (3, -outside)])
        return drawn(braille(line, view([(line, None)], 1, 2, 2, 1)))

    assert inside(1e300) == inside(1.0)


def test_a_line_from_far_outside_costs_what_is_seen_of_it() -> None:
    line = curve([(0, 0.0), (10**15, 1.0)])
    where = view([(line, None)], 10**14, 10**14 + 4, 4, 1)
    assert dots(braille(line, where)) == 8


def test_by_time_a_slow_stretch_is_wide() -> None:
    line = curve([(0, 0.0), (1, 1.0), (2, 0.0)])
    watch = clock([0, 1, 2], [1000.0, 1001.0, 1004.0])
    assert watch is not None
    where = view([(line, watch)], 0.0, 4.0, 4, 1)
    top = [x for x, bits in enumerate(braille(line, where, watch)[0]) if bits & 0x09]  # the uppermost dots of a cell
    assert top == [where.column(watch.elapsed(1))] == [1]  # one second of four: dot 1.75 of 7


def test_by_time_no_spike_is_lost_either() -> None:
    points = [(step, 9.0 if step == 7013 else 0.0) for step in range(10_000)]
    line, watch = curve(points), clock(range(10_000), [step + (500 if step > 5000 else 0) for step in range(10_000)])
    where = view([(line, watch)], 0.0, 10_499.0, 40, 5)
    assert [x for x, bits in enumerate(braille(line, where, watch)[0]) if bits] == [where.column(7513)]


@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), min_size=1, max_size=300),
    st.sampled_from([0.05, 0.2]),
)
def test_a_median_of_anything_is_drawn_within_what_there_is(values: list[float], share: float) -> None:
    line = curve(list(enumerate(values)))
    where = frame([line], 0, 20, 4)
    smooth, rows = (
        running_median(line, where, None, share),
        [y for y, row in enumerate(braille(line, where)) if any(row)],
    )
    assert all(not any(row) or min(rows) <= y <= max(rows) for y, row in enumerate(smooth))
    assert any(map(any, smooth)) == any(map(math.isfinite, values))


def test_a_single_spike_does_not_move_the_median() -> None:
    line = curve([(step, 9.0 if step == 50 else 1.0 + step % 2) for step in range(101)])
    where = frame([line], 0, 40, 5)
    assert not any(any(row) for row in running_median(line, where, None, 0.1)[:4])
    assert any(braille(line, where)[0])


def test_the_median_of_a_window_by_hand() -> None:
    """Eight points on eight columns of dots; a window of half the width is two columns to either side."""
    line = curve(list(enumerate([0.0, 3.0, 0.0, 3.0, 3.0, 0.0, 0.0, 0.0])))
    where = Frame(0, 7, 0.0, 3.0, 4, 1)
    # of (0 3 0) 0, of (0 3 0 3) the upper middle 3, of (0 3 0 3 3) 3, of (3 0 3 3 0) 3, of (0 3 3 0 0) 0, then 0
    assert drawn(running_median(line, where, None, 0.5)) == drawn(
        braille(curve(list(enumerate([0.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0]))), where)
    )


def test_a_median_breaks_where_a_value_is_not_finite() -> None:
    line = curve([(step, math.nan if 40 <= step < 60 else 1.0) for step in range(101)])
    where = frame([line], 0, 20, 2)
    assert drawn(running_median(line, where, None, 0.05)) == drawn(braille(line, where))
