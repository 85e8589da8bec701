"""Thresholds chosen without a repository, and how confidence is counted, on a rule and runs made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from judge import Said, by_code
from labels import Label, Run, Wanted
from leave_out import Edge, Move, around, edges, house_defaults, left_out
from reliability import Right, claims, reliability

from diagnostics.engine import diagnose
from diagnostics.finding import Confidence, Finding, Severity
from diagnostics.rule import Alarm, Rule, Told, rule
from diagnostics.series import RunHistory, example

HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW


@rule("TST001", Severity.WARNING, needs=["reward_mean"], fires=[], quiet=[])
def too_good(run: RunHistory, *, limit: float = 1.0, points: int = 1, cited: float = 1.0) -> Iterator[Alarm]:
    """More reward than there can be.

    ## References
    - `limit` = 1.0, `points` = 1: house
      default, by eye. `cited` = 1.0: somebody's guide.
    """
    reward = run["reward_mean"]
    yield Alarm(Severity.WARNING, reward.steps, reward.values > limit * cited, lambda i: Told("", 0, ()))


RULES = {too_good.code: too_good}
SICK = Label((Wanted(frozenset({"TST001"})),), frozenset(), frozenset(), healthy=False)
HEALTHY = Label((), frozenset(), None, healthy=True)


def run(name: str, repository: str, label: Label, highest: float) -> Run:
    return Run(name, repository, label, (example({"reward_mean": f"0*5 {highest}*5"}),))


def said(runs: list[Run], rules: dict[str, Rule] = RULES) -> dict[str, Said]:
    return {r.name: by_code(diagnose(r.segments, rules).raised) for r in runs}


def test_the_thresholds_of_the_house_are_told_by_the_page():
    assert house_defaults(too_good) == ["limit", "points"]


def test_a_repository_is_judged_with_what_fits_the_others():
    """Without b, a lower limit finds what a has; it is a false alarm on b. Without a, nothing is better than it is."""
    runs = [run("low", "a", SICK, 0.8), run("fine", "b", HEALTHY, 0.9), run("fine too", "a", HEALTHY, 0.7)]
    assert said(runs) == {"low": {}, "fine": {}, "fine too": {}}
    anew, moves = left_out(runs, said(runs), RULES)
    assert moves == [Move("b", "TST001", "limit", 1.0, 0.71)]
    assert {name: [f.raised_at for f in of_run.get("TST001", ())] for name, of_run in anew.items()} == {
        "low": [], "fine": [5], "fine too": [],
    }  # fmt: skip


def test_false_alarms_weigh_twice():
    """A lower limit would find one, which is then not missed either, and say two that are false."""
    runs = [run("low", "a", SICK, 0.8), run("fine", "a", HEALTHY, 0.9), run("other", "b", HEALTHY, 0.0)]
    runs += [replace(runs[1], name="fine too")]
    assert left_out(runs, said(runs), RULES)[1] == []


def test_two_found_outweigh_one_false():
    runs = [run("low", "a", SICK, 0.8), run("fine", "a", HEALTHY, 0.9), run("other", "b", HEALTHY, 0.0)]
    runs += [replace(runs[0], name="as low")]
    _, moves = left_out(runs, said(runs), RULES)
    assert moves == [Move("b", "TST001", "limit", 1.0, 0.71)]


def test_a_false_alarm_is_a_reason_to_move():
    runs = [run("high", "a", HEALTHY, 1.2), run("other", "b", SICK, 1.3)]
    anew, moves = left_out(runs, said(runs), RULES)
    assert moves == [Move("b", "TST001", "limit", 1.0, 1.41)]
    assert anew["other"] == {"TST001": ()}


@pytest.mark.parametrize(("default", "others"), [(1.0, [0.71, 1.41, 0.5, 2.0]), (1, [2]), (10, [7, 14, 5, 20])])
def test_what_a_threshold_can_be_instead(default, others):
    assert around(default) == others


def test_a_tie_changes_nothing():
    runs = [run("low", "a", SICK, 0.8), run("fine", "a", HEALTHY, 0.9), run("other", "b", HEALTHY, 0.0)]
    assert left_out(runs, said(runs), RULES)[1] == []


def test_a_change_of_a_threshold_is_told_by_what_it_does():
    runs = [run("high", "a", SICK, 1.2), run("fine", "b", HEALTHY, 0.8)]
    assert edges(runs, said(runs), RULES) == [
        Edge("TST001", "limit", 1.0, 0.71, 0, 1),
        Edge("TST001", "limit", 1.0, 1.41, -1, 0),
    ]


# ---- confidence


def found(code: str, confidence: Confidence, severity: Severity = Severity.WARNING) -> Finding:
    return Finding(code, code, severity, confidence, 0, 0, 0, "", ())


def test_what_is_said_is_right_wrong_or_not_known():
    sick = replace(SICK, maybe=frozenset({"MAY001"}), absent=frozenset({"NOT001"}))
    runs = [run("sick", "a", sick, 0), run("healthy", "b", HEALTHY, 0)]
    findings = {
        "sick": {
            "TST001": (found("TST001", LOW), found("TST001", HIGH, Severity.ERROR)),  # once, as its worst says
            "MAY001": (found("MAY001", HIGH),),
            "NOT001": (found("NOT001", MEDIUM),),
            "ANY001": (found("ANY001", MEDIUM),),
            "SMALL1": (found("SMALL1", HIGH, Severity.INFO),),
        },
        "healthy": {"TST001": (found("TST001", HIGH),), "MAY001": ()},
    }
    assert reliability(runs, findings) == {
        ("ANY001", MEDIUM): Right(unknown=1),
        ("MAY001", HIGH): Right(maybe=1),
        ("NOT001", MEDIUM): Right(wrong=1),
        ("TST001", HIGH): Right(present=1, wrong=1),
    }


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        (HIGH, Right(present=9, wrong=1), ""),
        (HIGH, Right(present=8, maybe=1, wrong=2), "too much"),
        (HIGH, Right(unknown=5), ""),
        (MEDIUM, Right(present=3, wrong=2), ""),
        (MEDIUM, Right(present=1, wrong=1, unknown=8), "too much"),
        (MEDIUM, Right(present=14, maybe=14), ""),  # 0.9 ** 28 is still above 0.05
        (MEDIUM, Right(present=15, maybe=14), "too little"),
        (MEDIUM, Right(), ""),
        (LOW, Right(wrong=5), ""),
        (LOW, Right(present=5), ""),
        (LOW, Right(present=6), "too little"),
        (LOW, Right(present=8, wrong=1), ""),  # by chance in 7 of 100
        (LOW, Right(present=10, wrong=1), "too little"),
    ],
)
def test_what_a_confidence_promises(confidence, right, expected):
    assert claims(confidence, right) == expected
