"""What the monitor does: it follows files, answers keys whatever the disk does, asks, and leaves all as it was."""

import asyncio
import hashlib
import json
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from diagnostics.errors import UserError
from diagnostics.events import MetricsLogged
from studies.log import STUDY_FILE, StudyFollower
from studies.record import Origin, Proposal
from studies.requests import REQUESTS, Action, pending
from tui import feed as feeds
from tui.app import MonitorApp, MonitorResult
from tui.feed import Loop
from tui.run import run_monitor
from tui.screens.confirm import Confirm
from tui.terminal import can_draw
from tui.widgets.curves import Curves
from tui.widgets.trials import Trials

from .pilots import HOSTILE, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    monkeypatch.setattr(feeds, "LOCK_INTERVAL", 0.02)


def watched(app: MonitorApp):
    return app.watched.source


def test_a_study_that_grows_is_followed_and_the_newest_trial_stays_selected(stage, run, text_of) -> None:
    stage.begin()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: "EMPTY" in text_of(app))
            stage.sick_trial()
            await until(pilot, lambda: "KL002" in text_of(app))
            assert app.watched.selected == 0
            events = stage.propose(1, stage.cure())
            await until(pilot, lambda: "trial 1 at step 0" in text_of(app))
            assert app.watched.selected == 1
            stage.steps(events, 0, 33, sick=False)
            await until(pilot, lambda: "step 33/100" in text_of(app))
            await pilot.press("up")  # a person who looks at another trial is not taken away from it
            assert app.watched.selected == 0
            stage.running_trial()
            await until(pilot, lambda: "trial 2 at step 42" in text_of(app))
            assert app.watched.selected == 0

    run(go())


def test_keys_are_answered_while_reading_hangs(stage, run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.running()
    gate, inside = threading.Event(), threading.Event()
    poll = StudyFollower.poll

    def hanging(self: StudyFollower) -> bool:
        if inside.is_set():
            gate.wait()
        moved = poll(self)
        inside.set()
        return moved

    monkeypatch.setattr(StudyFollower, "poll", hanging)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: watched(app))
            assert inside.is_set()  # from here on the thread waits for a disk that does not answer
            await pilot.press("up", "up")
            assert app.watched.selected == 0
            assert "since step 5, known at step 49" in " ".join(text_of(app).split())
            await pilot.press("question_mark")
            assert "Asked of the study" in text_of(app)
            await pilot.press("escape", "q")
        assert app.return_value is MonitorResult.LEFT

    try:
        asyncio.run(asyncio.wait_for(go(), 30))
    finally:
        gate.set()


def test_watching_and_closing_leaves_every_file_as_it_was(stage, run) -> None:
    stage.finished()

    def files() -> dict[str, str]:
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
            for path in Path("st").rglob("*")
            if path.is_file()
        }

    before = files()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test() as pilot:
            await until(pilot, lambda: watched(app))
            await pilot.press("up", "tab", "tab", "right", "enter", "escape", "b", "s", "x", "tab", "q")
        assert app.return_value is MonitorResult.LEFT

    run(go())
    assert files() == before


def test_a_torn_line_means_not_yet(stage, run, text_of) -> None:
    stage.begin()
    path = Path("st") / STUDY_FILE
    events = stage.propose(0, Proposal({"learning_rate": 1.0}, Origin.START, "why"))
    events.emit(MetricsLogged(1, {"reward_mean": 0.125}))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    stage.log.close()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: watched(app) and watched(app).study)
            assert watched(app).study.trials == ()
            assert "could not be read" not in text_of(app)
            with path.open("ab") as file:
                file.write(whole[-20:])
            await until(pilot, lambda: "0.125" in text_of(app))

    run(go())


def test_lines_that_cannot_be_read_are_counted_and_a_newer_version_is_said(stage, run, text_of) -> None:
    stage.begin()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: watched(app))
            with (Path("st") / STUDY_FILE).open("a") as file:
                file.write("{broken\n")
            await until(pilot, lambda: "1 line could not be read" in text_of(app))
            with (Path("st") / STUDY_FILE).open("a") as file:
                file.write(json.dumps({"v": 9, "type": "noted"}) + "\n")
            await until(pilot, lambda: "has version 9" in text_of(app))
            await pilot.press("q")
        assert app.return_value is MonitorResult.LEFT

    run(go())


def test_text_of_others_is_neither_markup_nor_escapes(stage, run, text_of) -> None:
    stage.begin()
    stage.log.noted(HOSTILE)
    events = stage.propose(0, Proposal({"learning_rate": HOSTILE}, Origin.START, HOSTILE))
    events.emit(MetricsLogged(1, {HOSTILE: 0.5, "reward_mean": float("nan")}))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(200, 60)) as pilot:
            await until(pilot, lambda: watched(app) and watched(app).trials and watched(app).trials[0].curves)
            for keys in ([], ["tab", "tab", "right", "enter"], ["escape", "tab", "enter"]):
                await pilot.press(*keys)
                text = text_of(app)
                assert "[red]bold[/red]" in text
                assert "\x1b" not in text
                assert "\u202e" not in text
            assert app.is_running  # nothing of it was a link or a key

    run(go())


