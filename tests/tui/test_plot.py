"""The plots of the monitor: a curve with its labels, and the findings marked below it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.axes import clock
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.plot import BLANK, Curve, braille, curve
from diagnostics.series import MetricSeries
from tui import theme
from tui.drawing import draw
from tui.look import SMOOTHING, Look
from tui.plots import Plot, grouped, matching, plots
from tui.thin import thinned
from tui.view import GUTTER, seen
from tui.watched import RunView


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
    assert lines[-1].split() == ["5000", "5500", "6000"]
    assert lines[-2][9] != " "  # the curve begins at its left edge


# ---- how curves are drawn


def cells(lines: list) -> list[list[int]]:
    """The dots of the curve's lines, as bits."""
    rows = [row[GUTTER:-1] for row in text(lines)[1:-1]]
    return [[ord(char) - BLANK if char >= chr(BLANK) else 0 for char in row] for row in rows]


values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


@given(values, values, st.sampled_from(range(1, len(SMOOTHING))), st.booleans())
def test_smoothing_hides_no_dot_of_either_curve(own: list[float], before: list[float], smooth: int, log: bool) -> None:
    plot = Plot("m", curve(list(enumerate(own))), curve(list(enumerate(before))), last=400)
    look = Look(smooth=smooth, log=log)
    where = seen(plot, 50, 6, look).where
    drawn = cells(draw(plot, 50, 6, look))
    for row, bits in zip(drawn, braille(plot.curve, where), strict=True):
        assert all(there & dots == dots for there, dots in zip(row, bits, strict=True))
    for row, bits in zip(drawn, braille(plot.before, where), strict=True):
        assert all(there or not dots for there, dots in zip(row, bits, strict=True))


def test_a_smoothed_curve_stands_out_from_what_is_behind_it() -> None:
    plot = Plot("m", curve([(i, float(i % 2) + (5.0 if i == 50 else 0.0)) for i in range(101)]))
    styles = {
        segment.style for line in draw(plot, 60, 8, Look(smooth=2))[1:-1] for segment in line if "⡇" in segment.text
    }
    assert {style.dim for style in styles if style.color.name == theme.OWN} >= {True}  # the spike
    assert any(
        segment.style and segment.style.bold and segment.style.color.name == theme.OWN
        for line in draw(plot, 60, 8, Look(smooth=2))[1:-1]
        for segment in line
    )


@pytest.mark.parametrize("look", [Look(), Look(smooth=1)])
def test_the_run_beneath_is_told_by_its_dots_and_not_by_colour_alone(look: Look) -> None:
    flat = curve([(0, 1.0), (100, 1.0)])
    own, beneath = (text(draw(Plot("m", *pair, last=100), 40, 6, look)) for pair in ((flat,), (curve([]), flat)))
    (own_line,) = {row[GUTTER:-1] for row in own[1:-1] if row[GUTTER:-1].strip()}
    (beneath_line,) = {row[GUTTER:-1] for row in beneath[1:-1] if row[GUTTER:-1].strip()}
    lit = [sum((ord(char) - BLANK).bit_count() for char in line) for line in (own_line, beneath_line)]
    assert lit == [60, 30]


def test_what_is_hidden_is_not_drawn_and_takes_no_room() -> None:
    plot = Plot("m", curve([(0, 0.0), (100, 1.0)]), curve([(0, 0.0), (100, 1000.0)]))
    assert text(draw(plot, 40, 6))[1][:8].strip() == "1e+03"
    assert text(draw(plot, 40, 6, Look(baseline=False)))[1][:8].strip() == "1"


@pytest.mark.parametrize(
    ("points", "name"),
    [([(0, 0.01), (10, 100.0)], "log"), ([(0, -1.0), (10, 100.0)], "log ±"), ([(0, 0.0), (10, 1.0)], "log ±")],
)
def test_a_log_scale_says_so_and_whether_it_is_linear_around_0(points: list, name: str) -> None:
    assert name in [row[:8].strip() for row in text(draw(Plot("m", curve(points)), 40, 6, Look(log=True)))]
    assert not any("log" in row for row in text(draw(Plot("m", curve(points)), 40, 6)))


