"""The budgets of warm workers, measured: python tests/benchmarks/bench_workers.py

Prints one line per budget: what was measured, the budget, and whether it is kept on this machine. Nothing here fails:
machines are shared and noisy.

The first step is counted from the call that asks for the trial to the event of its first training step: what lies
between is forking, loading the model, the evaluation before training, and the step. Two trials at once are compared
with the same two one after another, in turn; the gain is the median of the pairs.

Each time is also given in CPU seconds of the trial's process, which has one thread: what it would take on cores that
nobody else uses. Two at once then gain 2 x CPU alone / CPU at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from autotune.launch.local import LocalLauncher, LocalTrial
from diagnostics.events import EVENTS_FILE
from studies import trial as trials

KNOBS = {"learning_rate": 1e-4, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
SPEC = trials.TrialSpec(task="arithmetic", knobs=KNOBS, completions=128 * 3, save_model=False, stop_on=None)


def folder(root: Path, name: str, spec: trials.TrialSpec = SPEC) -> Path:
    """A new trial."""
    path = root / name
    path.mkdir()
    trials.write(spec, path)
    return path


@dataclass
class Seen:
    """What was seen of a trial until it ended: CPU seconds until its first step and in all, and its peak in MiB."""

    first: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0


def watched(*running: LocalTrial) -> list[Seen]:
    """Watch trials to their end; they must end well."""
    seen = [Seen() for _ in running]
    going = True
    while going:
        going = False
        for trial, what in zip(running, seen, strict=True):
            status = trial.poll()
            assert status in (None, 0), trial.last_words()
            going |= status is None
            if status is None and trial.pid is not None:
                with suppress(FileNotFoundError, ProcessLookupError, StopIteration):  # it has just ended
                    what.cpu, what.peak = cpu_seconds(trial.pid), resident(trial.pid, "VmHWM")
                    if not what.first and first_step_at(trial.directory):
                        what.first = what.cpu
        time.sleep(0.005)
    return seen


def first_step_at(path: Path) -> float:
    """When the first training step was told, in seconds since the epoch; 0 where it was not yet."""
    lines = (path / EVENTS_FILE).read_text().split("\n")[:-1][:8] if (path / EVENTS_FILE).exists() else []
    first = (e for e in map(json.loads, lines) if e["type"] == "metrics_logged" and e["step"] == 1)
    return float(next(first, {"time": 0.0})["time"])


def cpu_seconds(pid: int) -> float:
    """Of a process until now."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident(pid: int, field: str) -> float:
    """VmRSS or VmHWM of a process, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12, help="trials of one worker (default 12)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of one and of two at once (default 5)")
    parser.add_argument("--completions", type=int, default=6400, help="of each trial of a pair (default 6400)")
    args = parser.parse_args()

    def say(what: str, value: float, unit: str, budget: str, kept: bool) -> None:
        print(f"{what:<72} {value:>9.3f} {unit:<3} budget {budget}  {'kept' if kept else 'NOT KEPT'}", flush=True)

    with TemporaryDirectory() as name, LocalLauncher(parallel=2) as launcher:
        root = Path(name)
        starts, processor, worker, peaks = [], [], [], []
        for i in range(args.trials):
            path = folder(root, str(i))
            began = time.time()
            (seen,) = watched(launcher.start(path))
            starts.append(first_step_at(path) - began)
            processor.append(seen.first)
            peaks.append(seen.peak)
            assert launcher.worker is not None
            worker.append(resident(launcher.worker, "VmRSS"))
        for what, seconds in (("", starts), (", CPU", processor)):
            say(f"request of the second trial to its first step{what}", seconds[1], "s", "1 s", seconds[1] <= 1)
            later = statistics.median(seconds[1:])
            say(f"  median of the later ones{what}", later, "s", "1 s", later <= 1)
        for what, memory in (("the worker", worker), ("a trial at its peak", peaks)):
            grown = 100 * (statistics.median(memory[-3:]) / statistics.median(memory[:3]) - 1)
            say(
                f"memory of {what}: trials {len(memory) - 2} to {len(memory)} against 1 to 3 ({memory[0]:.0f} MiB)",
                grown,
                "%",
                "+2 %",
                grown <= 2,
            )

        gains, without_others = [], []
        spec = replace(SPEC, completions=args.completions)
        for i in range(args.pairs):
            alone, at_once = ([folder(root, f"{i}-{how}-{j}", spec) for j in range(2)] for how in ("alone", "both"))
            began = time.perf_counter()
            one = [watched(launcher.start(path))[0] for path in alone]
            between = time.perf_counter()
            two = watched(*[launcher.start(path) for path in at_once])
            gains.append((between - began) / (time.perf_counter() - between))
            without_others.append(2 * sum(seen.cpu for seen in one) / sum(seen.cpu for seen in two))
        for what, pairs in (("", gains), (", CPU", without_others)):
            gain = statistics.median(pairs)
            say(f"throughput of two at once to one, {os.cpu_count()} cores{what}", gain, "x", "1.7 x", gain >= 1.7)
            print("  pairs:", *(f"{pair:.2f}" for pair in pairs))


if __name__ == "__main__":
    main()
