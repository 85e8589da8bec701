"""What the page docs/trackio-mlflow-hub.md needs beside it: a project of trackio, a server of MLflow, and the hub."""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "diagnostics" / "stores"))

from hub_server import Hub  # noqa: E402
from loopback import Loopback  # noqa: E402
from mlflow_server import Mlflow, run_of  # noqa: E402

from diagnostics.stores.mlflow import fetch  # noqa: E402
from diagnostics.stores.store import EVERYTHING  # noqa: E402

RUNS = {"kl-explodes": "05_klexp_grpo_bad/0", "repaired": "05_klexp_grpo_fix/0"}
NO_METRICS = {"t", "step", "reward_best_of_n", "reward_worst_of_n", "best_of_n_gap", "completions/unique_frac"}
PROJECT = """
import json, sys, trackio
for name, rows in json.load(sys.stdin).items():
    trackio.init(project="arithmetic", name=name, config={"learning_rate": 1e-3, "beta": 0.04})
    for step, row in rows:
        trackio.log({**row, "train/global_step": step})
    trackio.finish()
"""

Rows = list[tuple[int, dict[str, float]]]


@contextmanager
def servers(folder: Path) -> Iterator[Mapping[str, str]]:
    """All three hold a run whose KL explodes, and that run repaired."""
    runs = {name: _rows(run) for name, run in RUNS.items()}
    projects = folder / "trackio"
    variables = {"TRACKIO_DIR": str(projects), "HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": str(folder / "hub")}
    _write_project(runs, variables)
    with Loopback().serving() as of_mlflow, Loopback().serving() as of_hub:
        mlflow, hub = Mlflow(of_mlflow), Hub(of_hub)
        for name, rows in runs.items():
            mlflow.runs[name] = run_of(name, _histories(rows), run_name=name)
        rows = runs["kl-explodes"]
        state = {"global_step": rows[-1][0], "log_history": [{**row, "step": step} for step, row in rows]}
        hub.repos["user/grpo-run"] = {
            "model.safetensors": b"weights",
            "last-checkpoint/trainer_state.json": json.dumps(state).encode(),
        }
        _write_database(folder, of_mlflow.address)
        yield variables | {"MLFLOW_TRACKING_URI": of_mlflow.address, "HF_ENDPOINT": of_hub.address}


def _rows(run: str) -> Rows:
    lines = gzip.decompress((TESTS / "data" / "pathologies" / f"{run}.jsonl.gz").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["step"], {name: row[name] for name in row if name not in NO_METRICS}) for row in rows]


def _write_project(runs: Mapping[str, Rows], variables: Mapping[str, str]) -> None:
    told = {
        name: [(step, {f"train/{name}": n for name, n in row.items()}) for step, row in rows]
        for name, rows in runs.items()
    }
    subprocess.run(
        [sys.executable, "-c", PROJECT],
        input=json.dumps(told),
        text=True,
        check=True,
        env={**os.environ, **variables, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
    )


def _histories(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    histories: dict[str, list[dict[str, Any]]] = {}
    for step, row in rows:
        for name, value in row.items():
            if isinstance(value, int | float):
                spelt = "NaN" if math.isnan(value) else value
                histories.setdefault(name, []).append({"key": name, "value": spelt, "timestamp": step, "step": step})
    return histories


def _write_database(folder: Path, address: str) -> None:
    """A database as MLflow's, of the run whose KL explodes."""
    found = fetch(f"{address}/#/experiments/1/runs/kl-explodes", EVERYTHING, folder / "fetched", lambda _: None)
    shutil.move(found.sources[0].paths[0], folder / "mlflow.db")
    shutil.rmtree(folder / "fetched")
