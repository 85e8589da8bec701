"""Ours against the samplers people would use: python tests/benchmarks/table_samplers.py --out DIR

For each poor start and study seed: one study with our sampler and pruner, one with Optuna's TPE and its median pruner,
one with random search, in the same space from the same first trial. The others stop their trials at FATAL findings,
too, as `autotune study start --sampler tpe --pruner median` does: what is compared is what is tried next.

The reference is the best setting of a grid (`--grid` trains it; the figures are kept in arithmetic_grid.json). Then the
settings that each study recommends are trained on three fresh seeds. What lies in DIR is not run again, so that the
table can be made in pieces: `--samplers tpe random` first, say.

Completions are exact. Seconds are the processor time of the study and all its processes: on a shared machine the clock
on the wall says how busy the others are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from studies.log import is_study, read
from studies.record import StudyRecord
from studies.trial_log import TrialLog

HERE = Path(__file__).parent
GRID_FILE = HERE / "arithmetic_grid.json"
TRIALS = 8  # the preset's
SEEDS = (0, 1, 2)
FRESH = (1_000_001, 1_000_002, 1_000_003)  # seeds that no trial of a study uses
SAMPLERS = {"autotune": ("autotune", "autotune"), "tpe": ("tpe", "median"), "random": ("random", "none")}
ENOUGH = 0.9  # of the reference's gain

# KL and epochs reach further where the start does; the spaces are otherwise the preset's.
STARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "learning rate 3e-3": ("arithmetic-grpo", ("learning_rate=3e-3",)),
    "learning rate 1e-6": ("arithmetic-grpo", ("learning_rate=1e-6",)),
    "KL 100 times too high, 16 epochs": (
        str(HERE / "arithmetic-wide.toml"),
        ("learning_rate=1e-4", "kl_coef=4.0", "update_epochs=16"),
    ),
}
GOOD: Mapping[str, tuple[str, tuple[str, ...]]] = {"a good one": ("arithmetic-grpo", ("learning_rate=1e-4",))}

GRID = tuple(
    {"learning_rate": rate, "kl_coef": kl, "update_epochs": 1, "temperature": 1.0, "num_generations": 8}
    for rate, kl in itertools.product((3e-5, 1e-4, 2e-4, 4e-4), (0.004, 0.04))
)


@dataclass(frozen=True, slots=True)
class Reference:
    """The best setting of the grid: mean reward over its seeds, and what the warm start has without training."""

    knobs: Mapping[str, float]
    validation: float
    test: float
    warm_validation: float
    warm_test: float


def run(*arguments: str) -> float:
    """Run `autotune`; the processor seconds it took with all its processes. 1 says that something was found."""
    command = [sys.executable, "-P", "-m", "autotune", *arguments]
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        process = subprocess.Popen(
            command, stdout=nowhere, stderr=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}\n{said}")
    return usage.ru_utime + usage.ru_stime


def study(out: Path, start: str, sampler: str, seed: int, trials: int) -> Path:
    """The folder of one study, run or gone on with where it is not finished."""
    preset, knobs = {**STARTS, **GOOD}[start]
    folder = out / "studies" / f"{'-'.join(start.replace(',', '').split())}-{sampler}-{seed}"
    if is_study(folder) and read(folder).ended == "finished":
        return folder
    if is_study(folder):
        seconds = run("study", "resume", str(folder), "--plain")
    else:
        which, pruner = SAMPLERS[sampler]
        options = [option for knob in knobs for option in ("--start", knob)]
        seconds = run(
            "study", "start", preset, "--plain", "--trials", str(trials), "--seed", str(seed), "--dir", str(folder),
            "--sampler", which, "--pruner", pruner, *options,
        )  # fmt: skip
    with (out / "studies" / f"{folder.name}.seconds").open("a") as file:
        file.write(f"{seconds}\n")
    return folder


def trained(out: Path, knobs: Mapping[str, object], seed: int) -> dict[str, float]:
    """Validation and test reward, before and after one run at these settings."""
    name = "-".join(f"{value:g}" if isinstance(value, float) else str(value) for value in knobs.values())
    folder = out / "runs" / f"{name}-seed{seed}"
    if not (folder / "done").exists():
        options = [option for knob, value in knobs.items() for option in ("--set", f"{knob}={value}")]
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        where = ("--seed", str(seed), "--dir", str(folder))
        run("train", "--preset", "arithmetic-grpo", "--plain", "--test", *where, *options)
        (folder / "done").touch()
    log = TrialLog(folder, "validation_reward")
    log.poll()
    log.close()
    ends = {metric: log.curves.get(metric, [(0, math.nan)]) for metric in ("validation_reward", "test_reward")}
    return {
        "warm_validation": ends["validation_reward"][0][1],
        "warm_test": ends["test_reward"][0][1],
        "validation": ends["validation_reward"][-1][1],
        "test": ends["test_reward"][-1][1] if len(ends["test_reward"]) > 1 else math.nan,  # stopped early: no end
    }


def grid(out: Path, jobs: int) -> Reference:
    """The best setting of the grid over three seeds, trained here or recorded before."""
    if GRID_FILE.exists():
        return Reference(**json.loads(GRID_FILE.read_text())["best"])
    runs = [(knobs, seed) for knobs in GRID for seed in SEEDS]
    with ThreadPoolExecutor(jobs) as pool:
        ends = list(pool.map(lambda r: trained(out, *r), runs))
    rows = []
    for knobs in GRID:
        mine = [end for (other, _), end in zip(runs, ends, strict=True) if other is knobs]
        rows.append({"knobs": knobs, **{key: statistics.mean(end[key] for end in mine) for key in mine[0]}})
    best = max(rows, key=lambda row: row["validation"])
    GRID_FILE.write_text(json.dumps({"seeds": len(SEEDS), "best": best, "grid": rows}, indent=1) + "\n")
    return Reference(**best)


def until_good(record: StudyRecord, reference: Reference) -> float:
    """Completions until the end of the first trial that is healthy and has most of the reference's gain, else inf."""
    needed = reference.warm_validation + ENOUGH * (reference.validation - reference.warm_validation)
    spent = 0
    for trial in record.trials:
        spent += trial.completions
        if trial.feasible and trial.value is not None and trial.value >= needed:
            return spent
    return math.inf


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--starts", nargs="+", type=int, default=[0, 1, 2], help="numbers of the poor starts")
    parser.add_argument("--good", action="store_true", help="also our sampler from a good start")
    parser.add_argument("--grid", action="store_true", help="train the grid only")
    parser.add_argument("--trials", type=int, default=TRIALS)
    args = parser.parse_args()
    (args.out / "studies").mkdir(parents=True, exist_ok=True)
    (args.out / "runs").mkdir(exist_ok=True)
    if args.grid:
        print(grid(args.out, args.jobs))
        return
    starts = [list(STARTS)[i] for i in args.starts]
    cases = [(start, sampler, seed) for start in starts for seed in SEEDS for sampler in args.samplers]
    cases += [(start, "autotune", seed) for start in GOOD for seed in SEEDS if args.good]
    with ThreadPoolExecutor(args.jobs) as pool:
        folders = dict(zip(cases, pool.map(lambda c: study(args.out, *c, args.trials), cases), strict=True))
    reference = grid(args.out, args.jobs)
    best = {case: read(folder).best() for case, folder in folders.items()}
    fresh = [(case, seed) for case, trial in best.items() if trial is not None for seed in FRESH]
    with ThreadPoolExecutor(args.jobs) as pool:
        ends = list(pool.map(lambda f: trained(args.out, best[f[0]].proposal.knobs, f[1])["test"], fresh))
    rewards: dict[tuple[str, str, int], list[float]] = {}
    for (case, _), end in zip(fresh, ends, strict=True):
        rewards.setdefault(case, []).append(end)
    table(folders, rewards, reference, args.out)


