"""Checkpoint folders on the hub, asked for by the hub's own package from a server on loopback that speaks for it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest
from hub_server import SHA, Hub
from huggingface_hub import constants
from loopback import Answer, Loopback, in_json

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.sources import Found
from diagnostics.stores import hub
from diagnostics.stores.hub import Where, located, telling
from diagnostics.stores.store import EVERYTHING, Wanted, store_of

DATA = Path(__file__).parents[2] / "data"
TOKEN = "hf_loopbackloopbackloopbackloopback"


def state(steps: int) -> bytes:
    rows = [{"step": s, "reward": 1 - s / 64, "kl": 0.1} for s in range(1, steps + 1)]
    return json.dumps({"global_step": steps, "max_steps": 60, "log_history": rows}).encode()


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The hub, and its package as in a new process with an empty cache."""
    with Loopback().serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for name, value in (("HF_HUB_OFFLINE", False), ("HF_HUB_CACHE", str(tmp_path / "hub"))):
            monkeypatch.setattr(constants, name, value)
        yield Hub(server)


def fetch(name: str, folder: Path, wanted: Wanted = EVERYTHING) -> Found:
    return hub.fetch(name, wanted, folder, lambda _: None)


def test_the_newest_state_and_the_events_are_fetched_and_nothing_else(there, tmp_path):
    events = next((DATA / "tensorboard" / "by_torch").rglob("*tfevents*")).read_bytes()
    there.repos["some/run"] = {
        "README.md": b"# a model",
        "model.safetensors": b"weights",
        "training_args.bin": b"a pickle",
        "checkpoint-9/trainer_state.json": state(9),
        "checkpoint-20/trainer_state.json": state(20),
        "checkpoint-20/adapter_config.json": b"{}",
        "checkpoint-20/optimizer.pt": b"a pickle",
        "other/trainer_state.json": state(5),
        "runs/Jan01/events.out.tfevents.1.host.1.0": events,
    }
    found = fetch("hf://some/run", tmp_path)
    assert there.files_asked == [
        "runs/Jan01/events.out.tfevents.1.host.1.0",
        "other/trainer_state.json",
        "checkpoint-20/trainer_state.json",
        "checkpoint-20/adapter_config.json",
    ]
    assert [(source.format, source.name) for source in found.sources] == [
        ("trainer_state", "hf://some/run/other/trainer_state.json"),
        ("trainer_state", "hf://some/run/checkpoint-20/trainer_state.json"),
        ("tensorboard", "hf://some/run/runs/Jan01"),
    ]
    (run,) = read(found.sources[1])
    assert run["reward_mean"].steps.tolist() == list(range(1, 21))
    assert run.raw_settings["peft"] is True
    assert read(found.sources[2])
    assert all(path.is_relative_to(tmp_path / "hub") for source in found.sources for path in source.paths)


def test_what_was_fetched_is_not_fetched_again(there, tmp_path, monkeypatch):
    there.repos["some/run"] = {"last-checkpoint/trainer_state.json": state(7), "trainer_state.json": state(9)}
    found = fetch("hf://some/run", tmp_path)
    assert [source.name for source in found.sources] == ["hf://some/run"]
    assert read(found.sources[0])[0].last_step == 9
    before = len(there.server.asked)
    assert fetch("hf://some/run", tmp_path) == found
    assert [request.path for request in there.server.asked[before:]] == ["/api/models/some/run"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = len(there.server.asked)
    offline = fetch("hf://some/run", tmp_path)
    assert [read(source)[0].last_step for source in offline.sources] == [9]
    assert fetch(f"hf://some/run@{SHA}", tmp_path).sources[0].paths == offline.sources[0].paths
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set, and hf://some/other was never fetched\. Unset it"):
        fetch("hf://some/other", tmp_path)
    assert len(there.server.asked) == before


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("hf://u/r", Where("model", "u/r")),
        ("hf://models/u/r/", Where("model", "u/r")),
        ("hf://datasets/u/r@v1/a/b", Where("dataset", "u/r", "v1", "a/b")),
        ("https://huggingface.co/u/r", Where("model", "u/r")),
        ("https://hf.co/u/r.x_y-z", Where("model", "u/r.x_y-z")),
        ("https://huggingface.co/u/r/tree/main/checkpoint-8", Where("model", "u/r", "main", "checkpoint-8")),
        ("https://huggingface.co/u/r/blob/main/trainer_state.json?a=b#c",
         Where("model", "u/r", "main", "trainer_state.json")),
        ("https://huggingface.co/u/r/tree/refs%2Fpr%2F1", Where("model", "u/r", "refs/pr/1")),
        ("http://mirror:8080/u/r", Where("model", "u/r")),
        ("https://huggingface.co/u", None),
        ("https://huggingface.co.evil.org/u/r", None),
        ("https://huggingface.co/u/../r", None),
        ("hf://u", None),
        ("hf://u/a b", None),
        ("u/r", None),
        ("file://huggingface.co/u/r", None),
    ],
)  # fmt: skip
def test_what_repositories_are_called(name, where):
    assert located(name, {"HF_ENDPOINT": "http://mirror:8080"}) == where
    if where is not None and "mirror" not in name:
        assert store_of(name) is hub


def parquet(**columns: list[object]) -> bytes:
    out = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue().to_pybytes()


