"""The server of wandb that runs beside the page on it: two recorded runs of GRPO, as Trainer logs them there."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "diagnostics" / "stores"))

from wandb_server import KEY, Run, Server  # noqa: E402

OF_OUR_LAB = {"t", "reward_best_of_n", "reward_worst_of_n", "best_of_n_gap", "completions/unique_frac"}
DEFINED = {"m": [{"1": "train/global_step", "6": [3]}, {"2": "*", "5": 1}]}


def recorded(pathology: str, id: str, created: str, state: str) -> Run:
    """A run of tests/data/pathologies."""
    lines = gzip.decompress((TESTS / "data" / "pathologies" / f"{pathology}.jsonl.gz").read_bytes()).splitlines()
    rows = [
        {"train/global_step" if k == "step" else f"train/{k}": v for k, v in row.items() if k not in OF_OUR_LAB}
        for row in map(json.loads, lines)
    ]
    rows = [{"_step": i} | row for i, row in enumerate(rows)]
    return Run(id, rows, {"_wandb": DEFINED}, state=state, created=created, exported=len(rows) // 2)


@contextmanager
def server(folder: Path) -> Iterator[Mapping[str, str]]:
    """The server of the project team/project, and who may ask it."""
    runs = (
        recorded("05_klexp_grpo_bad/0", "1a2b3c4d", "2026-01-01T00:00:00Z", "failed"),
        recorded("05_klexp_grpo_fix/0", "5e6f7a8b", "2026-01-02T00:00:00Z", "finished"),
    )
    with Server(*runs) as serving:
        yield {
            "WANDB_BASE_URL": serving.url,
            "WANDB_API_KEY": KEY,
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / ".cache"),
        }
