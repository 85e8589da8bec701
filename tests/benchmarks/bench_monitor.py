"""The monitor's budgets, next to `wandb leet` on the same files: python tests/benchmarks/bench_monitor.py

Both run in a pseudo-terminal of 160 x 50 cells, whose bytes are noted when they come and shown on an emulated screen:
what is measured is what a person sees. A key counts from when it is handed to the terminal until the last byte of the
frame that shows what it did. Exit status 1 where a budget of ours is not kept; figures of a busy machine are its own,
and of one whose neighbours are busy no load tells: so does the time that counting takes.
"""

from __future__ import annotations

import math
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from timeit import repeat

from big_wandb import METRICS as NAMES
from big_wandb import SECONDS, RunFile, write
from terminal import Display, Terminal

from diagnostics.events import EventLog, MetricsLogged, RunStarted
from studies.log import StudyLog, trial_directory
from studies.record import Origin, Proposal, Search
from studies.spec import load

BIN = Path(sys.executable).parent
ROWS = 100_000  # of the long run, 34 values each
METRICS, POINTS = 50, 10_000  # of the run that grows under the keys
STARTS = 5  # of which the median counts
KEYS = 80
IDLE, EVERY = 30.0, 2.0  # seconds of watching a live run, and between its steps
HOUR, HURRY = 3600, 30  # steps of an hour, and how many of them come in a second
QUIET = 6.0  # seconds without a change after which a run is fully shown
PATIENCE = 150.0  # seconds after which it is not


@dataclass(frozen=True, slots=True)
class Program:
    """A program that shows a file: what `prepare` types to come to the curves, and the `keys` that change them.

    `marked` is what of the screen those keys change, and nothing else does.
    """

    name: str
    command: tuple[str | Path, ...]
    prepare: tuple[bytes, ...]
    keys: tuple[bytes, ...]
    marked: Callable[[Display], object]

    @contextmanager
    def watching(self, path: Path) -> Iterator[Terminal]:
        """The program on that file, in a folder that was nobody's home before."""
        with tempfile.TemporaryDirectory() as home:
            terminal = Terminal([*self.command, path], directory=Path(home))
            try:
                yield terminal
            finally:
                terminal.close()


