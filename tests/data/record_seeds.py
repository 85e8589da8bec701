"""Records seeds.json, the same settings on many seeds: python tests/data/record_seeds.py --out RUNS

Trains the built-in task one run at a time and keeps the curves that verdicts are made of. Runs that are already in RUNS
are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostics.engine import diagnose
from diagnostics.events import EVENTS_FILE
from diagnostics.finding import Severity
from diagnostics.readers import events
from studies.spec import load
from studies.trial import Knob, write

# What differs from the start of the preset arithmetic-grpo, and on how many seeds it was run.
SETTINGS: dict[str, tuple[dict[str, Knob], int]] = {
    "good": ({"learning_rate": 1e-4}, 10),
    "slow": ({"learning_rate": 1e-5}, 8),
    "collapse": ({"learning_rate": 3e-3}, 6),
    "fast": ({"learning_rate": 3.75e-4}, 6),
    "pinned": ({"learning_rate": 1e-4, "kl_coef": 1.0}, 6),
    "cold": ({"learning_rate": 1e-4, "temperature": 0.3}, 3),
    "asleep": ({"learning_rate": 1e-6}, 3),
}
# The steps at which a whole run logs each metric.
STEPS = {
    "validation_reward": range(0, 101, 10),
    "reward_mean": range(1, 101),
    "kl.reference.k3.token": range(1, 101),
    "zero_std_share": range(1, 101),
    "entropy.token": range(1, 101),
    "grad_norm": range(1, 101),
}


def train(folder: Path, knobs: dict[str, Knob], seed: int) -> None:
    """One run in `folder`, to its end whatever is found."""
    spec = load("arithmetic-grpo")
    folder.mkdir(parents=True)
    trial = spec.trial_with({**spec.start, **knobs}, seed)
    write(replace(trial, save_model=False, stop_on=None), folder)
    subprocess.run(
        [sys.executable, "-P", "-m", "trainers", str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )


def curves(folder: Path) -> dict[str, Any]:
    """The values of each metric at its `STEPS`, and the step at which a study would have stopped the run, if any."""
    run = events.read(folder / EVENTS_FILE)
    kept: dict[str, Any] = {
        "stopped": next((f.raised_at for f in diagnose(run).raised if f.severity is Severity.FATAL), None)
    }
    for metric, steps in STEPS.items():
        series = run.get(metric)
        if list(series.steps) != list(steps):
            raise SystemExit(f"{folder}: {metric} is logged at {list(series.steps)}")
        kept[metric] = [float(f"{v:.3g}") for v in series.values]
    return kept


def main() -> None:
    """Record what is missing and write seeds.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    args = parser.parse_args()
    lines = []
    for name, (knobs, seeds) in SETTINGS.items():
        folders = [args.out / f"{name}-{seed}" for seed in range(seeds)]
        for seed, folder in enumerate(folders):
            if not folder.exists():
                train(folder, knobs, seed)
        runs = ",\n".join(json.dumps(curves(folder), separators=(",", ":")) for folder in folders)
        lines.append(f'"{name}": [\n{runs}\n]')
    (Path(__file__).parent / "seeds.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
