"""A replay says at each moment what would have been said then, and in the end what is said today."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.events import EventLog, MetricsLogged, RunStarted, SamplesLogged
from diagnostics.logs import read
from diagnostics.sources import FORMATS, find
from studies.log import read as read_study
from studies.record import Proposal, Search
from studies.requests import Action, ask
from tests.tui.conftest import BEGAN, START, Stage
from tui.app import MonitorApp
from tui.replay import FASTEST, LONGEST, Playback, parse
from tui.replay_feed import LogReplay, StudyReplay, check
from tui.status import Phase, status

from .pilots import until

RUNS = Path(__file__).parents[1] / "data" / "runs"
PRESENT = 4e9  # long after whatever is replayed


class Hands:
    """What a clock on the wall shows, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def playback(speed: float = 1.0) -> tuple[Playback, Hands]:
    hands = Hands()
    return Playback(speed, clock=hands, present=lambda: PRESENT), hands


def failed(error: BaseException) -> None:
    raise error


def said(findings) -> set[tuple[str, int, int, str]]:
    return {(f.code, f.segment, f.raised_at, f.severity.name) for f in findings}


# ---- the clock


def at(played: Playback) -> float:
    played.advance()
    played.show()
    return played()


def test_time_goes_as_fast_as_asked_and_stands_still_between_two_looks() -> None:
    played, hands = playback(60.0)
    assert played() == PRESENT
    played.begin(np.array([100.0, 130.0, 400.0]))
    assert at(played) == 100.0
    hands.now += 0.25
    played.advance()
    assert played() == 100.0  # what was read is not shown yet
    assert played.reading() == 115.0
    assert at(played) == 115.0
    assert played.share == 0.05
    assert played.badge() == "REPLAY 60x 5%"
    hands.now += 4.75
    assert at(played) == PRESENT
    assert played.over
    assert played.badge() == "REPLAY OVER"
    assert played.reading() == PRESENT


def test_a_replay_is_paused_and_its_speed_doubled_and_halved() -> None:
    played, hands = playback()
    played.begin(np.array([0.0, 100.0]) + BEGAN)
    hands.now += 10
    played.pause()
    hands.now += 50
    assert at(played) == BEGAN + 10
    assert played.badge() == "REPLAY 1x 10% PAUSED"
    played.faster()
    played.pause()
    hands.now += 10
    assert at(played) == BEGAN + 30
    played.slower()
    played.slower()
    hands.now += 10
    assert at(played) == BEGAN + 35
    assert played.speed == 0.5
    played.finish()
    assert at(played) == PRESENT


def test_the_speed_has_bounds() -> None:
    played, _ = playback(FASTEST)
    played.faster()
    assert played.speed == FASTEST


def test_a_long_silence_is_passed_over_and_said() -> None:
    played, hands = playback()
    played.begin(np.array([0.0, 30000.0, 30100.0]) + BEGAN)
    hands.now += LONGEST - 1
    assert at(played) == BEGAN + LONGEST - 1
    hands.now += 2
    assert at(played) == BEGAN + 30001
    assert played.passed_over == 30000 - LONGEST
    assert played.note() == "8 h 10 min without a line are passed over"


def test_what_holds_nothing_is_over_at_once() -> None:
    played, _ = playback()
    played.begin(np.empty(0))
    assert played.over


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "1e-300", "fast", ""])
def test_what_is_no_speed_is_said_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as told:
        parse(text)
    assert str(told.value) == (
        f"--replay {text} is no speed. Say how many times as fast as it was, such as 60; from 0.000977 to 1,048,576."
    )


def test_a_speed_is_a_number() -> None:
    assert parse("60") == 60.0
    assert parse("0.5") == 0.5


# ---- logs


def play(path: Path, *, ticks: int = 400, every: float = 0.25) -> Iterator[tuple[LogReplay, Playback]]:
    """The feed of a replay after each look, until it is over."""
    played, hands = playback()
    feed = LogReplay(path, find(path), lambda _: None, failed, played)
    try:
        for _ in range(ticks):
            feed.read()
            played.show()
            yield feed, played
            if played.over:
                break
            hands.now += every
        assert played.over
        feed.read()
        played.show()
        yield feed, played
    finally:
        feed.clear_away()


def view(feed: LogReplay):
    (log,) = feed._snapshot().logs
    assert not log.trouble
    return log