RIGHT, LEFT, DOWN, UP, ENTER, ESCAPE, TAB = b"\x1b[C", b"\x1b[D", b"\x1b[B", b"\x1b[A", b"\r", b"\x1b", b"\t"
AROUND = (RIGHT, DOWN, LEFT, UP)
LOG = Program(
    "autotune", (BIN / "autotune", "monitor"), (TAB,), (*AROUND, ENTER, b"q"),
    lambda display: (display.places("▸"), display.lines[1][:10]),
)  # fmt: skip
STUDY = Program("autotune", LOG.command, (), (UP, DOWN), lambda display: "Curves of trial 1" in "".join(display.lines))
LEET = Program(
    "leet", (BIN / "wandb", "leet", "run"), (TAB, TAB), (*AROUND, b"y", b"y"),
    lambda display: [place for place in display.places("╭") if place[2] != "444444"] + display.places("["),
)  # fmt: skip  # the frame of the chosen curve, and the word behind its name which scale it has


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: a figure of ours, theirs where there is one, and the most that ours may be."""

    what: str
    unit: str
    ours: float
    theirs: float | None = None
    budget: float | None = None

    @property
    def kept(self) -> bool:
        """Whether there is no budget, or ours is within it."""
        return self.budget is None or self.ours <= self.budget

    def __str__(self) -> str:
        theirs = "" if self.theirs is None else f"{self.theirs:.2f}"
        budget = "" if self.budget is None else f"<= {self.budget:g} {'kept' if self.kept else 'BROKEN'}"
        return f"{self.what:<62} {self.unit:<5} {self.ours:>9.2f} {theirs:>9}  {budget}"


# ---- what is watched


def row(step: int) -> dict[str, float]:
    """All metrics of one step of a trial."""
    return {f"reward_component[{i}]": math.sin(step / 100 + i) + (step * 7919 + i) % 97 / 97 for i in range(METRICS)}


def write_study(directory: Path) -> tuple[StudyLog, EventLog]:
    """Two trials, the second with `METRICS` x `POINTS` and under way; its log, which holds the lock, and its events."""
    directory.mkdir()
    log = StudyLog(directory)
    log.started(load("arithmetic-grpo"), Search())
    for number in (0, 1):
        log.proposed(number, 0, Proposal({"learning_rate": 1e-3}, Origin.START, "why"))
        events = EventLog(trial_directory(directory, number) / "events.jsonl")
        events.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": 2 * POINTS}))
        for step in range(POINTS if number else 100):
            events.emit(MetricsLogged(step, row(step)))
    return log, events


@contextmanager
def growing(add: Callable[[], None], every: float) -> Iterator[None]:
    """Calls `add` every so many seconds, in a thread of its own."""
    over = threading.Event()

    def grow() -> None:
        begun, added = time.monotonic(), 0
        while not over.wait(max(0.0, begun + added * every - time.monotonic())):
            add()
            added += 1

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# ---- what is measured


def painted(display: Display) -> bool | None:
    """Whether anything is on the screen."""
    return None if display.blank else True


def drawn(display: Display) -> bool | None:
    """Whether a curve is."""
    return True if display.dots else None


def body(display: Display) -> list[str]:
    """All below the headlines, in which clocks run."""
    return display.lines[2:]


def since(terminal: Terminal, what: Callable[[Display], bool | None]) -> float:
    """Seconds from the start of the program until `what` is on the screen. TimeoutError where it does not come."""
    seen = terminal.shown(what, PATIENCE)
    if seen is None:
        raise TimeoutError(f"nothing of it on the screen after {PATIENCE:.0f} s")
    return seen[0] - terminal.began


def starts(program: Program, path: Path) -> tuple[float, float]:
    """Medians of the seconds until anything is painted, and until a curve is."""
    paints, curves = [], []
    for _ in range(STARTS):
        with program.watching(path) as terminal:
            paints.append(since(terminal, painted))
            curves.append(since(terminal, drawn))
    return median(paints), median(curves)


def whole(program: Program, path: Path) -> tuple[float, float]:
    """Seconds until all of a file is shown and nothing changes any more, and the MB that the program holds then."""
    with program.watching(path) as terminal:
        since(terminal, drawn)
        shown = terminal.settled(body, QUIET, PATIENCE) - terminal.began
        return shown, terminal.memory()


def pressed(program: Program, terminal: Terminal) -> list[float]:
    """Milliseconds from each key until what it did is on the screen, sorted. TimeoutError where one does nothing."""
    draw, took = random.Random(0), []
    for i in range(KEYS):
        time.sleep(draw.uniform(0.1, 0.3))  # at any moment of the program's own ticks
        terminal.catch_up()
        before, key = program.marked(terminal.display), program.keys[i % len(program.keys)]
        at = terminal.write(key)
        seen = terminal.shown(lambda display, before=before: program.marked(display) != before or None, 5.0)
        if seen is None:
            raise TimeoutError(f"{program.name}: the key {key!r} changed nothing")
        took.append(1000 * (seen[0] - at))
    return sorted(took)


@dataclass(frozen=True, slots=True)
class Lived:
    """What a program was like at a file that grew: its keys in milliseconds, at both paces, its CPU share and MB."""

    keys: Sequence[float]
    hasty: Sequence[float]
    idle: float
    memory: float


def live(program: Program, path: Path, add: Callable[[], None]) -> Lived:
    """Press keys while the file gets a step per second, then twenty, then leave it alone with one every two seconds."""
    with program.watching(path) as terminal:
        since(terminal, drawn)
        terminal.settled(body, QUIET, PATIENCE)
        for key in program.prepare:
            terminal.write(key)
            time.sleep(0.5)
        with growing(add, 1.0):
            keys = pressed(program, terminal)
        with growing(add, 0.05):
            hasty = pressed(program, terminal)
        with growing(add, EVERY):
            time.sleep(2 * EVERY)
            began, busy = time.monotonic(), terminal.cpu()
            time.sleep(IDLE)
            share = (terminal.cpu() - busy) / (time.monotonic() - began)
        return Lived(keys, hasty, 100 * share, terminal.memory())


def hour(terminal: Terminal) -> list[float]:
    """MB held after each tenth of an hour that takes `HOUR` / `HURRY` seconds."""
    since(terminal, drawn)
    held = []
    for _ in range(10):
        time.sleep(HOUR / HURRY / 10)
        terminal.catch_up()
        held.append(terminal.memory())
    return held


# ---- the table


def long_run(folder: Path) -> Iterator[Line]:
    """Starting, and a long run that is over."""
    path = folder / "run-long.wandb"
    write(path, ROWS)
    (first, curves), (their_first, their_curves) = starts(LOG, path), starts(LEET, path)
    what = f"{ROWS:,} x {len(NAMES) + 4}"
    yield Line(f"{what}: first paint, median of {STARTS}", "s", first, their_first, 1.0)
    yield Line(f"{what}: first curve", "s", curves, their_curves)
    (shown, memory), (their_shown, their_memory) = whole(LOG, path), whole(LEET, path)
    yield Line(f"{what}: fully shown", "s", shown, their_shown, 8.0)
    yield Line(f"{what}: memory", "MB", memory, their_memory, 300.0)


def live_run(folder: Path) -> Iterator[Line]:
    """Keys, idling and memory at a run that grows: a file of wandb's, and a study."""
    lived = []
    for program in (LOG, LEET):
        path = folder / f"run-{program.name}.wandb"
        run = RunFile(path, [f"train/m{i:02}" for i in range(METRICS)])
        run.add(POINTS)
        lived.append(live(program, path, partial(run.add, 1)))
        run.close()
    yield from lines(f"{METRICS} x {POINTS:,}", *lived)
    log, events = write_study(folder / "study")
    steps = iter(range(POINTS, sys.maxsize))

    def step() -> None:
        at = next(steps)
        events.emit(MetricsLogged(at, row(at)))

    first, _ = starts(STUDY, folder / "study")
    yield Line(f"study {METRICS} x {POINTS:,}: first paint, median of {STARTS}", "s", first, budget=1.0)
    yield from lines(f"study {METRICS} x {POINTS:,}", live(STUDY, folder / "study", step))
    log.close()


