"""Runs of wandb's server, fetched from one on loopback: what is asked, what comes of it, and what goes wrong."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wandb_server import CUT, KEY, Run, Server

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.series import RunHistory
from diagnostics.sources import Found, find
from diagnostics.stores import kept, wandb, wandb_client, wandb_run
from diagnostics.stores.store import EVERYTHING, Wanted
from diagnostics.stores.wandb_client import TRIES

DATA = Path(__file__).parents[2] / "data" / "wandb"
Serve = Callable[..., Server]
DEFINED = {"m": [{"1": "train/global_step", "6": [3]}, {"2": "*", "5": 1}], "t": {"5": "0.31.0", "6": "5.23.0"}}
CONFIG = {"learning_rate": 1e-6, "_wandb": DEFINED}


def rows(n: int = 60, start: int = 0) -> list[dict[str, Any]]:
    """Rows of a run that is healthy, but for a gradient that is not finite at step 40."""
    return [
        {
            "_step": i,
            "train/global_step": 10 * i,
            "train/reward": 0.2 + 0.01 * (i % 7),
            "train/grad_norm": float("nan") if i == 40 else 1.0,
        }
        for i in range(start, start + n)
    ]


def fetch(name: str, folder: Path, wanted: Wanted = EVERYTHING, said: list[str] | None = None) -> Found:
    return wandb.fetch(name, wanted, folder, [].append if said is None else said.append)


def history(found: Found) -> RunHistory:
    (source,) = found.sources
    (run,) = read(source)
    return run


def points(run: RunHistory) -> dict[str, list[tuple[int, float]]]:
    return {
        name: [(step, repr(value)) for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True)]
        for name, series in run.series.items()
    }


def refusal(name: str, folder: Path) -> UserError:
    """Why nothing came, in one line that tells no key."""
    with pytest.raises(UserError) as caught:
        fetch(name, folder)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)
    return caught.value


def break_off(server: Server, *, after: int, answer: int | str) -> None:
    """Let all pages of histories go wrong but the first ones, until `server.fault` is deleted."""
    seen = iter(range(10**6))

    def fault(what: str) -> int | str | None:
        return answer if what == "HistoryPage" and next(seen) >= after else None

    server.fault = fault  # type: ignore[method-assign]


# What comes of it


@pytest.mark.parametrize("exported", [0, 30, 80])
def test_a_run_of_the_server_is_the_run_of_its_file(serve: Serve, tmp_path: Path, exported: int) -> None:
    """Through pages alone, exports and pages, and exports alone: as `0.31.0.wandb`, which the SDK wrote of it."""
    told = json.loads((DATA / "logged.json").read_text(encoding="utf-8"))
    numbers = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
    logged = [
        {"_step": row["step"]}
        | {
            name: numbers.get(value, value) if isinstance(value, str) else value
            for name, value in row["logged"].items()
        }
        for row in told["rows"]
    ]
    run = Run("golden01", logged, told["config"] | {"_wandb": DEFINED}, exported=exported, each=20)
    serve(run)
    (local,) = read(find(DATA / "0.31.0.wandb").sources[0])
    remote = history(fetch("team/project/golden01", tmp_path))
    own = {"_step", "_runtime", "_timestamp"}
    theirs = {name: known for name, known in points(local).items() if name not in own}
    assert {name: known for name, known in points(remote).items() if name not in own} == theirs
    assert theirs
    assert remote.settings == local.settings
    assert any("train/global_step" in note for note in remote.notes)


@pytest.mark.parametrize("exported", [0, 60])
@pytest.mark.parametrize(
    ("metrics", "step"),
    [
        ([{"1": "my/clock", "6": [3]}, {"2": "*", "5": 1}], "my/clock"),
        ([{"1": "my/clock"}, {"1": "train/grad_norm", "5": 1}], "my/clock"),
        ([{"1": "my\\.clock"}, {"1": "train/grad_norm", "5": 1}], "my.clock"),
        ([{"1": "my/clock"}, {"1": "my.clock"}, {"1": "a", "5": 1}, {"1": "b", "5": 2}], "_step"),  # each its own
        ([], "_step"),
        (None, "_step"),
    ],
)
def test_the_step_is_the_one_that_was_defined(
    serve: Serve, tmp_path: Path, metrics: Any, step: str, exported: int
) -> None:
    logged = [{"train/grad_norm": 1.0, "my/clock": 3 * i, "my.clock": 7 * i} for i in range(60)]
    serve(Run("r1", logged, {"_wandb": {"m": metrics}}, exported=exported))
    run = history(fetch("team/project/r1", tmp_path))
    assert run.last_step == {"my/clock": 177, "my.clock": 413, "_step": 59}[step]


@pytest.mark.parametrize("exported", [0, 60])
def test_what_is_no_number_is_counted(serve: Serve, tmp_path: Path, exported: int) -> None:
    logged = [row | {"page": {"_type": "histogram", "bins": [1.0]}, "flag": True, "text": "x"} for row in rows()]
    serve(Run("r1", logged, CONFIG, exported=exported))
    run = history(fetch("team/project/r1", tmp_path))
    assert "not read, as they are no numbers: 1 histogram" in run.notes
    assert not any("page" in name for name in (*run.unmapped, *run.others))


def test_an_export_is_fetched_once_and_of_a_finished_run_nothing_again(serve: Serve, tmp_path: Path) -> None:
    server = serve(Run("r1", rows(), CONFIG, exported=40, each=15, files={"requirements.txt": "trl==0.16.0\n"}))
    first = fetch("team/project/r1", tmp_path)
    assert [server.count(what) for what in ("parquet", "HistoryPage", "file")] == [3, 1, 1]
    server.asked.clear()
    assert fetch("team/project/r1", tmp_path) == first
    assert [what for what, _ in server.asked] == ["Run"]


def test_of_a_run_that_goes_on_only_new_rows_are_fetched(serve: Serve, tmp_path: Path) -> None:
    run = Run("r1", rows(50), CONFIG, state="running", exported=20)
    server = serve(run)
    before = history(fetch("team/project/r1", tmp_path))
    assert any("goes on (running)" in note for note in before.notes)
    run.rows += rows(30, 50)
    run.state = "finished"
    server.asked.clear()
    grown = fetch("team/project/r1", tmp_path)
    assert [given["minStep"] for what, given in server.asked if what == "HistoryPage"] == [50]
    assert not server.count("parquet")
    assert points(history(grown)) == points(history(fetch("team/project/r1", tmp_path / "anew")))


def test_a_run_that_was_rewound_is_fetched_anew(serve: Serve, tmp_path: Path) -> None:
    run = Run("r1", rows(50), CONFIG)
    serve(run)
    fetch("team/project/r1", tmp_path)
    del run.rows[20:]
    assert history(fetch("team/project/r1", tmp_path)).last_step == 190


def test_many_new_rows_are_fetched_as_exports_and_none_is_read_twice(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_run, "MANY", 25)
    run = Run("r1", rows(50), CONFIG, state="running", exported=20, each=20)
    server = serve(run)
    fetch("team/project/r1", tmp_path)
    run.rows += rows(40, 50)
    run.exported, run.parquet = 80, []
    server.asked.clear()
    grown = history(fetch("team/project/r1", tmp_path))
    assert server.count("parquet") == 4
    assert [given["minStep"] for what, given in server.asked if what == "HistoryPage"] == [80]
    assert len(grown.series["grad_norm"]) == 90
    assert not any("again" in note or "superseded" in note for note in grown.notes)


def test_exports_that_are_refused_later_on_cost_no_row(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_run, "MANY", 25)
    run = Run("r1", rows(50), CONFIG, state="running", exported=20, each=20)
    server = serve(run)
    fetch("team/project/r1", tmp_path)
    run.rows += rows(40, 50)
    run.exported, run.parquet = 80, []
    server.fail("parquet", *[CUT] * TRIES)
    refusal("team/project/r1", tmp_path)
    server.fail("parquet", 403)
    assert len(history(fetch("team/project/r1", tmp_path)).series["grad_norm"]) == 90


def test_exports_that_were_made_anew_after_a_fetch_was_cut(serve: Serve, tmp_path: Path) -> None:
    run = Run("r1", rows(3 * wandb_run.PAGE), CONFIG, exported=wandb_run.PAGE)
    server = serve(run)
    break_off(server, after=1, answer=CUT)
    refusal("team/project/r1", tmp_path)
    del server.fault
    run.exported, run.parquet = 2 * wandb_run.PAGE + 10, []
    answer = server.answer

    def moved(operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        data = answer(operation, query, given)
        if operation == "RunParquetHistory":
            urls = data["project"]["run"]["parquetHistory"]["parquetUrls"]
            urls[:] = [url.replace("/parquet/", "//parquet/") for url in urls]
        return data

    server.answer = moved  # type: ignore[method-assign]
    run_then = history(fetch("team/project/r1", tmp_path))
    assert len(run_then.series["grad_norm"]) == 3 * wandb_run.PAGE
    assert not any("again" in note or "of which" in note for note in run_then.notes)


def test_sparse_steps_cost_few_pages_and_dense_ones_lose_no_row(serve: Serve, tmp_path: Path) -> None:
    steps = [0, *range(900_000, 900_000 + 3 * wandb_run.PAGE), 1_000_000]
    server = serve(Run("r1", [{"_step": step, "train/grad_norm": float(step)} for step in steps]))
    run = history(fetch("team/project/r1", tmp_path))
    assert not any("of which" in note for note in run.notes)
    assert run.series["grad_norm"].steps.tolist() == steps
    assert server.count("HistoryPage") < 40


def test_without_an_export_to_be_had_pages_are_read_and_it_is_said(serve: Serve, tmp_path: Path) -> None:
    server = serve(Run("r1", rows(), CONFIG, exported=60), Run("r2", rows(), CONFIG, exported=60, parquet=[b"PAR1x"]))
    server.fail("parquet", 403)
    run = history(fetch("team/project/r1", tmp_path))
    assert len(run.series["grad_norm"]) == 60
    assert any("could not be fetched (HTTP 403: something went wrong)" in note for note in run.notes)
    damaged = history(fetch("team/project/r2", tmp_path))
    assert points(damaged) == points(run)
    assert any("damaged" in note for note in damaged.notes)


def test_what_was_kept_and_is_damaged_is_fetched_anew(serve: Serve, tmp_path: Path) -> None:
    run = Run("r1", rows(50), CONFIG, state="running", exported=20)
    serve(run)
    (source,) = fetch("team/project/r1", tmp_path).sources
    source.paths[1].write_bytes(b"PAR1 no more")
    run.rows += rows(5, 50)
    assert len(history(fetch("team/project/r1", tmp_path)).series["grad_norm"]) == 55


def test_a_run_that_logged_nothing_is_read_from_its_console(serve: Serve, tmp_path: Path) -> None:
    printed = "".join(f"{{'loss': 0.5, 'grad_norm': {1 + i % 3}.0, 'epoch': 0.{i:02}}}\n" for i in range(40))
    serve(Run("r1", [], CONFIG, files={"output.log": printed}))
    run = history(fetch("team/project/r1", tmp_path))
    assert len(run.series["grad_norm"]) == 40
    assert any("output.log" in note for note in run.notes)


def test_rows_that_the_server_keeps_back_are_missed(serve: Serve, tmp_path: Path) -> None:
    server = serve(Run("r1", rows(), CONFIG))
    answer = server.answer

    def few(operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        data = answer(operation, query, given)
        if operation == "HistoryPage":
            del data["project"]["run"]["history"][50:]
        return data

    server.answer = few  # type: ignore[method-assign]
    run = history(fetch("team/project/r1", tmp_path))
    assert "wandb counts 60 rows of the run, of which 50 came" in run.notes


@pytest.mark.parametrize(("state", "note"), [("crashed", "crashed"), ("failed", "failed"), ("killed", "was killed")])
def test_how_a_run_ended_is_said(serve: Serve, tmp_path: Path, state: str, note: str) -> None:
    serve(Run("r1", rows(), CONFIG, state=state))
    assert any(f"the run {note}" in said for said in history(fetch("team/project/r1", tmp_path)).notes)


def test_what_is_kept_is_bounded_and_what_was_looked_at_last_stays(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(*(Run(f"r{i}", rows(), CONFIG) for i in range(4)))
    for name in ("r0", "r1", "r2", "r0"):
        fetch(f"team/project/{name}", tmp_path)
        time.sleep(0.02)  # a tick of the file system's clock
    size = sum(path.stat().st_size for path in tmp_path.rglob("r0/*"))
    monkeypatch.setattr(kept, "MOST_BYTES", 3 * size)
    fetch("team/project/r3", tmp_path)
    assert {path.parent.name for path in tmp_path.rglob("run.json")} == {"r0", "r2", "r3"}
    monkeypatch.setattr(kept, "MOST_BYTES", 1)
    assert len(history(fetch("team/project/r1", tmp_path)).series["grad_norm"]) == 60
    server.asked.clear()
    fetch("team/project/r3", tmp_path)
    assert server.count("HistoryPage") == 1


# Projects and sweeps


def project(n: int = 14) -> list[Run]:
    return [
        Run(
            f"r{i}",
            rows(),
            CONFIG | {"lr": i / 10},
            state="failed" if i % 2 else "finished",
            created=f"2026-01-{i + 1:02}T00:00:00Z",
            sweep="s" if i < 3 else None,
        )
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("name", "wanted", "runs"),
    [
        ("team/project", EVERYTHING, [f"r{i}" for i in range(4, 14)]),
        ("team/project", Wanted(last=2), ["r12", "r13"]),
        ("team/project", Wanted(("state=failed",), 3), ["r9", "r11", "r13"]),
        ("team/project", Wanted(("state=failed", "config.lr>1.0")), ["r11", "r13"]),
        ("team/project", Wanted(('{"config.lr": 0.5}',)), ["r5"]),
        ("team/project", Wanted(("state!=failed",), 1), ["r12"]),
        ("team/project/sweeps/s", EVERYTHING, ["r0", "r1", "r2"]),
        ("team/project/sweeps/s", Wanted(("state=failed",)), ["r1"]),
    ],
)
def test_runs_of_a_project_the_oldest_first(
    serve: Serve, tmp_path: Path, name: str, wanted: Wanted, runs: list[str]
) -> None:
    serve(*project())
    found = fetch(name, tmp_path, wanted)
    assert [source.name for source in found.sources] == [f"team/project/{run}" for run in runs]


def test_how_many_of_a_project_were_left_out_is_said(serve: Serve, tmp_path: Path) -> None:
    serve(*project())
    said: list[str] = []
    fetch("team/project", tmp_path, said=said)
    assert said == ["the last 10 of 14 runs of team/project; --last N takes more"]
    said.clear()
    fetch("team/project", tmp_path, Wanted(last=3), said)
    assert not said


def test_runs_come_page_by_page(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "PER_PAGE", 4)
    server = serve(*project())
    assert len(fetch("team/project", tmp_path, Wanted(last=11)).sources) == 11
    assert server.count("Runs") == 3


def test_of_many_runs_those_that_came_are_kept_where_one_does_not(serve: Serve, tmp_path: Path) -> None:
    server = serve(*project(4))
    break_off(server, after=2, answer=500)
    cut = fetch("team/project", tmp_path)
    assert [source.name for source in cut.sources] == ["team/project/r0", "team/project/r1"]
    assert cut.trouble.startswith("2 of 4 runs of team/project are missing: ") and "HTTP 500" in cut.trouble


@pytest.mark.parametrize("text", ["state", "", "=x", "{not json", "state~x"])
def test_a_filter_that_says_nothing(serve: Serve, tmp_path: Path, text: str) -> None:
    server = serve()
    with pytest.raises(UserError, match="filter"):
        fetch("team/project", tmp_path, Wanted((text,)))
    assert not server.asked


# What goes wrong


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
    monkeypatch.setattr(wandb_client, "FIRST_WAIT", 1.0)
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
