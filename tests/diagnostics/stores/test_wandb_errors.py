"""What goes wrong with runs of wandb's server, and one that means harm: each thing ends in words of its own."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wandb_runs import CONFIG, Serve, break_off, fetch, history, refusal, rows
from wandb_server import CUT, KEY, Run, Server

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.sources import Found
from diagnostics.stores import patience, wandb_run
from diagnostics.stores.patience import TRIES


def test_what_is_cut_in_the_middle_of_an_export_goes_on_where_it_stopped(serve: Serve, tmp_path: Path) -> None:
    server = serve(Run("r1", rows(3000), CONFIG, exported=3000))
    server.fail("parquet", *[CUT] * TRIES)
    error = refusal("team/project/r1", tmp_path)
    assert "was cut" in str(error) and "kept" in str(error)
    ranges = [given["range"] for what, given in server.asked if what == "parquet"]
    assert ranges[0] is None and len(set(ranges)) == TRIES  # each try has gone on behind the one before
    server.asked.clear()
    assert len(history(fetch("team/project/r1", tmp_path)).series["grad_norm"]) == 3000
    (again,) = [given["range"] for what, given in server.asked if what == "parquet"]
    assert int(again.removeprefix("bytes=").removesuffix("-")) > int(ranges[-1].removeprefix("bytes=")[:-1])


def test_what_is_cut_in_the_middle_of_paging_goes_on_where_it_stopped(serve: Serve, tmp_path: Path) -> None:
    server = serve(Run("r1", rows(3 * wandb_run.PAGE), CONFIG))
    break_off(server, after=2, answer=CUT)
    assert "was cut" in str(refusal("team/project/r1", tmp_path))
    (torn,) = tmp_path.rglob("rows.jsonl")
    with torn.open("ab") as file:
        file.write(b'{"_step": 2000, "train/re')
    del server.fault
    server.asked.clear()
    run = history(fetch("team/project/r1", tmp_path))
    assert len(run.series["grad_norm"]) == 3 * wandb_run.PAGE
    assert not any("could not be read" in note for note in run.notes)
    assert [g["minStep"] for what, g in server.asked if what == "HistoryPage"] == [2 * wandb_run.PAGE]


@pytest.mark.parametrize("what", ["Run", "RunParquetHistory", "parquet", "HistoryPage", "RunFiles", "file"])
@pytest.mark.parametrize("answers", [[429], [429, 429, 500], [503], [CUT]])
def test_what_passes_is_waited_for(serve: Serve, tmp_path: Path, what: str, answers: list[int | str]) -> None:
    server = serve(Run("r1", rows(), CONFIG, exported=40, files={"requirements.txt": "trl==0.16.0\n"}))
    server.fail(what, *answers)
    said: list[str] = []
    assert len(history(fetch("team/project/r1", tmp_path, said=said)).series["grad_norm"]) == 60
    assert len(said) == len(answers)
    assert all("trying again" in line for line in said)


def test_the_server_says_how_long_to_wait(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(Run("r1", rows(), CONFIG))
    server.retry_after = "7"
    server.fail("Run", 429)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    fetch("team/project/r1", tmp_path)
    assert slept == [7.0]


def test_each_wait_is_longer_than_the_one_before(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 1.0)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    serve(Run("r1", rows(), CONFIG)).fail("Run", 500, always=True)
    refusal("team/project/r1", tmp_path)
    assert slept == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("what", ["Run", "RunParquetHistory", "HistoryPage", "RunFiles"])
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, ["refuses so many requests (HTTP 429: rate limit exceeded), also after 5 tries", "later"]),
        (500, ["has trouble of its own (HTTP 500: something went wrong)", "later"]),
        (502, ["has trouble of its own (HTTP 502"]),
        (403, ["does not let you read it (HTTP 403"]),
    ],
)
def test_each_refusal_has_its_words(serve: Serve, tmp_path: Path, what: str, status: int, words: list[str]) -> None:
    server = serve(Run("r1", rows(), CONFIG, exported=40))
    server.fail(what, status, always=True)
    message = str(refusal("team/project/r1", tmp_path))
    assert all(word in message for word in words), message
    assert "log in" not in message.lower()
    assert server.count(what) == (TRIES if status != 403 else 1)


def test_a_server_that_is_down_is_no_bad_login(tmp_path: Path, serve: Serve) -> None:
    server = serve()
    server.__exit__()
    said: list[str] = []
    with pytest.raises(UserError) as caught:
        fetch("wandb:team/project/r1", tmp_path, said=said)
    message = str(caught.value)
    assert len(said) == 1  # nobody waits long who is offline, or misspelt a path
    assert "cannot be reached: Connection refused" in message and "not at fault" in message
    assert "log in" not in message.lower() and "does not accept" not in message


def test_a_host_that_does_not_exist(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve()
    monkeypatch.setenv("WANDB_BASE_URL", "http://nowhere.invalid")
    assert "nowhere.invalid cannot be reached" in str(refusal("team/project/r1", tmp_path))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", ["there is no API key", "wandb login", "WANDB_API_KEY", "spelling"]),
        ("x" * 40, ["does not accept your API key (HTTP 401: user is not logged in)", "wandb login --relogin"]),
        ("expired" + "x" * 33, ["does not accept your API key any more (HTTP 401: API key has expired)", "--relogin"]),
        ("short", ["does not accept your API key"]),
    ],
)
def test_keys_that_do_not_open(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, words: list[str]
) -> None:
    server = serve(Run("r1", rows()))
    monkeypatch.setenv("WANDB_API_KEY", key)
    message = str(refusal("team/project/r1", tmp_path))
    assert all(word in message for word in words), message
    assert not key or key not in message.replace("expired", "", 1) or key == "short"
    assert len(server.asked) == bool(key)  # none is tried twice


def test_a_run_or_a_project_that_is_not_there(serve: Serve, tmp_path: Path) -> None:
    serve(Run("r1", rows()))
    run = str(refusal("team/project/nope", tmp_path))
    assert run.startswith("there is no team/project/nope here, and there is no run team/project/nope at 127.0.0.1")
    assert str(refusal("wandb:team/nope/r1", tmp_path)).startswith("there is no run team/nope/r1 at ")
    assert "there is no project team/nope" in str(refusal("wandb:team/nope", tmp_path))
    assert "there is no run in team/project/sweeps/x" in str(refusal("team/project/sweeps/x", tmp_path))


class _Page(BaseHTTPRequestHandler):
    """A web server that is none of wandb's."""

    status, body = 200, b"<html>hello</html>"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)