def test_what_trackio_syncs(there, tmp_path):
    """A data set has a file for each project, a static Space one project; other tables are left alone."""
    run = {"run_id": ["id"] * 20, "run_name": ["run"] * 20}
    rows = parquet(**run, timestamp=[""] * 20, step=list(range(20)), reward=[0.5] * 20)
    settings = parquet(run_id=["id"], run_name=["run"], created_at=[""], beta=[0.25])
    there.repos["datasets/u/d"] = {
        "p.parquet": rows,
        "p_configs.parquet": settings,
        "p_system.parquet": rows,
        "train.parquet": rows,
    }
    there.repos["spaces/u/s"] = {"metrics.parquet": rows, "aux/configs.parquet": settings, "aux/traces.parquet": rows}
    for name, file in (("hf://datasets/u/d", "p.parquet"), ("hf://spaces/u/s", "metrics.parquet")):
        (source,) = fetch(name, tmp_path).sources
        assert (source.format, source.name) == ("trackio_parquet", f"{name}/{file}")
        (history,) = read(source)
        assert history["reward_mean"].steps.tolist() == list(range(20))
        assert history.raw_settings == {"beta": 0.25}
    assert there.files_asked == ["p.parquet", "p_configs.parquet", "metrics.parquet", "aux/configs.parquet"]


def test_a_folder_a_file_and_a_revision(there, tmp_path):
    there.repos["u/r"] = {"a/trainer_state.json": state(3), "ab/trainer_state.json": state(4)}
    for name in ("hf://u/r/a", "hf://u/r@main/a", f"{there.server.address}/u/r/tree/main/a",
                 f"{there.server.address}/u/r/blob/{SHA}/a/trainer_state.json"):  # fmt: skip
        (source,) = fetch(name, tmp_path).sources
        assert read(source)[0].last_step == 3
    there.repos["datasets/u/d"] = {"trainer_state.json": state(5)}
    (source,) = fetch("hf://datasets/u/d", tmp_path).sources
    assert source.name == "hf://datasets/u/d/trainer_state.json"


GATED = {"X-Error-Code": "GatedRepo"}
FAILURES = [
    (in_json({"error": "x"}, 403, **GATED), "hf://some/run is gated, and you have no access. Ask for access at "),
    (in_json({}, 401), "HOST does not accept your token (HTTP 401). "),
    (in_json({}, 403), "HOST does not let you read it (HTTP 403). "),
    (in_json({}, 400), "HOST answers HTTP 400. "),
    (in_json({}, 500), "HOST has trouble of its own (HTTP 500). "),
    (Answer(200, b"<html>"), "HOST does not answer as the hub does. "),
]


@pytest.mark.parametrize(("failure", "what"), FAILURES)
def test_what_goes_wrong(failure, what, there, tmp_path):
    there.repos["some/run"] = {"trainer_state.json": state(9)}
    there.fails["/api/models/some/run"] = failure
    assert said("hf://some/run", tmp_path).startswith(what.replace("HOST", there.server.host))


@pytest.mark.parametrize(
    ("failure", "what"),
    [
        (in_json({}, 403), "HOST does not let you read it (HTTP 403). "),
        (Answer(200, b"x"), "HOST does not answer as the hub does. "),
    ],
)
def test_what_goes_wrong_with_a_file_is_no_matter_of_the_disk(failure, what, there, tmp_path):
    there.repos["some/run"] = {"trainer_state.json": state(9)}
    there.fails["/some/run/resolve"] = failure
    assert said("hf://some/run", tmp_path).startswith(what.replace("HOST", there.server.host))


def said(name: str, folder: Path, wanted: Wanted = EVERYTHING) -> str:
    with pytest.raises(UserError) as error:
        fetch(name, folder, wanted)
    assert "\n" not in str(error.value)
    assert TOKEN not in str(error.value)
    return str(error.value)


def test_what_is_not_there(there, tmp_path):
    there.repos["some/run"] = {"model.safetensors": b"weights"}
    host = there.server.host
    assert said("hf://some/runs", tmp_path).startswith(f"there is no hf://some/runs at {host} that you may read. ")
    assert said("hf://some/run@v9", tmp_path).startswith("hf://some/run@v9 has no such revision. ")
    assert said("hf://some/run", tmp_path).startswith("hf://some/run holds no trainer_state.json, no file of Tensor")
    assert "trackio below x/y. " in said("hf://some/run/x/y", tmp_path)
    assert "is one repository" in said("hf://some/run", tmp_path, Wanted(last=3))
    assert said("hf://some", tmp_path).startswith("hf://some names no repository. Write hf://user/repo, ")
    assert store_of("hf://some") is store_of("hf:/some/run") is hub  # a path has one slash
    assert there.files_asked == []


def test_nobody_there(there, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    what = said("hf://some/run", tmp_path)
    assert what.startswith("127.0.0.1:9 cannot be reached: ")
    assert "HF_HUB_OFFLINE=1 takes what was fetched before" in what


def test_names_that_leave_the_folder_are_not_asked_for(there, tmp_path):
    there.repos["u/r"] = {
        name: state(3)
        for name in (
            "../trainer_state.json",
            "/etc/trainer_state.json",
            "a/../../trainer_state.json",
            "ok/trainer_state.json",
        )
    }
    (source,) = fetch("hf://u/r", tmp_path).sources
    assert there.files_asked == ["ok/trainer_state.json"]
    assert source.paths[0].parent.name == "ok"


def test_of_many_checkpoints_the_newest_is_taken():
    files = [f"a/checkpoint-{n}/trainer_state.json" for n in (10, 9, 100)] + ["b/last-checkpoint/trainer_state.json"]
    assert telling([*files, "b/checkpoint-3/trainer_state.json"]) == [
        "a/checkpoint-100/trainer_state.json",
        "b/last-checkpoint/trainer_state.json",
    ]
