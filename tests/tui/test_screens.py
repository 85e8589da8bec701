"""What the monitor shows in every state (states.py), at every size, on every screen and in every theme.

Everywhere the same things hold (`flaws`). Each state is seen on every screen, the first at one size and in one theme,
the next at another. ALL_SCREENS=1 takes minutes and looks at every state at every size in every theme. About 25 screens
are kept as text: where a change of one is meant, UPDATE_SCREENS=1 pytest tests/tui/test_screens.py, look at the diff,
keep it.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.widgets import Footer

from tui.app import MonitorApp
from tui.log_feed import Logs
from tui.screens.frame import Frame
from tui.theme import PALETTES

from . import states

SIZES = ((80, 24), (100, 30), (160, 50), (220, 60))
THEMES = tuple(PALETTES)
KEPT = Path(__file__).parent / "screens"
CUT = re.compile(r"(?<![\w.])[+-]?\d[\d,.]*…")  # a number that goes on where it cannot be seen


SCENES = {scene.name: scene for scene in states.SCENES}


def was_read(app: MonitorApp) -> bool:
    known = app.watched.source
    if isinstance(known, Logs):
        return bool(known.trouble or known.awaited) or (
            bool(known.logs) and all(log.report or log.trouble for log in known.logs)
        )
    return known is not None


async def settle(pilot) -> None:
    """Until what was read is on the screen, and what follows from it."""
    async with asyncio.timeout(30):
        while not was_read(pilot.app):
            await pilot.pause(0.01)
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


def flaws(app: MonitorApp, text: str, says: str) -> Iterator[str]:
    """What must not be on any screen, or is missing from it."""
    width, height = app.size
    lines = text.split("\n")
    if len(lines) != height:
        yield f"{len(lines)} lines"
    yield from (f"longer than the screen: {line}" for line in lines if cell_len(line) > width)
    yield from (f"an escape: {line!r}" for line in lines if not line.isprintable())
    yield from (f"a number is cut: {line}" for line in lines if CUT.search(line))
    if "Traceback (most recent" in text:
        yield "a traceback"
    if says not in " ".join(lines[1:3]):
        yield f"the headline does not say {says}: {lines[:3]}"
    number, label = list(app.tabs).index(app.current_mode) + 1, app.tabs[app.current_mode]
    if not any(f" {number} {label} " in f"{line} " for line in lines[:6]):
        yield f"no tab {label}"
    yield from (f"no key for {what} below: {lines[-1]}" for what in ("Help", "Leave") if what not in lines[-1])
    if any(footer.virtual_size.width > width for footer in app.screen.query(Footer)):
        yield f"a key is cut off below: {lines[-1]}"


def strange(app: MonitorApp) -> set[str]:
    """Colours on the screen that belong to a theme of the other kind, of dark ones in a light one."""
    styles = {segment.style for strip in app.screen._compositor.render_strips() for segment in strip if segment.style}
    seen = {colour.get_truecolor().hex for style in styles for colour in (style.color, style.bgcolor) if colour}
    here = PALETTES[app.theme]
    others = [palette for palette in PALETTES.values() if palette.dark != here.dark]
    return seen & {colour for other in others for colour in (other.background, other.faint, other.warning, other.fatal)}


def views(number: int) -> list[tuple[tuple[int, int], str]]:
    """The sizes and themes in which the state of that number is seen."""
    if os.environ.get("ALL_SCREENS"):
        return list(product(SIZES, THEMES))
    return [(SIZES[number % 4], THEMES[(number + number // 4) % 4])]


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_every_screen(scene, stage, run, text_of: Callable) -> None:
    app, found = scene.make(stage), []
    seen = views(list(SCENES).index(scene.name))
    tabs = list(app.tabs)[: 1 if scene.first else None]
    app.theme = seen[0][1]

    async def watch() -> None:
        async with app.run_test(size=seen[0][0]) as pilot:
            for size, theme in seen:
                app.theme = theme
                if app.size != size:
                    await pilot.resize_terminal(*size)
                for name in tabs:
                    await app.action_turn(name)
                    await settle(pilot)
                    flawed = [*flaws(app, text_of(app), scene.says), *(f"a strange colour {c}" for c in strange(app))]
                    found.extend(f"{name} at {size[0]}x{size[1]} in {theme}: {flaw}" for flaw in flawed)

    run(watch())
    assert not found, "\n".join(found)


def test_a_theme_is_turned_to_on_every_screen(stage, run) -> None:
    app = SCENES["running"].make(stage)

    async def watch() -> None:
        async with app.run_test(size=SIZES[1]) as pilot:
            for number, name in enumerate(app.tabs, 1):
                await app.action_turn(name)
                await settle(pilot)
                app.theme = THEMES[number % 4]
                await settle(pilot)
                assert not strange(app), (app.theme, name)

    run(watch())


SMALL, MIDDLE, LARGE, HUGE = SIZES
KEEP = [  # state, size, keys, and what the file is called
    ("running", SMALL, "", "study"),
    ("running", LARGE, "", "study"),
    ("running", HUGE, "[ [", "study"),
    ("stale", SMALL, "", "stale"),
    ("asking", SMALL, "", "asking"),
    ("finished", MIDDLE, "", "finished"),
    ("killed", SMALL, "", "killed"),
    ("empty", SMALL, "", "empty"),
    ("failed", SMALL, "", "failed"),
    ("many", MIDDLE, "", "many"),
    ("hostile", MIDDLE, "[", "hostile"),
    ("damaged", SMALL, "", "damaged"),
    ("running", SMALL, "2", "trial"),
    ("running", LARGE, "[ 2", "trial"),
    ("running", MIDDLE, "[ 2 enter", "plot"),
    ("running", SMALL, "[ [ 3", "finding"),
    ("running", LARGE, "[ [ 3", "finding"),
    ("running", SMALL, "4", "no-samples"),
    ("running", LARGE, "[ 5", "compare"),
    ("running", SMALL, "6", "system"),
    ("running", SMALL, "question_mark", "help"),
    ("running", SMALL, "c", "knobs"),
    ("several_logs", MIDDLE, "", "logs"),
    ("several_logs", LARGE, "", "logs"),
    ("one_log", SMALL, "", "log"),
    ("gone_log", SMALL, "", "gone"),
]


@pytest.mark.parametrize(("state", "size", "keys", "name"), KEEP)
def test_screens_that_are_kept(state, size, keys, name, stage, run, text_of: Callable) -> None:
    app = SCENES[state].make(stage)

    async def watch() -> str:
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            for key in keys.split():
                await pilot.press({"[": "left_square_bracket"}.get(key, key))
                await settle(pilot)
            text = text_of(app)
            if isinstance(app.screen, Frame):
                assert not [*flaws(app, text, SCENES[state].says)]
            return text + "\n"

    text, path = run(watch()), KEPT / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs: see the head of this file"


def test_no_screen_is_kept_in_vain() -> None:
    kept = {f"{name}-{width}x{height}.txt" for _, (width, height), _, name in KEEP}
    assert {path.name for path in KEPT.iterdir()} == kept
