"""How long a study will still take: every number here was computed by hand."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from studies.record import Decision, Origin, Proposal, Search, State, StudyRecord, TrialRecord
from studies.spec import load
from tui.remaining import Remaining, remaining, roughly

PROPOSAL = Proposal({"learning_rate": 1e-3}, Origin.SAMPLER, "why")


def trial(number: int, state: State, seconds: float, steps: int = 100, **more: object) -> TrialRecord:
    known: Mapping[str, object] = {"max_steps": 100, "seconds": seconds, "steps": steps, **more}
    return replace(TrialRecord(number, 1, number, PROPOSAL, state), **known)


def study(trials: int, *known: TrialRecord, search: Search | None = None, **more: object) -> StudyRecord:
    spec = replace(load("arithmetic-grpo"), trials=trials)
    return StudyRecord(Path("st"), spec, tuple(known), search or Search(), **more)


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert remaining(study(4), 0.0) is None
    assert remaining(study(4, trial(0, State.RUNNING, 30.0, steps=4)), 0.0) is None  # its first steps tell no pace
    assert remaining(study(4, trial(0, State.FAILED, 9.0)), 0.0) is None  # a fault tells nothing of those to come
    recorded = replace(PROPOSAL, origin=Origin.RUN)
    assert remaining(study(4, trial(0, State.COMPLETE, 900.0, proposal=recorded)), 0.0) is None  # ran elsewhere


def test_before_any_trial_has_ended_it_is_at_most_what_whole_trials_take() -> None:
    # 10 of 100 steps in 60 s: 540 s left of this one, and three more of 600 s
    left = remaining(study(4, trial(0, State.RUNNING, 60.0, steps=10)), 0.0)
    assert left == Remaining(2340.0, 2340.0, at_most=True)
    assert str(left) == "at most about 39 min left"


def test_trials_that_take_the_same_time_need_no_range() -> None:
    done = [trial(i, State.COMPLETE, 600.0) for i in range(3)]
    assert str(remaining(study(10, *done), 0.0)) == "about 70 min left"  # seven of ten minutes


def test_one_that_was_stopped_tells_the_least_and_the_whole_of_it_the_most() -> None:
    # 49 of 100 steps in 29.4 s: another lasts as long, or 60 s
    assert remaining(study(2, trial(0, State.PRUNED, 29.4, steps=49)), 0.0) == Remaining(29.4, pytest.approx(60.0))


def test_trials_that_differ_tell_a_range() -> None:
    # 100 s and 300 s: mean 200, standard deviation 141.4; of eight to come each takes
    # 200 +- 141.4 * sqrt(1/8 + 1/2) = 200 +- 111.8 on average, and none less than the shortest of those that ended
    done = trial(0, State.PRUNED, 100.0, steps=33), trial(1, State.COMPLETE, 300.0)
    left = remaining(study(10, *done), 0.0)
    assert left is not None
    assert left.low == 8 * 100.0
    assert left.high == pytest.approx(8 * 303.0, rel=0.001)  # 33 steps in 100 s: whole trials take 303 s at most
    assert str(left) == "about 13 to 40 min left"
    more = [trial(i, State.COMPLETE, 200.0) for i in range(2, 9)]
    # nine of 200 s on average, standard deviation 50; one to come: 200 +- 50 * sqrt(1 + 1/9) = 200 +- 52.7
    left = remaining(study(10, *done, *more), 0.0)
    assert left is not None
    assert (left.low, left.high) == (pytest.approx(147.3, abs=0.05), pytest.approx(252.7, abs=0.05))


def test_places_take_the_next_trial_as_soon_as_they_are_free() -> None:
    # Four places, four trials with 30 s left each, five to come of 60 s: the fifth waits for another, 30 + 60 + 60
    search = Search(parallel=4)
    done = [trial(i, State.COMPLETE, 60.0) for i in range(2)]
    live = [trial(i, State.RUNNING, 30.0, steps=50) for i in range(2, 6)]
    assert remaining(study(11, *done, *live, search=search), 0.0) == Remaining(150.0, 150.0)
    assert remaining(study(6, *done, *live, search=search), 0.0) == Remaining(30.0, 30.0)  # no more to come
    # one place free at once, one after 30 s: three to come end at 60, 90 and 120 s
    assert remaining(study(6, *done, live[0], search=Search(parallel=2)), 0.0) == Remaining(120.0, 120.0)


def test_a_trial_that_failed_or_was_refused_is_run_again_in_place_of_it() -> None:
    done = trial(0, State.COMPLETE, 60.0), trial(1, State.FAILED, 5.0), trial(2, State.REFUSED, 0.0)
    assert remaining(study(3, *done), 0.0) == Remaining(120.0, 120.0)


def test_pauses_and_people_are_not_counted() -> None:
    done = trial(0, State.COMPLETE, 600.0)
    paused = trial(1, State.RUNNING, 300.0, steps=50, paused=True)
    assert str(remaining(study(2, done, paused), 0.0)) == "about 5 min of running left"
    waiting = trial(1, State.WAITING, 0.0, steps=0)
    assert str(remaining(study(3, done, waiting), 0.0)) == "about 20 min of running left"  # it and one more


def test_a_study_that_is_to_end_begins_no_more() -> None:
    live = trial(1, State.RUNNING, 30.0, steps=50)
    done = trial(0, State.COMPLETE, 60.0)
    assert remaining(study(9, done, live, ending=True), 0.0) == Remaining(30.0, 30.0)
    began = (Decision(1000.0, "study_started", None, {}), Decision(5000.0, "study_resumed", None, {}))
    limited = study(99, done, search=Search(timeout=100.0), decisions=began)
    # at 5030 s none begins after 70 more: two of 60 s
    assert remaining(limited, 5030.0) == Remaining(120.0, 120.0)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(2, "10 s"), (54, "50 s"), (95, "2 min"), (720, "12 min"), (94 * 60, "94 min"), (12_000, "3 h 20 min"),
     (7_300, "2 h"), (190_000, "2 d 5 h")],
)  # fmt: skip
def test_no_forecast_is_more_precise_than_it_can_be(seconds: float, told: str) -> None:
    assert roughly(seconds) == told


def test_a_range_names_its_unit_once() -> None:
    assert str(Remaining(480.0, 840.0)) == "about 8 to 14 min left"
    assert str(Remaining(50.0, 120.0)) == "about 50 s to 2 min left"
    assert str(Remaining(4000.0, 9000.0)) == "about 67 min to 2 h 30 min left"
