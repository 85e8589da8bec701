"""Another TRL than the trainers are made for is said in one line; the callback does not ask."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from diagnostics.errors import UserError
from trainers import supported

HOME = Path(__file__).parent.parent.parent


@pytest.fixture
def with_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place on the path, before all others, where a version of TRL says that it is installed."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{HOME}")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(folder: Path, version: str) -> None:
    info = folder / f"trl-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trl\nVersion: {version}\n")


@pytest.mark.parametrize("version", ["1.16.0", "1.16.3"])
def test_the_series_that_the_trainers_are_made_for(with_trl: Path, version: str) -> None:
    install(with_trl, version)
    supported.require_trl()


@pytest.mark.parametrize("version", ["1.15.9", "0.16.0", "1.17.0.dev0", "1.17.0", "2.0.0", "main"])
def test_another_is_said_in_one_line(with_trl: Path, version: str) -> None:
    install(with_trl, version)
    with pytest.raises(UserError, match=rf"need TRL 1\.16, and {version} is installed\. Install it: pip inst"):
        supported.require_trl()


def test_none_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UserError, match=r"need TRL 1\.16, and none is installed\. Install it"):
        supported.require_trl()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-c", "import trainers.seams"], "diagnostics.errors.UserError: the trainers need TRL 1.16, and 1.12.0 is"),
        (
            ["-m", "autotune", "study", "start"],
            "autotune: error: the trainers need TRL 1.16, and 1.12.0",
        ),
        (
            ["-m", "autotune", "train", "--preset", "arithmetic-grpo"],
            "autotune: error: the trainers need TRL 1.16",
        ),
        (["-m", "trainers.worker"], "trainers: error: the trainers need TRL 1.16, and 1.12.0 is installed. Install it"),
    ],
    ids=["a script", "a study", "a run", "a worker"],
)
def test_whatever_trains_says_it_before_it_begins(with_trl: Path, arguments: list[str], says: str) -> None:
    install(with_trl, "1.12.0")
    here = with_trl / "here"
    here.mkdir()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=here, input="")
    assert done.returncode in (1, 2) and done.stderr.splitlines()[-1].startswith(says)
    assert ("Traceback" in done.stderr) == (arguments[0] == "-c")
    assert not list(here.iterdir())


def test_what_is_installed_with_the_extra_is_that_series() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    since, until = (".".join(map(str, end)) for end in supported.TRL)
    assert f"trl>={since},<{until}" in project["optional-dependencies"]["train"]
    (pinned,) = (line for line in (HOME / "constraints.txt").read_text().splitlines() if line.startswith("trl=="))
    assert pinned.startswith(f"trl=={since}.")
    for page in ("README.md", "trainers/ppo.py"):
        assert since in (HOME / page).read_text(encoding="utf-8")


def reached(module: str, seen: set[str]) -> set[str]:
    """The modules of `trainers` that importing one reaches, those imported inside functions among them."""
    seen.add(module)
    for node in ast.walk(ast.parse((HOME / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("trainers.") and name not in seen and (HOME / f"{name.replace('.', '/')}.py").exists():
                reached(name, seen)
    return seen


def test_the_callback_does_without_what_needs_that_series() -> None:
    assert "trainers.seams" in reached("trainers.ppo", set())
    assert reached("trainers.callback", set()).isdisjoint({"trainers.seams", "trainers.ppo", "trainers.attach"})


def test_trl_is_imported_in_one_place_where_its_private_parts_are_used() -> None:
    importing = {
        path.name
        for path in (HOME / "trainers").rglob("*.py")
        if any(line.lstrip().startswith(("from trl", "import trl")) for line in path.read_text().splitlines())
    }
    # The other two ask for the version alone, of any TRL.
    assert importing == {"seams.py", "recorder.py", "build.py"}
