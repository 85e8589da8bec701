"""Help, the command palette, and what y copies: all that a person finds without knowing a key."""

from pathlib import Path

import pytest
from textual.command import CommandPalette
from textual.widgets import Input, OptionList

from diagnostics.events import MetricsLogged
from diagnostics.sources import find
from studies.record import Origin, Proposal
from tui import feed as feeds
from tui.actions import ACTIONS, possible
from tui.app import MonitorApp
from tui.copying import LARGEST, told
from tui.keys import bindings, groups, shown
from tui.screens.frame import Frame
from tui.screens.help import Help
from tui.screens.zoom import Zoom
from tui.widgets.trials import Trials

from .pilots import said, until

HOSTILE = "[red]b[/red][@click=app.leave]x[/] \x1b[31mred"
SMALL, LARGE = (80, 24), (160, 50)
RUN = Path(__file__).parent.parent / "data" / "runs" / "good-0"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "INTERVAL", 0.02)


async def find_command(pilot, letters: str, first: str) -> str:
    """Type `letters` into the palette until what is offered first begins with `first`; returns all of it."""
    app = pilot.app
    await pilot.press("ctrl+p")
    await until(pilot, lambda: isinstance(app.screen, CommandPalette))
    app.screen.query_one(Input).value = letters
    options = app.screen.query_one(OptionList)
    await until(pilot, lambda: _texts(options)[:1] and _texts(options)[0].startswith(first))
    return _texts(options)[0]


def _texts(options: OptionList) -> list[str]:
    return [str(getattr(option.prompt, "plain", option.prompt)) for option in options.options]


# ---- help


def test_help_tells_every_key_of_every_screen(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: app.watched.study)
            for number in range(1, len(app.tabs) + 1):
                await pilot.press(str(number))
                screen = app.screen
                assert isinstance(screen, Frame)
                there = {key for rows in groups(app).values() for keys, _ in rows for key in keys.split()}
                nodes = [screen, *(screen.query_one(f"#{pane}") for pane in screen.PANES)]
                bound = [binding for node in nodes for binding in bindings(node)]
                bound += [active.binding for active in screen.active_bindings.values() if active.node is app]
                assert len(bound) > 20
                assert {shown(app, binding) for binding in bound} <= there, number
                assert all(text for rows in groups(app).values() for _, text in rows)

    run(go())


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_help_fits_and_scrolls_and_says_what_cannot_be_done_now(stage, run, text_of, size) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.watched.study)
            told = dict(groups(app)["Asked of the study"])
            assert told["r"].startswith(
                "never run the trial that waits for you, and say why (not now: no proposal waits"
            )
            assert "not now" not in told["p"]
            await pilot.press("question_mark")
            assert isinstance(app.screen, Help)
            assert "The screen Study" in text_of(app)
            await pilot.press("end")
            await until(pilot, lambda: "the best trial so far" in text_of(app))
            assert "set-clipboard on" in text_of(app)
            await pilot.press("question_mark")
            assert not isinstance(app.screen, Help)

    run(go())


def test_help_of_a_log_asks_nothing_of_a_study(run, text_of) -> None:
    async def go() -> None:
        app = MonitorApp(RUN, found=find(RUN))
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: app.watched.run)
            assert "Asked of the study" not in groups(app)
            await pilot.press("x", "p", "c", "question_mark")
            assert isinstance(app.screen, Help)
            await pilot.press("end")
            await until(pilot, lambda: "segment" in text_of(app))

    run(go())


def test_help_on_one_plot_has_its_own_keys(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: app.watched.run)
            await app.push_screen(Zoom("reward_mean"))
            known = groups(app)
            assert "The screen" in known
            assert any("pause the selected trial" in text for _, text in known["Asked of the study"])

    run(go())


# ---- the palette


def test_the_palette_finds_screens_actions_keys_runs_metrics_and_themes(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await find_command(pilot, "go to 0", "Go to trial 0")
            await pilot.press("enter")
            await until(pilot, lambda: app.watched.selected == 0)
            await find_command(pilot, "kltoken", "Zoom kl.reference.k3.token")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Zoom) and app.screen.metric == "kl.reference.k3.token")
            await pilot.press("escape")
            await find_command(pilot, "screensystem", "Screen: System (6)")
            await pilot.press("enter")
            await until(pilot, lambda: app.current_mode == "system")
            await find_command(pilot, "theme blind light", "Theme: colour-blind-light")
            await pilot.press("enter")
            await until(pilot, lambda: app.theme == "colour-blind-light")
            text = await find_command(pilot, "pause the sel", "Ask: pause the selected trial")
            assert "not now: trial 0 does not run" in text
            await pilot.press("enter")
            await until(pilot, lambda: "trial 0 does not run: select trial 2" in said(app))

    run(go())


