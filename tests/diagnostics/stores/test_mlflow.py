"""Runs that MLflow itself keeps: in a database, in folders, and on its server."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from diagnostics.engine import diagnose
from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.series import RunHistory
from diagnostics.sources import Source, find
from diagnostics.stores import mlflow
from diagnostics.stores.store import EVERYTHING, Wanted, store_of

SCRIPT = Path(__file__).parents[2] / "data" / "log_mlflow.py"


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("log_mlflow", SCRIPT)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


logged = module()


@dataclass
class Server:
    folder: Path
    address: str
    database: dict[str, str]
    runs: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("mlflow")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, SCRIPT, str(folder)]
    pipe = subprocess.PIPE
    with (
        (folder / "err").open("w") as err,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=err, text=True, env=env, cwd=folder) as process,
    ):
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("{")), "")  # it greets each run
        assert line, (folder / "err").read_text()
        told = json.loads(line)
        yield Server(folder, f"http://127.0.0.1:{told['port']}", told["database"], told["folder"])
        process.kill()


def the_run(sources: tuple[Source, ...], name: str) -> RunHistory:
    (source,) = (source for source in sources if source.part == name or name in source.name)
    (history,) = read(source)
    return history


def check(sources: tuple[Source, ...]) -> None:
    """The three runs that were not deleted, each number as it was logged."""
    assert len(sources) == 3
    sick, resumed, unstepped = (the_run(sources, name) for name in ("sick", "resumed", "unstepped"))
    rows = logged.rows("sick")
    for name, metric in (("train/reward", "reward_mean"), ("grad_norm", "grad_norm")):
        assert sick[metric].steps.tolist() == list(range(logged.STEPS))
        np.testing.assert_array_equal(sick[metric].values, [row[name] for _, row in rows])
        np.testing.assert_array_equal(unstepped[metric].values, [row[name] for _, row in rows])
    assert sick.others["kl with space"].values.tolist() == [row["kl with space"] for _, row in rows]
    assert sick.raw_settings == {**logged.PARAMS, "packing": True}
    assert sick.notes == () or all("deleted" in note for note in sick.notes)
    assert {"NUM001", "RWD002"} <= {finding.code for finding in diagnose([sick]).findings}
    assert resumed["reward_mean"].values.tolist() == [row["train/reward"] for _, row in rows[:20]] + [0.25] * 40
    assert "the run was resumed once: its steps went back into its middle" in resumed.notes
    assert "the run ended as FAILED" in resumed.notes
    assert "no step was logged: rows are counted, from 0 on" in unstepped.notes
    assert "MLflow has not been told that the run ended: it was killed, or still goes on" in unstepped.notes


def test_its_database(server):
    path = server.folder / "mlflow.db"
    before = path.read_bytes()
    found = find(path).sources
    assert [source.part for source in found] == ["sick", "resumed", "unstepped"]
    check(found)
    assert "1 deleted run of this database left out" in the_run(found, "sick").notes
    assert path.read_bytes() == before


def test_its_folders(server):
    found = find(server.folder / "mlruns")
    check(found.sources)
    assert [(path.name, why) for path, why in found.unreadable] == [(server.runs["deleted"], "was deleted in MLflow")]
    check(find(server.folder / "mlruns").sources)


def test_its_server(server, tmp_path):
    said: list[str] = []
    found = mlflow.fetch(server.address, EVERYTHING, tmp_path, said.append)
    check(found.sources)
    assert [source.name.split()[-1] for source in found.sources] == ["sick", "resumed", "unstepped"]
    assert len(said) == 3
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.db")}
    assert mlflow.fetch(server.address, EVERYTHING, tmp_path, said.append) == found
    assert len(said) == 3  # nothing has changed there, so nothing was fetched
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.db")} == kept


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("mlflow:my experiment", ["sick", "resumed", "unstepped"]),
        ("mlflow:1", ["sick", "resumed", "unstepped"]),
        ("mlflow:", ["sick", "resumed", "unstepped"]),
        ("mlflow:{sick}", ["sick"]),
        ("runs:/{resumed}", ["resumed"]),
        ("{address}/#/experiments/1", ["sick", "resumed", "unstepped"]),
        ("{address}/#/experiments/1/runs/{sick}", ["sick"]),
        ("{address}/#/experiments/1/runs/{sick}/model-metrics?x=1", ["sick"]),
        ("{address}/#/experiments/1?searchFilter=&orderByKey=x", ["sick", "resumed", "unstepped"]),
        ("{address}/", ["sick", "resumed", "unstepped"]),
    ],
)
def test_what_runs_are_called(name, runs, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    name = name.format(address=server.address, **server.database)
    store = store_of(name)
    assert store is mlflow
    found = store.fetch(name, EVERYTHING, tmp_path, lambda _: None)
    assert [source.name.split()[-1] for source in found.sources] == runs


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        (Wanted(last=1), ["unstepped"]),
        (Wanted(last=2), ["resumed", "unstepped"]),
        (Wanted(("state=failed",)), ["resumed"]),
        (Wanted(("status = finished", "params.beta=0.04")), ["sick"]),
        (Wanted(("metrics.train/reward>0.2", "name!=sick")), ["resumed"]),
        (Wanted(("config.learning_rate = '1e-06'",), 1), ["unstepped"]),
    ],
)
def test_some_of_many_runs(wanted, runs, server, tmp_path):
    found = mlflow.fetch(server.address, wanted, tmp_path, lambda _: None)
    assert [source.name.split()[-1] for source in found.sources] == runs


def said(name: str, folder: Path, wanted: Wanted = EVERYTHING) -> str:
    with pytest.raises(UserError) as error:
        mlflow.fetch(name, wanted, folder, lambda _: None)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_not_there(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    host = server.address.removeprefix("http://")
    assert said("mlflow:my experimen", tmp_path).startswith(f"there is no experiment my experimen on {host}: ")
    assert said("runs:/" + "0" * 32, tmp_path).startswith(f"there is no run {'0' * 32} on {host}: ")
    nothing = said("mlflow:my experiment", tmp_path, Wanted(("name=x",)))
    assert nothing.startswith(f"there is no run in experiment my experiment on {host} for which name=x. ")
    assert "is one run" in said(f"runs:/{server.database['sick']}", tmp_path, Wanted(last=2))
    assert "oops is no filter" in said("mlflow:1", tmp_path, Wanted(("oops",)))
    assert "answers: " in said("mlflow:1", tmp_path, Wanted(("oops=1",)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("uri", "what"), [("", "not set"), ("sqlite:///mlflow.db", "set to what is no server")])
def test_a_server_that_nobody_named(uri, what, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert said("mlflow:x", tmp_path).startswith(
        f"mlflow:x is on a server of MLflow, and MLFLOW_TRACKING_URI is {what}."
    )
