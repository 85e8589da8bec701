"""How far seeds lie apart in a preset of PPO: python tests/benchmarks/table_noise.py --out DIR

Trains `ppo-query` at three settings that a study of it comes by, with six seeds each, and prints the [noise] table of
the preset: by metric, the root mean square over the settings of the standard deviation between seeds, at half the
budget and at its end, where verdicts look. Runs that are already in DIR are not run again.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance

from table_ppo_settings import run

from autotune.verdict import level
from diagnostics.readers import events
from studies.spec import load
from studies.trial import Knob, TrialSpec

PRESET, SEEDS = "ppo-query", 6
SETTINGS: dict[str, dict[str, Knob]] = {
    "less-learning-rate": {"learning_rate": 1.25e-3},
    "less-kl": {"learning_rate": 1.25e-3, "kl_coef": 0.04},
    "good": {"learning_rate": 3e-4, "kl_coef": 0.04, "temperature": 1.0},
}
METRICS = (
    "validation_reward",
    "reward_mean",
    "kl.reference.k3.token",
    "entropy.token",
    "clip_fraction.token",
    "value_loss",
    "explained_variance",
    "grad_norm",
)


def noise(folders: list[list[Path]], budget: float) -> dict[str, float]:
    """The table, from the folders of each setting's runs; `budget` in completions."""
    found = {}
    for metric in METRICS:
        variances = []
        for seeds in folders:
            curves = []
            for folder in seeds:
                history = events.read(folder)
                cost, series = history.get("completions_generated"), history.get(metric)
                curves.append(list(zip(cost.at(series.steps).tolist(), series.values.tolist(), strict=True)))
            variances += [variance(level(curve, part * budget, budget) for curve in curves) for part in (0.5, 1.0)]
        found[metric] = fmean(variances) ** 0.5
    return found


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    study = load(PRESET)
    assert isinstance(study.trial, TrialSpec)
    folders, wanted = [], []
    for name, knobs in SETTINGS.items():
        seeds = [arguments.out / name / str(seed) for seed in range(SEEDS)]
        for seed, folder in enumerate(seeds):
            spec = study.trial_with({**study.start, **knobs}, seed)
            assert isinstance(spec, TrialSpec)
            wanted.append((folder, replace(spec, save_model=False, stop_on=None)))
        folders.append(seeds)
    run(arguments.jobs, wanted)
    print("[noise]")
    for metric, deviation in noise(folders, study.trial.completions).items():
        name = f'"{metric}"' if "." in metric else metric
        print(f"{name} = {deviation:.2g}")


if __name__ == "__main__":
    main()
