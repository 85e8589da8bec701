"""Curves as braille: nothing that a person must see is lost on the way."""

import math

import pytest

from diagnostics.finding import Confidence, Evidence, Finding, Severity
from tui.plot import BLANK, NONE, braille, curve, frame, gaps
from tui.widgets.curves import Plot, draw


def drawn(cells: list[list[int]]) -> str:
    return "\n".join("".join(chr(BLANK | bits) if bits else " " for bits in row).rstrip() for row in cells)


def text(lines: list) -> list[str]:
    return ["".join(segment.text for segment in line) for line in lines]


def test_a_line_goes_from_corner_to_corner() -> None:
    rising = curve([(0, 0.0), (10, 1.0)])
    assert drawn(braille(rising, frame([rising], 0, 4, 2))) == "  ⡠⠊\n⡠⠊"


@pytest.mark.parametrize("at", [0, 1, 4_999, 7_013, 9_999])
def test_a_spike_of_one_step_in_ten_thousand_is_seen(at: int) -> None:
    points = [(step, 9.0 if step == at else math.sin(step / 500)) for step in range(10_000)]
    line = curve(points)
    where = frame([line], 0, 40, 5)
    top = braille(line, where)[0]
    assert [x for x, bits in enumerate(top) if bits] == [where.column(at)]


def test_values_that_are_not_finite_leave_a_gap_and_are_marked() -> None:
    points = [(step, math.nan if 40 <= step < 60 else math.inf if step == 80 else 1.0) for step in range(101)]
    line = curve(points)
    where = frame([line], 0, 20, 2)
    assert (where.low, where.high) == (1.0, 1.0)
    hidden = {x for x in range(20) if not any(row[x] for row in braille(line, where))}
    assert {9, 10} <= hidden < {8, 9, 10, 11, 12}
    assert set(gaps(line, where)) == {8, 9, 10, 11, where.column(80)}
    top = text(draw(Plot("reward_mean", line), 40, 6))[1]
    assert "×" in top


def test_a_curve_that_was_never_finite_or_never_there_is_drawn_as_nothing() -> None:
    for points in ([], [(0, math.nan), (1, math.inf)]):
        line = curve(points)
        assert drawn(braille(line, frame([line], 0, 10, 2))).strip() == ""
        draw(Plot("reward_mean", line), 40, 6)


def test_the_largest_numbers_have_a_distance() -> None:
    line = curve([(0, -1.7e308), (10, 1.7e308)])
    assert drawn(braille(line, frame([line], 0, 4, 2))) == "  ⡠⠊\n⡠⠊"
    assert all(len(row) == 40 for row in text(draw(Plot("reward_mean", line), 40, 6)))


def test_a_curve_that_grows_is_what_it_would_be_at_once() -> None:
    points = [(i, v) for i, v in enumerate([0.5, math.nan, -2.0, 7.0, math.inf, 1.0])]
    line = NONE
    for n in range(len(points) + 1):
        line = curve(points[:n], line)
    whole = curve(points)
    assert (line.steps, line.low, line.high, line.finite) == (whole.steps, -2.0, 7.0, False)
    assert curve(points, line) is line


def test_steps_that_go_back_are_put_in_order() -> None:
    known = curve([(0, 1.0), (5, 2.0)])
    assert curve([(0, 1.0), (5, 2.0), (3, 9.0)], known).steps == (0, 3, 5)


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
