"""The wheel as a user gets it: what is in it, and that it diagnoses without torch."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted

HOME = Path(__file__).parent.parent
OURS = ("autotune", "diagnostics", "studies", "trainers", "tui")
# all that `autotune-rl` without extras brings
BASE = ("numpy", "numpy.libs", "rich", "markdown_it", "mdurl", "pygments")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in (*OURS, "tests"):  # a copy: setuptools leaves build folders beside what it builds
        shutil.copytree(HOME / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HOME / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, source],
        check=True,
        capture_output=True,
    )
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `autotune` of a fresh environment with the wheel and the base dependencies, and nothing else."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet", "--no-deps", wheel],
        check=True,
    )
    for name in BASE:
        (there,) = (p / name for p in map(Path, sys.path) if (p / name).is_dir() and p != HOME)
        (site / name).symlink_to(there)
    return home / "bin" / "autotune"


def autotune(program: Path, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run([program, *args], cwd=cwd, env=clean, capture_output=True, text=True, check=False)


def test_the_wheel_holds_our_five_packages_with_their_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(OURS)
    shipped = {name for name in names if name.endswith((".py", ".toml", ".tcss", ".css", ".js"))}
    there = {
        str(path.relative_to(HOME))
        for package in OURS
        for pattern in ("*.py", "*.toml", "*.tcss", "*.css", "*.js")
        for path in (HOME / package).rglob(pattern)
    }
    assert shipped == there
    assert {"diagnostics/metrics.toml", "diagnostics/vocabulary/trl-grpo.toml"} <= shipped
    assert any(name.startswith("studies/presets/") for name in shipped)


def test_it_diagnoses_without_torch(installed: Path, tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {}))
    for step in range(20):
        log.emit(MetricsLogged(step, {"grad_norm": 1.0 if step < 9 else float("nan")}))
    log.emit(RunEnded(19, Outcome.FINISHED))
    log.close()
    done = autotune(installed, "diagnose", tmp_path, cwd=tmp_path)
    assert done.stderr == ""
    assert done.returncode == 1
    assert "NUM001 non_finite" in done.stdout
    for format, begins in (("html", "<!doctype html>"), ("markdown", "# FATAL"), ("github", "::error title=")):
        done = autotune(installed, "diagnose", tmp_path, "--format", format, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (1, "") and done.stdout.startswith(begins)


def test_the_other_light_commands_work_too(installed: Path, tmp_path: Path) -> None:
    for args in (["--version"], ["--help"], ["rules"], ["rules", "NUM001"], ["study", "--help"], ["train", "--help"]):
        done = autotune(installed, *args, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), args
        assert done.stdout


@pytest.mark.parametrize(
    ("args", "extra"),
    [
        (["study", "start", "--dir", "s"], "train"),
        (["train", "--preset", "arithmetic-grpo"], "train"),
        (["monitor"], "tui"),
        (["diagnose", ".", "--save-plots", "plots"], "plots"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(args: list[str], extra: str, installed: Path, tmp_path: Path) -> None:
    done = autotune(installed, *args, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "which is not installed. Install it: pip install 'autotune-rl[" + extra in line
    assert not list(tmp_path.iterdir())
