"""From rows to runs: which column is the step; steps that go back; a log that grows is what it is when read whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.assembly import COUNTED, FORMAT, Assembly, choose_axis
from diagnostics.readers.table import Points, Table, number


def table(*rows: dict[str, float]) -> Table:
    made = Table()
    for row in rows:
        made.add(row)
    return made


def assembled(*rows: dict[str, float], steps=()) -> Assembly:
    made = Assembly(table(*rows))
    made.update(steps)
    return made


def points(assembly: Assembly, name: str, segment: int = 1) -> list[tuple[int, float]]:
    column = assembly.segments[segment - 1].columns.get(name, Points())
    steps, values = column.since(0)
    return list(zip(steps.tolist(), values.tolist(), strict=True))


# ---- the table


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1, 1.0),
        (0.5, 0.5),
        ("0.5", 0.5),
        (" 1e-6 ", 1e-6),
        ("-3", -3.0),
        ("1.", 1.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("+inf", math.inf),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        ("1e999", math.inf),
        (True, None),
        (None, None),
        ("", None),
        ("text", None),
        ("1_000", None),
        ("١٢", None),
        ("0x10", None),
        ("v1", None),
        ([1.0], None),
    ],
)
def test_a_number_is_one_however_it_is_spelt(written, read):
    assert number(written) == read


@pytest.mark.parametrize("written", ["nan", "NaN", math.nan])
def test_nan_is_a_number(written):
    found = number(written)
    assert found is not None and math.isnan(found)


def test_a_row_keeps_names_of_nested_objects_and_texts_apart():
    made = table({"a": {"b": 1, "c": {"d": "2"}}, "text": "hello", "flag": True})
    assert {name: column.since(0)[1].tolist() for name, column in made.columns.items()} == {
        "a.b": [1.0],
        "a.c.d": [2.0],
    }
    assert made.texts == {"text": "hello"}
    assert made.rows == 1
    assert not made.add({"only": "text"})
    assert made.rows == 1  # a row without a number is none


# ---- which column is the step


def test_the_step_that_the_format_says_goes_before_all_others():
    made = table({"_step": 0, "step": 5, "mine": 7, "x": 1.0})
    made.step_names = ("absent", "mine")
    assert choose_axis(made, ("step",)) == "mine"


def test_the_step_of_the_framework_goes_before_usual_names():
    made = table({"step": 1, "time/total_timesteps": 2048, "x": 1.0})
    assert choose_axis(made, ("time/total_timesteps",)) == "time/total_timesteps"
    assert choose_axis(made) == "step"


def test_usual_names_are_found_in_any_case():
    assert choose_axis(table({"Step": 1, "Training Loss": 0.5})) == "Step"


def test_a_step_that_only_some_rows_have_is_none():
    rows = [{"loss": 0.1} for _ in range(9)] + [{"loss": 0.1, "global_step": 9}]
    assert choose_axis(table(*rows)) == COUNTED


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3], [-1, -2, -3], [7] * 40, [math.nan] * 3])
def test_what_is_no_count_is_no_step(values):
    assert choose_axis(table(*({"step": value, "x": 1.0} for value in values))) == COUNTED


def test_without_a_step_rows_are_counted():
    assert points(assembled({"a": 1.0}, {"a": 2.0}, {"a": 3.0}), "a") == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_a_format_that_gives_every_number_its_step():
    made = table({"a": 1.0}, {"b": 5.0}, {"a": 2.0})
    made.steps = Points()
    made.steps.extend(np.arange(3), np.array([10.0, 10.0, 20.0]))
    assembly = Assembly(made)
    assembly.update()
    assert assembly.axis == FORMAT
    assert points(assembly, "a") == [(10, 1.0), (20, 2.0)]
    assert points(assembly, "b") == [(10, 5.0)]


def test_rows_without_the_step_take_the_last_one_known():
    made = table({"early": 1.0}, {"step": 4, "a": 1.0}, {"eval": 0.5}, {"step": 5, "a": 2.0}, {"eval": 0.6})
    assembly = Assembly(made)
    assembly.update()
    assert points(assembly, "eval") == [(4, 0.5), (5, 0.6)]
    assert points(assembly, "early") == [(4, 1.0)]


def test_steps_that_begin_anew_with_each_epoch_are_counted_on():
    logged = [{"epoch": e, "step": s, "a": 10.0 * e + s} for e in range(3) for s in range(4)]
    assembly = assembled(*logged)
    assert len(assembly.segments) == 1
    assert assembly.counted_on and not assembled(*rows([1, 2, 3, 1, 2, 3])).counted_on
    assert [step for step, _ in points(assembly, "a")] == list(range(12))
    again = assembled(*logged, *logged)  # another run: its epochs begin anew as well
    assert [segment.went_back for segment in again.segments] == [None, (11, 0)]
    resumed = assembled(*logged, *({**row, "a": -row["a"]} for row in logged[6:]))
    assert points(resumed, "a")[5:8] == [(5, 11.0), (6, -12.0), (7, -13.0)]


def test_an_epoch_that_is_a_share_of_the_way_counts_nothing_on():
    logged = [{"epoch": s / 4, "step": s, "a": float(s + i)} for i, s in enumerate([1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7])]
    assert [step for step, _ in points(assembled(*logged), "a")] == [1, 2, 3, 4, 5, 6, 7]


# ---- steps that go back


def rows(steps, **more):
    return [{"step": step, "a": float(i), **more} for i, step in enumerate(steps)]


def test_steps_that_begin_anew_are_another_run():
    assembly = assembled(*rows([1, 2, 3, 1, 2, 3, 4]))
    assert [segment.went_back for segment in assembly.segments] == [None, (3, 1)]
    assert points(assembly, "a", 1) == [(1, 0.0), (2, 1.0), (3, 2.0)]
    assert points(assembly, "a", 2) == [(1, 3.0), (2, 4.0), (3, 5.0), (4, 6.0)]
    assert assembly.notes == []  # LOG001 tells it


def test_a_run_that_was_resumed_supersedes_its_later_steps():
    assembly = assembled(*rows([1, 2, 3, 4, 5, 6, 4, 5, 6, 7]))
    assert len(assembly.segments) == 1
    assert points(assembly, "a") == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 6.0), (5, 7.0), (6, 8.0), (7, 9.0)]
    assert assembly.notes == [
        "the run was resumed once: its steps went back into its middle",
        "3 rows superseded by later rows of the same steps",
    ]


def test_what_is_logged_more_rarely_is_superseded_too():
    history = [{"step": s, "a": float(s)} for s in range(1, 11)]
    history.insert(10, {"step": 10, "eval": 0.1})
    again = [{"step": s, "a": -float(s)} for s in range(6, 13)]
    assembly = assembled(*history, *again)
    assert points(assembly, "eval") == []
    assert points(assembly, "a")[4:7] == [(5, 5.0), (6, -6.0), (7, -7.0)]


def test_resumed_twice_the_last_time_counts():
    assembly = assembled(*rows([1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 4, 5, 6]))
    assert points(assembly, "a") == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 10.0), (5, 11.0), (6, 12.0)]


def test_rows_that_come_late_are_sorted_in():
    assembly = assembled(*rows([1, 2, 4, 3, 5, 8, 6, 7, 9]))
    assert [step for step, _ in points(assembly, "a")] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert dict(points(assembly, "a"))[3] == 3.0
    assert assembly.notes == ["3 rows logged out of order, and sorted by step"]


def test_columns_of_their_own_cadence_hold_nobody_back():
    made = table(*rows([10, 20, 30, 40]))
    made.add({"step": 30, "eval": 0.5})  # told late, of an earlier step
    made.add({"step": 50, "a": 4.0})
    assembly = Assembly(made)
    assembly.update()
    assert len(assembly.segments) == 1
    assert points(assembly, "eval") == [(30, 0.5)]
    assert [step for step, _ in points(assembly, "a")] == [10, 20, 30, 40, 50]


def test_a_step_logged_twice_is_corrected_by_the_later_row():
    assembly = assembled(*rows([1, 2, 2, 3]))
    assert points(assembly, "a") == [(1, 0.0), (2, 2.0), (3, 3.0)]
    assert assembly.notes == ["1 number logged again in the same step: the later one counts"]


def test_steps_that_are_noise_take_no_time():
    random = np.random.default_rng(0)
    made = Table()
    made.column("step").extend(np.arange(50_000), random.integers(0, 50_000, 50_000).astype(float))
    for name in "abcdefgh":
        made.column(name).extend(np.arange(50_000), random.random(50_000))
    made.rows = 50_000
    assembly = Assembly(made)
    assembly.update()
    for segment in assembly.segments:
        for column in segment.columns.values():
            assert bool((np.diff(column.since(0)[0]) > 0).all())


steps = st.lists(st.integers(0, 12), min_size=1, max_size=40)


@given(
    steps=steps | steps.map(sorted),
    lacks=st.lists(st.sampled_from(["step", "a", "b", ""]), min_size=40, max_size=40),
    cuts=st.lists(st.integers(1, 39), max_size=4),
)
def test_a_log_that_grows_is_assembled_as_one_that_is_read_whole(steps, lacks, cuts):
    logged = [
        {k: v for k, v in {"step": step, "a": float(i), "b": float(-i)}.items() if k != lacks[i]}
        for i, step in enumerate(steps)
    ]
    growing = Table()
    follower = Assembly(growing)
    for i, row in enumerate(logged):
        if i in cuts:
            follower.update()
        growing.add(row)
    follower.update()
    whole = assembled(*logged)
    assert follower.axis == whole.axis
    assert [s.went_back for s in follower.segments] == [s.went_back for s in whole.segments]
    for number_, segment in enumerate(whole.segments, 1):
        for name in segment.columns:
            assert points(follower, name, number_) == points(whole, name, number_)
            assert bool((np.diff(segment.columns[name].since(0)[0]) > 0).all())
    assert follower.notes == whole.notes
