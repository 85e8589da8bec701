"""The example of a script of one's own, run as a reader of it would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.engine import diagnose
from diagnostics.events import EVENTS_FILE, FindingRaised, Outcome, RunEnded, decode
from diagnostics.finding import Severity
from diagnostics.readers import events

HOME = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.slow


def run(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    done = subprocess.run(
        [sys.executable, HOME / "examples" / "callback" / "train.py", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, folder / "autotune-runs" / "colours-1"


def said(stderr: str) -> list[str]:
    """What the callback wrote between the progress bars."""
    return [line[line.index("autotune: ") :] for line in stderr.splitlines() if "autotune: " in line]


def test_as_it_stands_it_learns_and_nothing_is_found(tmp_path: Path) -> None:
    done, folder = run(tmp_path)
    assert done.returncode == 0, done.stderr
    history = events.read(folder)
    assert history["eval_reward"].steps.tolist() == [10, 20, 30, 40, 50, 60]
    assert history["eval_reward"].values[-1] > 2 * history["eval_reward"].values[0]
    assert history["completions_generated"].values[-1] == 60 * 64
    report = diagnose(history)
    assert all(finding.severity is Severity.INFO for finding in report.findings) and not report.notes
    loud = [line for line in said(done.stderr) if "INFO" not in line]
    assert len(loud) == 1 and "autotune diagnose" in loud[0]


def test_a_learning_rate_far_too_high_is_found_and_ends_it(tmp_path: Path) -> None:
    done, folder = run(tmp_path, "--lr", "0.1")
    assert done.returncode == 0, done.stderr
    told = [decode(line).event for line in (folder / EVENTS_FILE).read_text().splitlines()]
    end = told[-1]
    assert isinstance(end, RunEnded) and end.outcome is Outcome.STOPPED and end.step < 60
    raised = [event.finding for event in told if isinstance(event, FindingRaised)]
    assert "KL002" in {finding.code for finding in raised}
    assert max(finding.severity for finding in raised) is Severity.FATAL
    assert [f"autotune: {f.severity.name} {f.code} {f.name}" for f in raised] == [
        line.partition(" at step ")[0] for line in said(done.stderr)[1:]
    ]
    assert {f.code for f in diagnose(events.read(folder)).findings} == {f.code for f in raised}
