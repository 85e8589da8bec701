"""`autotune monitor` as a verb: which study, and what it says where it cannot show one."""

from pathlib import Path

import pytest

from autotune.cli import ExitStatus, main
from autotune.folders import RUNS
from studies.log import StudyLog
from studies.record import Search
from studies.spec import load


def study(directory: Path) -> Path:
    directory.mkdir(parents=True)
    log = StudyLog(directory)
    log.started(load("arithmetic-grpo"), Search())
    log.close()
    return directory


@pytest.mark.parametrize("args", [[], ["elsewhere"]])
def test_the_study_is_the_one_given_or_the_latest(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study(Path("elsewhere"))
    latest = study(RUNS / "one")
    watched: list[Path] = []
    monkeypatch.setattr("tui.app.run_monitor", watched.append)
    assert main(["monitor", *args]) is ExitStatus.CLEAN
    assert watched == [Path("elsewhere") if args else latest]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no studies in autotune-runs"),
        (["nowhere"], "nowhere is no study"),
        (["st"], "the monitor needs a terminal"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study(Path("st"))
    assert main(["monitor", *args]) is ExitStatus.ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
