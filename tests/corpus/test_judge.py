"""The judge's own counting, on labels and findings made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from judge import Score, by_code, by_rule, judged, onset_of, total
from labels import OURS, PATHOLOGIES, Label, Range, Run, Wanted, label_of, ranges, runs

from diagnostics.finding import Confidence, Finding, Severity
from diagnostics.series import MetricSeries, RunHistory

INFO, WARNING, ERROR, FATAL = Severity


def found(code: str, severity: Severity = WARNING, *, first: int = 0, raised: int = 0, segment: int = 1) -> Finding:
    return Finding(code, code, severity, Confidence.HIGH, first, raised, raised, "", (), segment=segment)


def label(
    *present: str, maybe: str = "", absent: str | None = "", healthy: bool = False, info: bool = False, steps: str = ""
) -> Label:
    """`present` things as codes with slashes; `absent` None for all others."""
    wanted = tuple(Wanted(frozenset(codes.split("/")), info, steps) for codes in present)
    return Label(wanted, frozenset(maybe.split()), None if absent is None else frozenset(absent.split()), healthy)


def run(of: Label, *lengths: int, name: str = "run", every: int = 1) -> Run:
    """Segments of so many rows from step 0 on, one row every so many steps."""
    segments = []
    for number, rows in enumerate(lengths or (100,), 1):
        steps = np.arange(rows) * every
        series = {"reward_mean": MetricSeries("reward_mean", steps, np.zeros(rows))}
        segments.append(RunHistory(series, segment=number))
    return Run(name, "some/where", of, tuple(segments))


def counts(score: Score) -> tuple[int, int, int]:
    return score.found, score.missed, score.false


def counted(of: Label, *raised: Finding) -> tuple[int, int, int]:
    one = run(of)
    return counts(total({one.name: judged(of, by_code(raised))}, [one]))


# ---- found, missed, false


@pytest.mark.parametrize(
    ("of", "raised", "expected"),
    [
        (label("KL001"), [found("KL001")], (1, 0, 0)),
        (label("KL001"), [], (0, 1, 0)),
        (label("KL001"), [found("KL001", INFO)], (0, 1, 0)),  # too quiet
        (label("KL006", info=True), [found("KL006", INFO)], (1, 0, 0)),
        (label("KL002/KL005"), [found("KL002"), found("KL005")], (1, 0, 0)),  # one thing, whoever says it
        (label("KL001", "VAL001/VAL003"), [found("VAL003", ERROR)], (1, 1, 0)),
        (label(), [found("KL001")], (0, 0, 0)),  # on a sick run what the label does not name counts neither way
        (label(absent="KL001"), [found("KL001")], (0, 0, 1)),
        (label(absent="KL001"), [found("KL001", INFO)], (0, 0, 0)),
        (label(absent="KL001"), [found("KL001"), found("KL001", ERROR)], (0, 0, 1)),  # a code, not each rise of it
        (label(absent="KL001"), [found("KL001"), found("KL001", segment=2)], (0, 0, 1)),
        (label(absent="KL001", maybe="KL001"), [found("KL001")], (0, 0, 0)),
        (label("KL001", absent="KL001"), [found("KL001")], (1, 0, 0)),
        (label("KL006", info=True, absent=None), [found("KL006")], (1, 0, 0)),  # louder than it need be
        (label(absent=None, healthy=True), [found("KL001"), found("KL002")], (0, 0, 2)),
        (label(absent=None, healthy=True), [found("KL001", INFO)], (0, 0, 0)),
        (label(absent=None, maybe="KL001", healthy=True), [found("KL001")], (0, 0, 0)),
    ],
)
def test_what_is_counted(of, raised, expected):
    assert counted(of, *raised) == expected


def test_a_healthy_run_has_no_error_even_where_the_code_may_be_said():
    healthy = label(absent=None, maybe="KL001", healthy=True)
    assert judged(healthy, by_code([found("KL001"), found("KL002")])).errors == ()
    assert [f.severity for f in judged(healthy, by_code([found("KL001"), found("KL001", ERROR)])).errors] == [ERROR]
    assert judged(label(), by_code([found("KL001", FATAL)])).errors == ()


def test_precision_and_recall():
    score = Score(found=6, missed=2, false=1) + Score(found=3, missed=0, false=0)
    assert (score.precision, score.recall) == (9 / 10, 9 / 11)
    assert math.isnan(Score(missed=1).precision)
    assert math.isnan(Score(false=1).recall)


def test_each_rule_has_a_row_of_its_own():
    one = run(label("KL002/KL005", "VAL001/VAL003", absent="RWD001"), name="one")
    other = run(label("KL002"), name="other")
    raised = {"one": [found("KL002"), found("KL005"), found("RWD001")], "other": [found("KL002")]}
    verdicts = {r.name: judged(r.label, by_code(raised[r.name])) for r in (one, other)}
    rows = {code: counts(score) for code, score in by_rule(verdicts, [one, other]).items()}
    assert rows == {
        "KL002": (2, 0, 0),
        "KL005": (1, 0, 0),
        "RWD001": (0, 0, 1),
        "VAL001": (0, 1, 0),  # either could have said it
        "VAL003": (0, 1, 0),
    }
    assert counts(total(verdicts, [one, other])) == (2, 1, 1)


# ---- where


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100-310", [Range(100, 310)]),
        ("206", [Range(206, 206)]),
        ("130-160, 315-390", [Range(130, 160), Range(315, 390)]),
        ("148, 315-385", [Range(148, 148), Range(315, 385)]),
        ("200k-2M", [Range(200_000, 2_000_000)]),
        ("1.5k", [Range(1500, 1500)]),
        ("rows 0-12", [Range(0, 12, rows=True)]),
        ("rows 3, 8, 650", [Range(3, 3, rows=True), Range(8, 8, rows=True), Range(650, 650, rows=True)]),
        ("from step 80", [Range(80, math.inf)]),
        ("from 80", [Range(80, math.inf)]),
        ("80+", [Range(80, math.inf)]),
        ("80-end", [Range(80, math.inf)]),
        ("~80", [Range(80, 80)]),
        ("steps 10-20", [Range(10, 20)]),
        ("", []),
        ("runs 3 and 4", []),
        ("12, then later", []),
    ],
)
def test_where_a_label_says_it_is(text, expected):
    assert list(ranges(text)) == expected


@pytest.mark.parametrize(
    ("steps", "first", "raised", "error", "right"),
    [
        ("100-310", 100, 120, 0.0, True),
        ("100-310", 60, 100, 0.04, True),  # 40 of 999 steps too early, known when it began
        ("100-310", 60, 80, 0.04, True),  # 20 before it
        ("300-310", 100, 199, 0.2, False),  # 101 before it
        ("300-310", 100, 201, 0.2, True),  # 99 before it
        ("100-310", 409, 500, 0.309, True),
        ("100-310", 411, 500, 0.311, False),
        ("100-110, 800", 790, 805, 0.01, True),  # the nearer of two
        ("from step 80", 900, 910, 0.82, True),
    ],
)
def test_the_onset(steps, first, raised, error, right):
    wanted = Wanted(frozenset({"KL001"}), steps=steps)
    onset = onset_of(run(label(), 1000), wanted, [found("KL001", first=first, raised=raised)])
    assert onset is not None
    assert onset.error == pytest.approx(error, abs=1e-3)
    assert onset.right is right


def test_a_tenth_of_the_run_exactly_is_near():
    onset = onset_of(
        run(label(), 101), Wanted(frozenset({"KL001"}), steps="50-60"), [found("KL001", first=70, raised=70)]
    )
    assert onset is not None and onset.right


def test_without_a_clear_label_there_is_no_onset():
    assert onset_of(run(label()), Wanted(frozenset({"KL001"}), steps="late"), [found("KL001")]) is None
    score = total({"run": judged(label("KL001"), by_code([found("KL001")]))}, [run(label("KL001"))])
    assert (score.onsets, score.near) == ([], 0)
    assert math.isnan(score.onset_error)


def test_rows_are_counted_through_all_segments():
    """A row every ten steps; step 30 of the second segment is its fourth row, and row 103 of the log."""
    wanted = Wanted(frozenset({"KL001"}), steps="rows 103-110")
    two = run(label(), 100, 100, every=10)
    exact = onset_of(two, wanted, [found("KL001", first=30, raised=30, segment=2)])
    elsewhere = onset_of(two, wanted, [found("KL001", first=30, raised=30, segment=1)])
    assert exact is not None and (exact.error, exact.right) == (0.0, True)
    assert elsewhere is not None and (elsewhere.error, elsewhere.right) == (0.5, False)


def test_of_several_findings_the_nearest_tells_the_onset():
    wanted = Wanted(frozenset({"KL002", "KL005"}), steps="500-600")
    onset = onset_of(
        run(label(), 1000), wanted, [found("KL002", first=0, raised=5), found("KL005", first=510, raised=540)]
    )
    assert onset is not None and (round(onset.error, 3), onset.right) == (0.01, True)


def test_of_several_inside_the_label_the_one_nearest_its_beginning_tells_the_onset():
    wanted = Wanted(frozenset({"KL001"}), steps="500-600")
    onset = onset_of(
        run(label(), 1000), wanted, [found("KL001", first=590, raised=590), found("KL001", first=510, raised=510)]
    )
    assert onset is not None and round(onset.error, 3) == 0.01


def test_a_rule_answers_for_its_own_onset_alone():
    one = run(label("KL002/KL005", steps="0-10"))
    raised = [found("KL002"), found("KL005", first=60, raised=60)]
    rows = by_rule({one.name: judged(one.label, by_code(raised))}, [one])
    assert (rows["KL002"].near, rows["KL005"].near) == (1, 0)


def test_the_error_of_the_table_is_the_median():
    one, other, third = (run(label("KL001", steps="0"), name=name) for name in ("one", "other", "third"))
    raised = {"one": 0, "other": 9, "third": 50}
    verdicts = {
        r.name: judged(r.label, by_code([found("KL001", first=raised[r.name], raised=60)])) for r in (one, other, third)
    }
    score = total(verdicts, [one, other, third])
    assert score.onset_error == pytest.approx(9 / 99)
    assert score.near == 2


# ---- the labels


def test_an_entry_of_a_label_file():
    data: dict[str, Any] = {
        "present": [
            {"codes": ["KL006"], "info_is_enough": True, "steps": "206", "evidence": "gone at 207"},
            {"codes": [], "info_is_enough": False},  # no code says it
        ],
        "maybe_codes": ["RWD001"],
        "absent_codes": ["KL001"],
        "healthy": False,
    }
    read = label_of(data)
    assert read == Label(
        (Wanted(frozenset({"KL006"}), True, "206", "gone at 207"),), frozenset({"RWD001"}), frozenset({"KL001"}), False
    )
    assert label_of(data | {"healthy": True}).absent is None  # all but what may be said


def test_the_recorded_pathologies_are_all_read():
    recorded = runs(PATHOLOGIES)
    assert len(recorded) == 108
    assert {r.unread for r in recorded} == {""}
    assert {segment.framework for r in recorded for segment in r.segments} == {"lab-grpo", "lab-ppo"}
    assert {len(r.segments) for r in recorded} == {1}


def test_of_our_own_runs_nothing_else_may_be_said():
    by_name = {r.name: r.label for r in runs(OURS)}
    assert by_name["good-0"] == Label((), frozenset(), None, True)
    assert by_name["cut-short"].present == (Wanted(frozenset({"LEN001"})),)
    assert not by_name["cut-short"].healthy
    assert not by_name["pairs"].healthy  # a code may be raised: it is neither
