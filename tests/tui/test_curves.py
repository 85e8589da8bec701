"""The curves on the screen: what keys, the mouse and a search do to them, while data comes in."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.events import EventLog, KnobChanged, MetricsLogged
from diagnostics.sources import find
from studies.record import Origin, Proposal
from tui import feed, log_feed
from tui.app import MonitorApp
from tui.look import Look
from tui.screens.zoom import Zoom
from tui.widgets.curves import Curves
from tui.widgets.large_plot import LargePlot
from tui.widgets.look_line import Search

from .pilots import HOSTILE, until

RUN = "2"  # the key of the screen


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "INTERVAL", 0.02)
    monkeypatch.setattr(log_feed, "INTERVAL", 0.02)


def curves(app: MonitorApp) -> Curves:
    return app.screen.query_one(Curves)


def shown(app: MonitorApp) -> list[str]:
    return [plot.metric for plot in curves(app).matching]


def look_line(app: MonitorApp, text_of: Callable) -> str:
    return text_of(app).splitlines()[-2].strip()


@pytest.mark.parametrize("size", [(80, 24), (220, 60)])
def test_a_search_narrows_the_curves_while_it_is_typed(stage, run, text_of, size: tuple[int, int]) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN)
            assert len(shown(app)) == 7
            assert not app.screen.query_one(Search).has_class("open")
            await pilot.press("slash", *"gra")
            assert shown(app) == ["grad_norm"]
            assert "1 of 7 metrics match gra" in text_of(app)
            await pilot.press("backspace", "backspace", "backspace", *"ReWard", "enter")
            assert shown(app) == ["validation_reward", "reward_mean", "zero_std_share"]  # the last one by its group
            assert app.focused is curves(app)
            assert "3 of 7" in text_of(app)
            await pilot.press("1")
            assert shown(app) == ["validation_reward", "reward_mean", "zero_std_share"]  # on all screens alike
            await pilot.press(RUN, "escape")
            assert len(shown(app)) == 7
            await pilot.press("slash", *"nothing is called so")
            assert "no metric matches" in text_of(app)
            await pilot.press("escape")
            assert (app.look, len(shown(app))) == (Look(), 7)
            assert app.focused is curves(app)

    run(go())


def test_a_terminal_that_grows_shows_more_plots_side_by_side(stage, run, text_of) -> None:
    """Those that are drawn late stand in the rows that were measured, not in those that the new width will have."""
    stage.begin()
    events = stage.propose(0, Proposal({"learning_rate": 1e-3}, Origin.START, "why"))
    for step in range(50):
        events.emit(MetricsLogged(step, {f"reward_component[{i}]": float(step % (i + 2)) for i in range(12)}))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(220, 60)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN)
            await until(pilot, lambda: len(shown(app)) == 12)
            for size, across in (((80, 60), 2), ((160, 50), 4), ((100, 24), 2), ((220, 60), 6)):
                await pilot.resize_terminal(*size)
                await until(pilot, lambda a=across: titles(text_of(app)) == a)

    def titles(text: str) -> int:
        return max(line.count("reward_component[") for line in text.splitlines())

    run(go())


def test_what_findings_rest_on_can_be_searched_for(stage, run) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "left_square_bracket", "slash", "exclamation_mark", "enter")
            assert shown(app) == ["kl.reference.k3.token"]

    run(go())


def test_letters_that_are_typed_are_no_keys(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "slash", *"LTSz0bmqxsp?[1")
            assert app.look == Look(search="LTSz0bmqxsp?[1")
            assert app.is_running
            assert app.current_mode == "run"

    run(go())


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_how_curves_are_drawn_is_the_same_on_all_screens_and_said(stage, run, text_of, size: tuple[int, int]) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN)
            before = text_of(app)
            await pilot.press("L")
            assert "log" in text_of(app)
            assert look_line(app, text_of).startswith("log scale (L)")
            await pilot.press("L", "S")
            assert look_line(app, text_of).startswith("median over 1/20")
            await pilot.press("S", "S", "T")
            assert look_line(app, text_of) == "by time (T)"
            assert "30s" in text_of(app)  # of 42 steps of half a second in trial 2, and of trial 1's hundred
            await pilot.press("1")
            assert curves(app).look.time
            await pilot.press("enter" if size == (80, 24) else "tab", "2", "T", "b")
            assert "trial 1 hidden (b)" in look_line(app, text_of)
            await pilot.press("b")
            assert text_of(app) == before

    run(go())


def test_a_log_that_does_not_say_when_stays_by_step_and_that_is_said(run, text_of, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {i}, "reward": {i / 9}, "kl": 0.1, "loss": 0.5}}\n' for i in range(30)))

    async def go() -> None:
        app = MonitorApp(path, found=find(path))
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "T")
            assert "by step: nothing says when steps were logged" in text_of(app)
            assert text_of(app).count(" 29\n") >= 1  # the last step, below plots

    run(go())


def test_a_part_of_the_steps_follows_the_newest_until_a_cursor_holds_it(stage, run, text_of) -> None:
    stage.begin()
    events = stage.running_trial(steps=60)

    def steps(app: MonitorApp) -> tuple[int, int]:
        return app.look.shown(curves(app).plots[0].reach)

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "z", "z")
            assert steps(app) == (35, 60)
            assert "steps 35 to 60 of 100, the newest (0 all)" in text_of(app)
            stage.steps(events, 60, 70, sick=False)
            await until(pilot, lambda: steps(app) == (45, 70))
            await pilot.press("enter", "z", *["left"] * 20, "z")
            cursor = app.screen.cursor
            held = app.look.shown(app.screen._plots[0].reach)
            assert held[0] < cursor < held[1] < 70
            stage.steps(events, 70, 90, sick=False)
            await until(pilot, lambda: app.watched.run.metrics["reward_mean"].steps[-1] == 90)
            assert app.look.shown(app.screen._plots[0].reach) == held
            assert app.screen.cursor == cursor
            await pilot.press("0")
            assert app.look == Look()

    run(go())


def test_the_cursor_tells_what_stands_where_it_points(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(120, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "left_square_bracket", "slash", *"kl", "enter", "enter", "left")
            assert isinstance(app.screen, Zoom)
            assert app.screen.cursor == 49  # the newest step of the trial that was stopped there
            assert "step 49 · 24s (" in text_of(app)
            assert "FATAL KL002" in text_of(app)
            values = app.watched.run.metrics["kl.reference.k3.token"]
            assert f" {values.values[-1]:.3g} nats" in text_of(app)
            for _ in range(40):
                await pilot.press("left")
            assert app.screen.cursor == 9
            assert "step 9 ·" in text_of(app)
            await pilot.press("escape", "right_square_bracket", "enter", "left")
            assert app.screen.cursor == 100
            beneath = values.values[-1]  # as far as the other run is known
            assert f"trial 0: {beneath:.3g}" in text_of(app)

    run(go())


def test_up_and_down_turn_to_other_metrics_of_those_searched_for(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "slash", *"reward", "enter", "enter")
            seen = []
            for _ in range(4):
                seen.append(app.screen.metric)
                await pilot.press("down")
            assert seen == ["validation_reward", "reward_mean", "zero_std_share", "validation_reward"]
            await pilot.press("up", "up", "escape")
            assert app.current_mode == "run"

    run(go())


def test_the_mouse_points_drags_and_turns(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(120, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN)
            await pilot.click(Curves, offset=(50, 4), times=2)
            large = app.screen.query_one(LargePlot)
            assert large.plot.metric == "reward_mean"
            await pilot.click(LargePlot, offset=(9 + 55, 8))
            assert app.screen.cursor == pytest.approx(50, abs=2)
            assert app.look.span is None  # a click drags nothing
            await pilot.mouse_down(LargePlot, offset=(9 + 22, 8))
            await pilot.hover(LargePlot, offset=(9 + 40, 8))
            await pilot.mouse_up(LargePlot, offset=(9 + 44, 8))
            first, last = app.look.shown(large.plot.reach)
            assert first == pytest.approx(20, abs=2)
            assert last == pytest.approx(40, abs=2)
            await pilot._post_mouse_events([events.MouseScrollUp], LargePlot, offset=(9 + 55, 8))
            assert app.look.span < last - first
            for _ in range(9):
                await pilot._post_mouse_events([events.MouseScrollDown], LargePlot, offset=(9 + 55, 8))
            assert app.look.span is None

    from textual import events

    run(go())


@pytest.mark.parametrize("size", [(80, 24), (220, 60)])
def test_anything_that_is_logged_can_be_looked_at_in_any_way(stage, run, text_of, size: tuple[int, int]) -> None:
    stage.begin()
    log = stage.running_trial(steps=30)
    strange = {
        HOSTILE: 1.0,
        "a/name/" + "that/goes/on/" * 9: -3.0,
        "one point": 2.0,
        **{f"metric_{i}": i * 1.5 for i in range(45)},
    }
    log.emit(MetricsLogged(31, {"reward_mean": math.nan, "value_loss": math.inf, "explained_variance": -5.0}, strange))
    log.emit(KnobChanged(31, "learning_rate", 1e-4, 5e-5))
    log.emit(MetricsLogged(32, {"explained_variance": 0.5, "value_loss": 3.0}))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.watched.run and len(app.watched.run.metrics) > 50)
            await pilot.press(RUN)
            assert "learning_rate 5e-05 at step 31" in " ".join(text_of(app).split())
            for keys in (["L"], ["S"], ["T"], ["z"], ["z", "z"], ["0", "L", "S", "S", "T", "b"]):
                await pilot.press(*keys)
                await pilot.press("down", "down", "up", "enter", "left", "escape")
                text = text_of(app)
                assert "\x1b" not in text
                assert "\u202e" not in text
                assert max(map(len, text.splitlines())) <= size[0]
            await pilot.press("slash", *"red", "enter")
            assert "[red]bold[/red]" in text_of(app)
            assert app.is_running

    run(go())


def test_a_run_without_metrics_says_so(stage, run, text_of) -> None:
    stage.begin()
    EventLog(Path("st") / "trials" / "0" / "events.jsonl", clock=stage.clock).close()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: app.watched.source)
            await pilot.press(RUN, "L", "z", "slash", "k", "enter", "enter", "down", "right", "escape", "b", "m")
            assert "no metrics yet" in text_of(app)

    run(go())


def test_curves_that_had_to_wait_are_drawn_all_the_same(stage, run, text_of, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.finished()
    texts = []

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN, "S")
            await until(pilot, lambda: not curves(app)._late)
            texts.append(text_of(app))

    for at_once in (99, 1):
        monkeypatch.setattr("tui.widgets.curves.AT_ONCE", at_once)
        run(go())
    assert "completions_generated" in texts[0]
    assert texts[0] == texts[1]


def test_the_run_is_told_in_a_line_above_its_curves(stage, run, text_of) -> None:
    stage.finished()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(120, 30)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN)
            assert "complete · nothing is found wrong · learning_rate 0.003 → 0.000375" in text_of(app)
            assert "trial 1  (dotted: trial 0)" in text_of(app)
            await pilot.press("left_square_bracket")
            told = text_of(app)
            assert "stopped 49/100 ·  FATAL KL002 kl_explosion  since step 5 · as the study starts" in told
            assert "── KL  FATAL KL002 since step 5 ──" in told
            assert "dotted" not in told

    run(go())


def test_what_is_painted_of_a_step_is_what_would_be_painted_anew(stage, run, text_of) -> None:
    """Of a live run only the lines that changed are painted."""
    events = stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=(160, 50)) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await pilot.press(RUN)
            await pilot.pause(0.2)
            painted: list[int] = []
            whole = curves(app).render_line
            curves(app).render_line = lambda y: painted.append(y) or whole(y)  # type: ignore[method-assign]
            for step in (42, 55, 56, 70):
                painted.clear()
                stage.steps(events, step, step + 1, sick=step == 56)
                await until(pilot, lambda step=step: app.watched.run.of.steps == step + 1)
                assert 0 < len(set(painted)) < curves(app).size.height
                told = text_of(app)
                app.screen.refresh(layout=True)
                curves(app).refresh()
                await pilot.pause()
                assert told == text_of(app)

    run(go())
