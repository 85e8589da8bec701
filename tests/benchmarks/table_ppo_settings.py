"""PPO's settings against what comes of them: python tests/benchmarks/table_ppo_settings.py --out DIR

Trains the built-in query tasks at good settings with five seeds, and away from them one setting at a time with two, and
prints a Markdown table for each task. Runs that are already in DIR are not run again. Each run is a fork, so that
imports are paid once.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostics.engine import diagnose
from diagnostics.events import Outcome
from diagnostics.finding import Severity
from diagnostics.readers import events
from diagnostics.series import RunHistory
from studies import trial
from studies.trial import TrialSpec

GOOD_SEEDS, SEEDS = 5, 2
LAST = 10  # rollouts that the training reward is the mean of
HEAVY = ("trainers.build", "trainers.evaluate", "transformers.models.qwen2.modeling_qwen2")
COMMON = {"temperature": 1.0, "num_generations": 1, "update_epochs": 4, "value_learning_rate": 3e-3, "vf_coef": 0.5}
GOOD: Mapping[str, Mapping[str, Any]] = {
    "boolean-query": COMMON | {"learning_rate": 3e-4, "kl_coef": 0.05},
    "short-query": COMMON | {"learning_rate": 2e-4, "kl_coef": 0.2},
}
LAM = 0.9  # at TRL's 0.95 the explained variance on boolean-query is 0.24
AWAY: Mapping[str, tuple[Any, ...]] = {
    "learning_rate": (1e-6, 1e-5, 1e-4, 1e-3, 3e-3),
    "kl_coef": (0.0, 0.05, 0.2, 1.0),
    "update_epochs": (1, 8),
    "temperature": (0.5, 1.5),
    "num_generations": (4,),
    "value_learning_rate": (1e-4, 3e-2),
    "lam": (0.95, 1.0),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of one task, and the folders of its runs by seed."""

    task: str
    changed: str
    folders: tuple[Path, ...]


def specs(out: Path, task: str) -> Iterator[tuple[Row, list[TrialSpec]]]:
    """The rows of a task's table, the good settings first, each with the trials to run."""
    settings = [("good settings", {}, GOOD_SEEDS)]
    settings += [
        (f"{name} {value:g}", {name: value}, SEEDS)
        for name, values in AWAY.items()
        for value in values
        if value != (GOOD[task] | {"lam": LAM})[name]
    ]
    for title, change, seeds in settings:
        knobs = GOOD[task] | {name: value for name, value in change.items() if name != "lam"}
        trials = [
            TrialSpec(
                algorithm="ppo",
                task=task,
                knobs=knobs,
                seed=seed,
                completions=3840,
                batch_size=32,
                max_completion_length=32,
                eval_every=20,
                save_model=False,
                stop_on=None,
                trl={"lam": change.get("lam", LAM)},
            )
            for seed in range(seeds)
        ]
        folders = tuple(out / task / title.replace(" ", "-") / str(seed) for seed in range(seeds))
        yield Row(task, title, folders), trials


def run(jobs: int, wanted: list[tuple[Path, TrialSpec]]) -> None:
    """Run what has not ended yet, `jobs` at a time."""
    for module in HEAVY:
        importlib.import_module(module)
    running = 0
    for folder, spec in wanted:
        if (folder / "ended").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "events.jsonl").unlink(missing_ok=True)
        trial.write(spec, folder)
        while running >= jobs:
            os.wait()
            running -= 1
        running += 1
        if os.fork() == 0:
            os._exit(_child(folder))
    while running:
        os.wait()
        running -= 1


def _child(folder: Path) -> int:
    from trainers.instrument import Diverged
    from trainers.run import run_trial

    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        finished = run_trial(folder).outcome is Outcome.FINISHED
    except Diverged:  # a policy that cannot be sampled: its events say so
        finished = True
    if finished:  # and not stopped by a person, in which case it is run again
        (folder / "ended").touch()
    return 0


def line(row: Row) -> str:
    """One line of the table: means over seeds, and for several the standard deviation."""
    runs = [events.read(folder) for folder in row.folders]

    def spread(values: list[float]) -> str:
        if not all(map(math.isfinite, values)):
            return "-"  # nothing is measured against a reference where there is none
        return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"

    def last(history: RunHistory, metric: str, points: int) -> float:
        values = history.get(metric).values
        return float(values[-points:].mean()) if len(values) else float("nan")

    explained = [
        history.get("explained_variance").values[len(history.get("explained_variance")) // 2 :].mean()
        for history in runs
    ]
    found: dict[str, int] = {}
    for history in runs:
        for finding in diagnose(history).findings:
            if finding.severity >= Severity.WARNING:
                told = f"{finding.severity.name} {finding.code}"
                found[told] = found.get(told, 0) + 1
    cells = [
        row.changed,
        str(len(runs)),
        spread([last(history, "reward_mean", LAST) for history in runs]),
        spread([last(history, "validation_reward", 1) for history in runs]),
        spread([last(history, "validation_reward_greedy", 1) for history in runs]),
        spread([float(value) for value in explained]),
        spread([last(history, "kl.reference.k1.sequence", LAST) for history in runs]),
        ", ".join(f"{what} ×{count}" for what, count in sorted(found.items())) or "nothing",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--good", action="store_true", help="only the good settings")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    rows = {task: list(specs(arguments.out, task)) for task in GOOD}
    if arguments.good:
        rows = {task: found[:1] for task, found in rows.items()}
    wanted = [
        pair for found in rows.values() for row, trials in found for pair in zip(row.folders, trials, strict=True)
    ]
    run(arguments.jobs, wanted)
    for task, found in rows.items():
        print(f"\n**{task}**: {', '.join(f'{name} {value:g}' for name, value in GOOD[task].items())}, lam {LAM:g}\n")
        print(
            "| changed | seeds | reward | held out | greedy | explained variance, 2nd half | KL per sequence | found |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for row, _ in found:
            print(line(row))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
