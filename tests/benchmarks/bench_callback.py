"""What AutotuneCallback costs a trainer of the built-in task: python tests/benchmarks/bench_callback.py

Plain training and training with the callback in turn, the same steps; the medians of the ratios of CPU time of the
process and of wall time. Nothing here fails: machines are shared and noisy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

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
    from trainers.callback import AutotuneCallback
    from trainers.grpo import build
    from trainers.run import task_of

    transformers.utils.logging.disable_progress_bar()
    knobs = {"learning_rate": 1e-4, "kl_coef": 0.04, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
    spec = TrialSpec(
        task="arithmetic", knobs=knobs, completions=128 * args.steps, max_completion_length=6, save_model=False
    )
    task = task_of(spec)

    def train(watched: bool) -> tuple[float, float]:
        """CPU and wall seconds of training."""
        with TemporaryDirectory() as folder:
            trainer = build(spec, task, Path(folder))
            if watched:
                trainer.add_callback(AutotuneCallback(Path(folder) / "run", reward_bounds=task.reward_bounds))
            cpu, wall = time.process_time(), time.perf_counter()
            trainer.train()
            return time.process_time() - cpu, time.perf_counter() - wall

    train(True), train(False)  # warm up
    ratios = []
    for pair in range(args.pairs):
        order = (True, False) if pair % 2 else (False, True)  # what comes second may find the machine warmer
        took = {watched: train(watched) for watched in order}
        ratios.append([a / b for a, b in zip(took[True], took[False], strict=True)])
    for what, column in zip(("CPU time", "wall time"), zip(*ratios, strict=True), strict=True):
        extra = [100 * (ratio - 1) for ratio in column]
        low, middle, high = statistics.quantiles(extra, n=4)
        kept = "kept" if middle <= BUDGET else "NOT KEPT"
        print(
            f"AutotuneCallback against plain TRL, {args.steps} steps, {what}: {middle:+.2f} % "
            f"(quartiles {low:+.2f} to {high:+.2f}, {args.pairs} pairs)  budget {BUDGET:g} %  {kept}"
        )


if __name__ == "__main__":
    main()