@contextmanager
def page(status: int, body: bytes) -> Iterator[str]:
    """A web server that answers like this; its address."""
    http = HTTPServer(("127.0.0.1", 0), type("Page", (_Page,), {"status": status, "body": body}))
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (404, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b'"x"'), (200, b""), (405, b"")],
)
def test_a_server_of_something_else(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    serve()
    with page(status, body) as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        assert "does not answer as a server of wandb does" in str(refusal("team/project/r1", tmp_path))


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_a_key_that_the_server_repeats_is_not_shown(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    serve()
    coded = base64.b64encode(f"api:{KEY}".encode()).decode()
    body = json.dumps({"errors": [{"message": f"no user has {KEY} or\n{coded}"}]}).encode()
    with page(status, body) as url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
        message = str(refusal("team/project/r1", tmp_path))
    assert "no user has *** or ***" in message and coded not in message


# A server that means harm


@pytest.mark.parametrize("name", ["../../requirements.txt", "requirements.txt"])
def test_what_a_server_says_stays_below_its_folder_and_opens_no_file(serve: Serve, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    evil = Run("../../../evil", rows(), CONFIG, exported=40, files={"requirements.txt": "x"})
    server = serve(evil)
    answer = server.answer

    def hostile(operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        data = answer(operation, query, given)
        if operation == "RunParquetHistory":
            data["project"]["run"]["parquetHistory"]["parquetUrls"] = [secret.as_uri()]
        if operation == "RunFiles":
            node = data["project"]["run"]["files"]["edges"][0]["node"]
            node["name"], node["url"] = name, secret.as_uri()
        return data

    server.answer = hostile  # type: ignore[method-assign]
    folder = tmp_path / "kept"
    run = history(fetch("team/project", folder))
    assert len(run.series["grad_norm"]) == 60
    assert {path.name for path in tmp_path.iterdir()} == {"home", "secret", "kept"}
    assert not any(path.read_bytes() == b"mine" for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("redirected", [False, True])
def test_the_key_is_told_to_no_other_server(serve: Serve, tmp_path: Path, redirected: bool) -> None:
    other = Server(Run("r1", rows(), CONFIG, exported=60))
    server = serve(Run("r1", rows(), CONFIG, exported=60))
    answer = server.answer

    def elsewhere(operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        data = answer(operation, query, given)
        if operation == "RunParquetHistory":
            data["project"]["run"]["parquetHistory"]["parquetUrls"] = [
                f"{server.url if redirected else other.url}/parquet/r1/0"
            ]
        return data

    server.answer = elsewhere  # type: ignore[method-assign]
    if redirected:
        server.moved["/parquet/r1/0"] = f"{other.url}/parquet/r1/0"
    with other:
        fetch("team/project/r1", tmp_path)
    assert other.keys == {("parquet", "")}
    assert ("Run", KEY) in server.keys


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a document of JSON."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


@pytest.mark.slow
def test_whatever_a_server_answers_is_no_bug_of_ours(serve: Serve, tmp_path: Path) -> None:
    """Each place of each answer once as something else."""
    run = Run("r1", rows(2), {"lr": 1}, exported=1, files={"requirements.txt": "trl==0.16.0\n"})
    server = serve(run)
    honest = server.answer
    answers: dict[str, Any] = {}

    def noting(operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        answers[operation] = honest(operation, query, given)
        return answers[operation]

    server.answer = noting  # type: ignore[method-assign]
    fetch("team/project", tmp_path / "honest")
    n = refused = 0
    for operation, known in list(answers.items()):
        for path in places(known):
            for junk in (None, "http://[", [3]):
                told = json.loads(json.dumps({"data": known}))
                *way, last = ("data", *path)
                inner = told
                for key in way:
                    inner = inner[key]
                inner[last] = junk

                def strange(
                    asked: str, query: str, given: dict[str, Any], only: str = operation, told: Any = told["data"]
                ) -> Any:
                    return told if asked == only else honest(asked, query, given)

                server.answer = strange  # type: ignore[method-assign]
                n += 1
                try:
                    for source in fetch("team/project", tmp_path / str(n)).sources:
                        read(source)
                except UserError:
                    refused += 1
    assert n > 200 and 0.1 * n < refused < 0.9 * n


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"_wandb": 3}', '{"_wandb": {"value": {"m": [3, {"5": 99}, {"5": "x"}], "t": []}}}']
)
def test_a_strange_configuration_is_none(serve: Serve, tmp_path: Path, config: str) -> None:
    run = Run("r1", rows(), CONFIG)
    told = run.told
    run.told = lambda: told() | {"config": config}  # type: ignore[method-assign]
    serve(run)
    assert not history(fetch("team/project/r1", tmp_path)).raw_settings


@pytest.mark.parametrize("page", [["no json"], [3], ["[]"], ["{}"], ['{"_step": "x"}'], "text"])
def test_rows_that_are_none(serve: Serve, tmp_path: Path, page: Any) -> None:
    server = serve(Run("r1", rows(), CONFIG))
    answer = server.answer

    def strange(operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        data = answer(operation, query, given)
        if operation == "HistoryPage":
            data["project"]["run"]["history"] = page
        return data

    server.answer = strange  # type: ignore[method-assign]
    assert "rows that are none" in str(refusal("team/project/r1", tmp_path))


def test_two_that_fetch_the_same_run_do_not_meet(serve: Serve, tmp_path: Path) -> None:
    serve(Run("r1", rows(5000), CONFIG, exported=2000, each=500))
    found: list[Found] = []
    threads = [threading.Thread(target=lambda: found.append(fetch("team/project/r1", tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(len(history(one).series["grad_norm"]) == 5000 for one in found)
    assert np.all(np.diff(history(found[0]).series["grad_norm"].steps) == 10)
