"""`autotune` on runs of wandb as a person and a script meet it: what it prints where, how it ends, what it leaves."""

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from wandb_server import CUT, KEY, Run, Server

import diagnostics
from autotune.cli import main
from diagnostics.errors import UserError

Serve = Callable[..., Server]
NAME = "team/project/r1"


class Done(NamedTuple):
    """A call that has ended."""

    returncode: int
    stdout: str
    stderr: str


Autotune = Callable[..., Done]


@pytest.fixture
def autotune(capfd: pytest.CaptureFixture[str]) -> Autotune:
    """Runs it here, at home, where nothing is, without a terminal."""

    def call(*arguments: str) -> Done:
        status = main(arguments)
        return Done(status, *capfd.readouterr())

    return call


def one_line(done: Done) -> str:
    """The one line on stderr of a call that printed nothing else and ended with 2."""
    assert (done.returncode, done.stdout) == (2, "")
    *waiting, line = done.stderr.splitlines()
    assert all("trying again" in before for before in waiting)
    assert line.startswith("autotune: error: ")
    return line


def rows(n: int = 60, *, bad: int = 40) -> list[dict[str, Any]]:
    return [
        {"train/reward": 0.2 + 0.01 * (i % 7), "train/grad_norm": float("nan") if i == bad else 1.0} for i in range(n)
    ]


@pytest.fixture
def sick(serve: Serve) -> Server:
    """NUM001 at ERROR, in exports and pages."""
    return serve(Run("r1", rows(), {"learning_rate": 1e-5}, exported=30), Run("ok", rows(bad=-1)))


def test_a_run_is_diagnosed_like_a_log(sick: Server, autotune: Autotune) -> None:
    done = autotune("diagnose", NAME, "--format", "json")
    assert (done.returncode, done.stderr) == (1, "")
    (report,) = json.loads(done.stdout)["runs"]
    assert report["source"] == NAME and "NUM001" in {finding["code"] for finding in report["findings"]}
    assert autotune("diagnose", NAME, "--format", "json") == done  # from what is kept
    assert autotune("diagnose", NAME, "--fail-on", "fatal").returncode == 0
    assert autotune("diagnose", "team/project/ok").returncode == 0
    mapped = autotune("diagnose", NAME, "--map", "train/grad_norm=value_loss", "--format", "json")
    assert "value_loss" in json.loads(mapped.stdout)["runs"][0]["names"]


