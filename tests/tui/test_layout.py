"""How the monitor was left is found again; whatever is wrong with the file costs a line and nothing else."""

import asyncio
import json
from pathlib import Path

import pytest

from tui.app import MonitorApp
from tui.feed import Loop
from tui.layout import VERSION, Layout, state_file
from tui.look import Look
from tui.theme import COLOUR_BLIND_LIGHT, DARK, LIGHT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state/autotune/monitor.json"


def test_what_is_kept_is_found_again(file: Path):
    layout = Layout(file)
    assert (layout.get("theme"), layout.trouble) == (None, "")
    assert layout.keep({"theme": "light", "log": True}) == ""
    again = Layout(file)
    assert (again.get("theme"), again.get("log"), again.get("version")) == ("light", True, None)
    assert [path.name for path in file.parent.iterdir()] == [file.name]  # nothing partial is left


def test_of_two_at_once_neither_undoes_what_the_other_was_told(file: Path):
    Layout(file).keep({"theme": "dark", "study.screen": "study"})
    one, other = Layout(file), Layout(file)
    one.keep({"theme": "light", "study.screen": "study"})
    other.keep({"theme": "dark", "study.screen": "run"})  # its theme is the one it began with
    assert json.loads(file.read_text()) == {"version": VERSION, "theme": "light", "study.screen": "run"}


def test_what_did_not_change_is_not_written(file: Path):
    layout = Layout(file)
    layout.keep({"theme": "light"})
    file.unlink()
    layout.keep({"theme": "light"})
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "it is damaged"),
        (b'{"version": 1, "theme": "lig', "it is damaged"),
        (b"\xff\xfe\x00", "it is damaged"),
        (b"[1, 2]", "it is no layout"),
        (b'{"theme": "light"}', "it is no layout"),
        (b'{"version": 1, "a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "it is nested too deep"),
        (b'{"version": 1, "a": "' + b"x" * 70_000 + b'"}', "it is too large"),
    ],
)
def test_a_damaged_file_costs_a_line_and_is_replaced(file: Path, text: bytes, said: str):
    file.parent.mkdir(parents=True)
    file.write_bytes(text)
    layout = Layout(file)
    assert layout.get("theme") is None
    assert said in layout.trouble and "\n" not in layout.trouble
    assert layout.keep({"theme": "light"}) == ""
    assert Layout(file).get("theme") == "light"


def test_a_file_of_a_newer_version_is_left_as_it_is(file: Path):
    file.parent.mkdir(parents=True)
    text = f'{{"version": {VERSION + 1}, "theme": {{"name": "x"}}}}'
    file.write_text(text)
    layout = Layout(file)
    assert "newer version" in layout.trouble
    assert layout.get("theme") is None
    assert layout.keep({"theme": "light"}) == ""
    assert file.read_text() == text
    layout = Layout(file.with_name("other.json"))  # and one that became newer in the meantime
    file.rename(file.with_name("other.json"))
    assert layout.keep({"theme": "light"}) == ""
    assert file.with_name("other.json").read_text() == text


