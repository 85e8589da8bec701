"""What can go wrong between autotune and a tracking server of MLflow, each in the right words."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path

import pytest
from loopback import Answer, Loopback, in_json
from mlflow_server import Mlflow, run_of

import diagnostics
from autotune.named import named
from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.stores import kept, mlflow, mlflow_client, patience
from diagnostics.stores.kept import LOCK, alone
from diagnostics.stores.mlflow_client import base, login
from diagnostics.stores.store import EVERYTHING, store_of

SECRET = "correct horse"
LOGIN = base64.b64encode(f"me:{SECRET}".encode()).decode()
POINTS = [{"key": "reward", "value": 1 - step / 64, "timestamp": step, "step": step} for step in range(60)]


@pytest.fixture
def there(monkeypatch):
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(getattr(mlflow_client, name), raising=False)
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.02)
    with Loopback().serving() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        there = Mlflow(server)
        there.runs["abc"] = run_of("abc", {"reward": POINTS})
        yield there


def said(folder: Path, name: str = "runs:/abc") -> str:
    with pytest.raises(UserError) as error:
        mlflow.fetch(name, EVERYTHING, folder, lambda _: None)
    text = str(error.value)
    assert "\n" not in text
    assert SECRET not in text and LOGIN not in text
    assert not [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return text


def code(status: int, code: str, words: str = "its words") -> Answer:
    return in_json({"error_code": code, "message": words}, status)


DEEP = b"[" * 100_000
HTML = Answer(200, b"<html>hello</html>")


@pytest.mark.parametrize(
    ("failures", "what"),
    [
        ([code(404, "RESOURCE_DOES_NOT_EXIST")], "there is no run abc on HOST: HOST answers: its words. Look at"),
        ([code(400, "INVALID_PARAMETER_VALUE")], "HOST answers: its words. Look at the name"),
        ([Answer(404, b"not found")], "http://HOST does not answer as a server of MLflow does: HTTP 404. "),
        ([HTML], "http://HOST does not answer as a server of MLflow does: what it answers is no JSON. "),
        ([Answer(200, DEEP)], "http://HOST does not answer as a server of MLflow does: what it answers is no JSON. "),
        ([Answer(400, DEEP)], "http://HOST does not answer as a server of MLflow does: HTTP 400. "),
        ([in_json([1])], "http://HOST does not answer as a server of MLflow does: what it answers is no object. "),
        ([Answer(401)], "HOST wants a login (HTTP 401). Set MLFLOW_TRACKING_URI=http://HOST, and "),
        ([code(403, "PERMISSION_DENIED")], "HOST does not let you read it (HTTP 403: its words). "),
        ([Answer(500)] * 5, "HOST has trouble of its own (HTTP 500). What was fetched is kept"),
        ([Answer(429, b"", {"Retry-After": "900"})] * 5, "HOST refuses so many requests (HTTP 429), also after 5 "),
        ([Answer(200, b"{}" * 99, cut=True)] * 5, "the connection to HOST was cut (it ended too early). "),
        ([code(503, "", "a\nb\x1b[2J" * 99)] * 5, "HOST has trouble of its own (HTTP 503: a b"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["runs/get", "metrics/get-history"])
def test_what_goes_wrong(where, failures, what, there, tmp_path):
    there.fail(where, *failures)
    if where != "runs/get" and what.startswith("there is no run"):
        what = what.partition(": ")[2].partition(" Look")[0]
    told = said(tmp_path)
    assert told.startswith(what.replace("HOST", there.server.host))
    assert "\x1b" not in told
    assert len(told) < 400
    assert len(there.server.asked) - (where != "runs/get") == len(failures)


@pytest.mark.parametrize(
    "failures",
    [
        [Answer(429, b"", {"Retry-After": "900"}), Answer(500), Answer(503), Answer(502)],
        [Answer(200, b'{"metrics": []}' * 9, cut=True)] * 4,
    ],
)
def test_what_passes_is_tried_again(failures, there, tmp_path):
    there.fail("metrics/get-history", *failures)
    told: list[str] = []
    (source,) = mlflow.fetch("runs:/abc", EVERYTHING, tmp_path, told.append).sources
    (history,) = read(source)
    assert history["reward_mean"].values.tolist() == [point["value"] for point in POINTS]
    assert len([line for line in told if "trying again" in line]) == len(failures)
    assert all("0.0" in line for line in told if "trying again" in line)  # also where a server asks for 15 minutes


def test_a_server_that_is_down_is_no_bad_login(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.01)
    told = said(tmp_path)
    assert told.startswith("127.0.0.1:9 cannot be reached: Connection refused. Is it running? ")


def test_a_run_that_has_changed_is_fetched_anew(there, tmp_path):
    def fetched() -> int:
        before = len(there.server.asked)
        mlflow.fetch("runs:/abc", EVERYTHING, tmp_path, lambda _: None)
        return len(there.server.asked) - before

    assert [fetched(), fetched()] == [3, 1]
    there.runs["abc"]["info"]["end_time"] = 5
    assert fetched() == 3
    (path,) = tmp_path.rglob("*.db")
    path.write_bytes(path.read_bytes()[:5000])  # damaged
    assert [fetched(), fetched()] == [3, 1]


def test_a_run_is_its_readers_own_and_written_by_one_at_a_time(there, tmp_path):
    (source,) = mlflow.fetch("runs:/abc", EVERYTHING, tmp_path, lambda _: None).sources
    folder = source.paths[0].parent
    assert folder.stat().st_mode & 0o077 == 0
    told: list[str] = []
    go_on = threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        go_on.set()

    with alone(folder, "it", print):
        other = threading.Thread(target=lambda: mlflow.fetch("runs:/abc", EVERYTHING, tmp_path, tell))
        other.start()
        assert go_on.wait(60)
        assert told == [f"waiting for another autotune, which fetches {source.name}"]
    other.join()


def test_what_is_kept_is_bounded(there, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    there.runs["def"] = run_of("def", {"reward": POINTS})
    paths = [mlflow.fetch(f"runs:/{run}", EVERYTHING, tmp_path, print).sources[0].paths[0] for run in ("abc", "def")]
    assert [path.exists() for path in paths] == [False, True]


def test_what_a_server_says_escapes_no_folder_and_runs_nothing(there, tmp_path):
    bad = "../../../x'; DROP TABLE metrics; --\ud800\x00"
    there.runs["abc"] = run_of(bad, {}, run_name="\x1b[2J" + bad)
    there.runs["abc"]["data"] = {
        "metrics": [{"key": bad}, {"key": "reward"}, {}],
        "params": [{"key": bad, "value": bad}, {"key": "x"}, {}],
    }
    logged = (("NaN", 1), ("Infinity", "2"), (-1e400, 3), (None, 4), (1, "x"), (1, 2**80), ([1], 5))
    odd = [{"key": "reward", "value": value, "step": step, "timestamp": 1} for value, step in logged]
    there.fail("metrics/get-history", *(in_json({"metrics": of_metric}) for of_metric in ([], [], odd)))
    (source,) = mlflow.fetch("runs:/abc", EVERYTHING, tmp_path, lambda _: None).sources
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.name != LOCK)
    assert source.paths == (path,)
    assert path.parents[2] == tmp_path / "mlflow"
    (history,) = read(source)
    assert list(map(str, history["reward_mean"].values)) == ["nan", "inf", "-inf"]
    assert "could not be read: 4 metrics without a number or a step" in history.notes


@pytest.mark.parametrize("odd", [5, [5], "x", None, {"a": 5}, [{"info": 5, "data": 5}], {"data": {"metrics": [5]}}])
@pytest.mark.parametrize("name", ["runs:/abc", "mlflow:x", "mlflow:"])
def test_answers_of_any_shape_do_no_harm(name, odd, there, tmp_path):
    for page, known in (("runs/get", "run"), ("runs/search", "runs"), ("experiments/search", "experiments"),
                        ("experiments/get-by-name", "experiment"), ("metrics/get-history", "metrics")):  # fmt: skip
        there.fail(page, *[in_json({known: odd, "next_page_token": 7 if known != "experiments" else ""})] * 99)
    try:
        found = mlflow.fetch(name, EVERYTHING, tmp_path, lambda _: None)
    except UserError as error:
        assert "there is no run in " in str(error)
    else:
        assert not any(history.series for source in found.sources for history in read(source))


# ---- who is told the login


def test_the_login_goes_to_the_server_that_it_is_set_for_and_to_no_other():
    mine = {"MLFLOW_TRACKING_URI": "http://mine:5000/", "MLFLOW_TRACKING_USERNAME": "me",
            "MLFLOW_TRACKING_PASSWORD": SECRET}  # fmt: skip
    assert login("http://mine:5000", mine) == f"Basic {LOGIN}"
    assert login("http://mine:5000/#/experiments/1", mine) == f"Basic {LOGIN}"
    for other in ("http://other:5000", "https://mine:5000", "http://mine:5001", "http://mine:5000/x"):
        assert login(other, mine) == ""
    token = {"MLFLOW_TRACKING_URI": "http://mine:5000", "MLFLOW_TRACKING_TOKEN": "t"}
    assert login("http://mine:5000", token) == "Bearer t"
    assert login("http://other", token) == ""
    inside = {"MLFLOW_TRACKING_URI": "http://me:correct%20horse@mine:5000"}
    assert login("http://mine:5000", inside) == f"Basic {LOGIN}"
    assert login("http://a:b@mine:5000", inside) == f"Basic {base64.b64encode(b'a:b').decode()}"
    assert base("http://me:correct%20horse@mine:5000/x/#/experiments/1") == "http://mine:5000/x"


def test_what_python_is_told_of_a_run_moves_no_cursor(there, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AUTOTUNE_CACHE", str(tmp_path))
    there.runs["abc"] = run_of("abc", {"reward": POINTS}, run_name="\x1b[2Jx")
    diagnostics.diagnose("runs:/abc")
    assert "fetching" in (said := capsys.readouterr().err) and "\x1b" not in said


def test_the_login_is_shown_nowhere_and_not_sent_on(there, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", there.server.address.replace("//", "//me:correct%20horse@"))
    there.fail("runs/get", code(400, "BAD", f"I know your login: {LOGIN}"))
    assert said(tmp_path).startswith(f"{there.server.host} answers: I know your login: ***. ")
    assert there.server.asked[-1].headers["Authorization"] == f"Basic {LOGIN}"
    there.fail("runs/get", Answer(401))
    assert "does not accept your login" in said(tmp_path)
    with Loopback().serving() as other:
        other.answer = lambda _: in_json({"run": there.told("abc")})
        there.fail("runs/get", Answer(302, b"", {"Location": f"{other.address}/x"}))
        mlflow.fetch("runs:/abc", EVERYTHING, tmp_path, lambda _: None)
        assert other.asked
        assert all("Authorization" not in request.headers for request in other.asked)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert kept
    assert LOGIN.encode() not in kept and SECRET.encode() not in kept
    assert SECRET not in json.dumps([str(path) for path in tmp_path.rglob("*")])


def test_a_password_in_an_address_is_refused_before_anything_shows_it():
    for ask in (store_of, diagnostics.diagnose, lambda name: named(name, Path())):
        for slashes in ("/", "//"):
            with pytest.raises(UserError) as error:
                ask(f"http:{slashes}me:secret@localhost:5000")
            assert "secret" not in str(error.value)
    assert named("http://localhost:5000", Path()).store is mlflow
