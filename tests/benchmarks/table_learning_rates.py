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

from diagnostics.engine import diagnose
from diagnostics.finding import Severity
from diagnostics.readers import events

RATES = ("1e-6", "1e-5", "1e-4", "4e-4", "1e-3", "3e-3")
GOOD = ("1e-4", "4e-4")  # these run on five seeds: they must stay quiet on all of them


def train(out: Path, rate: str, seed: int) -> Path:
    """The folder of one run, which is not trained again where it is left of an earlier call."""
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
    return folder


def row(rate: str, seed: int, folder: Path) -> str:
    """One line of the table; each rise of severity is a finding of its own."""
    run = events.read(folder)

    def span(metric: str) -> str:
        values = run.get(metric).values
        return f"{values[0]:+.3f} → {values[-1]:+.3f}" if len(values) > 1 else "-"

    loud = [f"{f.severity.name} {f.code}@{f.raised_at}" for f in diagnose(run).raised if f.severity >= Severity.WARNING]
    spans = " | ".join(span(m) for m in ("validation_reward", "validation_reward_greedy", "test_reward"))
    ran = f"{run.last_step / run.settings['max_steps']:.0%}"
    return f"| {rate} | {seed} | {spans} | {', '.join(loud) or 'nothing'} | {ran} |"


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
        folders = dict(zip(runs, pool.map(lambda run: train(args.out, *run), runs), strict=True))
    print(
        "| learning rate | seed | validation | validation, greedy | test | findings at WARNING or above | steps run |"
    )
    print("|---|---:|---|---|---|---|---:|")
    for (rate, seed), folder in folders.items():
        print(row(rate, seed, folder))
    print()
    for rate in RATES:
        tests = [events.read(folder).get("test_reward").values for (r, _), folder in folders.items() if r == rate]
        after = [values[-1] for values in tests if len(values) > 1]
        if after:
            print(f"{rate}: test reward {statistics.mean(after):+.3f} (mean of {len(after)} seeds)")


if __name__ == "__main__":
    main()