@pytest.mark.slow
def test_a_process_of_its_own_says_the_same(sick: Server, autotune: Autotune) -> None:
    command = [sys.executable, "-P", "-m", "autotune", "diagnose", NAME, "--format", "json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert Done(done.returncode, done.stdout, done.stderr) == autotune(*command[4:])


def test_without_the_cache_nothing_is_left(
    sick: Server, autotune: Autotune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, cache = tmp_path / "scratch", tmp_path / "cache"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert autotune("diagnose", NAME, "--no-cache").returncode == 1
    assert sick.count("parquet") == 1
    assert not any(scratch.iterdir()) and not cache.exists()


def test_runs_and_files_side_by_side(sick: Server, autotune: Autotune) -> None:
    log = Path("a.jsonl")
    log.write_text("".join(json.dumps({"step": i} | row) + "\n" for i, row in enumerate(rows(bad=-1))))
    done = autotune("diagnose", "a.jsonl", "team/project", "team/project/r1", "--last", "2")
    assert done.returncode == 2 and "team/project/r1 is one run" in done.stderr
    done = autotune("diagnose", "a.jsonl", "team/project", "team/project/r1", "--format", "json")
    sources = [report["source"] for report in json.loads(done.stdout)["runs"]]
    assert sorted(sources) == ["a.jsonl", "team/project/ok", NAME]


def test_runs_that_did_not_come_do_not_pass(serve: Serve, autotune: Autotune) -> None:
    server = serve(*(Run(f"r{i}", rows(bad=-1), exported=60, created=f"2026-01-0{i + 1}") for i in range(3)))
    server.runs["r2"].exported = 0
    server.fail("HistoryPage", 403, always=True)
    done = autotune("diagnose", "team/project", "--format", "json")
    assert done.returncode == 2
    assert [run["source"] for run in json.loads(done.stdout)["runs"]] == ["team/project/r0", "team/project/r1"]
    assert "error: 1 of 3 runs of team/project are missing: " in done.stderr


def test_a_path_is_a_path_and_a_misspelt_one_is_told(sick: Server, autotune: Autotune) -> None:
    log = Path("outputs", "run.jsonl")
    log.parent.mkdir()
    log.write_text("".join(json.dumps({"step": i} | row) + "\n" for i, row in enumerate(rows())))
    assert autotune("diagnose", "outputs/run.jsonl").returncode == 1
    assert "there is no outputs/rnu.jsonl. Did you mean outputs/run.jsonl?" in one_line(
        autotune("diagnose", "outputs/rnu.jsonl")
    )
    assert "wandb:outputs/rnu" in one_line(autotune("diagnose", "outputs/rnu"))
    assert "Check the spelling" in one_line(autotune("diagnose", "output/run.jsonl"))
    assert not sick.asked


@pytest.mark.parametrize("arguments", [("diagnose", "--follow", NAME), ("monitor", NAME)])
def test_what_cannot_be_followed_is_told(sick: Server, autotune: Autotune, arguments: tuple[str, ...]) -> None:
    assert "is nothing here, and what lies in Weights & Biases cannot be" in one_line(autotune(*arguments))


@pytest.mark.parametrize("option", [("--annotate",), ("--last", "3"), ("--filter", "state=failed")])
def test_options_for_servers_want_one(sick: Server, autotune: Autotune, option: tuple[str, ...]) -> None:
    Path("a.jsonl").write_text('{"step": 1, "reward": 2}\n')
    assert f"{option[0]} is for runs on a server" in one_line(autotune("diagnose", "a.jsonl", *option))


@pytest.mark.parametrize("last", ["0", "-1", "x", "1.5", "²"])
def test_a_number_of_runs_is_one(sick: Server, autotune: Autotune, last: str) -> None:
    assert "no number of runs" in one_line(autotune("diagnose", "team/project", f"--last={last}"))


def test_annotate_says_what_it_wrote_and_does_not_hurt_the_report(
    sick: Server, autotune: Autotune, tmp_path: Path
) -> None:
    Path("a.jsonl").write_text("".join(json.dumps({"step": i} | row) + "\n" for i, row in enumerate(rows(bad=-1))))
    done = autotune("diagnose", NAME, "a.jsonl", "--annotate", "--format", "json")
    assert done.returncode == 1 and len(json.loads(done.stdout)["runs"]) == 2
    assert f"wrote to {NAME}: an alert" in done.stderr and "no run on a server: a.jsonl" in done.stderr
    assert sick.runs["r1"].summary["autotune/worst"] == "error"
    sick.runs["r1"].summary.clear()
    sick.fail("UpsertBucket", 403, always=True)
    failed = autotune("diagnose", NAME, "--annotate", "--format", "json")
    assert failed.returncode == 2 and json.loads(failed.stdout)["runs"][0]["findings"]
    assert f"error: {NAME} was not annotated: 127.0.0.1" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize("narrowed", ["--only=ENT001", "--ignore=NUM001"])
def test_part_of_what_is_found_is_not_written_back(sick: Server, autotune: Autotune, narrowed: str) -> None:
    assert "would be called well" in one_line(autotune("diagnose", NAME, "--annotate", narrowed))
    assert "autotune/worst" not in sick.runs["r1"].summary


def test_no_key_is_written_anywhere(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever goes wrong: it is in no output, and in no file that was made. Here, where nobody waits a minute."""
    server = serve(Run("r1", rows(), {"lr": 1.0}, exported=30))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    statuses = []
    for what, answer in [("Run", 401), ("Run", 500), ("parquet", CUT), ("HistoryPage", CUT), ("UpsertBucket", 400)]:
        server.fail(what, answer, always=True)
        statuses.append(main(["diagnose", NAME, "--annotate", "--verbose"]))
        server.heal()
    statuses.append(main(["diagnose", NAME]))
    monkeypatch.setenv("WANDB_API_KEY", f"{KEY}-another")
    statuses.append(main(["diagnose", NAME]))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    statuses.append(main(["diagnose", NAME]))
    assert statuses == [2, 2, 2, 2, 2, 1, 2, 2]
    said = "".join(capfd.readouterr())
    assert said.count("error: ") == 7 and "Traceback" not in said
    secrets = [KEY, base64.b64encode(f"api:{KEY}".encode()).decode(), base64.b64encode(KEY.encode()).decode()[:40]]
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"run.json", "rows.jsonl"} <= {path.name for path in files}
    assert not any(secret in said or secret.encode() in data for secret in secrets for data in files.values())


def test_what_a_server_says_is_text(serve: Serve, autotune: Autotune) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07\u202e[bold]"
    serve(Run("r1", [{evil: 1.0, "train/reward": 0.1} for _ in range(60)], {evil: evil}, name=evil, state=evil))
    done = autotune("diagnose", NAME, "--verbose")
    assert done.returncode == 0
    assert not any(sign in done.stdout + done.stderr for sign in "\x1b\x07\u202e")
    assert "[bold]" in done.stdout


def test_python_takes_a_name_as_well(sick: Server) -> None:
    report = diagnostics.diagnose(NAME)
    assert report.source == NAME and "NUM001" in {finding.code for finding in report.findings}
    assert diagnostics.diagnose("team/project", run="team/project/ok").worst() is None
    with pytest.raises(UserError, match="team/project holds 2 runs"):
        diagnostics.diagnose("team/project")
