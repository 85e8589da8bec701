"""The first screen of logs: which run is sick, how each goes, and what of it could not be read, at a glance."""

import asyncio
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.sources import find
from tui import log_feed
from tui.app import MonitorApp

from .pilots import settled

SMALL, LARGE, HUGE = (80, 24), (160, 50), (220, 60)
BEGAN = 1_700_000_000.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log_feed, "INTERVAL", 0.02)
    monkeypatch.setattr(log_feed, "SHARE", 10.0)
    monkeypatch.chdir(tmp_path)


def write(path: str, steps: int, *, sick: bool = False, seconds: float | None = None, torn: int = 0) -> None:
    """A log whose reward falls where it is sick; a step takes `seconds`, where it says when."""
    rows = []
    for step in range(1, steps + 1):
        late = max(0, step - 35) if sick else 0
        reward = 0.2 + 0.5 * math.tanh(step / 20) - 1.2 * math.tanh(late / 10) + 0.03 * math.sin(step * 1.7)
        when = {"_timestamp": BEGAN - (steps - step) * seconds} if seconds is not None else {}
        rows.append(json.dumps({"step": step, "reward": reward, "loss": 0.1 * math.sin(step), **when}))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join([*rows[:20], *["{broken"] * torn, *rows[20:]]) + "\n")
    os.utime(path, (BEGAN, BEGAN))


@pytest.fixture
def looks(run, text_of) -> Callable[..., list[str]]:
    """The screen as text, so many seconds after all was written, after each step: a size, or a key."""

    def looked(path: str, later: float, *steps: tuple[int, int] | str) -> list[str]:
        async def go() -> list[str]:
            app = MonitorApp(Path(path), found=find(Path(path)), clock=lambda: BEGAN + later)
            async with app.run_test(size=steps[0]) as pilot:
                async with asyncio.timeout(30):
                    while not app.watched.runs or not all(log.report or log.trouble for log in app.watched.source.logs):
                        await pilot.pause(0.01)
                texts = [await settled(pilot, text_of)]
                for step in steps[1:]:
                    await (pilot.press(step) if isinstance(step, str) else pilot.resize_terminal(*step))
                    texts.append(await settled(pilot, text_of))
                return texts

        return run(go())

    return looked


def joined(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("seconds", "later", "says"),
    [
        (3.0, 20.0, "RUNNING step 60, data up to 20 s old"),
        (3.0, 240.0, "STALE step 60, no new step for 4 min 00 s, usually every 3 s"),
        (60.0, 240.0, "RUNNING step 60, data up to 4 min 00 s old"),
        (None, 240.0, "RUNNING step 60, data up to 4 min 00 s old"),
        (None, 400.0, "QUIET step 60, nothing written for 6 min 40 s"),
        (60.0, 400.0, "QUIET step 60, nothing written for 6 min 40 s, usually every 1 min 00 s"),
    ],
)
def test_a_log_is_stale_when_it_is_silent_for_much_longer_than_its_steps_take(
    seconds: float | None, later: float, says: str, looks
) -> None:
    write("log.jsonl", 60, seconds=seconds)
    (text,) = looks("log.jsonl", later, SMALL)
    assert says in joined(text)


def test_which_of_several_is_sick_is_seen_at_a_glance(looks) -> None:
    write("runs/good/log.jsonl", 60)
    write("runs/bad/log.jsonl", 70, sick=True)
    write("runs/late/log.jsonl", 60, seconds=1.0)
    small, large, huge = looks("runs", 120.0, SMALL, LARGE, HUGE)
    for text in (small, large, huge):
        assert "3 logs: 1 error" in text
    rows = {line.split()[0]: line.split()[1:] for line in small.split("\n") if "log.jsonl " in line}
    assert rows["bad/log.jsonl"][:2] == ["E", "RWD002"]
    assert rows["good/log.jsonl"][0] == "none"
    assert rows["late/log.jsonl"][2:] == ["stale", "2", "min", "00", "s"]
    (bad,) = [line for line in large.split("\n") if line.startswith("bad/log.jsonl")]
    assert "E RWD002 reward_collapse" in bad
    assert "█" in bad


def test_lines_that_could_not_be_read_are_counted_where_one_looks_first(looks) -> None:
    write("runs/whole/log.jsonl", 60)
    write("runs/torn/log.jsonl", 60, torn=3)
    (text, other) = looks("runs", 1000.0, LARGE, "down")
    texts = {("torn" if "could not be read: 3" in each.split("\n")[1] else "whole"): each for each in (text, other)}
    assert texts.keys() == {"torn", "whole"}  # it is said of the selected one
    marked = [line.split()[0] for line in text.split("\n") if "! quiet" in line]
    assert marked == ["torn/log.jsonl"]


def test_one_log_needs_no_table_and_tells_all_on_a_small_screen(looks) -> None:
    write("log.jsonl", 70, sick=True)
    small, curves, large = looks("log.jsonl", 1000.0, SMALL, "tab", LARGE)
    assert "Diagnosis" in small
    assert "ERROR  RWD002" in small
    assert "Curves of" not in small
    assert "Curves of" in curves
    assert "Diagnosis" in large
    assert "Curves of" in large
