"""The thread that reads, and how a study stands by what it read."""

import threading
import time
from pathlib import Path

import pytest

from diagnostics.events import EventLog, MetricsLogged, RunStarted
from studies.log import trial_directory
from studies.record import State
from tui import feed as feeds
from tui.feed import Feed, Snapshot
from tui.status import BEGIN_SECONDS, Phase, progress, status


def ignore(_: object) -> None:
    pass


def test_the_thread_ends_when_it_is_told_and_holds_no_process_up(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.01)
    stage.running()
    published: list[Snapshot] = []
    before = set(threading.enumerate())
    feed = Feed(Path("st"), published.append, ignore)
    feed.start()
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    while not published:
        time.sleep(0.01)
    feed.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_what_did_not_change_is_not_told_again(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.01)
    stage.finished()
    published: list[Snapshot] = []
    feed = Feed(Path("st"), published.append, ignore)
    feed.start()
    while not published:
        time.sleep(0.01)
    time.sleep(0.2)
    feed.stop()
    assert len(published) == 1


def test_a_new_attempt_takes_back_what_the_earlier_one_told(stage) -> None:
    stage.begin()
    first = stage.propose(0, stage.cure())
    for step, value in enumerate([0.5, 0.7, 0.0]):
        first.emit(MetricsLogged(step, {"reward_mean": value}))
    first.close()
    feed = Feed(Path("st"), ignore, ignore)
    assert [*feed.read().trials[0].curves["reward_mean"].values] == [0.5, 0.7, 0.0]
    again = EventLog(trial_directory(Path("st"), 0) / "events.jsonl", attempt=2, clock=stage.clock)
    again.emit(RunStarted(1, "trl-grpo", "1.16.0", {"max_steps": 100}))
    for step, value in ((1, 0.6), (2, 0.0)):  # as long as before, with the same end
        again.emit(MetricsLogged(step, {"reward_mean": value}))
    assert [*feed.read().trials[0].curves["reward_mean"].values] == [0.5, 0.6, 0.0]


def test_curves_that_did_not_grow_stay_the_same_object(stage) -> None:
    events = stage.running()
    feed = Feed(Path("st"), ignore, ignore)
    before = feed.read().trials
    events.emit(MetricsLogged(43, {"reward_mean": 0.5}))
    after = feed.read().trials
    assert after[1].curves["reward_mean"] is before[1].curves["reward_mean"]
    assert after[2].curves["entropy.token"] is before[2].curves["entropy.token"]
    assert len(after[2].curves["reward_mean"].steps) == len(before[2].curves["reward_mean"].steps) + 1


def test_a_folder_that_goes_away_is_told_and_what_is_known_stays(stage) -> None:
    stage.running()
    feed = Feed(Path("st"), ignore, ignore)
    known = feed.read()
    (Path("st") / "commands").write_text("in the way")
    troubled = feed.read()
    assert "cannot read st" in troubled.trouble
    assert troubled.study == known.study
    (Path("st") / "commands").unlink()
    assert feed.read().trouble == ""


def stands(stage, seconds: float = 0.0) -> tuple[Phase, str]:
    told = status(Feed(Path("st"), ignore, ignore).read(), stage.clock.now + seconds)
    return told.phase, told.text


def test_a_trial_that_makes_no_first_step(stage) -> None:
    stage.begin()
    stage.propose(0, stage.cure())
    assert stands(stage, BEGIN_SECONDS - 1) == (Phase.RUNNING, "trial 0 at step 0/100, news 4 min 59 s ago")
    phase, text = stands(stage, BEGIN_SECONDS + 1)
    assert (phase, text) == (Phase.STALE, "trial 0 began 5 min 01 s ago and has made no step")


def test_slow_steps_are_not_taken_for_silence(stage) -> None:
    stage.begin()
    events = stage.propose(0, stage.cure())
    for step in range(1, 6):
        stage.clock.now += 120
        events.emit(MetricsLogged(step, {"reward_mean": 0.0}))
    assert stands(stage, 900)[0] is Phase.RUNNING
    assert stands(stage, 1300) == (Phase.STALE, "trial 0: no new step for 21 min 40 s, usually every 2 min 00 s")


def test_a_pause_between_trials_is_no_silence_at_first(stage) -> None:
    stage.begin()
    stage.sick_trial()
    assert stands(stage, 200) == (Phase.RUNNING, "the next trial is being prepared")
    assert stands(stage, 400) == (Phase.STALE, "no new trial for 6 min 40 s")


def test_progress_tells_time_and_what_is_left(stage) -> None:
    stage.begin(4)
    stage.sick_trial()
    stage.healthy_trial()
    snapshot = Feed(Path("st"), ignore, ignore).read()
    assert snapshot.study is not None
    assert [t.state for t in snapshot.study.trials] == [State.PRUNED, State.COMPLETE]
    # two of four done, in 29 and 54 s (the first would have taken 59 s to its end): twice 29 s at least, 59 s at most
    assert progress(snapshot, stage.clock.now) == "2/4 trials, 1 min 24 s, about 60 s to 2 min left"


def test_another_clock_makes_no_negative_times(stage) -> None:
    stage.running()
    phase, text = stands(stage, -500)
    assert (phase, text) == (Phase.RUNNING, "trial 2 at step 42/100, news 0 s ago")
