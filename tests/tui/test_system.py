"""System: what a run costs, in words, a bar without colour, and curves; or what is not known of it and why."""

from pathlib import Path

import pytest
from rich.console import Console

from diagnostics.cost import Phase, cost
from diagnostics.events import MetricsLogged
from diagnostics.sources import find
from studies.log import trial_directory
from tui import feed as feeds
from tui.app import MonitorApp
from tui.screens.system import disk
from tui.widgets.cost import Bar, cost_in_words, rate, seconds
from tui.widgets.curves import Curves

from .pilots import until

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)


def words_of(app: MonitorApp, text_of) -> str:
    return " ".join(text_of(app).split())


def test_a_trial_tells_its_pace_its_phases_and_the_study_around_it(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()
    stage.healthy_trial()
    events = stage.running_trial()
    phases = {"generation_seconds": 0.3, "reward_seconds": 0.05, "update_seconds": 0.15}
    for step in range(43, 60):
        stage.clock.now += 0.5
        events.emit(MetricsLogged(step, {**phases, "completions_generated": 128.0 * step, "gpu_utilization": 0.9}))
    folder = trial_directory(Path("st"), 1) / "checkpoints" / "checkpoint-10"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"0" * 2_500_000)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("6")
            await until(pilot, lambda: "of checkpoints" in text_of(app))
            text = words_of(app, text_of)
            for told in (
                "now 2 steps/s, 0.5 s a step",
                "█ generation 60%",
                "▒ reward 10%",
                "░ update 30%",
                "all else waits for generation: 60% of a step",
                "gpu_utilization 90% now, 90% at most",
                "1 trial at a time, 1 now",
                "42 s usually, the longest 54 s",
                "2 MB of checkpoints in 1 trial",
                "no scoring_seconds",
            ):
                assert told in text, told
            drawn = {plot.metric for plot in app.screen.query_one(Curves).plots}
            assert drawn == {*phases, "completions_generated", "gpu_utilization"}
            stage.clock.now += 240
            app.screen.tick()
            await pilot.pause()
            assert "last step 4 min 00 s ago, usually every 0.5 s" in words_of(app, text_of)

    run(go())


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_a_log_that_tells_nothing_of_it_says_so(tmp_path: Path, run, text_of, size) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f'{{"step": {step}, "reward": {step}}}\n' for step in range(9)))

    async def go() -> None:
        app = MonitorApp(log, found=find(log))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.source.logs[0].report)
            await pilot.press("6")
            text = words_of(app, text_of)
            assert "the time of a step: the log says neither when its steps were logged nor how long they took" in text
            assert "No curves" in text
            assert "instrument()" in text
            assert "Study" not in text

    run(go())


def test_before_the_first_trial_there_is_no_error(stage, run, text_of) -> None:
    stage.begin()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.study)
            await pilot.press("6", "tab", "y")
            stage.running_trial()
            await until(pilot, lambda: "What trial 2 costs" in text_of(app))

    run(go())


def test_the_bar_fills_its_width_whatever_is_rounded() -> None:
    phases = [Phase("generation", 1, 1 / 3), Phase("update", 1, 1 / 3), Phase("other", 1, 1 / 3)]
    for width in (10, 31, 100):
        console = Console(width=width, file=None, color_system=None)
        with console.capture() as capture:
            console.print(Bar(phases))
        line = capture.get().rstrip("\n")
        assert len(line) == width
        assert set(line) == {"█", "░", "·"}


def test_the_words_are_of_any_width_and_without_markup() -> None:
    console = Console(width=30, color_system=None)
    with console.capture() as capture:
        console.print(cost_in_words(cost({}, None), None, ""))
    assert all(len(line) <= 30 for line in capture.get().splitlines())


def test_numbers_are_said_as_people_do() -> None:
    assert [seconds(value) for value in (0.0312, 0.5, 9.94, 75)] == ["0.031 s", "0.5 s", "9.9 s", "1 min 15 s"]
    assert [rate(value) for value in (0.0123, 1.82, 12345.6)] == ["0.0123", "1.82", "12,346"]


def test_checkpoints_that_cannot_be_counted_are_said(tmp_path: Path) -> None:
    assert disk(tmp_path / "gone").startswith("checkpoints could not be counted: No such file")
    (tmp_path / "trials" / "0").mkdir(parents=True)
    assert disk(tmp_path) == "no checkpoints"
