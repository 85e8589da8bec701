"""`autotune train` at six learning rates: python tests/benchmarks/table_learning_rates.py --out DIR

Runs the command for each learning rate and seed, two at a time, and prints one Markdown table: validation and test
reward before and after, findings with the step they were raised at, and the share of the steps that were run.
Runs that are already in DIR are not run again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from diagnostics.finding import Severity
from studies.record import TrialLog

RATES = ("1e-6", "1e-5", "1e-4", "4e-4", "1e-3", "3e-3")
GOOD = ("1e-4", "4e-4")  # these run on five seeds: they must stay quiet on all of them


def train(out: Path, rate: str, seed: int) -> TrialLog:
    """One run, or what is left of an earlier one, with both validation and test rewards in its curves."""
    folder = out / f"lr{rate}-seed{seed}"
    if not folder.exists():
        command = [
            str(Path(sys.executable).with_name("autotune")), "train", "--preset", "arithmetic-grpo", "--plain",
            "--test",
            "--set", f"learning_rate={rate}", "--seed", str(seed), "--dir", str(folder),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        if done.returncode not in (0, 1):  # 1 says that something was found
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    log = TrialLog(folder, "validation_reward")
    log.poll()
    return log


def row(rate: str, seed: int, log: TrialLog) -> str:
    """One line of the table."""

    def span(metric: str) -> str:
        values = [value for _, value in log.curves.get(metric, [])]
        return f"{values[0]:+.3f} → {values[-1]:+.3f}" if len(values) > 1 else "-"

    found = sorted(log.findings.values(), key=lambda f: f.raised_at)
    loud = ", ".join(f"{f.severity.name} {f.code}@{f.raised_at}" for f in found if f.severity >= Severity.WARNING)
    spans = " | ".join(span(m) for m in ("validation_reward", "validation_reward_greedy", "test_reward"))
    return f"| {rate} | {seed} | {spans} | {loud or 'nothing'} | {log.step / log.max_steps:.0%} |"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    runs = [(rate, seed) for rate in RATES for seed in range(5 if rate in GOOD else args.seeds)]
    with ThreadPoolExecutor(args.jobs) as pool:
        logs = dict(zip(runs, pool.map(lambda run: train(args.out, *run), runs), strict=True))
    print(
        "| learning rate | seed | validation | validation, greedy | test | findings at WARNING or above | steps run |"
    )
    print("|---|---:|---|---|---|---|---:|")
    for (rate, seed), log in logs.items():
        print(row(rate, seed, log))
    print()
    for rate in RATES:
        tests = [log.curves["test_reward"] for (r, _), log in logs.items() if r == rate]
        after = [curve[-1][1] for curve in tests if len(curve) > 1]
        if after:
            print(f"{rate}: test reward {statistics.mean(after):+.3f} (mean of {len(after)} seeds)")


if __name__ == "__main__":
    main()
