"""The small plot of a finding's range, as it stands in a terminal."""

import io
import math
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from diagnostics.excerpt import Excerpt
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.report.excerpt_plot import ROWS, ExcerptPlot

STEPS = tuple(range(10, 71))
EVIDENCE = (Evidence("loss", 30, 50, "mean", 1.0, 2.0),)
FINDING = Finding("A1", "a", Severity.ERROR, Confidence.HIGH, 30, 60, 40, "", EVIDENCE)


def drawn(values: list[float | None], width: int = 80, finding: Finding = FINDING, steps=STEPS, **options) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, **options)
    console.print(ExcerptPlot(Excerpt("A1", 1, "loss", tuple(steps), tuple(values)), finding))
    return console.file.getvalue().splitlines()


RISING = [float(s) for s in STEPS]


@pytest.mark.parametrize("width", [17, 40, 80, 200])
def test_it_fits_and_says_values_steps_and_where_the_finding_is(width: int) -> None:
    lines = drawn(RISING, width)
    assert len(lines) == ROWS + 2
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].split()[0] == "70" and lines[ROWS - 1].split()[0] == "10"
    marks, ticks = lines[ROWS], lines[ROWS + 1]
    across = len(marks) - 9
    at = {mark: (marks.index(mark) - 9) / (across - 1) for mark in "━E"}
    assert at["━"] == pytest.approx((30 - 10) / 60, abs=1 / across)
    assert at["E"] == pytest.approx((40 - 10) / 60, abs=1 / across)
    assert (marks.rindex("━") - 9) / (across - 1) == pytest.approx((60 - 10) / 60, abs=1 / across)
    assert "30" in ticks.split()
    if width >= 40:
        assert ticks.split() == ["10", "30", "60", "70"]


def test_of_a_wide_terminal_not_all_is_used() -> None:
    assert max(map(cell_len, drawn(RISING, 400))) < 110


def test_what_is_not_finite_is_marked_where_it_is() -> None:
    values: list[float | None] = [*RISING]
    values[STEPS.index(50)] = math.nan
    values[STEPS.index(20)] = math.inf
    lines = drawn(values)
    across = len(lines[ROWS]) - 9
    marks = [i - 9 for i, char in enumerate(lines[0]) if char == "×"]
    assert [round(10 + 60 * m / (across - 1)) for m in marks] == pytest.approx([20, 50], abs=1)
    assert "× not finite" in lines[-1]
    assert not any("×" in line for line in drawn(RISING))


def test_where_it_was_not_logged_there_is_no_curve() -> None:
    steps = [*range(10, 31), 31, *range(50, 71)]
    values = [None if s == 31 else 1.0 + s % 2 for s in steps]
    lines = drawn(values, steps=steps)
    across = len(lines[ROWS]) - 9
    empty = slice(9 + round(across * 23 / 60), 9 + round(across * 38 / 60))
    assert not any(line[empty].strip() for line in lines[:ROWS])
    assert "blank: not logged" in lines[-1]
    assert not any("blank" in line for line in drawn(RISING))


def test_a_curve_that_stands_still_takes_one_row() -> None:
    lines = drawn([0.5] * len(STEPS))
    assert len(lines) == 3
    assert lines[0].split()[0] == "0.5"


@pytest.mark.parametrize(
    "values",
    [[math.nan] * 61, [None] * 61, [1e308, -1e308] * 30 + [0.0], [1e-320] * 61, [math.inf, -math.inf] * 30 + [0.0]],
    ids=["nan", "missing", "huge", "tiny", "infinite"],
)
@pytest.mark.parametrize("width", [20, 80])
def test_any_numbers_can_be_drawn(values: list[float | None], width: int) -> None:
    lines = drawn(values, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "nan" not in "".join(lines)


def test_steps_too_long_for_the_room_leave_the_onset() -> None:
    far = [s * 10**9 for s in STEPS]
    finding = replace(FINDING, first_step=30 * 10**9, last_step=31 * 10**9, raised_at=31 * 10**9)
    ticks = drawn(RISING, 40, finding, far)[-1].split()
    assert "30000000000" in ticks and len("".join(ticks)) <= 31


def test_where_braille_cannot_be_shown_the_range_is_said() -> None:
    class Latin(io.StringIO):
        encoding = "latin-1"

    console = Console(file=Latin(), width=80, color_system=None)
    console.print(ExcerptPlot(Excerpt("A1", 1, "loss", STEPS, tuple(RISING)), FINDING))
    assert console.file.getvalue() == "10 to 70\n"
    assert drawn(RISING, 12) == ["10 to 70"]
