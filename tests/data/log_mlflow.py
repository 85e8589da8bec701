"""MLflow's own server with some runs: python log_mlflow.py FOLDER

Keeps them in FOLDER/mlflow.db, logs the same into FOLDER/mlruns, says in a line of JSON at which port it listens and
what the runs are called, and serves until its standard input ends.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

STEPS = 60
PARAMS = {"learning_rate": "1e-06", "beta": "0.04", "packing": "True", "nested/name": "two\nlines"}
Row = tuple[int, dict[str, float]]  # the step, and what was logged


def rows(run: str) -> list[Row]:
    """What is logged: a reward that falls, one gradient that is no number, and one that is infinite."""
    made = []
    for step in range(STEPS):
        grad_norm = math.nan if step == 7 else math.inf if step == 9 else 1.0
        reward, kl = 0.5 - step / 128, 0.01 * math.exp(step / 16)
        made.append((step, {"train/reward": reward, "kl with space": kl, "grad_norm": grad_norm}))
    if run == "resumed":  # from a checkpoint at step 20
        return made[:40] + [(step, row | {"train/reward": 0.25}) for step, row in made[20:]]
    return [(0, row) for _, row in made] if run == "unstepped" else made


def log(client: Any, experiment: str) -> dict[str, str]:
    """Log the runs; their ids by name."""
    from mlflow.entities import Metric, Param

    ids = {}
    for name, status in (("sick", "FINISHED"), ("resumed", "FAILED"), ("unstepped", "RUNNING"), ("deleted", "KILLED")):
        ids[name] = run = client.create_run(experiment, start_time=1000 + len(ids), run_name=name).info.run_id
        metrics = [
            Metric(key, value, 1_000_000 + i, step)
            for i, (step, row) in enumerate(rows(name))
            for key, value in row.items()
        ]
        client.log_batch(run, metrics, [Param(key, value) for key, value in PARAMS.items()])
        if status != "RUNNING":
            client.set_terminated(run, status, end_time=2000)
    client.delete_run(ids["deleted"])
    return ids


def main(folder: Path) -> None:
    """Log, serve, and wait."""
    store = f"sqlite:///{folder / 'mlflow.db'}"
    # What `mlflow server` tells its workers. The whole of it wants more packages for what it can do besides tracking.
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(folder / "artifacts"),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    from mlflow import MlflowClient
    from mlflow.server import app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").disabled = True
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clients = MlflowClient(f"http://127.0.0.1:{server.server_port}"), MlflowClient(f"file://{folder / 'mlruns'}")
    ids = [log(client, client.create_experiment("my experiment")) for client in clients]
    print(json.dumps({"port": server.server_port, "database": ids[0], "folder": ids[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
