"""Diagnosing a run of 100,000 rows x 33 metrics on a wandb server: python tests/benchmarks/bench_remote.py

From the command line to the findings, in a fresh process that keeps nothing (`--no-cache`): the history comes as one
parquet file from a server on loopback, a process of its own. Then the parts, each the median of as many fresh
processes. Budget: 3 s by the clock; ends with 1 where it is not kept.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import big_wandb
import numpy as np
import pyarrow
import pyarrow.parquet

sys.path.append(str(Path(__file__).parents[1] / "diagnostics" / "stores"))

import wandb_server

ROWS = 100_000
METRICS = 33
BUDGET = 3.0  # seconds
REPEATS = 5
PARTS = """
import json, sys, tempfile, time
begin = time.perf_counter()
marks = {}
def mark(name):
    global begin
    now = time.perf_counter()
    marks[name], begin = now - begin, now
from pathlib import Path
from diagnostics.engine import diagnose
from diagnostics.logs import read
from diagnostics.stores import wandb
from diagnostics.stores.store import EVERYTHING
import pyarrow.parquet
mark("imports")
with tempfile.TemporaryDirectory() as folder:
    (source,) = wandb.fetch(sys.argv[1], EVERYTHING, Path(folder), print).sources
    mark("fetch")
    runs = read(source)
    mark("read")
diagnose(runs)
mark("rules")
print(json.dumps(marks))
"""


def exported() -> bytes:
    """The history as parquet: noise under names of GRPO, and the run's own columns."""
    draw = np.random.default_rng(0)
    names = [*big_wandb.METRICS, *(f"train/rewards/g{i}" for i in range(METRICS - len(big_wandb.METRICS)))]
    columns = {name: draw.random(ROWS) for name in names}
    columns |= {big_wandb.STEP: np.arange(ROWS), "_step": np.arange(ROWS), "_runtime": np.arange(ROWS) * 0.4}
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def serve(told: Connection) -> None:
    """Serve the run until the process is ended."""
    config = {"learning_rate": 1e-6, "_wandb": {"m": [{"1": big_wandb.STEP}, {"2": "*", "5": 1}]}}
    rows = [{"_step": step} for step in range(ROWS)]
    run = wandb_server.Run("big", rows, config, exported=ROWS, parquet=[exported()])
    with wandb_server.Server(run) as server:
        told.send((server.url, len(run.parquet[0])))
        told.recv()


def main() -> int:
    """Measure, print, and return the exit status."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    url, size = here.recv()
    autotune = Path(sys.executable).with_name("autotune")
    with TemporaryDirectory() as folder:
        environment = os.environ | {
            "HOME": folder, "WANDB_BASE_URL": url, "WANDB_API_KEY": wandb_server.KEY, "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        asking = {"env": environment, "cwd": folder, "capture_output": True, "text": True, "check": True}
        command = [autotune, "diagnose", "team/project/big", "--no-cache", "--fail-on", "fatal"]
        script = [sys.executable, "-c", PARTS, "team/project/big"]
        whole, processor, parts = [], [], []
        for _ in range(REPEATS):
            before, begin = busy(), time.perf_counter()
            subprocess.run(command, **asking)
            whole.append(time.perf_counter() - begin)
            processor.append(busy() - before)
            parts.append(json.loads(subprocess.run(script, **asking).stdout))
    here.send(None)
    took = statistics.median(whole)
    print(
        f"{ROWS:,} rows x {METRICS} metrics in {size / 1e6:.0f} MB of parquet, from the command line to the findings:"
    )
    print(
        f"{took:.2f} s by the clock (best {min(whole):.2f}, worst {max(whole):.2f}; budget {BUDGET:g} s), "
        f"{statistics.median(processor):.2f} s of the processor"
    )
    for name in parts[0]:
        print(f"  {name} {statistics.median(part[name] for part in parts):.2f} s")
    return int(took > BUDGET)


def busy() -> float:
    """Seconds of the processor that processes begun here have had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
