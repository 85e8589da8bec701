"""What watching for hours costs: what is kept of long studies, and how often a log is looked at."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest

from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.plot import braille, frame
from diagnostics.sources import find
from studies.log import MOST_POINTS, STRETCHES, StudyFollower, StudyLog, trial_directory
from studies.points import Points
from studies.record import Origin, Proposal, Search, State
from studies.spec import load
from tui import log_feed
from tui.feed import Feed, Snapshot
from tui.log_feed import INTERVAL, SHARE, LogFeed, Logs


def ignore(_: object) -> None: ...


def test_only_what_following_costs_says_how_often_a_log_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step, "reward": 0.5}) + "\n" for step in range(1, 40)))
    feed = LogFeed(log, find(log), ignore, ignore)
    seconds = itertools.count()
    monkeypatch.setattr(log_feed.time, "thread_time", lambda: 0.2 * next(seconds))  # a look takes as long
    waits: list[float] = []
    monkeypatch.setattr(feed._awake, "wait", waits.append)
    for step in range(40, 42):
        feed.read()
        feed._wait()
        with log.open("a") as file:
            file.write(json.dumps({"step": step, "reward": 0.5}) + "\n")
    feed.close()
    assert waits == [INTERVAL, pytest.approx(0.2 / SHARE)]


def test_a_step_that_is_new_is_told_once(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step, "reward": 0.5}) + "\n" for step in range(1, 40)))
    told: list[Logs] = []
    feed = LogFeed(log, find(log), told.append, ignore)
    feed.tell(feed.read())
    told.clear()
    for step in range(40, 43):
        with log.open("a") as file:
            file.write(json.dumps({"step": step, "reward": 0.5}) + "\n")
        feed._told = 0.0  # the last word was long ago
        feed.tell(feed.read())
    feed.close()
    assert [logs.logs[0].segments[0].last for logs in told] == [40, 41, 42]


# ---- long studies

STEPS, TRIALS, METRICS = 1_500, 40, 3
MOST = 50_000  # points: those of three trials, and of the others what can be seen
SPIKE = 777  # the step at which one value is far from all others


class Study:
    """One whose trials are over, but for the last one."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.log = directory, StudyLog(directory)
        self.log.started(load("arithmetic-grpo"), Search())

    def begin(self, number: int) -> EventLog:
        self.log.proposed(number, 0, Proposal({"learning_rate": 1e-3}, Origin.START, "why"))
        events = EventLog(trial_directory(self.directory, number) / "events.jsonl")
        events.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": STEPS}))
        return events

    def run(self, number: int, steps: int = STEPS) -> None:
        events = self.begin(number)
        for step in range(steps):
            value = 99.0 if step == SPIKE else math.sin(step / 100)
            events.emit(MetricsLogged(step, {f"reward_component_mean[{i}]": value for i in range(METRICS)}))
        events.emit(RunEnded(steps, Outcome.FINISHED))
        events.close()

    def end(self, number: int) -> None:
        self.log.ended(number, State.COMPLETE, "ran to its end", 0.5, 1.0)


