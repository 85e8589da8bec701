"""The study that runs beside the page on actions: of a script that takes its time, with two proposals that wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from studies.log import read

SCRIPT = """
import json, sys, time
with open(sys.argv[1] + "/log.jsonl", "w", buffering=1) as log:
    for step in range(10_000):
        print(json.dumps({"step": step, "score": step / 100, "reward_mean": step / 100}), file=log)
        time.sleep(0.1)
"""
SECONDS = 100


@contextmanager
def study(folder: Path) -> Iterator[Mapping[str, str]]:
    """`autotune-runs/night`, started with --review."""
    directory = folder / "autotune-runs" / "night"
    (folder / "train.py").write_text(SCRIPT)
    command = f"{sys.executable} train.py {{dir}} {{learning_rate}} {{temperature}}"
    spaces = ["--space", "learning_rate=1e-6..0.01:log", "--space", "temperature=0.5..1.5"]
    options = ["--objective", "score", *spaces, "--dir", str(directory), "--parallel", "2", "--review", "--plain"]
    with (folder / "study.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autotune", "study", "start", "--command", command, *options],
            cwd=folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + SECONDS
        while not ((directory / "study.jsonl").exists() and len(read(directory).waiting) == 2):
            assert time.monotonic() < deadline and process.poll() is None, (folder / "study.log").read_text()
            time.sleep(0.1)
        yield {}
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait()
