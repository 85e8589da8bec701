"""What `diagnostics.logs` adds to the columns of a table."""

from pathlib import Path

import pytest

from diagnostics.logs import read
from diagnostics.sources import find

RUN_FILE = Path(__file__).parents[1] / "data" / "wandb" / "0.28.0.wandb"


@pytest.mark.parametrize("name", ["_timestamp", "_runtime"])
def test_a_column_says_when_steps_were_logged(tmp_path, name):
    log = tmp_path / "log.csv"
    log.write_text(f"step,reward,{name}\n0,0.5,100.5\n3,0.25,101\n5,0.5,\n")
    times = read(find(log).sources[0])[0].times
    assert times.steps.tolist() == [0, 3]
    assert times.values.tolist() == [100.5, 101.0]


def test_of_a_log_without_times_none_are_known(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,reward\n0,0.5\n3,0.25\n")
    assert read(find(log).sources[0])[0].times is None


def test_a_run_file_of_wandb_has_times():
    times = read(find(RUN_FILE).sources[0])[0].times
    assert len(times) == 80
    assert (times.values > 1e9).all()
