"""Records the runs that the rules are tested on, with the project's own trainer: python tests/data/record.py [NAME...]

Each run is one line of RUNS: the built-in task with some settings changed. Its events go to tests/data/runs/NAME, and
what the rules must and may say of it stands beside its settings here, so that a run and its label cannot part.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diagnostics.events import EVENTS_FILE
from studies.spec import load
from studies.trial import write

RUNS_FOLDER = Path(__file__).parent / "runs"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run to record: what differs from the preset's settings at a good learning rate, and what is wrong with it.

    `must` codes are raised at WARNING or above; `may` codes can be; any other at WARNING or above is a false alarm.
    """

    knobs: Mapping[str, Any] = field(default_factory=dict)
    trial: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    must: tuple[str, ...] = ()
    may: tuple[str, ...] = ()


GOOD = {"learning_rate": 1e-4}
COLLAPSE = ("ENT001", "RWD001", "RWD002", "RWD003", "RWD004", "GRD002")
RUNS: dict[str, Recorded] = {
    "good-0": Recorded(GOOD),
    "good-1": Recorded(GOOD, seed=1),
    "good-fast": Recorded({"learning_rate": 4e-4}, seed=2),
    "no-kl": Recorded({**GOOD, "kl_coef": 0.0}),
    "collapse-0": Recorded({"learning_rate": 3e-3}, must=("KL002",), may=COLLAPSE),
    "collapse-1": Recorded({"learning_rate": 3e-3}, seed=1, must=("KL002",), may=COLLAPSE),
    "unstable": Recorded({"learning_rate": 1e-3}, must=("KL002",), may=COLLAPSE),
    "asleep": Recorded({"learning_rate": 1e-6}, must=("RWD004",), may=("RWD007",)),
    "cold": Recorded({**GOOD, "temperature": 0.3}, must=("RWD001",), may=("RWD004",)),
    "pairs": Recorded({**GOOD, "num_generations": 2}, may=("RWD001",)),
    "many-epochs": Recorded({"learning_rate": 4e-4, "update_epochs": 4}, may=("UPD002", "KL002", *COLLAPSE)),
    "pinned": Recorded({**GOOD, "kl_coef": 1.0}, may=("RWD004", "RWD007")),
    "cut-short": Recorded(GOOD, {"max_completion_length": 2}, must=("LEN001",), may=("RWD001", "RWD004", "RWD007")),
    "blown-up": Recorded({"learning_rate": 30.0}, {"trl": {"max_grad_norm": 1e9}}, must=("NUM001",), may=COLLAPSE),
}


def record(name: str) -> None:
    """Train the run called `name` and keep its events."""
    recorded = RUNS[name]
    spec = load("arithmetic-grpo")
    trial = replace(
        spec.trial_with({**spec.start, **recorded.knobs}, recorded.seed),
        save_model=False,
        stop_on=None,
        **recorded.trial,
    )
    with TemporaryDirectory() as folder:
        write(trial, Path(folder))
        subprocess.run(  # a run that blows up may end with an error; what it told until then is what is kept
            [sys.executable, "-P", "-m", "trainers", folder],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        target = RUNS_FOLDER / name
        target.mkdir(parents=True, exist_ok=True)
        text = (Path(folder) / EVENTS_FILE).read_text(encoding="utf-8")
        for path in (folder, str(Path.home())):  # a recorded run says nothing of the machine it was recorded on
            text = text.replace(path, "~")
        (target / EVENTS_FILE).write_text(text, encoding="utf-8")


def main() -> None:
    """Record the runs named, or all."""
    with ThreadPoolExecutor(2) as pool:
        for name in pool.map(lambda name: (record(name), name)[1], sys.argv[1:] or RUNS):
            print(name, flush=True)


if __name__ == "__main__":
    main()