def test_before_anything_is_typed_the_palette_shows_all_but_runs_and_metrics(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("ctrl+p")
            await until(pilot, lambda: isinstance(app.screen, CommandPalette))
            options = app.screen.query_one(OptionList)
            await until(pilot, lambda: options.option_count > len(ACTIONS) + 6)
            await pilot.pause(0.3)
            texts = _texts(options)
            for action in ACTIONS:  # those that can be asked now, and none once more as a key
                assert sum(action.text in text for text in texts) == (action.name in possible(app.watched))
            assert any(text.startswith("Screen: Study (1)") for text in texts)
            assert any("Theme: dark" in text for text in texts)
            assert not any(text.startswith(("Go to", "Zoom kl")) for text in texts)
            keys = {key for text in texts for key in text.partition("\n")[0].rpartition("(")[2].rstrip(")").split()}
            assert {"?", "q", "y", "e", "L", "m"} <= keys

    run(go())


def test_names_in_logs_are_text_in_the_palette(stage, run) -> None:
    stage.begin()
    events = stage.propose(0, Proposal({"learning_rate": 1e-3}, Origin.START, "why"))
    events.emit(MetricsLogged(1, {HOSTILE: 0.5, "reward_mean": 0.1}))

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: app.watched.run and app.watched.run.metrics)
            await find_command(pilot, "[red]b", "Zoom [red]b[/red][@click=app.leave]x[/] \\x1b[31mred")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Zoom))
            assert app.screen.metric == HOSTILE

    run(go())


# ---- the clipboard


def test_y_copies_the_pane_that_has_the_focus(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.press("y")
            rows = app.clipboard.split("\n")
            assert len(rows) == 1 + 3
            assert rows[1].split("\t")[0] == "0"
            assert "copied the table: 4 lines" in said(app)
            await pilot.press("tab", "y")
            assert "because  trial 1 is the best so far; nothing below it was tried" in app.clipboard
            assert "\x1b" not in app.clipboard
            await pilot.press("tab", "y")
            assert any(line.startswith("reward_mean\t42\t") for line in app.clipboard.split("\n"))

    run(go())


def test_what_the_mouse_selects_is_copied_and_nothing_else(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=LARGE) as pilot:
            await until(pilot, lambda: app.watched.run)
            await pilot.pause()
            await pilot.mouse_down("#about Words", offset=(9, 0))
            await pilot.hover("#about Words", offset=(15, 0))
            await pilot.mouse_up("#about Words", offset=(15, 0))
            await pilot.press("y")
            assert app.clipboard == "nothing"
            assert "what is selected" in said(app)
            await pilot.press("ctrl+c")  # interrupts, whatever is selected
        assert app.return_value is not None
        assert app.return_value.value == "interrupt"

    run(go())


def test_settings_and_findings_are_copied_from_the_palette(stage, run) -> None:
    stage.running()

    async def go() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock)
        async with app.run_test(size=SMALL) as pilot:
            await until(pilot, lambda: app.watched.run)
            app.screen.query_one(Trials).move_cursor(row=0)
            await until(pilot, lambda: app.watched.selected == 0)
            await find_command(pilot, "settings of trial", "Copy the settings of trial 0 as KNOB=VALUE")
            await pilot.press("enter")
            await until(pilot, lambda: "learning_rate=0.003\nkl_coef=0.04\n" in app.clipboard)
            await find_command(pilot, "findings of", "Copy the findings of trial 0")
            await pilot.press("enter")
            await until(pilot, lambda: "FATAL KL002 kl_explosion at step 49" in app.clipboard)

    run(go())


def test_a_text_that_is_too_long_for_a_terminal_is_cut_and_that_is_said() -> None:
    assert told("a\nb", "it") == "copied it: 2 lines"
    assert "cut after 74,000 characters" in told("a" * (LARGEST + 1), "it")
    assert told("", "the curves") == "there is nothing to copy in the curves"
