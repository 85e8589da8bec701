"""What AutotuneCallback costs a trainer of the built-in task: python tests/benchmarks/bench_callback.py

Plain training and training with the callback in turn, the same steps: the medians of the ratios of CPU time of the
process and of wall time. On a busy machine both are noise, so the share of CPU time that is spent in the callback's own
methods is measured as well. Nothing here fails.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

BUDGET = 2.0  # percent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=11, help="pairs of training runs (default 11)")
    parser.add_argument("--steps", type=int, default=60, help="steps of each (default 60)")
    args = parser.parse_args()

    import transformers

    from studies.trial import TrialSpec
    from trainers.build import build
    from trainers.callback import AutotuneCallback
    from trainers.run import task_of

    transformers.utils.logging.disable_progress_bar()
    knobs = {"learning_rate": 1e-4, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
    spec = TrialSpec(
        task="arithmetic", knobs=knobs, completions=128 * args.steps, max_completion_length=6, save_model=False
    )
    task = task_of(spec)
    shares: list[float] = []  # percent

    def train(watched: bool) -> tuple[float, float]:
        """CPU and wall seconds of training."""
        with TemporaryDirectory() as folder:
            trainer = build(spec, task, Path(folder))
            spent = [0.0]
            if watched:
                callback = AutotuneCallback(Path(folder) / "run", reward_bounds=task.reward_bounds)
                for name in filter(lambda name: name.startswith("on_"), dir(callback)):
                    setattr(callback, name, timed(getattr(callback, name), spent))
                trainer.add_callback(callback)
            cpu, wall = time.process_time(), time.perf_counter()
            trainer.train()
            took = time.process_time() - cpu, time.perf_counter() - wall
            if watched:
                shares.append(100 * spent[0] / (took[0] - spent[0]))
            return took

    train(True), train(False)  # warm up
    shares.clear()
    ratios = []
    for pair in range(args.pairs):
        order = (True, False) if pair % 2 else (False, True)  # what comes second may find the machine warmer
        took = {watched: train(watched) for watched in order}
        ratios.append([a / b for a, b in zip(took[True], took[False], strict=True)])
    said = f"{args.steps} steps, {args.pairs} pairs"
    say(f"AutotuneCallback against plain TRL, {said}: CPU time", [100 * (cpu - 1) for cpu, _ in ratios])
    say(f"AutotuneCallback against plain TRL, {said}: wall time", [100 * (wall - 1) for _, wall in ratios])
    say(f"AutotuneCallback's own methods, {said}: CPU time", shares)


def timed(method: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """`method`, whose CPU seconds are added to `spent`."""

    def measured(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent[0] += time.thread_time() - began

    return measured


def say(what: str, extra: list[float]) -> None:
    """The median of percentages, and their quartiles."""
    low, middle, high = statistics.quantiles(extra, n=4)
    kept = "kept" if middle <= BUDGET else "NOT KEPT"
    print(f"{what:<72} {middle:+6.2f} % (quartiles {low:+.2f} to {high:+.2f})  budget {BUDGET:g} %  {kept}", flush=True)


if __name__ == "__main__":
    main()
