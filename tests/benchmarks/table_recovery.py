"""How much of the way back a study finds: python tests/benchmarks/table_recovery.py --rates DIR --out DIR

For each start and study seed: runs `autotune study start`, says what the second trial changed and why, trains the
recommendation on two fresh seeds and compares its test reward with the best learning rate of `table_learning_rates.py`
(its --out is --rates here). The share recovered is (after - warm start) / (best of the table - warm start).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from studies.log import is_study, read
from studies.record import StudyRecord
from studies.trial_log import TrialLog

STARTS = ("3e-3", "1e-6")
SEEDS = (0, 1, 2)
FRESH = (1_000_001, 1_000_002)  # seeds that no trial of a study uses


def autotune(*arguments: str) -> None:
    """Run the command; 1 says that something was found, which is no error here."""
    command = [str(Path(sys.executable).with_name("autotune")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def test_rewards(folder: Path) -> tuple[float, float]:
    """Test reward before and after a run."""
    log = TrialLog(folder, "validation_reward")
    log.poll()
    curve = log.curves["test_reward"]
    return curve[0][1], curve[-1][1]


def best_of_table(rates: Path) -> tuple[float, float]:
    """Warm start, and the mean over seeds of the learning rate that ended highest."""
    ends: dict[str, list[float]] = {}
    starts = []
    for folder in sorted(rates.glob("lr*-seed*")):
        before, after = test_rewards(folder)
        starts.append(before)
        ends.setdefault(folder.name.split("-seed")[0], []).append(after)
    return statistics.mean(starts), max(statistics.mean(values) for values in ends.values())


def recover(out: Path, start: str, seed: int) -> tuple[StudyRecord, list[float]]:
    """One study, or what is left of an earlier one, and the test rewards of its recommendation on fresh seeds."""
    folder = out / f"start{start}-seed{seed}"
    if not is_study(folder):
        autotune(
            "study", "start", "--plain", "--start", f"learning_rate={start}", "--seed", str(seed), "--dir", str(folder)
        )
    after = []
    for fresh in FRESH:
        run = out / f"{folder.name}-retrained{fresh}"
        if not run.exists():
            autotune("train", "--plain", "--test", "--study", str(folder), "--seed", str(fresh), "--dir", str(run))
        after.append(test_rewards(run)[1])
    return read(folder), after


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2, help="studies at a time")
    args = parser.parse_args()
    warm, top = best_of_table(args.rates)
    args.out.mkdir(parents=True, exist_ok=True)
    runs = [(start, seed) for start in STARTS for seed in SEEDS]
    with ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda run: recover(args.out, *run), runs))
    print(f"test reward: warm start {warm:+.3f}, best learning rate of the table {top:+.3f}\n")
    print("| start | study seed | second trial | because | recommended | test reward, two fresh seeds | recovered |")
    print("|---|---:|---|---|---|---|---:|")
    for (start, seed), (study, after) in zip(runs, results, strict=True):
        second, best = study.trials[1], study.best()
        moves = ", ".join(f"{k} {b:g} → {a:g}" for k, (b, a) in study.changes(second).items())
        knobs = ", ".join(f"{k} {v:.3g}" for k, v in best.proposal.knobs.items()) if best else "none"
        share = (statistics.mean(after) - warm) / (top - warm)
        rewards = ", ".join(f"{value:+.3f}" for value in after)
        print(f"| {start} | {seed} | {moves} | {second.proposal.code} | {knobs} | {rewards} | {share:.0%} |")


if __name__ == "__main__":
    main()
