"""Two runs compared: what is said of them, which two they are, and what is said where it cannot be done."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted
from diagnostics.readers.events import RunLog
from diagnostics.sources import find
from studies.record import Origin, Proposal, State
from tui import compare_feed, log_feed
from tui import feed as feeds
from tui.app import MonitorApp, MonitorResult
from tui.screens.compare import CompareScreen, CompareZoom
from tui.widgets.curves import Curves
from tui.widgets.others import Others

from .conftest import START
from .pilots import until

SIZES = [(80, 24), (160, 50)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)
    monkeypatch.setattr(feeds, "LOCK_INTERVAL", 0.02)
    monkeypatch.setattr(log_feed, "INTERVAL", 0.02)
    monkeypatch.setattr(compare_feed, "INTERVAL", 0.02)
    monkeypatch.setattr(compare_feed, "SHARE", 1.0)


def words(app: MonitorApp, pane: str = "#report") -> str:
    """What stands in a pane, on one line, so that it may break anywhere."""
    region = app.screen.query_one(pane).region
    strips = app.screen._compositor.render_strips()[region.y : region.bottom]
    return " ".join(" ".join(strip.crop(region.x, region.right).text for strip in strips).split())


async def opened(pilot, app: MonitorApp) -> CompareScreen:
    """Turn to the comparison, and wait until it is there, or why it is not."""
    await until(pilot, lambda: app.watched.run)
    await pilot.press("5")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen))
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    await until(pilot, lambda: screen.view.comparison or screen.view.trouble or screen.view.keys is None)
    return screen


@pytest.mark.parametrize("size", SIZES)
def test_a_change_is_told_with_its_verdict_settings_findings_and_curves(stage, size, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            screen = await opened(pilot, app)
            assert screen.view.names == ("trial 0", "trial 1")
            text = words(app)
            assert "trial 0 → trial 1" in text_of(app)
            assert "CONFIRMED: the divergence fell as said, and the reward rose beyond the noise" in text
            assert "learning_rate 0.003 → 0.000375 (÷ 8)" in text
            assert "trial 1 (solid) and trial 0 (dotted)" in text_of(app)
            assert "changed from" in words(app, "#others")
            if size == SIZES[-1]:
                assert "Seed 0 → 1: a part of what differs is chance" in text
                assert "gone KL002 kl_explosion error" in text
                assert "Metrics that part" in text and "reward_mean 3 -0.9 0.224 +1.12 ± 0.18" in text
                assert "Expected the updates are so large" in text
            plots = screen.query_one(Curves).plots
            assert [plot.metric for plot in plots[:2]] == ["reward_mean", "kl.reference.k3.token"]  # those that part
            assert all(plot.equal and plot.before.steps for plot in plots)
            await pilot.press("tab", "tab", "enter")
            await pilot.pause()
            assert isinstance(app.screen, CompareZoom) and len(app.screen_stack) == 2
            assert "trial 1  (dotted: trial 0)" in text_of(app)

    run(go())


def test_another_run_is_chosen_from_the_list_with_keys_and_mouse_and_by_its_mark(stage, run, text_of) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await opened(pilot, app)
            assert app.watched.selected == 2 and screen.view.keys == (1, 2)  # the trial that it was changed from
            await pilot.press("up")
            await until(pilot, lambda: screen.view.comparison and screen.view.keys == (0, 2))
            assert app.watched.baseline == 0
            assert "◉ marked" in text_of(app) and "changed from" in text_of(app)
            await pilot.press("down")  # the usual one needs no mark
            await until(pilot, lambda: screen.view.keys == (1, 2))
            assert app.watched.baseline is None
            await pilot.click("#others", offset=(3, 2))
            await until(pilot, lambda: screen.view.comparison and screen.view.keys == (0, 2))
            await pilot.press("left_square_bracket")  # the mark holds for another run, too
            await until(pilot, lambda: screen.view.comparison and screen.view.keys == (0, 1))
            await pilot.press("m", "left_square_bracket")  # trial 1 is marked, and trial 0 looked at
            await until(pilot, lambda: screen.view.comparison and screen.view.keys == (1, 0))
            assert "CONFIRMED" not in text_of(app)  # the change was the other way round
            await pilot.press("right_square_bracket", "m")
            assert app.watched.baseline is None

    run(go())


def test_the_first_run_has_none_before_it_and_asks_which(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            screen = await opened(pilot, app)
            await pilot.press("left_square_bracket")
            await until(pilot, lambda: "trial 0 is the first: choose above what to compare it with" in text_of(app))
            assert screen.query_one(Others).row_count == 1 and not screen.query_one(Curves).plots
            await pilot.click("#others", offset=(3, 2))
            await until(pilot, lambda: screen.view.comparison and screen.view.keys == (1, 0))

    run(go())


def test_a_single_run_says_so_and_one_that_has_not_begun_too(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await opened(pilot, app)
            assert "There is only one run, trial 0: nothing to compare it with yet." in text_of(app)
            events = stage.propose(1, stage.cure())
            await until(pilot, lambda: "trial 1 has not begun: no step yet" in text_of(app))
            stage.steps(events, 0, 30, sick=False)
            await until(pilot, lambda: "learning_rate 0.003 → 0.000375" in text_of(app))
            assert "not judged yet" in text_of(app)

    run(go())


def test_what_is_compared_follows_a_run_that_goes_on(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()
    events = stage.propose(1, stage.cure())
    stage.steps(events, 0, 8, sick=False)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            screen = await opened(pilot, app)
            await until(pilot, lambda: "to step 8:" in text_of(app))
            stage.steps(events, 8, 60, sick=False)
            await until(pilot, lambda: "to step 60:" in text_of(app))
            assert screen.view.comparison and screen.view.comparison.apart()

    run(go())


def test_all_seeds_of_the_same_settings_stand_on_their_side(stage, run, text_of) -> None:
    stage.begin()
    stage.sick_trial()
    stage.healthy_trial()
    again = replace(stage.cure(), origin=Origin.CONFIRM, parent=1, hypothesis=None)
    events = stage.propose(2, again)
    stage.steps(events, 0, 100, sick=False)
    events.emit(RunEnded(100, Outcome.FINISHED))
    stage.log.ended(2, State.COMPLETE, "ran to its end", 0.15, 54.0)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            screen = await opened(pilot, app)
            assert screen.view.names == ("trial 1", "trial 2")  # of one setting, each by itself
            assert "the same on both sides: what differs is chance" in words(app)
            await pilot.press("up")
            await until(pilot, lambda: screen.view.comparison and screen.view.keys == (0, 2))
            assert screen.view.names == ("trial 0", "trials 2, 1")
            assert len(screen.view.comparison.after) == 2
            assert "Seeds all that ran with these settings are compared" in words(app)

    run(go())


def test_a_step_that_the_study_has_not_told_is_not_compared(stage, tmp_path: Path) -> None:
    """As in a replay, where the files hold all of it."""
    stage.running()
    feed = feeds.Feed(Path("st"), lambda snapshot: None, lambda error: None)
    study = feed.read().study
    assert study is not None
    trial = study.trial(1)
    assert trial is not None and trial.steps == 100
    early = replace(trial, steps=30)
    view = compare_feed.RunView(1, "trial 1", early)
    judged = compare_feed.CompareFeed(lambda v: None, lambda e: None)._judge(view, study)
    assert judged.run.last_step == judged.report.steps == 30
    feed.close()


# ---- logs


def rows(folder: Path, name: str, names: tuple[str, ...], slope: float, **settings: object) -> None:
    """The log of a trainer of transformers."""
    history = [{"step": step, **dict.fromkeys(names, slope * step + 0.01 * (-1) ** step)} for step in range(1, 61)]
    (folder / name).mkdir()
    state = {"log_history": history, "global_step": 60, "max_steps": 60, **settings}
    (folder / name / "trainer_state.json").write_text(json.dumps(state))


def test_runs_of_logs_are_compared_with_the_one_before_them_in_the_list(tmp_path: Path, run, text_of) -> None:
    rows(tmp_path, "a", ("reward", "kl", "grad_norm"), 0.001)
    rows(tmp_path, "b", ("reward", "kl", "grad_norm"), 0.02)
    rows(tmp_path, "c", ("reward", "entropy"), 0.02)

    async def go() -> None:
        app = MonitorApp(tmp_path, found=find(tmp_path))
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: len(app.watched.runs) == 3 and all(r.of.log.report for r in app.watched.runs))
            app.select(app.watched.runs[1].key)
            screen = await opened(pilot, app)
            assert screen.view.names == ("A", "B")
            text = words(app)
            assert "Reward reward_mean ends" in text
            assert "1 of 1 metric parts beyond noise" in text  # the others have its numbers
            assert "B b/trainer_state.json (solid) and A a/trainer_state.json (dotted)" in text_of(app)
            app.select(app.watched.runs[0].key)
            await until(pilot, lambda: "is the first: choose above what to compare it with" in words(app))

    run(go())


def test_runs_of_different_formats_without_a_metric_in_common_say_so(tmp_path: Path, run, text_of) -> None:
    rows(tmp_path, "a", ("reward", "kl"), 0.001)
    log = EventLog(tmp_path / "b" / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"max_steps": 40, "learning_rate": 1e-3}))
    for step in range(40):
        log.emit(MetricsLogged(step, {"entropy.token": 0.5 + step / 100}))
    log.emit(RunEnded(40, Outcome.FINISHED))

    async def go() -> None:
        app = MonitorApp(tmp_path, found=find(tmp_path))
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: len(app.watched.runs) == 2 and all(r.of.log.report for r in app.watched.runs))
            app.select(app.watched.runs[1].key)
            await opened(pilot, app)
            text = words(app)
            assert "They have no metric in common that could be compared." in text
            assert "Logged by A alone:" in text and "Logged by B alone:" in text

    run(go())


def test_hostile_names_stay_text(tmp_path: Path, run, text_of) -> None:
    hostile = "[red]x[@click=app.leave]\x1b[31m\u202ey"
    rows(tmp_path, hostile, ("reward", hostile), 0.001)
    rows(tmp_path, "b", ("reward", hostile), 0.02)

    async def go() -> None:
        app = MonitorApp(tmp_path, found=find(tmp_path))
        async with app.run_test(size=(220, 60)) as pilot:
            await until(pilot, lambda: len(app.watched.runs) == 2 and all(r.of.log.report for r in app.watched.runs))
            app.select(next(r.key for r in app.watched.runs if "red" not in r.name))
            app.mark(next(r.key for r in app.watched.runs if "red" in r.name))
            await opened(pilot, app)
            text = text_of(app)
            assert "[red]x[@click=app.leave]\\x1b[31m" in text
            assert "\x1b" not in text and "\u202e" not in text

    run(go())


def test_keys_are_answered_while_the_disk_hangs(stage, run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.finished()
    gate, inside = threading.Event(), threading.Event()

    def hanging(self: RunLog) -> bool:
        inside.set()
        gate.wait(30)
        return False

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run)
            monkeypatch.setattr(RunLog, "poll", hanging)
            await pilot.press("5")
            await until(pilot, inside.is_set)
            assert "being compared" in text_of(app)
            await pilot.press("tab", "down", "tab", "down", "left_square_bracket")
            assert "trial 0 is the first" in text_of(app)
            await pilot.press("q")
        assert app.return_value is MonitorResult.LEFT

    try:
        run(go())
    finally:
        gate.set()


def test_two_hundred_trials_can_be_chosen_from(stage, run, text_of) -> None:
    stage.begin(200)
    for number in range(200):
        knobs = {**START, "learning_rate": 1e-4 * (number + 1)}
        proposal = Proposal(knobs, Origin.SAMPLER, "the model says so", 0 if number else None, "", "learning_rate")
        events = stage.propose(number, proposal)
        stage.steps(events, 0, 8, sick=False)
        events.close()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await opened(pilot, app)
            assert screen.view.keys == (0, 199)
            await pilot.press("ctrl+end")
            await until(pilot, lambda: screen.view.keys == (198, 199) and screen.view.comparison)
            assert "learning_rate 0.0199 → 0.02" in words(app)
            assert len(screen._feed._judged) <= compare_feed.OPEN

    run(go())
