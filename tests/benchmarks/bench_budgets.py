"""The budgets of the design, measured: python tests/benchmarks/bench_budgets.py

Prints one line per budget: the median, the budget, and whether it is kept on this machine. Nothing here fails: machines
are shared and noisy. The overhead compares CPU seconds of the same training steps, plain and instrumented in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from diagnostics.engine import diagnose
from diagnostics.metrics import metrics
from diagnostics.readers import events
from diagnostics.rule import all_rules
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.watch import Watch

ROWS = 100_000
METRICS = 30
SETTINGS = {"learning_rate": 1e-4, "kl_coef": 0.04, "num_generations": 8, "batch_size": 128, "temperature": 1.0}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of `work`."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def long_run(rows: int) -> RunHistory:
    """A run of `rows` steps with METRICS metrics, healthy, so that no rule can stop early at a finding."""
    random = np.random.default_rng(0)
    read = Counter(metric for rule in all_rules().values() for metric in rule.metrics if not metrics()[metric].family)
    steps = np.arange(rows, dtype=np.int64)
    rising = 1 - np.exp(-steps / 50)
    series = {}
    for name, _ in read.most_common(METRICS):  # those that most rules read
        values = 0.1 + 0.01 * random.standard_normal(rows)
        series[name] = MetricSeries(name, steps, values + rising if "reward" in name else values)
    return RunHistory(series, SETTINGS, reward_bounds=(-5.0, 5.0), source="made")


def help_seconds() -> float:
    """`autotune --help`, from the shell's view."""
    command = [str(Path(sys.executable).with_name("autotune")), "--help"]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True), 11)


def live_seconds(at: int, rows: Sequence[Mapping[str, float]], settings: Mapping[str, Any]) -> float:
    """CPU time of adding and closing one step from step `at` on, mean over a hundred steps; `rows` repeat."""
    watch = Watch(settings=settings, reward_bounds=(-1.0, 1.0))
    for step in range(at):
        watch.add(step, rows[step % len(rows)])
    began = time.process_time()
    for step in range(at, at + 100):
        watch.add(step, rows[step % len(rows)])
    return (time.process_time() - began) / 100


def recorded_rows() -> list[dict[str, float]]:
    """The steps of a healthy recorded run; each has the same metrics, some thirty."""
    run = events.read(Path(__file__).parent.parent / "data" / "runs" / "good-0")
    steps = run.get("grad_norm").steps
    every = {name: series.at(steps) for name, series in run.series.items() if len(series) >= len(steps)}
    return [{name: float(values[i]) for name, values in every.items()} for i in range(len(steps))]


def wild_rows() -> list[dict[str, float]]:
    """Steps at which every metric is noise beyond its limits, so that no rule is done early."""
    run = long_run(1000)
    return [{name: float(series.values[i]) for name, series in run.series.items()} for i in range(1000)]


def overhead(steps: int, pairs: int) -> float:
    """CPU seconds of training steps with events and diagnostics over those of plain TRL; median of pairs."""
    import transformers

    from diagnostics.events import EventLog
    from studies.trial import TrialSpec
    from trainers.build import build
    from trainers.instrument import instrument
    from trainers.run import task_of

    transformers.utils.logging.disable_progress_bar()
    knobs = {"learning_rate": 1e-4, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
    spec = TrialSpec(
        task="arithmetic", knobs=knobs, completions=128 * steps, max_completion_length=6, save_model=False, stop_on=None
    )
    task = task_of(spec)

    def train(instrumented: bool) -> float:
        with TemporaryDirectory() as folder:
            trainer = build(spec, task, Path(folder))
            if instrumented:
                instrument(trainer, EventLog(Path(folder) / "events.jsonl").emit, reward_bounds=task.reward_bounds)
            began = time.process_time()
            trainer.train()
            return time.process_time() - began

    train(True), train(False)  # warm up
    return statistics.median(train(True) / train(False) for _ in range(pairs))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="pairs of training runs (default 7)")
    parser.add_argument("--steps", type=int, default=60, help="steps of each (default 60)")
    args = parser.parse_args()

    def say(what: str, value: float, unit: str, budget: float) -> None:
        kept = "kept" if value <= budget else "NOT KEPT"
        print(f"{what:<64} {value:>9.3f} {unit:<3} budget {budget:g} {unit}  {kept}", flush=True)

    run = long_run(ROWS)
    say("autotune --help", help_seconds(), "s", 0.15)
    say(f"all rules over {ROWS:,} rows x {METRICS} metrics in memory", seconds(lambda: diagnose(run), 5), "s", 1.0)
    for what, rows in (("a recorded run", recorded_rows()), ("noise beyond all limits", wild_rows())):
        for at in (1_000, 10_000):
            took = statistics.median(live_seconds(at, rows, SETTINGS) for _ in range(5))
            say(f"one step live at step {at:,}, {len(rows[0])} metrics, {what}", 1000 * took, "ms", 1.0)
    extra = 100 * (overhead(args.steps, args.pairs) - 1)
    say(f"events and diagnostics against plain TRL, {args.steps} steps", extra, "%", 2.0)


if __name__ == "__main__":
    main()
