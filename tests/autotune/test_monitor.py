"""`autotune monitor` as a verb: which study or logs, and what it says where it cannot show any."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from autotune.cli import ExitStatus, main
from autotune.folders import RUNS
from diagnostics.rule import Catalogue
from diagnostics.sources import Found
from diagnostics.user_map import UserMap
from studies.log import StudyLog
from studies.record import Search
from studies.spec import load


def study(directory: Path) -> Path:
    directory.mkdir(parents=True)
    log = StudyLog(directory)
    log.started(load("arithmetic-grpo"), Search())
    log.close()
    return directory


LOG = '{"step": 1, "score": 0.5}\n{"step": 2, "score": 0.7}\n'


def test_what_is_no_study_is_looked_at_for_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.jsonl").write_text(LOG)
    watched: list[tuple[Path, tuple[Path, ...], Mapping[str, str]]] = []
    judged: list[Catalogue | None] = []

    def run_monitor(path: Path, *, found: Found, mine: UserMap, rules: Catalogue | None, **_: object) -> None:
        (source,) = found.sources
        watched.append((path, source.paths, mine.metrics))
        judged.append(rules)

    monkeypatch.setattr("tui.run.run_monitor", run_monitor)
    assert main(["monitor", "log.jsonl", "--map", "score=reward_mean"]) is ExitStatus.CLEAN
    assert watched == [(Path("log.jsonl"), (Path("log.jsonl"),), {"score": "reward_mean"})]
    Path("autotune.toml").write_text("[rules.KL002]\ntoken_limit = 2\n")
    assert main(["monitor", "log.jsonl"]) is ExitStatus.CLEAN
    assert judged[0] is None
    assert judged[1] is not None
    assert judged[1]["KL002"].thresholds["token_limit"] == 2.0


def test_what_is_empty_may_come_to_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("folder").mkdir()
    watched: list[tuple[Path, Found]] = []
    monkeypatch.setattr("tui.run.run_monitor", lambda path, *, found, **_: watched.append((path, found)))
    assert main(["monitor", "empty"]) is main(["monitor", "folder"]) is ExitStatus.CLEAN
    assert watched == [(Path("empty"), Found(())), (Path("folder"), Found(()))]


@pytest.mark.parametrize("args", [[], ["elsewhere"]])
def test_the_study_is_the_one_given_or_the_latest(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study(Path("elsewhere"))
    latest = study(RUNS / "one")
    watched: list[Path] = []
    monkeypatch.setattr("tui.run.run_monitor", lambda path, **_: watched.append(path))
    assert main(["monitor", *args]) is ExitStatus.CLEAN
    assert watched == [Path("elsewhere") if args else latest]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no studies in autotune-runs"),
        (["nowhere"], "there is no nowhere"),
        (["st"], "the monitor needs a terminal to draw on. Elsewhere: autotune study show st"),
        (["log.jsonl"], "the monitor needs a terminal to draw on. Elsewhere: autotune diagnose log.jsonl"),
        (["noise"], "noise is no log that autotune reads"),
        (["empty", "--replay", "60"], "empty is empty. Has its writer begun?"),
        (["folder", "--replay", "60"], "nothing to diagnose in folder"),
        (["log.jsonl", "--map", "score=rewardmean"], "there is no metric or setting 'rewardmean'"),
        (["st", "--map", "score=reward_mean"], "--map is for logs of others"),
        (["log.jsonl", "--replay", "0"], "--replay 0 is no speed"),
        (["st", "--replay", "60"], "the monitor needs a terminal"),
        (["runs", "--replay", "60"], "runs holds 2 logs, and one is replayed at a time"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study(Path("st"))
    Path("log.jsonl").write_text(LOG)
    Path("empty").touch()
    Path("noise").write_text("once upon a time\nthere was a log\n")
    Path("folder").mkdir()
    for run in ("one", "two"):
        Path("runs", run).mkdir(parents=True)
        Path("runs", run, "log.jsonl").write_text(LOG)
    assert main(["monitor", *args]) is ExitStatus.ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
