"""MLflow's databases and folders that are damaged, old, or still written; `tests/diagnostics/stores` has real ones."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from diagnostics.errors import UserError
from diagnostics.logs import open_log, read
from diagnostics.sources import find


def test_a_database_of_an_older_schema_is_refused_in_one_line(samples, tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(samples.mlflow(samples.run(5)))
    with closing(sqlite3.connect(path)) as database:
        database.executescript("ALTER TABLE metrics DROP COLUMN is_nan")
    (source,) = find(path).sources
    with pytest.raises(UserError, match=r"mlflow.db is a database of MLflow without is_nan in its table metrics\. "):
        read(source)


def test_what_is_no_number_is_counted(samples, tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(samples.mlflow(samples.run(5)))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE metrics SET value = 'x' WHERE key = 'kl' AND step = 3")
        database.execute("UPDATE metrics SET step = 'x' WHERE key = 'kl' AND step = 4")
    (history,) = read(find(path).sources[0])
    assert "could not be read: 2 metrics without a number or a step" in history.notes
    assert history.series["reward_mean"].steps.tolist() == [1, 2, 3, 4, 5]


def test_a_status_of_a_folder_may_be_anything(tmp_path):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "reward").write_text("1 0.5 0\n")
    (tmp_path / "meta.yaml").write_text("lifecycle_stage: active\nrun_id: abc\nstatus:\n- 1\n")
    (history,) = read(find(tmp_path).sources[0])
    assert "MLflow has not been told that the run ended: it was killed, or still goes on" in history.notes


def test_a_metric_of_a_folder_that_is_still_written(tmp_path):
    folder = tmp_path / "run"
    for name in ("metrics", "params"):
        (folder / name).mkdir(parents=True)
    (folder / "meta.yaml").write_text("lifecycle_stage: active\nrun_id: abc\nrun_name: '7'\nstatus: 1\n")
    (folder / "metrics" / "reward").write_text("1 0.5 0\n2 0.2")
    (folder / "metrics" / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "metrics" / "pipe")
    (source,) = find(tmp_path).sources
    assert source.name == f"{folder} [7]"
    log = open_log(source)
    assert log.poll()
    assert log.histories()[0]["reward_mean"].values.tolist() == [0.5]
    with (folder / "metrics" / "reward").open("a") as file:
        file.write("5 1\n3 nan 2\nno metric\n4 -inf 3")
    (folder / "metrics" / "kl").write_text("1 0.5 0\n")
    while log.poll():
        pass
    log.finish()
    (history,) = log.histories()
    np.testing.assert_array_equal(history["reward_mean"].values, [0.5, 0.25, np.nan, -np.inf])
    assert "could not be read: 1 line that is no number of a metric" in history.notes
    assert set(history.names.values()) | set(history.unmapped) == {"reward", "kl"}
