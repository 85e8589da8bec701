"""Runs of wandb's server, fetched from one on loopback: what is asked, and what comes of it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from wandb_runs import CONFIG, DEFINED, Serve, break_off, fetch, history, refusal, rows
from wandb_server import CUT, Run, Server

from diagnostics.errors import UserError
from diagnostics.logs import read
from diagnostics.series import RunHistory
from diagnostics.sources import find
from diagnostics.stores import kept, wandb, wandb_run
from diagnostics.stores.patience import TRIES
from diagnostics.stores.store import EVERYTHING, Wanted

DATA = Path(__file__).parents[2] / "data" / "wandb"


def points(run: RunHistory) -> dict[str, list[tuple[int, float]]]:
    return {
        name: [(step, repr(value)) for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True)]
        for name, series in run.series.items()
    }


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


def grown_by_many(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with a run of 90 rows, of which 50 were fetched into `folder` and 80 are exported since."""
    monkeypatch.setattr(wandb_run, "MANY", 25)
    run = Run("r1", rows(50), CONFIG, state="running", exported=20, each=20)
    server = serve(run)
    fetch("team/project/r1", folder)
    run.rows += rows(40, 50)
    run.exported, run.parquet = 80, []
    return server


def test_many_new_rows_are_fetched_as_exports_and_none_is_read_twice(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grown_by_many(serve, tmp_path, monkeypatch)
    server.asked.clear()
    grown = history(fetch("team/project/r1", tmp_path))
    assert server.count("parquet") == 4
    assert [given["minStep"] for what, given in server.asked if what == "HistoryPage"] == [80]
    assert len(grown.series["grad_norm"]) == 90
    assert not any("again" in note or "superseded" in note for note in grown.notes)


def test_exports_that_are_refused_later_on_cost_no_row(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grown_by_many(serve, tmp_path, monkeypatch)
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
