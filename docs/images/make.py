"""Makes the pictures of the monitor that README.md and docs/monitor.md show: python docs/images/make.py [FOLDER]

A recorded study (tests/data/study.tar.xz) is written into a folder line by line, up to the moments named here, and the
monitor watches it there with keys pressed, as a person would. No time of today comes in, so the same monitor makes the
same pictures.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tarfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from svg import Frame, svg  # noqa: E402

from diagnostics.events import EVENTS_FILE  # noqa: E402
from studies.log import STUDY_FILE, StudyLog  # noqa: E402
from tui.app import MonitorApp, SnapshotReady  # noqa: E402
from tui.theme import PALETTES  # noqa: E402

RECORDED = HERE.parents[1] / "tests/data/study.tar.xz"


class Past:
    """The recorded study in the current folder, as far as it was at `now` (seconds since 1970)."""

    def __init__(self) -> None:
        with tarfile.open(RECORDED) as archive:
            files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
        self.study = Path(next(iter(files)).split("/")[0])
        self._left: list[tuple[float, str, bytes]] = []
        for name, text in files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".jsonl"):
                Path(name).touch()
                self._left += [(json.loads(line)["time"], name, line) for line in text.splitlines(keepends=True)]
            else:
                Path(name).write_bytes(text)
        self._left.sort(key=lambda each: each[0])
        self.began, self.now, self.ended = self._left[0][0], self._left[0][0], self._left[-1][0]
        self.steps: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for _, name, line in self._left:
            self.steps[name].append(json.loads(line))
        self.lines = self.steps[f"{self.study}/{STUDY_FILE}"]

    def clock(self) -> float:
        """The time on the screen."""
        return self.now

    def go_to(self, moment: float) -> None:
        """Write what had been written by then."""
        self.now = moment
        while self._left and self._left[0][0] <= moment:
            _, name, line = self._left.pop(0)
            with Path(name).open("ab") as file:
                file.write(line)

    def when(self, kind: str, number: int) -> float:
        """When the study wrote that line of the trial of that number."""
        return next(line["time"] for line in self.lines if line["type"] == kind and line["trial"] == number)

    def at_step(self, number: int, step: int) -> float:
        """When the trial of that number made that step."""
        steps = self.steps[f"{self.study}/trials/{number}/{EVENTS_FILE}"]
        return next(line["time"] for line in steps if line["type"] == "metrics_logged" and line["step"] >= step)


class Watching:
    """The monitor on what is past; nothing is read but when `look` says so."""

    def __init__(self, past: Past, size: tuple[int, int], theme: str) -> None:
        self.past, self._size = past, size
        self.app = MonitorApp(past.study, clock=past.clock)
        self.app.theme = theme
        self.app.feed.start = lambda: None  # type: ignore[method-assign]

    async def __aenter__(self) -> Watching:
        self._test = self.app.run_test(size=self._size)
        self._pilot = await self._test.__aenter__()
        await self.look()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._test.__aexit__(*error)

    async def look(self, moment: float | None = None) -> None:
        """What is known at that moment is on the screen."""
        if moment is not None:
            self.past.go_to(moment)
        self.app.post_message(SnapshotReady(await asyncio.to_thread(self.app.feed.read)))
        await self.settle()

    async def press(self, *keys: str) -> None:
        """Press keys, and wait for what comes of it."""
        await self._pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Until all that follows is on the screen."""
        await self._pilot.pause()
        await self.app.workers.wait_for_complete()
        await self._pilot.pause()

    def frame(self, seconds: float = 1.0, caption: str = "") -> Frame:
        """What is on the screen."""
        return Frame(self.app.screen._compositor.render_strips(), seconds, caption)


@dataclass(frozen=True)
class Picture:
    """A screen: when, after which keys, how large, in which theme."""

    title: str
    when: Callable[[Past], float]
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (150, 40)
    theme: str = "dark"


def running(past: Past) -> float:
    """While trial 4 is under way."""
    return past.at_step(4, 60) + 0.2


def ended(past: Past) -> float:
    """When all is over."""
    return past.ended + 3