@pytest.mark.parametrize("look", [Look(log=True), Look(smooth=2), Look(time=True), Look(span=5), Look(span=5, end=40)])
@pytest.mark.parametrize(
    "points",
    [[], [(7, 3.0)], [(0, -5.0), (90, -5.0)], [(0, math.nan)], [(i, float((-10) ** (i % 9))) for i in range(99)]],
    ids=["none", "one point", "constant", "not finite", "both signs"],
)
@pytest.mark.parametrize("height", [6, 20])
def test_anything_can_be_drawn_in_any_way(look: Look, points: list, height: int) -> None:
    watch = clock(range(100), [1e9 + 3 * i for i in range(100)])
    knobs = ((3, "learning_rate", 1e-5), (4, "kl_coef", 0.5))
    plot = Plot(
        "m", curve(points), curve([(0, 1.0), (30, 2.0)]), last=100, clock=watch, before_clock=watch, knobs=knobs
    )
    lines = text(draw(plot, 50, height, look, pointed=[50.0]))
    assert {len(line) for line in lines} == {50}
    assert len(lines) == height


def test_a_constant_has_one_label_beside_its_line() -> None:
    lines = text(draw(Plot("m", curve([(0, 2.5), (100, 2.5)])), 40, 8))
    labelled = [row for row in lines[1:-1] if row[:8].strip()]
    assert [row[:8].strip() for row in labelled] == ["2.5"]
    assert labelled[0][GUTTER:].strip()


def test_by_time_the_axis_tells_times_and_by_step_round_steps() -> None:
    watch = clock([0, 1000], [1e9, 1e9 + 7200])
    plot = Plot("m", curve([(0, 0.0), (1000, 1.0)]), clock=watch)
    assert text(draw(plot, 60, 6))[-1].split() == ["0", "500", "1000"]
    assert text(draw(plot, 60, 6, Look(time=True)))[-1].split() == ["0s", "30m", "1h", "1h30", "2h"]


def test_a_run_that_took_twice_as_long_is_twice_as_wide_by_time() -> None:
    line = curve([(0, 0.0), (100, 1.0)])
    slow, fast = clock([0, 100], [0.0, 200.0]), clock([0, 100], [5e8, 5e8 + 100])
    shown = seen(Plot("m", line, line, clock=slow, before_clock=fast), 60, 6, Look(time=True))
    assert (shown.where.first, shown.where.last) == (0, 200)
    assert shown.before_clock is fast
    right = [x for row in braille(shown.before, shown.where, fast) for x, bits in enumerate(row) if bits]
    assert max(right) == shown.where.width // 2


def test_without_a_clock_it_stays_by_step_and_a_run_without_one_is_not_drawn_by_time() -> None:
    line, watch = curve([(0, 0.0), (100, 1.0)]), clock([0, 100], [0.0, 60.0])
    assert seen(Plot("m", line), 60, 6, Look(time=True)).where.last == 100
    shown = seen(Plot("m", line, line, clock=watch), 60, 6, Look(time=True))
    assert not shown.before.steps


def test_a_part_of_a_long_run_shows_every_step_of_it() -> None:
    import numpy as np

    values = np.zeros(100_000)
    values[50_000::2] = 1.0
    series = MetricSeries("m", np.arange(100_000), values)
    shown = seen(Plot("m", thinned(series), last=99_999), 60, 6, Look(span=10, end=60_000))
    assert [step for step in shown.curve.steps if shown.has(step)] == list(range(59_990, 60_001))
    assert shown.where.low == 0.0


def test_a_changed_setting_is_marked_with_its_new_value() -> None:
    plot = Plot("m", curve([(0, 0.0), (100, 1.0)]), knobs=((40, "learning_rate", 5e-6), (41, "kl_coef", 0.5)))
    small, large = text(draw(plot, 170, 6)), text(draw(plot, 170, 20))
    assert small[-1].split() == ["0", "10", "20", "30", "◆◆0.5", "50", "60", "70", "80", "90", "100"]
    assert "learning_rate 5e-06 ◆◆ kl_coef 0.5" in large[-1]