@pytest.mark.parametrize("format", FORMATS)
def test_what_any_log_is_found_to_have_is_found_when_it_was_first_known(
    format: str, samples: ModuleType, tmp_path: Path
) -> None:
    name, make = samples.WRITERS[format]
    path = tmp_path / name
    path.write_bytes(make(samples.run()))
    wanted = diagnose(read(find(path).sources[0]))
    assert wanted.raised
    seen: set[tuple[str, int, int, str]] = set()
    lasts = set()
    for feed, played in play(path, ticks=1000):
        log = view(feed)
        seen |= said(log.report.raised)
        if not played.over:
            last = log.segments[-1].last
            lasts.add(last)
            assert all(finding.raised_at <= last for finding in log.report.raised)
            assert seen >= {one for one in said(wanted.raised) if one[2] < last}
    assert len(lasts) > 20
    assert said(log.report.raised) == seen == said(wanted.raised)
    assert log.report.steps == wanted.steps
    assert log.report.framework == wanted.framework


@pytest.mark.parametrize("name", ["collapse-0", "ppo-hacked", "unstable", "good-0"])
def test_a_recorded_run_is_told_as_it_was(name: str) -> None:
    wanted = diagnose(read(find(RUNS / name).sources[0]))
    shown: list[int] = []
    for feed, played in play(RUNS / name, ticks=4000, every=1.0):
        log = view(feed)
        assert log.written <= played()
        shown.append(log.segments[-1].last if log.segments else -1)
    assert said(log.report.raised) == said(wanted.raised)
    assert len(set(shown)) > 5
    assert shown == sorted(shown)


def test_runs_that_one_log_holds_are_played_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    both = "\n".join(
        ["step,reward_mean,kl.reference.k3.token"]
        + [
            f"{i},{0.5 + 0.01 * (i % 3) if i < 25 else 0.1},{3.0 if i > 20 else 0.01}"
            for _ in range(2)
            for i in range(60)
        ]
    )
    path.write_text(both)
    wanted = diagnose(read(find(path).sources[0]))
    assert {finding.segment for finding in wanted.raised} == {1, 2}
    segments = []
    for feed, _ in play(path, every=1.0):
        log = view(feed)
        segments.append(len(log.segments))
    assert segments[0] == 1
    assert segments[-1] == 2
    assert segments == sorted(segments)
    assert said(log.report.raised) == said(wanted.raised)


def test_a_log_without_times_plays_steps_by_the_second_and_one_with_times_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,reward_mean\n" + "\n".join(f"{10 * i},0.5" for i in range(40)))
    looks = play(path, every=2.0)
    assert [view(feed).segments[0].last for feed, _ in (next(looks) for _ in range(3))] == [0, 20, 40]
    _, played = next(looks)
    assert played.badge() == "REPLAY 1 STEPS/S 15%"
    looks.close()

    path.write_text("step,_timestamp,reward_mean\n" + "\n".join(f"{i},{BEGAN + 4 * i},0.5" for i in range(40)))
    looks = play(path, every=2.0)
    assert [view(feed).segments[0].last for feed, _ in (next(looks) for _ in range(3))] == [0, 0, 1]
    feed, played = next(looks)
    assert (played(), view(feed).written) == (BEGAN + 6, BEGAN + 4)
    looks.close()


def test_a_log_that_holds_no_step_is_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, clock=lambda: BEGAN)
    log.emit(RunStarted(0, "autotune", "", {}))
    log.close()
    *_, (feed, played) = play(path)
    assert played.over
    assert view(feed).segments[0].last == -1


def test_attempts_of_a_run_are_played_as_they_came(tmp_path: Path) -> None:
    path, clock = tmp_path / "events.jsonl", Hands()
    for attempt, (first, last) in enumerate([(0, 10), (5, 20)], 1):
        log = EventLog(path, attempt=attempt, clock=clock)
        log.emit(RunStarted(first, "autotune", "", {}))
        for step in range(first, last):
            clock.now += 1
            log.emit(MetricsLogged(step, {"reward_mean": float(attempt)}))
        log.close()
        clock.now += 40_000
    lasts = []
    for feed, played in play(path, ticks=3000, every=1.0):  # noqa: B007 - the last is looked at
        lasts.append(view(feed).segments[0].last if view(feed).segments else -1)
    back = lasts.index(9)
    assert 5 in lasts[back:]  # the second attempt takes back what the first told of later steps
    assert lasts[-1] == 19
    assert played.passed_over == 40_000 - LONGEST


