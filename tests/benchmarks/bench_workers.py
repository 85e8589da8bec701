"""The budgets of warm workers, measured: python tests/benchmarks/bench_workers.py

Prints one line per budget: what was measured, the budget, and whether it is kept on this machine. Nothing here fails:
machines are shared and noisy.

The first step is counted from the call that asks for the trial to the event of its first training step: what lies
between is forking, loading the model, the evaluation before training, and the step. Two trials at once are compared
with the same two one after another, in turn; the gain is the median of the pairs, each pair minutes apart at most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
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


def ended(trial: LocalTrial) -> None:
    """Wait for its end; it must have gone well."""
    while (status := trial.poll()) is None:
        time.sleep(0.005)
    assert status == 0, trial.last_words()


def first_step_at(path: Path) -> float:
    """When the first training step was told, in seconds since the epoch."""
    told = [json.loads(line) for line in (path / EVENTS_FILE).read_text().splitlines()]
    return next(e["time"] for e in told if e["type"] == "metrics_logged" and e["step"] == 1)


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
        print(f"{what:<64} {value:>9.3f} {unit:<3} budget {budget}  {'kept' if kept else 'NOT KEPT'}", flush=True)

    with TemporaryDirectory() as name, LocalLauncher(parallel=2) as launcher:
        root = Path(name)
        starts, worker, peaks = [], [], []
        for i in range(args.trials):
            path = folder(root, str(i))
            began = time.time()
            trial = launcher.start(path)
            peak = 0.0
            while trial.poll() is None:
                if trial.pid is not None:
                    try:
                        peak = max(peak, resident(trial.pid, "VmHWM"))
                    except (FileNotFoundError, StopIteration):  # it has just ended
                        pass
                time.sleep(0.01)
            ended(trial)
            starts.append(first_step_at(path) - began)
            peaks.append(peak)
            assert launcher.worker is not None
            worker.append(resident(launcher.worker, "VmRSS"))
        say("request of the second trial to its first training step", starts[1], "s", "1 s", starts[1] <= 1)
        later = statistics.median(starts[1:])
        say("  median of the later ones", later, "s", "1 s", later <= 1)
        grown = 100 * (max(worker) / worker[0] - 1)
        say(f"memory of the worker over {args.trials} trials, {worker[0]:.0f} MiB, growth", grown, "%", "1 %", grown <= 1)
        grown = 100 * (max(peaks) / peaks[0] - 1)
        say(f"peak of a trial over {args.trials} trials, {peaks[0]:.0f} MiB, growth", grown, "%", "5 %", grown <= 5)

        gains = []
        spec = replace(SPEC, completions=args.completions)
        for i in range(args.pairs):
            seconds = []
            for at_once in (1, 2):
                began = time.perf_counter()
                paths = [folder(root, f"{i}-{at_once}-{j}", spec) for j in range(2)]
                if at_once == 1:
                    for path in paths:
                        ended(launcher.start(path))
                else:
                    for trial in [launcher.start(path) for path in paths]:
                        ended(trial)
                seconds.append(time.perf_counter() - began)
            gains.append(seconds[0] / seconds[1])
        gain = statistics.median(gains)
        say(f"throughput of two at once to one, {os.cpu_count()} cores", gain, "x", "1.7 x", gain >= 1.7)
        print("  pairs:", *(f"{g:.2f}" for g in gains))


if __name__ == "__main__":
    main()
