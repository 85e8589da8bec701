"""Small logs of every format, made from the same rows: what went in can be compared with what is read.

Each writer takes the rows of a run, numbers by name with the step under `STEP`, and returns the bytes of its file.
"""

from __future__ import annotations

import html
import importlib.util
import json
import math
import random
import sqlite3
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

Row = Mapping[str, float]
STEP = "step"
# What is logged in GRPO: names of TRL, as most formats have them, and what our own events call them.
CANONICAL = {
    "loss": "total_loss",
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "kl": "kl.reference.unknown.token",
    "entropy": "entropy.token",
    "grad_norm": "grad_norm",
    "completions/mean_length": "completion_length_mean",
    "frac_reward_zero_std": "zero_std_share",
    "learning_rate": "learning_rate",
}


def _module(name: str) -> ModuleType:
    """One of the scripts that write large logs."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


big_logs, big_wandb = _module("big_logs"), _module("big_wandb")


def run(rows: int = 40, *, seed: int = 0) -> list[dict[str, float]]:
    """A run that goes wrong: its KL explodes, its reward falls, and one gradient is no number."""
    draw = random.Random(seed)
    made = []
    for step in range(1, rows + 1):
        late = step / rows
        made.append(
            {
                STEP: step,
                "loss": round(draw.gauss(0, 0.01), 6),
                "reward": round(0.5 - 0.4 * late + draw.gauss(0, 0.02), 6),
                "reward_std": round(0.3 + draw.random() / 10, 6),
                "kl": round(0.01 * math.exp(8 * late) + draw.random() / 100, 6),
                "entropy": round(1.5 - late + draw.random() / 10, 6),
                "grad_norm": math.nan if step == rows // 2 else round(1 + draw.random(), 6),
                "learning_rate": 1e-6,
                "completions/mean_length": round(200 + 20 * draw.random(), 3),
                "frac_reward_zero_std": 0.0,
                "my_own_score": round(draw.random(), 6),
            }
        )
    return made


def events(rows: Sequence[Row]) -> bytes:
    """Events of ours."""
    lines = []

    def say(kind: str, step: int, **data: Any) -> None:
        envelope = {"v": 1, "type": kind, "seq": len(lines), "time": 1.7e9 + len(lines), "attempt": 1, "step": step}
        lines.append(json.dumps(envelope | data))

    say("run_started", 0, framework="trl-grpo", framework_version="1.16.0", settings={}, raw_settings={})
    for row in rows:
        told = {name: _spelt(value) for name, value in row.items() if name != STEP}
        known = {CANONICAL[name]: value for name, value in told.items() if name in CANONICAL}
        others = {name: value for name, value in told.items() if name not in CANONICAL}
        say("metrics_logged", int(row[STEP]), metrics=known, unmapped=others)
    say("run_ended", int(rows[-1][STEP]), outcome="finished", reason="")
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def jsonl(rows: Sequence[Row]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def json_document(rows: Sequence[Row]) -> bytes:
    """A list of rows."""
    return json.dumps(list(rows), indent=1).encode()


def trainer_state(rows: Sequence[Row]) -> bytes:
    """What a Trainer saves."""
    state = {"best_metric": None, "epoch": 1.0, "global_step": len(rows), "is_hyper_param_search": False}
    return json.dumps(state | {"log_history": list(rows), "max_steps": len(rows)}, indent=2).encode()


def csv_file(rows: Sequence[Row]) -> bytes:
    """Cells parted by commas."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(map(_quoted, names))]
    lines += [",".join(repr(row[name]) if name in row else "" for name in names) for row in rows]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def notebook(rows: Sequence[Row]) -> bytes:
    """A notebook in which Trainer showed a table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"      <th>{html.escape(name.capitalize() if name == STEP else name)}</th>\n" for name in names)
    body = "".join(
        "    <tr>\n" + "".join(f"      <td>{repr(row[name]) if name in row else ''}</td>\n" for name in names)
        + "    </tr>\n"
        for row in rows
    )  # fmt: skip
    table = (
        f'<table border="1">\n  <thead>\n <tr>\n{head}    </tr>\n  </thead>\n  <tbody>\n{body}  </tbody>\n</table><p>'
    )
    output = {"data": {"text/html": table.splitlines(True), "text/plain": ["<IPython>"]}, "output_type": "display_data"}
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": [output],
        "source": ["trainer.train()"],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


def console(rows: Sequence[Row]) -> bytes:
    """What a Trainer prints, between other things."""
    lines = ["Loading checkpoint shards: 100%|##########| 2/2 [00:01<00:00,  1.30it/s]", "Starting training ..."]
    for i, row in enumerate(rows):
        lines.append(str(dict(row)))
        lines.append(f" {100 * i // len(rows)}%|###       | {i}/{len(rows)} [00:{i % 60:02}<01:00,  1.20s/it]")
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def tensorboard(rows: Sequence[Row], *, mangle: Callable[[bytes], bytes] = bytes) -> bytes:
    """Events of torch's SummaryWriter, one for each number; `mangle` changes a record before it is framed."""
    varint, record = big_logs._varint, big_logs._record
    made = [record(b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2")]
    for row in rows:
        before = b"\x09" + struct.pack("<d", 1.7e9 + row[STEP]) + b"\x10" + varint(int(row[STEP]))
        for name, value in row.items():
            if name != STEP:
                tag = name.encode("utf-8", "surrogatepass")
                summary = b"\x0a" + varint(len(tag)) + tag + b"\x15" + struct.pack("<f", value)
                summary = b"\x0a" + varint(len(summary)) + summary
                made.append(record(mangle(before + b"\x2a" + varint(len(summary)) + summary)))
    return b"".join(made)


def wandb(rows: Sequence[Row], *, mangle: Callable[[bytes], bytes] = bytes) -> bytes:
    """A run file of wandb 0.31; `mangle` changes a row before it is framed."""
    made = bytearray()
    out = big_wandb.Writer(_Into(made))
    field, item = big_wandb.field, big_wandb.item
    out.record(21, field(1, field(1, b"0.31.0") + field(2, b"0.70.0")), field(200, field(1, b"run1")))
    config = item("1e-06", "learning_rate") + item("0.04", "beta")
    out.record(17, field(1, b"run1") + field(4, config) + field(17, b"\x08\x80\x8c\x8d\xa8\x06"))
    for i, row in enumerate(rows):
        items = b"".join(_item(_name(name), json.dumps(value)) for name, value in row.items())
        items += item(str(i), "_step") + item(f"{1.7e9 + i}", "_timestamp")
        out.record(2, mangle(items + field(2, b"\x08" + big_wandb.varint(i))))
    out.record(18, b"")
    return bytes(made)


def trackio(rows: Sequence[Row]) -> bytes:
    """A database of trackio 0.43 with one run, as it is after its writer has ended."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL,"
            " run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL, log_id TEXT, space_id TEXT)"
        )
        database.execute("CREATE INDEX idx_metrics_run_step ON metrics(run_id, step)")
        database.execute(
            "CREATE TABLE configs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, run_name TEXT NOT NULL,"
            " config TEXT NOT NULL, created_at TEXT NOT NULL, UNIQUE(run_id))"
        )
        config = json.dumps({"learning_rate": 1e-6, "beta": 0.04})
        database.execute("INSERT INTO configs VALUES (1, 'id1', 'run1', ?, '')", (config.encode(),))
        database.executemany(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('id1', '', 'run1', ?, ?)",
            [(int(row[STEP]), _json(row)) for row in rows],
        )
        database.commit()
        return database.serialize()


def trackio_parquet(rows: Sequence[Row]) -> bytes:
    """What trackio 0.43 exports of a project with one run."""
    import pyarrow
    import pyarrow.parquet

    names = list(
        dict.fromkeys(name.encode("utf-8", "replace").decode() for row in rows for name in row if name != STEP)
    )
    own = [{"run_id": "id1", "timestamp": "", "run_name": "run1", "step": int(row[STEP])} for row in rows]
    told = [{name: row[name] for name in row if name != STEP} for row in rows]
    columns = {name: [row[name] for row in own] for name in own[0]}
    columns |= {name: [row.get(name) for row in told] for name in names if name not in columns}
    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue().to_pybytes()


def mlflow(rows: Sequence[Row]) -> bytes:
    """A database of MLflow 3.17 with one run that has ended."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(
            "CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), status VARCHAR(9), start_time BIGINT,"
            " end_time BIGINT, lifecycle_stage VARCHAR(20), experiment_id INTEGER, PRIMARY KEY (run_uuid))"
        )
        database.execute("CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32))")
        database.execute(
            'CREATE TABLE "metrics" ("key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,'
            " run_uuid VARCHAR(32) NOT NULL, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL,"
            " FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid))"
        )
        database.execute("CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid)")
        database.execute("INSERT INTO runs VALUES ('id1', 'run1', 'FINISHED', 0, 1, 'active', 0)")
        database.execute("INSERT INTO params VALUES ('learning_rate', '1e-06', 'id1'), ('beta', '0.04', 'id1')")
        database.executemany(
            "INSERT INTO metrics VALUES (CAST(? AS TEXT), ?, 0, 'id1', ?, ?)",
            [
                (_name(name), _kept(value), int(row[STEP]), value != value)
                for row in rows
                for name, value in row.items()
                if name != STEP
            ],
        )
        database.commit()
        return database.serialize()


class _Into:
    """A file in memory."""

    def __init__(self, made: bytearray) -> None:
        self._made = made

    def write(self, data: bytes) -> None:
        self._made += data


WRITERS: dict[str, tuple[str, Callable[[Sequence[Row]], bytes]]] = {
    "wandb": ("run-abc.wandb", wandb),
    "tensorboard": ("events.out.tfevents.1700000000.host.1.0", tensorboard),
    "trackio": ("project.db", trackio),
    "trackio_parquet": ("project.parquet", trackio_parquet),
    "mlflow": ("mlflow.db", mlflow),
    "trainer_state": ("trainer_state.json", trainer_state),
    "events": ("events.jsonl", events),
    "notebook": ("train.ipynb", notebook),
    "jsonl": ("log.jsonl", jsonl),
    "json_document": ("history.json", json_document),
    "csv_file": ("metrics.csv", csv_file),
    "console": ("train.log", console),
}


def _json(row: Row) -> bytes:
    metrics = {name: _spelt(value) for name, value in row.items() if name != STEP}
    return json.dumps(metrics).encode()


def _name(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _item(name: bytes, value: str) -> bytes:
    field: Callable[[int, bytes], bytes] = big_wandb.field
    return field(1, field(2, name) + field(16, value.encode()))


def _spelt(value: float) -> float | str:
    if isinstance(value, int) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _kept(value: float) -> float:
    """`value` as MLflow keeps it."""
    if value != value:
        return 0.0
    try:
        return max(-sys.float_info.max, min(sys.float_info.max, float(value)))
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\r\n') else name