def test_stopping_is_asked_only_after_a_yes_and_an_answer_is_waited_for(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: watched(app))
            await pilot.press("x")
            assert isinstance(app.screen, Confirm)
            await pilot.press("enter", "n")
            assert not (Path("st") / REQUESTS).exists()
            await pilot.press("x", "y")
            await until(pilot, lambda: watched(app).requests)
            (request,) = pending(Path("st"), set())
            assert (request.action, request.trial) == (Action.STOP_TRIAL, 2)
            assert "asked to stop trial 2: no answer yet" in text_of(app)
            stage.log.answered(request.id, str(request.action), "it ends after its step", trial=2)
            await until(pilot, lambda: not watched(app).requests)
            assert "asked to stop trial 2: it ends after its step" in " ".join(text_of(app).split())
            assert "no answer yet" not in text_of(app)
            await pilot.press("s", "y")
            await until(pilot, lambda: watched(app).requests)
            assert watched(app).requests[0].action is Action.STOP_STUDY

    run(go())


def test_nothing_is_asked_of_what_does_not_run(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50), notifications=True) as pilot:
            await until(pilot, lambda: watched(app))
            await pilot.press("up", "x")
            await until(pilot, lambda: "trial 1 does not run" in text_of(app))
            stage.log.close()
            await until(pilot, lambda: "KILLED" in text_of(app))
            await pilot.press("s")
            await pilot.pause()
            assert not isinstance(app.screen, Confirm)
        assert not (Path("st") / REQUESTS).exists()

    run(go())


def test_a_folder_that_takes_no_request_is_said(stage, run, text_of) -> None:
    stage.running()
    (Path("st") / REQUESTS).write_text("in the way")

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: watched(app))
            await pilot.press("s", "y")
            await until(pilot, lambda: "TROUBLE" in text_of(app))
            assert "cannot" in text_of(app)

    run(go())


def test_a_killed_study_that_goes_on_is_seen_to_run(stage, run, text_of) -> None:
    from studies.log import StudyLog
    from studies.record import Search
    from studies.spec import load

    stage.running()
    stage.log.close()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: "KILLED" in text_of(app))
            stage.log = StudyLog(Path("st"), clock=stage.clock)
            stage.log.resumed(load("arithmetic-grpo"), Search())
            await until(pilot, lambda: "RUNNING" in text_of(app))

    run(go())


def test_the_mouse_selects_trials_and_zooms(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: watched(app))
            assert app.watched.selected == 1
            await pilot.click(Trials, offset=(8, 2))
            assert app.watched.selected == 0
            await pilot.click(Curves, offset=(45, 3))
            assert app.screen.query_one(Curves).chosen == 1
            await pilot.click(Curves, offset=(5, 3), times=2)
            assert "Mean reward on held-out prompts" in text_of(app)

    run(go())


def test_a_bug_in_reading_is_no_silent_standstill(stage, run, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.running()
    monkeypatch.setattr(StudyFollower, "record", lambda self: 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test() as pilot:
            await until(pilot, lambda: not app.is_running)

    with pytest.raises(ZeroDivisionError):
        run(go())


def test_the_first_line_of_a_study_of_ours_is_waited_for(stage, run, text_of) -> None:
    """As `study start` opens it: before the loop has written anything."""
    alive = [True]

    async def go() -> None:
        app = MonitorApp(Path("st"), Loop(lambda: alive[0], Path("loop.log")), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: "WAITING" in text_of(app))
            stage.log.close()
            stage.__init__(Path("st"))
            stage.running()
            await until(pilot, lambda: "RUNNING" in text_of(app))
            Path("loop.log").write_text("MemoryError\n")
            alive[0] = False
            stage.log.close()
            await until(pilot, lambda: "KILLED" in text_of(app))
            assert "its last words: MemoryError" in " ".join(text_of(app).split())
            await pilot.press("ctrl+c")
        assert app.return_value is MonitorResult.INTERRUPT

    run(go())


def test_without_a_terminal_it_says_what_to_do_instead(stage) -> None:
    with pytest.raises(UserError, match=r"needs a terminal.*study show"):
        run_monitor(Path("st"))


def test_a_dumb_terminal_is_not_drawn_on(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{name}", Mock(isatty=lambda: True))
    monkeypatch.setenv("TERM", "xterm")
    assert can_draw()
    monkeypatch.setenv("TERM", "dumb")
    assert not can_draw()
    with pytest.raises(UserError, match="needs a terminal to draw on"):
        run_monitor(Path("st"))


def test_any_size_of_terminal_is_borne(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: watched(app))
            await pilot.press("tab", "tab", "enter")
            for screen in ("zoom", "main"):
                for size in [(20, 6), (1, 1), (300, 100), (40, 100), (160, 12)]:
                    await pilot.resize_terminal(*size)
                    await pilot.pause()
                    assert len(text_of(app).split("\n")) == size[1], (screen, size)
                await pilot.press("escape")

    run(go())


def test_a_pane_fills_the_screen_and_goes_back(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: watched(app))
            await pilot.press("tab", "enter")
            await until(pilot, lambda: "seed 1, 12,800 completions" in text_of(app))  # below the edge before
            assert "verdict" not in text_of(app)
            await pilot.press("enter")
            await until(pilot, lambda: "verdict" in text_of(app))

    run(go())