def table(
    folders: Mapping[tuple[str, str, int], Path],
    rewards: Mapping[tuple[str, str, int], list[float]],
    reference: Reference,
    out: Path,
) -> None:
    """Print one row per study and one per start and sampler."""
    span = reference.test - reference.warm_test
    print(
        f"reference: {dict(reference.knobs)}, "
        f"validation {reference.warm_validation:+.3f} → {reference.validation:+.3f}, "
        f"test {reference.warm_test:+.3f} → {reference.test:+.3f}\n"
    )
    print("| start | sampler | seed | completions until good | test reward of what it recommends | of the way | "
          "completions | processor seconds |")  # fmt: skip
    print("|---|---|---:|---:|---|---:|---:|---:|")
    summary: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (start, sampler, seed), folder in folders.items():
        record, after = read(folder), rewards.get((start, sampler, seed), [])
        first = until_good(record, reference)
        mean = statistics.mean(after) if after else math.nan
        seconds = sum(map(float, (out / "studies" / f"{folder.name}.seconds").read_text().split()))
        spent = sum(t.completions for t in record.trials)
        summary.setdefault((start, sampler), []).append((first, mean))
        print(
            f"| {start} | {sampler} | {seed} | {'never' if math.isinf(first) else f'{first:,}'} | "
            f"{', '.join(f'{r:+.3f}' for r in after) or 'nothing recommended'} | "
            f"{(mean - reference.warm_test) / span:.0%} | {spent:,} | {seconds:.0f} |"
        )
    print("\n| start | sampler | median completions until good | mean test reward ± standard error | of the way |")
    print("|---|---|---:|---|---:|")
    for (start, sampler), results in summary.items():
        means = [mean for _, mean in results]
        error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan
        middle = statistics.median(first for first, _ in results)
        mean = statistics.mean(means)
        print(
            f"| {start} | {sampler} | {'never' if math.isinf(middle) else f'{middle:,.0f}'} | "
            f"{mean:+.3f} ± {error:.3f} | {(mean - reference.warm_test) / span:.0%} |"
        )


if __name__ == "__main__":
    main()