@pytest.fixture(scope="module")
def long_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many trials; the events of all are those of the first."""
    study = Study(tmp_path_factory.mktemp("long"))
    study.run(0)
    study.end(0)
    written = trial_directory(study.directory, 0) / "events.jsonl"
    for number in range(1, TRIALS):
        events = study.begin(number)
        events.close()
        (trial_directory(study.directory, number) / "events.jsonl").write_bytes(written.read_bytes())
        if number < TRIALS - 1:
            study.end(number)
    study.log.close()
    return study.directory


def kept(feed: Feed) -> int:
    """The points of all curves that the thread that reads holds, and the screens."""
    assert feed._follower is not None
    read = sum(log.points for log in feed._follower.logs.values())
    shown = sum(len(curve.steps) for trial in feed._known.trials.values() for curve in trial.curves.values())
    times = sum(len(log.times) for log in feed._follower.logs.values())
    return read + shown + times


def test_a_long_study_takes_no_more_memory_than_a_short_one(long_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.feed.MOST_POINTS", MOST)
    feed = Feed(long_study, ignore, ignore)
    most = []
    for wanted in range(0, TRIALS - 1, 13):
        feed.want({wanted, wanted + 1})
        snapshot = feed.read()
        assert {number for number, trial in snapshot.trials.items() if trial.whole} >= {wanted, wanted + 1, TRIALS - 1}
        assert [len(snapshot.trials[n].curves) for n in range(TRIALS)] == [METRICS] * TRIALS
        most.append(kept(feed))
    feed.close()
    thin = (METRICS + 1) * 5 * STRETCHES  # of one trial
    assert max(most) <= 2 * MOST + TRIALS * thin + 3 * STEPS
    assert max(most) < TRIALS * STEPS * (2 * METRICS + 1) / 3  # a third of all there is


def test_of_what_is_over_a_thin_curve_is_kept_that_looks_the_same(long_study: Path) -> None:
    follower = StudyFollower(long_study, MOST)
    follower.poll()
    thin, whole = follower.logs[0], follower.logs[TRIALS - 1]
    assert (thin.whole, whole.whole) == (False, True)
    assert thin.points == METRICS * 5 * STRETCHES
    points = {number: log.curves["reward_component_mean[0]"] for number, log in ((0, thin), (1, whole))}
    assert 99.0 in points[0].values  # the spike
    assert (points[0].steps[0], points[0].steps[-1]) == (0, STEPS - 1)
    follower.want({0})
    assert follower.poll()
    assert follower.logs[0].curves == whole.curves
    assert not follower.poll()
    follower.close()


def lit(snapshot: Snapshot, number: int) -> list[list[bool]]:
    """The cells through which the curve of a trial goes."""
    curve = snapshot.trials[number].curves["reward_component_mean[0]"]
    return [[bool(bits) for bits in row] for row in braille(curve, frame([curve], 0, 20, 4))]


def test_who_turns_to_a_trial_sees_all_of_it(long_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.feed.MOST_POINTS", MOST)
    feed = Feed(long_study, ignore, ignore)
    before = feed.read()
    assert not before.trials[7].whole
    woken: list[bool] = []
    monkeypatch.setattr(feed, "look", lambda: woken.append(True))
    feed.want({7})
    after = feed.read()
    feed.want({7})
    assert woken == [True]
    assert after.trials[7].whole
    assert len(after.trials[7].curves["reward_component_mean[0]"].steps) == STEPS
    assert lit(before, 7) == lit(after, 7)
    assert feed.read() == after  # and nothing is read again
    feed.close()


def test_a_trial_that_runs_again_is_there_as_a_whole(tmp_path: Path) -> None:
    study = Study(tmp_path)
    for number in (0, 1):
        study.run(number)
        study.end(number)
    follower = StudyFollower(tmp_path, METRICS * (STEPS + 5 * STRETCHES))
    follower.poll()
    assert [follower.logs[n].whole for n in (0, 1)] == [False, True]
    study.log.retried(0, 2, "the machine went away")
    follower.poll()
    assert [follower.logs[n].whole for n in (0, 1)] == [True, False]
    assert follower.logs[0].curves["reward_component_mean[0]"].steps[-1] == STEPS - 1
    study.log.close()
    follower.close()


def test_a_short_study_is_kept_as_a_whole(tmp_path: Path) -> None:
    study = Study(tmp_path)
    for number in range(3):
        study.run(number, 40)
        study.end(number)
    study.log.close()
    follower = StudyFollower(tmp_path)
    follower.poll()
    assert all(log.whole and log.points == METRICS * 40 for log in follower.logs.values())
    assert follower.logs[0].points < MOST_POINTS
    follower.close()


def test_points_are_pairs_in_their_order() -> None:
    points = Points([(3, 0.5), (1, math.inf)])
    points.append((7, 2.0))
    assert points == [(3, 0.5), (1, math.inf), (7, 2.0)]
    assert (points[-1], points[1:], len(points)) == ((7, 2.0), [(1, math.inf), (7, 2.0)], 3)
    assert points.pop() == (7, 2.0)
    assert points != [(3, 0.5)]
    points = Points((step, math.nan if step == 500 else float(step)) for step in reversed(range(1_000)))
    points.thin(10)
    assert len(points) == 50
    assert [*points.steps] == sorted(points.steps)
    assert sum(math.isnan(value) for value in points.values) == 1
    assert {0.0, 999.0} <= {*points.values}
