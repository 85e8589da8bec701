"""Long series thinned to what a terminal can show: nothing that a person could see is lost."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from diagnostics.axes import HIGH, WIDE, Frame
from diagnostics.plot import DOTS, Curve, braille, frame, gaps
from diagnostics.series import MetricSeries
from tui.thin import STRETCHES, thinned

MANY = 100_000


def series(values: np.ndarray, steps: np.ndarray | None = None) -> MetricSeries:
    return MetricSeries("m", np.arange(len(values)) if steps is None else steps, values)


def test_a_short_series_is_kept_as_it_is() -> None:
    curve = thinned(series(np.array([0.5, math.nan, math.inf, -1.0])))
    assert [*curve.steps] == [0, 1, 2, 3]
    assert curve.values[0] == 0.5
    assert (curve.finite, curve.low, curve.high) == (False, -1.0, 0.5)


def test_no_points_are_no_curve() -> None:
    assert not thinned(series(np.empty(0))).steps
    assert thinned(series(np.full(3, math.nan))).low == math.inf


@given(st.integers(0, MANY - 1), st.sampled_from([1e6, -1e6, math.nan, math.inf, -math.inf]))
@example(27_344, math.nan)  # the first of a stretch that two columns share
def test_a_spike_of_one_step_is_never_lost(at: int, value: float) -> None:
    values = np.sin(np.arange(MANY) / 50)
    values[at] = value
    curve = thinned(series(values))
    assert len(curve.steps) <= 5 * STRETCHES
    assert list(curve.steps) == sorted(curve.steps)
    assert (curve.steps[0], curve.steps[-1]) == (0, MANY - 1)
    assert curve.values[-1] == values[-1] or math.isnan(values[-1])
    if math.isfinite(value):
        assert value in curve.values
        assert value in (curve.low, curve.high)
    else:
        assert not curve.finite
        where = frame([curve], 0, 80, 6)
        (column,) = gaps(curve, where)
        assert abs(column - where.column(at)) <= 1


def dots(curve: Curve, where: Frame) -> set[tuple[int, int]]:
    """The places of the dots that are lit, as (column, row)."""
    return {
        (WIDE * x + i, HIGH * y + j)
        for y, line in enumerate(braille(curve, where))
        for x, bits in enumerate(line)
        for j, pair in enumerate(DOTS)
        for i, bit in enumerate(pair)
        if bits & bit
    }


@pytest.mark.parametrize("crowded", [False, True], ids=["even", "crowded at the beginning"])
def test_no_dot_is_drawn_further_than_one_column_from_where_it_belongs(crowded: bool) -> None:
    draw = np.random.default_rng(0)
    steps, late = np.arange(MANY), int(0.9 * MANY)
    if crowded:
        steps = np.where(steps < late, steps, steps + 50 * (steps - late))
    values = np.cumsum(draw.normal(size=MANY))
    whole = Curve(tuple(steps.tolist()), tuple(values.tolist()), True, float(values.min()), float(values.max()))
    where = frame([whole], 0, 100, 8)
    wanted, drawn = dots(whole, where), dots(thinned(series(values, steps)), where)
    for these, those in ((wanted, drawn), (drawn, wanted)):
        assert not [(x, y) for x, y in these if those.isdisjoint({(x - 1, y), (x, y), (x + 1, y)})]


def test_steps_as_large_as_any_are_told_apart() -> None:
    steps = np.arange(MANY) * (1 << 36)
    curve = thinned(series(np.arange(MANY, dtype=float), steps))
    assert len(set(curve.steps)) > STRETCHES
    assert curve.values[-1] == MANY - 1
