"""What pruners stop on recorded runs, rightly and wrongly: python tests/benchmarks/table_pruner.py

Replays studies of eight trials, drawn at random from the runs of one task in tests/data/curves.json, through Optuna's
pruner interface: every evaluation is reported, and a trial that is pruned stops there. A trial is hopeless when its
recorded end stays further below the best end of its study than luck explains (three standard deviations of the
difference of two seeds of the same settings), and as good otherwise. curves.json holds 76 runs of the built-in task
(six learning rates, and the trials of studies), and runs with pathologies and their repairs, ten means each.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.trial import TrialState, create_trial

from autotune.pruner import CannotCatchUp

Points = list[tuple[int, float]]
CURVES: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "curves.json").read_text())
TRIALS = 8


def pruners(budget: int) -> dict[str, BasePruner]:
    """Ours, Optuna's median pruner as it comes, and the same with as early a start and as late a first look as ours."""
    late = MedianPruner(n_startup_trials=1, n_warmup_steps=budget // 2)
    return {"autotune": CannotCatchUp(), "median": MedianPruner(), "median, as patient": late}


def luck(runs: dict[str, Any]) -> float:
    """Three standard deviations of the difference of two ends with the same settings, pooled over the settings."""
    groups = defaultdict(list)
    for run in runs.values():
        groups[run["settings"]].append(run["points"][-1][1])
    variances = [statistics.variance(ends) for ends in groups.values() if len(ends) > 1]
    return 3 * math.sqrt(2 * statistics.mean(variances))


def replay(pruner: BasePruner, curves: list[Points]) -> list[int]:
    """How many evaluations of each curve were made when they are run one after another."""
    study = optuna.create_study(direction="maximize", pruner=pruner)
    made = []
    for points in curves:
        for n in range(1, len(points)):
            seen = create_trial(state=TrialState.PRUNED, value=points[n - 1][1], intermediate_values=dict(points[:n]))
            seen.number = len(made)
            if pruner.prune(study, seen):
                study.add_trial(seen)
                made.append(n)
                break
        else:
            study.add_trial(create_trial(value=points[-1][1], intermediate_values=dict(points)))
            made.append(len(points))
    return made


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100, help="studies drawn of each task")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| task | pruner | as good: stopped | hopeless: stopped | completions saved | best trial of the study lost |")
    print("|---|---|---:|---:|---:|---:|")
    for task, runs in CURVES.items():
        limit, draw = luck(runs), random.Random(0)
        studies = [draw.sample(list(runs.values()), min(TRIALS, len(runs))) for _ in range(args.studies)]
        budget = max(run["points"][-1][0] for run in runs.values())
        for name, pruner in pruners(budget).items():
            stopped, count, cost, saved, lost = [0, 0], [0, 0], 0, 0, 0
            for study in studies:
                curves = [[(c, v) for c, v in run["points"]] for run in study]
                best = max(points[-1][1] for points in curves)
                for points, made in zip(curves, replay(pruner, curves), strict=True):
                    hopeless = best - points[-1][1] > limit
                    count[hopeless] += 1
                    stopped[hopeless] += made < len(points)
                    cost += points[-1][0]
                    saved += points[-1][0] - points[made - 1][0]
                    lost += points[-1][1] == best and made < len(points)
            good, bad = (f"{s} of {n}" for s, n in zip(stopped, count, strict=True))
            print(f"| {task} | {name} | {good} | {bad} | {saved / cost:.0%} | {lost} of {len(studies)} |")


if __name__ == "__main__":
    main()
