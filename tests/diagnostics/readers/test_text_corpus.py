"""Strangers' console logs, JSONL files and trainer states: the rows that their labels count, under their names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from diagnostics.readers import console, jsonl, trainer_state
from diagnostics.readers.reader import HEAD

CORPUS = os.environ.get("AUTOTUNE_CORPUS")
# run: its format, and a name that every labelled point has
RUNS = {
    "chaos_vsr_env": (console, "loss"),
    "verl_qwen05b_p1024": (console, "critic/kl"),
    "deepspeed_chat_opt13b": (console, "average reward score"),
    "minimind_grpo_v2_r1": (console, "KL_ref"),
    "rohan_fixed_kl": (jsonl, "train_reward"),
    "rookworld_all": (jsonl, "kl_div"),
    "rookworld_run3": (jsonl, "kl_div"),
    "imjonezz_unsloth_250": (trainer_state, "reward"),
    "cas_4090_400": (trainer_state, "reward"),
    "chaos_trainer_state_200": (trainer_state, "reward"),
}
RENAMED = {"reward": "average reward score"}  # by the labels, in DeepSpeed-Chat
pytestmark = pytest.mark.skipif(CORPUS is None, reason="AUTOTUNE_CORPUS is not set")


@pytest.mark.parametrize("run", RUNS)
def test_a_strangers_run_has_the_points_that_were_labelled(run):
    folder = Path(CORPUS or "")
    label = next(label for label in json.loads((folder / "labels.json").read_text()) if label["id"] == run)
    form, name = RUNS[run]
    path = folder / label["file"]
    with path.open("rb") as file:
        head = file.read(HEAD)
    assert [other.parts(path, head) for other in (console, jsonl, trainer_state)].count(("",)) == 1
    assert form.parts(path, head) == ("",)
    reader = form.open_log([path], "")
    while reader.poll():
        pass
    reader.finish()
    table = reader.table
    assert len(table.columns[name]) == label["points"]
    missing = set(label["metrics"]) - set(table.columns)
    assert {RENAMED.get(metric, metric) for metric in missing} <= set(table.columns)
    assert not table.lost
