"""Logs one run with whatever version of wandb is installed: python log_wandb.py FOLDER WHAT

Runs in an environment that has wandb and numpy and nothing of ours; `record_wandb.py` starts it. WHAT is `plain`,
`typed` (values with types beside JSON, wandb 0.31), or `resumed` (the same run once more). What was logged goes to
`logged.json`, with the numbers that JSON has no words for as texts.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

ROWS = 80


def row(i: int) -> dict[str, object]:
    """What is logged in row `i`: numbers of all kinds, and what is no number."""
    logged: dict[str, object] = {
        "train/global_step": i * 10,
        "train/loss": 1.0 / (i + 1),
        "train/kl": math.sin(i) * 1e-3,
        "train/learning_rate": 1e-6 * (1 - i / ROWS),
        "a.b": i + 0.5,
        "belohnung/größe→": -i,
        "with space": 0.1 + i,
        "nested": {"x": i, "y": {"z": 1e20 / (i + 1)}},
        "large": 2**53 + i,
        "flag": i % 2 == 0,
        "note": f"row {i}",
        "spelt": "0.25",
        "nothing": None,
        "list": [1, 2, 3],
    }
    if i % 10 == 0:
        logged.update({"eval/reward": float("nan") if i == 50 else i / 3})
        logged["up"], logged["down"] = math.inf, -math.inf
    if i % 40 == 7:
        logged[f"once/{i}"] = i * 1.5
    return logged


def spelt(value: object) -> object:
    """`value` as it can stand in JSON."""
    if isinstance(value, dict):
        return {name: spelt(inner) for name, inner in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def main(folder: Path, what: str) -> None:
    """Log the run into `folder`."""
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_CONSOLE="off", WANDB_DISABLE_CODE="true")
    os.environ.update(WANDB_DISABLE_GIT="true", WANDB_DIR=str(folder), WANDB_HOST="host", WANDB_USERNAME="user")
    import wandb

    settings = {"x_history_value_encoding": "json,typed"} if what == "typed" else {}
    for name in ("disable_stats", "disable_meta"):  # they were called by other names
        for prefix in ("x_", "_"):
            if hasattr(wandb.Settings(), prefix + name):
                settings[prefix + name] = True
    config = {"learning_rate": 1e-6, "layers": [1, 2], "nested": {"beta": 0.04, "deep": {"on": True, "off": None}}}
    run = wandb.init(
        project="golden",
        name="golden",
        mode="offline",
        id="golden01",
        config=config,
        settings=wandb.Settings(**settings),
        **({"resume": "allow"} if what == "resumed" else {}),
    )
    run.define_metric("train/global_step")
    run.define_metric("*", step_metric="train/global_step")
    rows, begin = [], ROWS if what == "resumed" else 0
    for i in range(begin, begin + ROWS):
        logged = row(i)
        step = {"step": i + 5} if i >= begin + 40 or what == "resumed" else {}  # steps are skipped
        media = {"histogram": wandb.Histogram([1, 2, i]), "page": wandb.Html("<p>")} if i % 30 == 3 else {}
        run.log({**logged, **media}, **step)
        rows.append({"step": step.get("step", i), "logged": spelt(logged)})
        if i == begin + 20:
            run.config.update({"late": 3, "nested": {"beta": 0.1}}, allow_val_change=True)
    run.finish(exit_code=3 if what == "resumed" else 0)
    settled = {**config, "late": 3, "nested": {"beta": 0.1}}
    told = {"wandb": wandb.__version__, "config": settled, "exit": 3 if what == "resumed" else 0, "rows": rows}
    (folder / "logged.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
