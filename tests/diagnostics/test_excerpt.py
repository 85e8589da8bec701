"""The points around a finding: a bounded number, the extremes among them, with what is missing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.excerpt import MOST_GAPS, STRETCHES, Excerpt, excerpt
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.series import MetricSeries, RunHistory


def found(first: int, last: int, raised: int | None = None, *, onset: int | None = None) -> Finding:
    evidence = Evidence("loss", first if onset is None else onset, last, "mean", 1.0, 2.0)
    return Finding(
        "A1",
        "a",
        Severity.ERROR,
        Confidence.HIGH,
        first,
        last,
        last if raised is None else raised,
        "",
        (evidence,),
        (),
        3,
    )


def run(points: dict[int, float]) -> RunHistory:
    steps, values = np.array(list(points), np.int64), np.array(list(points.values()), np.float64)
    return RunHistory({"loss": MetricSeries("loss", steps, values)})


def shown(points: dict[int, float], finding: Finding) -> Excerpt:
    made = excerpt(finding, run(points))
    assert made is not None
    return made


def test_a_little_before_and_after_the_finding_is_shown() -> None:
    made = shown({s: float(s) for s in range(1000)}, found(400, 480))
    assert (made.steps[0], made.steps[-1]) == (380, 500)
    assert (made.code, made.segment, made.metric) == ("A1", 3, "loss")
    assert made.values == tuple(float(s) for s in made.steps)


@pytest.mark.parametrize(
    ("finding", "ends"),
    [
        (found(500, 500), (490, 510)),
        (found(2, 3), (0, 13)),
        (found(995, 999), (985, 999)),
        (found(500, 500, 520), (490, 530)),
        (found(500, 500, onset=480), (470, 510)),
    ],
    ids=["a spike", "the beginning", "the end", "raised later", "evidence of before"],
)
def test_its_ends(finding: Finding, ends: tuple[int, int]) -> None:
    made = shown(dict.fromkeys(range(1000), 1.0), finding)
    assert (made.steps[0], made.steps[-1]) == ends


@given(st.data())
def test_of_many_points_the_extremes_and_what_is_not_finite_are_kept(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 3000))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.standard_normal(n)
    for bad in data.draw(st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=3)):
        values[data.draw(st.integers(0, n - 1))] = bad
    steps = np.cumsum(rng.choice([1, 1, 1, 1, 1, 1, 1, 50], n))
    points = dict(zip(steps.tolist(), values.tolist(), strict=True))
    made = shown(points, found(int(steps[0]), int(steps[-1])))
    assert len(made.steps) <= 3 * STRETCHES + 2 + 3 * MOST_GAPS
    assert list(made.steps) == sorted(made.steps)
    assert (made.steps[0], made.steps[-1]) == (steps[0], steps[-1])
    kept = {s: v for s, v in zip(made.steps, made.values, strict=True) if v is not None}
    assert all(repr(points[s]) == repr(v) for s, v in kept.items())
    finite = [v for v in points.values() if math.isfinite(v)]
    if finite:
        assert {min(finite), max(finite)} <= set(kept.values())
    assert all(math.isfinite(v) for v in points.values()) == all(math.isfinite(v) for v in kept.values())


def test_where_the_metric_was_not_logged_for_long_the_curve_is_broken() -> None:
    every_step = dict.fromkeys([*range(50), *range(90, 150)], 1.0)
    made = shown(every_step, found(20, 100))
    assert [s for s, v in zip(made.steps, made.values, strict=True) if v is None] == [50]
    rare = dict.fromkeys(range(0, 1500, 10), 1.0)
    assert None not in shown(rare, found(20, 1000)).values
    long = dict.fromkeys([*range(5000), *range(7000, 9000)], 1.0)
    made = shown(long, found(0, 9000))
    gap = made.values.index(None)
    assert (made.steps[gap - 1], made.steps[gap + 1]) == (4999, 7000)
    assert made.values.count(None) == 1


def test_nothing_to_show() -> None:
    assert excerpt(found(0, 9), RunHistory({})) is None
    assert excerpt(found(0, 9), run({1: 1.0})) is None
    assert excerpt(found(0, 9), run({})) is None