def test_where_nothing_can_be_written_a_line_says_so(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch):
    layout = Layout(file)
    (tmp_path / "state").write_text("a file where the folder should be")
    told = layout.keep({"theme": "light"})
    assert str(file) in told and "\n" not in told
    (tmp_path / "state").unlink()

    Layout(file).keep({"theme": "light"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "no space left on device" in Layout(file).keep({"theme": "dark"})
    assert Layout(file).get("theme") == "light"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_nothing_is_kept_without_a_file():
    layout = Layout(None)
    assert layout.keep({"theme": "light"}) == ""
    assert (layout.get("theme"), layout.trouble) == (None, "")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_STATE_HOME": "/s"}, "/s/autotune/monitor.json"),
        ({"XDG_STATE_HOME": "s", "HOME": "/h"}, "/h/.local/state/autotune/monitor.json"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/autotune/monitor.json"),
    ],
)
def test_it_lies_where_the_standard_says(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(state_file()) == expected


def watch(
    stage, file: Path, *keys: str, theme: str = "", loop: Loop | None = None
) -> tuple[str, str, str | None, list[str]]:
    """The theme, the screen, the pane that a monitor begins with, and what it notifies; then the keys are pressed."""

    async def run():
        app = MonitorApp(Path("st"), loop, clock=stage.clock, layout=Layout(file))
        async with app.run_test(size=(80, 24)) as pilot:
            while app.watched.source is None:
                await pilot.pause(0.01)
            await pilot.pause()
            focused = app.screen.focused
            began = app.theme, app.current_mode, focused.id if focused else None
            if theme:
                app.theme = theme
            await pilot.press(*keys)
            await pilot.pause()
            assert focused is None or app.screen.query_one(f"#{app.panes[f'{app.current_mode}.pane']}").display
            return *began, [note.message for note in app._notifications]

    return asyncio.run(run())


def test_the_monitor_begins_as_it_was_left(stage, file: Path):
    stage.finished()
    first = watch(stage, file, "tab", "tab", "2", theme=LIGHT.name)
    assert first == (DARK.name, "study", "trials", [])
    assert watch(stage, file, "1") == (LIGHT.name, "run", "curves", [])
    loop = Loop(lambda: True, Path("loop.log"))
    assert watch(stage, file, "2", loop=loop)[1] == "study"  # a study that is started begins with its first screen
    assert watch(stage, file, "1", loop=loop)[1] == "study"
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"study.screen": "run", "study.watched": "/another/study"}))
    assert watch(stage, file, "1")[1] == "study"  # what is seen for the first time does, too
    theme, screen, pane, _ = watch(stage, file)
    assert (theme, screen) == (LIGHT.name, "study")
    assert pane == json.loads(file.read_text())["study.pane"] != "trials"


def test_curves_are_drawn_as_they_were(stage, file: Path):
    """On a log scale, smoothed, without the run beneath; but not zoomed or searched, which is of one run."""
    stage.finished()
    watch(stage, file, "L", "S", "b", "z")
    assert json.loads(file.read_text())["curves.smooth"] == 1

    looks = []
    for changed in ({}, {"curves.smooth": 9, "curves.log": "yes"}, {"curves.smooth": True}):
        Layout(file).keep(changed)
        looks.append(MonitorApp(Path("st"), layout=Layout(file)).look)
    assert looks[0] == Look(log=True, smooth=1, baseline=False)
    assert looks[1] == looks[2] == Look(baseline=False)


def test_a_theme_is_kept_at_once(stage, file: Path):
    """A monitor may be killed."""
    stage.finished()

    async def run() -> None:
        app = MonitorApp(Path("st"), clock=stage.clock, layout=Layout(file))
        async with app.run_test() as pilot:
            await pilot.pause()
            app.theme = COLOUR_BLIND_LIGHT.name
            await pilot.pause()
            await pilot.pause()
            assert Layout(file).get("theme") == COLOUR_BLIND_LIGHT.name

    asyncio.run(run())


def test_what_no_longer_means_anything_is_as_at_first(stage, file: Path):
    stage.finished()
    ours = {"study.watched": str(Path("st").absolute())}
    Layout(file).keep({"theme": "solarized", "study.screen": "logs", **ours, "study.pane": "nowhere", "run.pane": 3})
    assert watch(stage, file) == (DARK.name, "study", "trials", [])
    Layout(file).keep({"theme": True, "study.screen": 1.5, **ours})
    assert watch(stage, file)[:2] == (DARK.name, "study")


def test_trouble_with_the_file_is_one_notification(stage, file: Path):
    stage.finished()
    file.parent.mkdir(parents=True)
    file.write_text("[red]{")
    *began, notes = watch(stage, file)
    assert began == [DARK.name, "study", "trials"]
    assert len(notes) == 1 and "it is damaged" in notes[0]
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where the folder should be")
    *_, notes = watch(stage, file, theme=LIGHT.name)
    assert len(notes) == 1 and "cannot be read (not a directory)" in notes[0]


def test_a_second_trouble_is_not_told(file: Path):
    file.parent.parent.write_text("a file where the folder should be")
    layout = Layout(file.with_name("other"))
    assert layout.trouble
    assert layout.keep({"theme": "light"}) == ""
