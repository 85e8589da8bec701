"""What the monitor shows of studies in each state, kept as text at two sizes.

Where a change of the screen is meant: UPDATE_SCREENS=1 pytest tests/tui/test_screens.py, look at the diff, keep it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from studies.log import STUDY_FILE
from tui.app import MonitorApp
from tui.feed import Loop

SMALL, LARGE = (80, 24), (160, 50)
KEPT = Path(__file__).parent / "screens"


def running(stage) -> None:
    stage.running()


def finished(stage) -> None:
    stage.finished()


def interrupted(stage) -> None:
    stage.running()
    stage.log.finished("interrupted")


def empty(stage) -> None:
    stage.begin()


def killed(stage) -> None:
    stage.running()
    stage.log.close()


def stale(stage) -> None:
    stage.running()
    stage.clock.now += 240


def waiting(stage) -> None:
    """The file is there, its first line is not."""


STATES: list[Callable] = [running, finished, interrupted, empty, killed, stale, waiting]


async def screens(app: MonitorApp, text_of: Callable, *keys: str) -> tuple[str, str]:
    """The screen after `keys` at the two sizes; the terminal grows while it is watched."""
    async with app.run_test(size=SMALL) as pilot:
        while app.watched.source is None:
            await pilot.pause(0.01)
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        small = text_of(app)
        await pilot.resize_terminal(*LARGE)
        await pilot.pause()
        await pilot.pause()
        return small, text_of(app)


def compare(text: str, name: str) -> None:
    path = KEPT / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == path.read_text(encoding="utf-8"), f"{path.name} differs: see the head of this file"


def check(texts: tuple[str, str], name: str) -> None:
    for text, (width, height) in zip(texts, (SMALL, LARGE), strict=True):
        assert text.count("\n") == height - 1
        compare(text, f"{name}-{width}x{height}")


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_study_in_each_state(stage, state: Callable, run, text_of) -> None:
    state(stage)
    check(run(screens(MonitorApp(Path("st"), clock=stage.clock), text_of)), state.__name__)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("sick", ["up"]),
        ("zoom", ["up", "tab", "tab", "right", "enter"]),
        ("log", ["tab", "tab", "tab"]),
        ("help", ["question_mark"]),
    ],
)
def test_what_keys_show(stage, name: str, keys: list[str], run, text_of) -> None:
    stage.finished()
    check(run(screens(MonitorApp(Path("st"), clock=stage.clock), text_of, *keys)), name)


def test_a_loop_that_died_before_its_first_line_shows_its_last_words(stage, tmp_path: Path, run, text_of) -> None:
    (tmp_path / "st" / STUDY_FILE).unlink()
    (tmp_path / "loop.log").write_text("Traceback\n\nautotune: error: no space left on \x1b[31mthe disk\n")
    app = MonitorApp(Path("st"), Loop(lambda: False, tmp_path / "loop.log"), clock=stage.clock)
    text, _ = run(screens(app, text_of))
    assert "FAILED" in text
    assert "no space left on \\x1b[31mthe disk" in " ".join(text.split())
