"""Writes large logs in the formats of others: .venv/bin/python tests/benchmarks/big_logs.py KIND FILE [ROWS]"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

NAMES = (
    *("loss", "kl", "entropy", "reward", "reward_std", "grad_norm", "learning_rate", "epoch", "num_tokens"),
    *("completions/" + name for name in ("mean_length", "min_length", "max_length", "clipped_ratio")),
    *("clip_ratio/" + name for name in ("low_mean", "low_min", "high_mean", "high_max", "region_mean")),
    *(f"rewards/{name}/{kind}" for name in ("exact", "format", "style") for kind in ("mean", "std")),
    *("completions/" + name for name in ("mean_terminated_length", "min_terminated_length", "max_terminated_length")),
    *("frac_reward_zero_std", "step_time", "sampling/sampling_logp_difference/mean"),
)  # as TRL 1.16 logs them in GRPO: 30


def trainer_state(file: Path, rows: int) -> None:
    """A `trainer_state.json` of transformers with `rows` rows; 100,000 are 147 MB."""
    rng = random.Random(0)
    before = {"best_metric": None, "epoch": 1.0, "global_step": rows}
    after = {"logging_steps": 1, "max_steps": rows, "num_train_epochs": 1, "train_batch_size": 8}
    with file.open("w") as out:
        out.write(json.dumps(before, indent=2).removesuffix("\n}") + ',\n  "log_history": [\n')
        for step in range(1, rows + 1):
            row = {name: rng.random() for name in NAMES} | {"step": step}
            out.write("    " + json.dumps(row, indent=2).replace("\n", "\n    ") + (",\n" if step < rows else "\n"))
        out.write("  ],\n" + json.dumps(after, indent=2).removeprefix("{\n") + "\n")


KINDS = {"trainer_state": trainer_state}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100_000)
