"""What is written back to runs of wandb, and that the real SDK reads there what we read and write."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wandb_server import KEY, Run, Server

from autotune.annotating import annotate as written_back
from autotune.looking import Looked
from diagnostics.errors import UserError
from diagnostics.finding import Confidence, Finding, Report, Severity, Skip
from diagnostics.logs import read
from diagnostics.report.words import line
from diagnostics.stores import mlflow, wandb
from diagnostics.stores.store import EVERYTHING

Serve = Callable[..., Server]
NAME = "team/project/r1"
SDK = """
import json, sys, wandb
run = wandb.Api(timeout=20).run(sys.argv[1])
rows = [{name: row.get(name) for name in ("_step", "a", "b")} for row in run.scan_history()]
print(json.dumps([rows, run.config, dict(run.summary), run.notes]))
"""


def finding(code: str, severity: Severity, at: int, message: str = "it is so") -> Finding:
    return Finding(code, "a_name", severity, Confidence.HIGH, at, at + 5, at, message, (), ())


KL, ENTROPY = finding("KL002", Severity.FATAL, 49), finding("ENT001", Severity.WARNING, 10)


def report(*findings: Finding) -> Report:
    return Report(NAME, "trl-grpo", 100, findings, findings, (), (), (), rules=50)


def annotate(*findings: Finding) -> str:
    return wandb.annotate(NAME, report(*findings), [].append)


@pytest.fixture
def run(serve: Serve) -> Run:
    """A run that is over, with a summary and notes of its own."""
    return Run("r1", [{"a": 1.0}], summary={"loss": 0.5, "autotune/mine": "stays"}, notes="My notes.\nTwo lines.")


def test_a_diagnosis_is_written_where_a_person_sees_it(serve: Serve, run: Run) -> None:
    server = serve(run)
    assert annotate(KL, ENTROPY) == f"wrote to {NAME}: an alert (2 new findings), 4 fields of its summary, a note"
    assert run.summary == {
        "loss": 0.5,
        "autotune/mine": "stays",
        "autotune/worst": "fatal",
        "autotune/findings": 2,
        "autotune/KL002": line(KL),
        "autotune/ENT001": line(ENTROPY),
    }
    (alert,) = server.alerts
    assert alert["title"] == "autotune: 1 fatal, 1 warning in r1" and alert["severity"] == "ERROR"
    assert alert["text"].splitlines() == [line(KL), line(ENTROPY)]
    assert [alert[name] for name in ("entityName", "projectName", "runName")] == ["team", "project", "r1"]
    assert run.notes is not None and run.notes.startswith("My notes.\nTwo lines.\n\n[autotune diagnose]\n")
    assert line(KL) in run.notes and run.notes.endswith("[/autotune diagnose]")


def test_nothing_is_written_twice(serve: Serve, run: Run) -> None:
    server = serve(run)
    annotate(KL, ENTROPY)
    server.asked.clear()
    assert annotate(KL, ENTROPY) == f"{NAME} says all of it already: nothing was written"
    assert [what for what, _ in server.asked] == ["Run"]
    assert len(server.alerts) == 1


def test_what_is_new_is_told_and_what_is_gone_is_taken_away(serve: Serve, run: Run) -> None:
    server = serve(run)
    annotate(KL)
    run.notes = f"{run.notes}\nWritten below."
    reworded = finding("KL002", Severity.FATAL, 49, "said in other words by the next version")
    assert "an alert (1 new finding)" in annotate(reworded, ENTROPY)
    assert server.alerts[1]["text"] == line(ENTROPY) and server.alerts[1]["severity"] == "WARN"
    assert run.summary["autotune/KL002"] == line(reworded)
    assert "an alert" not in annotate()
    assert run.summary == {"loss": 0.5, "autotune/mine": "stays", "autotune/worst": "none", "autotune/findings": 0}
    assert run.notes is not None
    assert run.notes.startswith("My notes.") and run.notes.endswith("[/autotune diagnose]\nWritten below.")
    assert run.notes.count("[autotune diagnose]") == 1 and "no findings" in run.notes


def test_what_is_only_worth_knowing_sends_no_alert(serve: Serve, run: Run) -> None:
    server = serve(run)
    annotate(finding("KL006", Severity.INFO, 5))
    assert not server.alerts and run.summary["autotune/worst"] == "info"


def test_of_a_code_that_was_found_in_two_segments_the_worst_counts(serve: Serve, run: Run) -> None:
    serve(run)
    annotate(KL, finding("KL002", Severity.WARNING, 5))
    assert run.summary["autotune/KL002"] == line(KL) and run.summary["autotune/findings"] == 2


@pytest.mark.parametrize("state", ["running", "preempting"])
def test_a_run_that_goes_on_is_left_alone(serve: Serve, run: Run, state: str) -> None:
    run.state = state
    server = serve(run)
    with pytest.raises(UserError, match=r"still goes on.*AutotuneCallback"):
        annotate(KL)
    assert [what for what, _ in server.asked] == ["Run"]


def test_a_summary_that_cannot_be_read_is_not_written_over(serve: Serve, run: Run) -> None:
    told = run.told
    run.told = lambda: told() | {"summaryMetrics": "{torn"}  # type: ignore[method-assign]
    server = serve(run)
    with pytest.raises(UserError, match="summary"):
        annotate(KL)
    assert [what for what, _ in server.asked] == ["Run"]


@pytest.mark.parametrize("odd", [{"id": None}, {"id": 5}, {"notes": ["x"]}])
def test_to_a_run_of_which_too_little_is_said_nothing_is_written(serve: Serve, run: Run, odd: Any) -> None:
    told = run.told
    run.told = lambda: told() | odd  # type: ignore[method-assign]
    server = serve(run)
    with pytest.raises(UserError, match="does not say all of"):
        annotate(KL)
    assert [what for what, _ in server.asked] == ["Run"]


@pytest.mark.parametrize("what", ["Run", "UpsertBucket", "NotifyScriptableRunAlert"])
def test_what_cannot_be_written_is_said(serve: Serve, run: Run, what: str) -> None:
    server = serve(run)
    server.fail(what, 403, always=True)
    with pytest.raises(UserError, match="HTTP 403"):
        annotate(KL)


def test_what_lies_in_another_store_or_could_not_be_checked_is_said() -> None:
    unjudged = Report(NAME, "plain", -1, (), (), (Skip("KL002", "why not"),), (), (), rules=1)
    looked = Looked(reports=[report()], remote=[(mlflow, "mlflow:x", report()), (wandb, NAME, unjudged)])
    first, second = written_back(looked)
    assert f"{NAME} was not annotated: MLflow holds no reports" in first
    assert f"{NAME} was not annotated: nothing could be checked in it" in second


@pytest.mark.slow
def test_the_sdk_reads_what_we_read_and_what_we_wrote(serve: Serve, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": i / 3, "b": float("inf") if i == 5 else -float(i)} for i in range(50)]
    run = Run("r1", rows, {"lr": 1e-5, "nested": {"x": [1, 2]}}, exported=30, each=20, summary={"loss": 0.5}, notes="x")
    server = serve(run)
    (source,) = wandb.fetch(NAME, EVERYTHING, tmp_path / "kept", [].append).sources
    (ours,) = read(source)
    annotate(KL)
    told = subprocess.run(
        [sys.executable, "-c", SDK, NAME],
        env=os.environ | {"WANDB_SILENT": "true", "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found, config, summary, notes = json.loads(told.stdout.splitlines()[-1])
    assert config == run.config
    theirs = {row["_step"]: row for row in found}  # a page with exported and other rows it tells twice
    for name in ("a", "b"):
        assert [float(row[name]) for row in theirs.values()] == ours.others[name].values.tolist()
        assert list(theirs) == ours.others[name].steps.tolist()
    assert summary["autotune/KL002"] == line(KL) and summary["loss"] == 0.5
    assert notes == run.notes
    assert {what for what, _ in server.asked} >= {"Viewer", "Run", "RunParquetHistory", "HistoryPage", "parquet"}
