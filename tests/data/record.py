"""Records the runs of runs.toml with the project's own trainer: python tests/data/record.py [NAME...]"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diagnostics.events import EVENTS_FILE
from studies.spec import load
from studies.trial import write

HERE = Path(__file__).parent
RUNS: Mapping[str, Any] = tomllib.loads((HERE / "runs.toml").read_text(encoding="utf-8"))


def record(name: str) -> str:
    """Train the run called `name` and keep its events."""
    recorded = RUNS[name]
    spec = load("arithmetic-grpo")
    knobs = {**spec.start, **recorded["knobs"]}
    trial = spec.trial_with(knobs, recorded.get("seed", 0))
    with TemporaryDirectory() as folder:
        write(replace(trial, save_model=False, stop_on=None, **recorded.get("trial", {})), Path(folder))
        subprocess.run(  # a run that blows up may end with an error; what it told until then is what is kept
            [sys.executable, "-P", "-m", "trainers", folder],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        text = (Path(folder) / EVENTS_FILE).read_text(encoding="utf-8")
    for path in (folder, str(Path.home())):  # a recorded run says nothing of the machine it was recorded on
        text = text.replace(path, "~")
    target = HERE / "runs" / name
    target.mkdir(parents=True, exist_ok=True)
    (target / EVENTS_FILE).write_text(text, encoding="utf-8")
    return name


def main() -> None:
    """Record the runs named, or all."""
    with ThreadPoolExecutor(2) as pool:
        for name in pool.map(record, sys.argv[1:] or RUNS):
            print(name, flush=True)


if __name__ == "__main__":
    main()