TO_TRIAL_0 = ("[",) * 8
PICTURES = {
    "study": Picture("A study that runs: what it has come to, its trials, what is tried now and why", running),
    "trial": Picture("The curves of a trial, findings marked", running, (*TO_TRIAL_0, "2")),
    "finding": Picture(
        "A finding: what it means, its evidence, what was changed, whether that helped", running, (*TO_TRIAL_0, "3")
    ),
    "samples": Picture(
        "What the model wrote, with rewards", running, (*TO_TRIAL_0, "]", "4", *("left",) * 7), (120, 26)
    ),
    "compare": Picture("Two trials overlaid, and the settings that differ", running, (*TO_TRIAL_0, "]", "5")),
    "system": Picture("What the machine does", running, ("6",), (150, 34)),
    "small": Picture("A study in a terminal of 80 by 24 cells", running, size=(80, 24)),
    "light": Picture("The light theme", running, (*TO_TRIAL_0, "2"), (100, 30), "light"),
    "colour-blind-dark": Picture(
        "The dark theme for the colour-blind", running, (*TO_TRIAL_0, "2"), (100, 30), "colour-blind-dark"
    ),
    "colour-blind-light": Picture(
        "The light theme for the colour-blind", running, (*TO_TRIAL_0, "2"), (100, 30), "colour-blind-light"
    ),
}
FILM = "recording"


async def picture(wanted: Picture, past: Past) -> str:
    """A screen as SVG."""
    past.go_to(wanted.when(past))
    async with Watching(past, wanted.size, wanted.theme) as watching:
        await watching.press(*wanted.keys)
        return svg([watching.frame()], PALETTES[wanted.theme], wanted.title)


async def film(past: Past) -> str:
    """A study goes wrong, is put right, and a person looks at why."""
    frames: list[Frame] = []
    past.go_to(past.at_step(0, 1) - 0.5)

    async with Watching(past, (100, 30), "dark") as watching:

        async def passes(begin: float, end: float, steps: int, caption: str) -> None:
            for i in range(steps):
                await watching.look(begin + (end - begin) * (i + 1) / steps)
                frames.append(watching.frame(0.5, caption))

        async def press(caption: str, seconds: float, *keys: str) -> None:
            await watching.press(*keys)
            frames.append(watching.frame(seconds, caption))

        stopped = past.when("trial_stopped", 0)
        told = "A study runs. Its first trial goes wrong ..."
        await passes(past.at_step(0, 1), stopped - 0.5, 14, told)
        told = "... and is stopped: the next trial changes what the finding calls for."
        await passes(stopped, past.at_step(1, 30), 10, told)
        await press("[ turns to the trial before.", 2, "[")
        await press("3: what is wrong and since when, what was changed, and whether that helped.", 5, "3")
        await press("2: all its curves, with the range of each finding marked.", 4, "2")
        await press("5: the two trials overlaid, and the settings that differ.", 4, "]", "5")
        await press("4: what the model wrote, and its rewards.", 4, "4")
        await press("1: back to the study, which goes on.", 1, "1")
        await passes(past.at_step(1, 31), past.at_step(4, 60), 14, "1: back to the study, which goes on.")
        await press("c: a person's own settings are tried next.", 4, "c")
        await press("It goes on.", 0.5, "escape")
        await passes(past.at_step(4, 61), past.ended + 3, 14, "At its end the best settings, each seed counted.")
        frames.append(watching.frame(5, "At its end the best settings, each seed counted."))
    return svg(frames, PALETTES["dark"], "The monitor: a study goes wrong, is put right, and ends")


@contextmanager
def elsewhere() -> Iterator[Past]:
    """The recorded study before its first line, in a folder that is gone afterwards, in the time zone of the record."""
    before, zone = Path.cwd(), os.environ.get("TZ")
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["TZ"] = "UTC"
        time.tzset()
        try:
            past = Past()
            writer = StudyLog(past.study)  # holds the lock, so that the study runs
            yield past
            writer.close()
        finally:
            os.chdir(before)
            os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
            time.tzset()


def make(name: str) -> str:
    """The picture called `name`, or the film."""
    with elsewhere() as past:
        return asyncio.run(film(past) if name == FILM else picture(PICTURES[name], past))


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else HERE
    for name in (*PICTURES, FILM):
        (target / f"{name}.svg").write_text(make(name), encoding="utf-8")
        print(target / f"{name}.svg")