def test_findings_have_lines_of_their_own_where_there_is_room() -> None:
    found = [
        Finding(
            code, name, Severity.ERROR, Confidence.HIGH, first, last, last, "", (Evidence("m", 0, 1, "mean", 1, 1),)
        )
        for code, name, first, last in (("RWD002", "reward_collapse", 20, 40), ("RWD003", "reward_decline", 70, 99))
    ]
    plot = Plot("m", curve([(0, 0.0), (100, 1.0)]), findings=tuple(found))
    lines = text(draw(plot, 60, 20))
    assert "E RWD002 reward_collapse" in lines[-2]
    assert "RWD003 reward_decline ━" in lines[-1]
    zoomed = text(draw(plot, 60, 20, Look(span=20, end=60)))
    assert "RWD002" in zoomed[-2]  # outside of what is seen, and still said
    assert "━" not in zoomed[-2]


def test_a_step_that_is_pointed_at_has_a_line_that_hides_no_dot() -> None:
    plot = Plot("m", curve([(0, 0.0), (100, 1.0)]))
    without, pointed = draw(plot, 60, 12), draw(plot, 60, 12, pointed=[50])
    at = GUTTER + seen(plot, 60, 12, Look()).column(50)
    assert {row[at] for row in text(pointed)[1:-1]} - {row[at] for row in text(without)[1:-1]} == {"│"}
    assert [[bits for bits in row if bits] for row in cells(without)] == [
        [bits for bits in row if 0 < bits <= 0xFF] for row in cells([[*line] for line in without])
    ]


# ---- which plots there are


def view(metrics: dict[str, Curve], *findings: Finding) -> RunView:
    return RunView(
        0, "run", None, metrics, {"my/own": curve([(0, 1.0)])}, {"kl.reference.k3.token": "train/kl"}, findings
    )


def test_plots_stand_by_what_they_tell_and_what_findings_rest_on_comes_first() -> None:
    line = curve([(0, 1.0), (10, 2.0)])
    names = [
        "update_seconds",
        "entropy.token",
        "reward_std.group",
        "kl.reference.k3.token",
        "reward_mean",
        "reward_max",
    ]
    evidence = (Evidence("reward_std.group", 0, 1, "mean", 1.0, 0.5),)
    found = Finding("RWD002", "reward_collapse", Severity.ERROR, Confidence.HIGH, 0, 1, 1, "", evidence)
    groups = grouped(plots(view(dict.fromkeys(names, line), found)))
    assert [(name, [plot.metric for plot in of_group]) for name, of_group in groups] == [
        ("Reward", ["reward_std.group", "reward_mean", "reward_max"]),
        ("KL", ["kl.reference.k3.token"]),
        ("Entropy and diversity", ["entropy.token"]),
        ("Cost and time", ["update_seconds"]),
        ("Names without a meaning", ["my/own"]),
    ]
    for search, wanted in {
        "": 7, "KL": 1, "train/": 1, "reward max": 1, "entropy and": 1, "rwd002": 1, "!": 1, "!mean": 0, "collapse": 1,
        "my/OWN": 1, "nothing like it": 0,
    }.items():  # fmt: skip
        assert len(matching(plots(view(dict.fromkeys(names, line), found)), search)) == wanted, search


def test_all_plots_of_a_run_have_the_same_steps() -> None:
    short, long = curve([(3, 1.0)]), curve([(0, 1.0), (90, 2.0)])
    beneath = RunView(1, "other", None, {"reward_mean": curve([(0, 1.0), (200, 1.0)])}, first=0, last=200)
    run = RunView(0, "run", None, {"reward_mean": short, "kl.reference.k3.token": long}, first=3, last=90)
    assert {(plot.first, plot.last, plot.newest) for plot in plots(run, beneath)} == {(0, 200, 90)}
    assert {seen(plot, 40, 6, Look(span=30)).where.first for plot in plots(run, beneath)} == {60}
