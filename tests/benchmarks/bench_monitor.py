"""The monitor's budgets on a large trial: first paint within 1.0 s, a key painted within 50 ms.

50 metrics of 10,000 points each, while the file grows and is read. The first paint counts from the start of the
process, imports included. A key counts from when it is handed to the app until nothing is left to paint.
"""

import asyncio
import math
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from diagnostics.events import EventLog, MetricsLogged, RunStarted
from studies.log import StudyLog, trial_directory
from studies.record import Origin, Proposal, Search
from studies.spec import load

METRICS, POINTS = 50, 10_000
PAINT_BUDGET, KEY_BUDGET = 1.0, 0.050  # seconds
PRESSES = 40


def write(directory: Path) -> tuple[StudyLog, EventLog]:
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


async def measure(directory: Path, events: EventLog) -> tuple[float, float, list[float], float]:
    """Seconds until anything is painted, until the curves are, of each key, and of processor time per key."""
    from tui.app import MonitorApp

    began = time.perf_counter()
    painted: list[float] = []

    class Watched(MonitorApp):
        def _display(self, screen: object, renderable: object) -> None:
            super()._display(screen, renderable)  # type: ignore[arg-type]
            painted.append(time.perf_counter())

    app = Watched(directory)
    over = threading.Event()

    def grow() -> None:
        step = POINTS
        while not over.wait(0.05):
            events.emit(MetricsLogged(step, step_metrics(step)))
            step += 1

    async with app.run_test(size=(160, 50)) as pilot:
        first = painted[0] - began
        while app.monitor is None or app.monitor.selected is None:
            await asyncio.sleep(0.002)
        await pilot.pause()
        read = painted[-1] - began
        threading.Thread(target=grow, daemon=True).start()
        keys, busy = [], time.thread_time()
        for i in range(PRESSES):
            await asyncio.sleep(0.1)
            pressed, wanted = time.perf_counter(), 1 if i % 2 else 0
            app.simulate_key("down" if i % 2 else "up")
            while app.monitor.selected != wanted or app.screen._dirty_widgets or painted[-1] < pressed:
                await asyncio.sleep(0.001)
            keys.append(painted[-1] - pressed)
        over.set()
    return first, read, keys, (time.thread_time() - busy) / PRESSES


def importing() -> float:
    """Seconds that a fresh process takes to start and import the monitor."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", "import autotune.cli, tui.app"], check=True)
    return time.perf_counter() - began


def main() -> int:
    """Print what was measured; 1 where a budget is not kept."""
    with tempfile.TemporaryDirectory() as folder:
        log, events = write(Path(folder))
        imports = min(importing() for _ in range(3))
        first, read, keys, busy = asyncio.run(measure(Path(folder), events))
        log.close()
    keys.sort()
    late = keys[int(0.9 * len(keys))]
    print(f"{METRICS} metrics x {POINTS:,} points, growing")
    print(f"first paint          {imports + first:.2f} s, {imports:.2f} s of it imports   (budget {PAINT_BUDGET} s)")
    print(f"curves on the screen {imports + read:.2f} s")
    print(
        f"key to paint         median {keys[len(keys) // 2] * 1000:.0f} ms, nine of ten within {late * 1000:.0f} ms, "
        f"worst {keys[-1] * 1000:.0f} ms, {busy * 1000:.0f} ms of processor time each   "
        f"(budget {KEY_BUDGET * 1000:.0f} ms)"
    )
    return int(imports + first > PAINT_BUDGET or late > KEY_BUDGET)


if __name__ == "__main__":
    sys.exit(main())
