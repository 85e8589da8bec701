"""The plots of the monitor: a curve with its labels, and the findings marked below it."""

import math

import pytest

from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.plot import curve
from tui.drawing import draw
from tui.plots import Plot


def text(lines: list) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def test_values_that_are_not_finite_are_marked() -> None:
    points = [(step, math.nan if 40 <= step < 60 else math.inf if step == 80 else 1.0) for step in range(101)]
    top = text(draw(Plot("reward_mean", curve(points)), 40, 6))[1]
    assert "×" in top


@pytest.mark.parametrize(
    "points", [[], [(0, math.nan), (1, math.inf)], [(0, -1.7e308), (10, 1.7e308)]], ids=["none", "not finite", "huge"]
)
def test_any_curve_has_lines_of_one_width(points: list[tuple[int, float]]) -> None:
    assert all(len(row) == 40 for row in text(draw(Plot("reward_mean", curve(points)), 40, 6)))


def test_a_finding_is_marked_from_its_onset_with_the_letter_of_its_severity_where_it_was_known() -> None:
    evidence = (Evidence("reward_mean", 20, 60, "mean", 1.0, 0.5),)
    found = Finding("RWD002", "reward_collapse", Severity.ERROR, Confidence.HIGH, 20, 60, 40, "it fell", evidence)
    plot = Plot("reward_mean", curve([(i, float(-i)) for i in range(101)]), findings=(found,))
    lines = draw(plot, 60, 6)
    marks = text(lines)[-1]
    across = 60 - 10
    assert marks.index("━") - 9 == pytest.approx(across * 0.2, abs=1)
    assert marks.rindex("━") - 9 == pytest.approx(across * 0.6, abs=1)
    assert marks.index("E") - 9 == pytest.approx(across * 0.4, abs=1)
    assert "ERROR RWD002" in text(lines)[0]
    assert all(len(row) == 60 for row in text(lines))


@pytest.mark.parametrize("width", [20, 37, 160])
@pytest.mark.parametrize("value", [0.1, -12345.678, 1e300, -1e-300])
def test_labels_keep_their_power_of_ten_and_lines_their_width(width: int, value: float) -> None:
    lines = text(draw(Plot("a" * 50, curve([(0, 0.0), (1, value)])), width, 6))
    assert {len(line) for line in lines} == {width}
    label = lines[1 if value > 0 else -2][:8].strip()
    assert float(label) == pytest.approx(value, rel=0.06)


def test_a_plot_begins_at_the_first_step_of_its_run() -> None:
    points = [(step, float(step)) for step in range(5000, 6001)]
    lines = text(draw(Plot("reward_mean", curve(points), first=5000, last=6000), 40, 6))
    assert lines[-1].split() == ["5000", "6000"]
    assert lines[-2][9] != " "  # the curve begins at its left edge
