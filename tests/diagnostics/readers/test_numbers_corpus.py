"""Strangers' event files and CSV: the points that their labels count, under their names, cell by cell."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from diagnostics.readers import csv_file, tensorboard
from diagnostics.readers.reader import HEAD
from diagnostics.readers.table import Table

CORPUS = os.environ.get("AUTOTUNE_CORPUS")
# run: rows, and a name that every labelled point has
EVENTS = {
    "alessia_ppo_1737131114": (500, "rollout/ep_rew_mean"),
    "cas_1766164434": (90, "train/reward"),
    "cas_1767714698": (147, "train/reward"),
    "cas_1767718134": (100, "train/reward"),
    "cas_1767733342": (300, "train/reward"),
    "cas_1767883513": (180, "train/loss"),
    "juncy_oct22": (49, "train/reward"),
}
CELLS = {
    "deepretrieval_exp1": (600, "train/kl"),
    "deepretrieval_exp2": (600, "train/kl"),
    "deepretrieval_exp4": (600, "train/kl"),
    "deepretrieval_exp5": (600, "train/kl"),
    "herman_ppo": (59, "rollout/ep_rew_mean"),
    "kardenia_grpo": (122, "kl_div"),
    "pporytorch_CartPole-v1_0": (125, "reward"),
    "pporytorch_LunarLander-v2_0": (1666, "reward"),
    "pporytorch_RoboschoolHopper-v1_0": (1500, "reward"),
}
FORMATS = {tensorboard: EVENTS, csv_file: CELLS}
pytestmark = pytest.mark.skipif(CORPUS is None, reason="AUTOTUNE_CORPUS is not set")


def read(run: str) -> tuple[Path, dict[str, object], Table]:
    folder = Path(CORPUS or "")
    label = next(label for label in json.loads((folder / "labels.json").read_text()) if label["id"] == run)
    path = folder / label["file"]
    form = tensorboard if run in EVENTS else csv_file
    with path.open("rb") as file:
        head = file.read(HEAD)
    assert [other.parts(path, head) for other in FORMATS] == [("",) if other is form else None for other in FORMATS]
    reader = form.open_log([path], "")
    while reader.poll():
        pass
    reader.finish()
    assert not reader.table.lost and not reader.table.notes
    return path, label, reader.table


@pytest.mark.parametrize("run", [*EVENTS, *CELLS])
def test_a_strangers_run_has_the_points_that_were_labelled(run):
    _, label, table = read(run)
    rows, name = (EVENTS | CELLS)[run]
    assert (table.rows, len(table.columns[name])) == (rows, label["points"])
    assert set(label["metrics"]) <= {*table.columns, "step"}


@pytest.mark.parametrize("run", EVENTS)
def test_the_steps_of_a_strangers_events_are_those_of_its_rows(run):
    _, _, table = read(run)
    assert table.steps is not None
    rows, steps = table.steps.since(0)
    assert rows.tolist() == list(range(table.rows)) and (steps[1:] > steps[:-1]).all()
    trl = "train/reward" in table.columns
    assert ("learning_rate" in table.settings) == trl and ("transformers" in table.packages) == trl


@pytest.mark.parametrize("run", CELLS)
def test_a_strangers_cells_are_the_numbers_that_python_reads(run):
    path, _, table = read(run)
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for name, column in table.columns.items():
        rows, numbers = column.since(0)
        assert {i: float(line[name]) for i, line in enumerate(lines) if line[name]} == dict(
            zip(rows.tolist(), numbers.tolist(), strict=True)
        )