def test_of_several_logs_one_is_to_be_chosen(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("step,reward_mean\n0,0.5\n1,0.5\n")
    with pytest.raises(
        UserError, match=r"holds 2 logs, and one is replayed at a time\. Give one of them, such as .*a\.csv"
    ):
        check(tmp_path, find(tmp_path))


def test_a_link_out_of_a_folder_is_not_followed(tmp_path: Path, stage: Stage) -> None:
    stage.finished()
    outside = tmp_path / "elsewhere.jsonl"
    (stage.directory / "trials" / "0" / "events.jsonl").rename(outside)
    (stage.directory / "trials" / "0" / "events.jsonl").symlink_to(outside)
    played, _ = playback()
    feed = StudyReplay(stage.directory, lambda _: None, failed, played)
    assert "is a link that leads out of its folder" in feed.read().trouble
    feed.clear_away()


# ---- studies


def replayed(stage: Stage, moments: list[float]):
    """The snapshots at moments of the replay, in seconds from its beginning, and the feed."""
    played, hands = playback()
    feed = StudyReplay(stage.directory, lambda _: None, failed, played)
    began = hands.now
    snapshots = [feed.read()]
    for moment in moments:
        hands.now = began + moment
        snapshots.append(feed.read())
        played.show()
    return feed, played, snapshots


def test_a_study_is_played_trial_by_trial_and_ends_as_it_did(stage: Stage, temporary: Path) -> None:
    stage.finished()
    feed, played, (first, early, late, over) = replayed(stage, [10.0, 50.0, 1000.0])
    assert first.study is not None
    assert first.study.trials == ()
    assert first.running
    assert [t.number for t in early.study.trials] == [0]
    assert early.study.trials[0].steps == 10
    assert early.trials[0].last_time == BEGAN + 10  # the clock of the replay tells the same: news 0 s ago
    assert "trial 0 at step 10/100, news 0 s ago" in status(early, BEGAN + 10).text
    assert early.study.trials[0].findings == ()
    assert [f.severity.name for f in late.study.trials[0].findings] == ["FATAL"]
    assert late.running
    assert played.over
    assert over.study == read_study(stage.directory)
    assert not over.running
    assert over.replayed
    assert [path.name for path in temporary.iterdir()] == [feed.lines.folder.name]
    for name in ("study.jsonl", "trials/0/events.jsonl", "trials/1/events.jsonl"):
        assert (feed.lines.folder / name).read_bytes() == (stage.directory / name).read_bytes()
    feed.clear_away()
    assert list(temporary.iterdir()) == []
    feed.read()
    assert list(temporary.iterdir()) == []


def test_samples_and_requests_come_when_they_came(stage: Stage) -> None:
    stage.begin()
    events = stage.propose(0, Proposal(START, "start", "because"))
    samples = EventLog(stage.directory / "trials" / "0" / "samples.jsonl", clock=stage.clock)
    stage.steps(events, 0, 10, sick=False)
    samples.emit(SamplesLogged(10, ({"prompt": "a", "completion": "b", "reward": 1.0},)))
    stage.steps(events, 10, 40, sick=False)
    request = ask(stage.directory, Action.STOP_TRIAL, trial=0)
    asked = stage.directory / "commands" / f"{request.id}.json"
    asked.rename(asked.with_name(f"{int((BEGAN + 15) * 1e9)}-abcdefgh.json"))
    stage.clock.now += 10
    stage.log.answered(f"{int((BEGAN + 15) * 1e9)}-abcdefgh", "stop_trial", "done", trial=0)
    stage.log.finished("finished")
    stage.log.close()
    feed, _, (_, before, told, waits, over) = replayed(stage, [9.0, 10.5, 16.0, 1000.0])
    folder = feed.lines.folder / "trials" / "0"
    assert before.requests == told.requests == ()
    assert [r.action for r in waits.requests] == [Action.STOP_TRIAL]
    assert over.requests == ()
    assert (folder / "samples.jsonl").read_bytes() == (stage.directory / "trials/0/samples.jsonl").read_bytes()
    feed.clear_away()


def test_a_killed_study_runs_until_its_last_line_and_a_damaged_one_keeps_its_damage(stage: Stage) -> None:
    stage.begin()
    events = stage.propose(0, Proposal(START, "start", "because"))
    stage.steps(events, 0, 30, sick=False)
    path = stage.directory / "trials" / "0" / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seq": 5,', b'"seq" 5,') + b'{"v": 1, "type": "metrics_lo')
    stage.log.close()
    feed, _, (_, going, over) = replayed(stage, [12.0, 1000.0])
    assert status(going, BEGAN + 12).phase is Phase.RUNNING
    feed._probed = -math.inf  # the lock is looked at now and then only
    over = feed.read()
    assert status(over, PRESENT).phase is Phase.KILLED
    assert f"go on with: autotune study resume {stage.directory}" in status(over, PRESENT).text
    assert over.study.unreadable == 1
    assert over.study.trials[0].steps == 30
    feed.clear_away()


def test_a_study_that_was_resumed_goes_on_after_its_silence(stage: Stage) -> None:
    stage.begin()
    stage.sick_trial()
    stage.log.finished("interrupted")
    stage.clock.now += 50_000
    stage.log.resumed(read_study(stage.directory).spec, Search())
    stage.healthy_trial()
    stage.log.finished("finished")
    stage.log.close()
    ended = stage.clock.now
    feed, played, (_, night, again, over) = replayed(stage, [200.0, 660.0, 2000.0])
    assert status(night, played()).phase is Phase.INTERRUPTED
    assert again.study.ended == ""
    assert again.running
    assert over.study.ended == "finished"
    assert played.passed_over == pytest.approx(50_000 - LONGEST)
    assert over.study.decisions[-1].time == ended
    feed.clear_away()


def test_a_study_that_still_runs_is_watched_instead(stage: Stage) -> None:
    stage.running().close()
    with pytest.raises(UserError, match=r"still runs\. Watch it: autotune monitor"):
        check(stage.directory, None)
    stage.log.close()
    check(stage.directory, None)


# ---- on the screen


def test_the_keys_of_a_replay_and_what_it_refuses(stage: Stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        played, hands = playback(2.0)
        app = MonitorApp(stage.directory, playback=played)
        async with app.run_test(size=(120, 36), notifications=True) as pilot:

            async def shows(text: str) -> None:
                for _ in range(1000):
                    if text in text_of(app):
                        return
                    await pilot.pause(0.01)
                raise AssertionError(f"{text!r} is not shown:\n{text_of(app)}")

            await shows("REPLAY 2x 0%")
            await until(pilot, lambda: app.watched.source)
            hands.now += 10.0
            await pilot.press("space")
            await shows("PAUSED")
            await shows("trial 0 at step 30/100, news 0 s ago")
            await pilot.press("plus")
            await shows("REPLAY 4x")
            await pilot.press("minus", "minus")
            await shows("REPLAY 1x")
            for screen in "12":
                await pilot.press(screen)
                await pilot.resize_terminal(80, 24)
                await shows("space Pause + Faster > End")  # none is cut off
            await pilot.press("1")
            await pilot.resize_terminal(120, 36)
            await pilot.press("x")
            await shows("this is a replay: of what is past")
            await pilot.press("greater_than_sign")
            await shows("REPLAY OVER")
            await shows("FINISHED")
            assert not (stage.directory / "commands").exists()
        app.feed.clear_away()

    run(go())


@pytest.mark.parametrize("how", ["q", "killed"])
def test_the_folder_of_a_replay_is_taken_away_however_it_ends(stage: Stage, temporary: Path, how: str) -> None:
    import pty

    stage.finished()
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "autotune", "monitor", str(stage.directory), "--replay", "1"]
    environment = os.environ | {"TMPDIR": str(temporary), "TERM": "xterm-256color"}
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=environment, cwd=root)
    os.close(end)
    os.set_blocking(terminal, False)
    seen = b""
    deadline = time.monotonic() + 60
    while not (b"REPLAY" in seen and list(temporary.iterdir())) and time.monotonic() < deadline:
        try:
            seen += os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.05)
    assert len(list(temporary.iterdir())) == 1
    if how == "q":
        os.write(terminal, b"q")
    else:
        process.send_signal(signal.SIGTERM)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            os.read(terminal, 1 << 16)
        except (BlockingIOError, OSError):
            time.sleep(0.05)
    assert process.returncode == 0
    assert list(temporary.iterdir()) == []
    os.close(terminal)