def lines(what: str, ours: Lived, theirs: Lived | None = None) -> Iterator[Line]:
    """Those of one live run."""
    for pace, keys, their in (
        ("1 step/s", ours.keys, theirs.keys if theirs else None),
        ("20 steps/s", ours.hasty, theirs.hasty if theirs else None),
    ):
        for told, of, budget in (
            ("p50", median, 50.0),
            ("p95", lambda taken: quantiles(taken, n=20)[-1], 100.0),
            ("worst", max, None),
        ):
            yield Line(
                f"{what}, {pace}: key to paint {told} of {KEYS}", "ms", of(keys), of(their) if their else None, budget
            )
    idle = f"{what}, a step every {EVERY:g} s: idle"
    yield Line(idle, "% cpu", ours.idle, theirs.idle if theirs else None, 2.0)
    yield Line(f"{what}: memory", "MB", ours.memory, theirs.memory if theirs else None, 300.0)


def long_watch(folder: Path) -> Iterator[Line]:
    """Memory over an hour's worth of steps, of both at once: they share nothing but the machine; and of a replay."""
    held: dict[str, list[float]] = {}

    def watch(program: Program) -> None:
        path = folder / f"hour-{program.name}.wandb"
        run = RunFile(path)
        run.add(1)
        with program.watching(path) as terminal, growing(partial(run.add, 1), 1 / HURRY):
            held[program.name] = hour(terminal)
        run.close()

    threads = [threading.Thread(target=watch, args=[program]) for program in (LOG, LEET)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path, rows = folder / "replayed.wandb", round(HOUR / SECONDS)
    write(path, rows)
    with replace(LOG, command=(*LOG.command, "--replay", str(HURRY))).watching(path) as terminal:
        replayed = hour(terminal)
    for what, ours, theirs in (
        (f"an hour's {HOUR:,} steps x {len(NAMES) + 4}", held[LOG.name], held[LEET.name]),
        (f"an hour's {rows:,} steps x {len(NAMES) + 4} replayed", replayed, None),
    ):
        yield Line(f"{what}: memory at the end", "MB", ours[-1], theirs and theirs[-1], 300.0)
        # What was logged is kept, some 3 kB for a step; nothing else may grow.
        grown = theirs and theirs[-1] - theirs[4]
        yield Line(f"{what}: grown over its second half", "MB", ours[-1] - ours[4], grown, 10.0)


def busy() -> str:
    """How busy this machine and those beside it are."""
    counting = median(repeat("for i in range(1_000_000): pass", number=1, repeat=25))
    return f"load {os.getloadavg()[0]:.1f}, counting to a million takes {1000 * counting:.0f} ms"


def main() -> int:
    """Measure, print the table; 1 where a budget is not kept."""
    kept = []
    sys.setswitchinterval(0.0005)  # the moment of a byte is noted while the screen is made up
    print(f"{os.cpu_count()} cores, {busy()} at the start")
    print(f"{'':<62} {'':<5} {'autotune':>9} {'leet':>9}  budget of ours")
    with tempfile.TemporaryDirectory() as folder:
        for part in (long_run, live_run, long_watch):
            for line in part(Path(folder)):
                print(line, flush=True)
                kept.append(line.kept)
            print(busy())
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
