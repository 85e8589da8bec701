"""The workflow of docs/ci.md, its steps run as GitHub's runner runs them, in a repository made for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
RUNS = HOME / "tests" / "data" / "runs"


def steps() -> dict[str, dict[str, str]]:
    """What the job does, by name; what others made (`uses`) is left out."""
    yaml = pytest.importorskip("yaml", reason="the extra `lint` is not installed")
    (block,) = BLOCK.findall((HOME / "docs" / "ci.md").read_text(encoding="utf-8"))
    workflow = yaml.safe_load(block)
    assert set(workflow) == {"name", True, "permissions", "jobs"}, "`on` is true in YAML 1.1, as GitHub knows"
    (job,) = workflow["jobs"].values()
    assert all("uses" in step or "run" in step for step in job["steps"])
    return {step["name"]: step for step in job["steps"] if "run" in step}


def job(folder: Path) -> dict[str, int]:
    """The exit status of each step; after one that failed only those run that say so, as in a job."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTHON"))}
    environment = clean | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PIP_DRY_RUN": "1",  # Autotune is installed here
        "PIP_NO_INDEX": "1",
    }
    ended: dict[str, int] = {}
    for name, step in steps().items():
        if any(ended.values()) and step.get("if") != "${{ !cancelled() }}":
            continue
        command = ["bash", "-e", "-c", step["run"]]  # the shell of a step that names none
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        (folder / f"{name}.txt").write_text(done.stdout + done.stderr)
        ended[name] = done.returncode
    return ended


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose training leaves the log of a recorded run."""
    (tmp_path / "train.py").write_text(
        "import os, shutil, sys\n"
        "assert sys.argv[1] == '--output'\n"
        "if os.path.exists('recorded'):\n"
        "    shutil.copytree('recorded', f'{sys.argv[2]}/first')\n"
    )
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def test_the_workflow_fails_on_a_sick_run_and_keeps_its_page(repository: Path) -> None:
    (repository / "recorded").symlink_to(RUNS / "collapse-0")
    assert job(repository) == {"Install": 0, "Train": 0, "Diagnose": 1, "Report": 0}
    assert (repository / "Diagnose.txt").read_text().startswith("::error title=FATAL KL002 kl_explosion since step 5::")
    assert (repository / "summary.md").read_text().startswith("# FATAL: The learning rate is too high\n")
    assert "The learning rate is too high" in (repository / "report.html").read_text()


def test_the_workflow_passes_a_healthy_run(repository: Path) -> None:
    (repository / "recorded").symlink_to(RUNS / "good-0")
    assert job(repository) == {"Install": 0, "Train": 0, "Diagnose": 0, "Report": 0}


def test_the_workflow_does_not_pass_where_nothing_was_logged(repository: Path) -> None:
    assert job(repository) == {"Install": 0, "Train": 0, "Diagnose": 2, "Report": 1}
    assert "::error title=not diagnosed::there is no runs" in (repository / "Diagnose.txt").read_text()
