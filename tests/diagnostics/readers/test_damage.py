"""Damaged and hostile logs of all formats, through the whole path; `damage.py` says what must be so.

`AUTOTUNE_DAMAGE=10000 .venv/bin/pytest -s tests/diagnostics/readers/test_damage.py` has more of them.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.logs import read
from diagnostics.readers.protobuf import Malformed, fields
from diagnostics.sources import find

COUNT = int(os.environ.get("AUTOTUNE_DAMAGE", "500"))
SCRIPT = Path(__file__).with_name("damage.py")


@pytest.mark.slow
def test_no_damage_does_harm_and_what_is_lost_is_said(tmp_path):
    # A process of its own, so that memory is this script's alone.
    command = [sys.executable, SCRIPT, str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=COUNT * 2)
    *wrong, figures = done.stdout.splitlines() or [""]
    print(figures)
    assert not wrong, "\n".join(wrong) + done.stderr
    assert done.returncode == 0, done.stderr
    said = json.loads(figures)
    assert said["cases"] == COUNT
    assert said["kinds"] > 100  # ways of damage, over all formats
    assert list(tmp_path.iterdir()) == []


# ---- what was found once


def read_one(path):
    (source,) = find(path).sources
    (run,) = read(source)
    return run


@pytest.mark.filterwarnings("error")
def test_a_nan_that_signals_is_a_nan(samples, tmp_path):
    whole = samples.tensorboard([{"step": i, "reward": i} for i in range(3)])
    path = tmp_path / "events.out.tfevents.1.host.1.0"
    payload = whole[whole.rindex(b"\x09") : -4]  # the last event, without its checksum
    path.write_bytes(whole + samples.big_logs._record(payload[:-4] + b"\x01\x00\x80\x7f"))
    assert math.isnan(read_one(path)["reward_mean"].values[-1])


def test_settings_that_are_nested_without_end_do_no_harm(samples, tmp_path):
    field, item = samples.big_wandb.field, samples.big_wandb.item
    deep = field(1, field(2, b"a") * 5000 + field(16, b"1")), item("[" * 900 + "]" * 900, "b")
    path = tmp_path / "run-1.wandb"
    with path.open("wb") as file:
        out = samples.big_wandb.Writer(file)
        out.record(17, field(1, b"run1") + field(4, b"".join(deep)))
        for i in range(5):
            out.record(2, item(str(i), "step") + item("0.5", "reward"))
    assert len(read_one(path)["reward_mean"]) == 5


def test_a_message_of_fields_that_cannot_be_is_refused_at_once():
    with pytest.raises(Malformed):
        list(fields(bytes(100), 0, 100))


def test_a_message_of_too_many_fields_is_refused(monkeypatch):
    monkeypatch.setattr("diagnostics.readers.protobuf.MOST_FIELDS", 10)
    assert len(list(fields(b"\x08\x01" * 10, 0, 20))) == 10
    with pytest.raises(Malformed):
        list(fields(b"\x08\x01" * 11, 0, 22))
