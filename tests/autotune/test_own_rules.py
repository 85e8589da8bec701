"""Rules of one's own and the project's configuration, as a person meets them: diagnose, follow, rules, notebooks."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import diagnostics
from autotune.cli import main
from autotune.launch.translate import Translator
from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE, FindingRaised, Outcome, RunStarted, Tail
from diagnostics.rule import shipped
from studies.command import CommandSpec

Rules = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a log in `runs/` whose reward is 0.5 and from step 30 on 200."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTUNE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "runs").mkdir()
    log = tmp_path / "runs" / "a.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    then = time.time() - 60
    os.utime(log, (then, then))
    return tmp_path


def rows() -> list[dict[str, float]]:
    return [{"step": s, "reward_mean": 0.5 if s < 30 else 200.0, "kl": 0.01} for s in range(60)]


def mine(codes: Iterable[str]) -> set[str]:
    return {code for code in codes if code.startswith("ACME")}


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, set[str], list[str]]:
    """Exit status, which of the person's own rules found something, and notes, of `autotune diagnose runs/a.jsonl`."""
    capsys.readouterr()
    status = main(["diagnose", "runs/a.jsonl", "--format", "json", *arguments])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    return status, mine(f["code"] for f in run["findings"]), run["notes"]


def test_rules_on_the_command_line(folder: Path, my_rules: Rules, capsys: pytest.CaptureFixture[str]) -> None:
    my_rules(folder)
    assert found(capsys)[:2] == (0, set())
    assert found(capsys, "--rules", "my_rules.py") == (1, {"ACME001"}, ["rules from my_rules.py: ACME001, ACME002"])
    assert found(capsys, "--rules", "my_rules.py", "--ignore", "reward_too_good")[:2] == (0, set())
    assert found(capsys, "--rules", "my_rules.py", "--only", "ACME001")[:2] == (1, {"ACME001"})


def test_following_has_them_too(folder: Path, my_rules: Rules, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "autotune.toml").write_text("[rules.ACME001]\nseverity = 'warning'\n")
    my_rules(folder)
    with (folder / "runs" / "a.jsonl").open() as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", log)
        assert main(["diagnose", "--follow", "-", "--rules", "my_rules.py", "--format", "json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first = [t["finding"] for t in told if t["type"] == "finding" and t["finding"]["code"] == "ACME001"]
    assert [(f["severity"], f["raised_at"]) for f in first] == [("warning", 30)]
    assert [f["code"] for f in told[-1]["findings"] if f["severity"] == "warning"] == ["ACME001"]


def test_a_second_look_depends_on_rules_and_configuration(
    folder: Path, my_rules: Rules, capsys: pytest.CaptureFixture[str]
) -> None:
    path = my_rules(folder)
    assert found(capsys, "--rules", str(path))[1] == {"ACME001"}
    assert found(capsys, "--rules", str(path))[1] == {"ACME001"}
    my_rules(folder, ("limit: float = 100.0", "limit: float = 300.0"))
    assert found(capsys, "--rules", str(path))[1] == set()
    (folder / "autotune.toml").write_text("[rules.ACME001]\nlimit = 150\n")
    assert found(capsys, "--rules", str(path))[1] == {"ACME001"}
    (folder / "autotune.toml").write_text("[rules.ACME001]\nlimit = 250\n")
    assert found(capsys, "--rules", str(path))[1] == set()


def test_a_broken_file_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    assert main(["diagnose", "runs", "--rules", "broken.py"]) == 2
    error = capsys.readouterr().err
    assert (
        error == "autotune: error: broken.py cannot be loaded: line 1: ZeroDivisionError: division by zero. Mend it.\n"
    )


def test_a_rule_that_fails_is_said_in_the_report(
    folder: Path, my_rules: Rules, capsys: pytest.CaptureFixture[str]
) -> None:
    my_rules(folder, ("    yield Alarm(", "    1 / 0\n    yield Alarm("))
    assert main(["diagnose", "runs", "--rules", "my_rules.py"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "ACME001 the rule of my_rules.py failed: line 43: ZeroDivisionError: division by zero" in shown


def test_in_a_notebook(folder: Path, my_rules: Rules) -> None:
    path = my_rules(folder)
    assert mine(f.code for f in diagnostics.diagnose(rows(), rules=path).findings) == {"ACME001"}
    (folder / "autotune.toml").write_text("rule_files = ['my_rules.py']\n[rules.ACME001]\nlimit = 250\n")
    report = diagnostics.diagnose("runs/a.jsonl")
    assert not mine(f.code for f in report.findings)
    assert report.notes[0] == "ACME001 is changed by autotune.toml: limit = 250 instead of 100"


# ---- autotune rules


def test_all_rules_are_listed_by_family_within_80_columns(
    folder: Path, my_rules: Rules, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    my_rules(folder)
    (folder / "autotune.toml").write_text("[rules.KL002]\nseverity = 'error'\n[rules.ENT001]\nignore = true\n")
    assert main(["rules", "--rules", "my_rules.py"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(listed) == sorted([*shipped(), "ACME001", "ACME002"])
    assert "  KL002  kl_explosion  error, autotune.toml" in lines
    assert "  ENT001  entropy_collapse  left out, autotune.toml" in lines
    assert lines.index("Entropy") == lines.index("  ENT001  entropy_collapse  left out, autotune.toml") - 1
    assert lines[lines.index("ACME") + 1 : lines.index("ACME") + 3] == [
        "  ACME001  reward_too_good  error",
        "           The reward is higher than our scorer can give.",
    ]


def test_the_page_shows_the_values_of_the_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "autotune.toml").write_text("[rules.KL002]\nseverity = 'error'\ntoken_limit = 0.7\n")
    assert main(["rules", "kl_explosion"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Highest severity: error, as autotune.toml says (fatal by itself)" in shown
    assert "token_limit = 0.7, as autotune.toml says (0.5 by default)" in shown
    assert "patience = 30 •" in shown
    assert shown.index("Thresholds") < shown.index("Why it matters")


# ---- studies


def test_the_examples_of_a_rule_of_ones_own_are_judged(
    folder: Path, my_rules: Rules, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(code: str, *changes: tuple[str, str]) -> tuple[int, str]:
        my_rules(folder, *changes)
        capsys.readouterr()
        status = main(["rules", "--rules", "my_rules.py", code])
        output = capsys.readouterr()
        return status, " ".join(output.err.split()) or output.out.splitlines()[-1]

    said = "Examples: 2, and of each it says what is to be said."
    assert shown("ACME001") == shown("ACME002") == (0, said)
    (folder / "autotune.toml").write_text("[rules.ACME001]\nlimit = 1000\n")  # which is no fault of the rule
    assert shown("ACME001") == (0, said)
    prefix, end = "autotune: error: my_rules.py: ", ". Mend the rule or the example."
    assert shown("ACME001", ("error@5", "error@6")) == (
        2, f"{prefix}reward_too_good raises error@5 on example 1 of fires=, not error@6{end}"
    )  # fmt: skip
    assert shown("ACME001", ("0*5 50*3", "0*5 150*3")) == (
        2, f"{prefix}reward_too_good raises error@5 on example 1 of quiet=, not nothing{end}"
    )  # fmt: skip
    status, error = shown("ACME001", ("    yield Alarm(", "    1 / 0\n    yield Alarm("))
    assert status == 2
    assert "cannot be run on example 1 of fires=: the rule of my_rules.py failed: line 43: ZeroDivisionError" in error
    late = (("0*5 200*3", "0*60 200*3"), ("error@5", "error@60"))
    assert shown("ACME001", *late) == (0, said)
    status, error = shown("ACME001", *late, ("reward.values > limit", "(reward.values > limit) & (len(reward) > 50)"))
    assert status == 2
    assert "raises nothing on example 1 of fires= while it grows, error@60 when it is whole" in error
    assert shown("ACME002", ("{RATE: 0.1}", "{RATE: 0.6}")) == (
        2, f"{prefix}rate_of_one has another result on example 1 of quiet=: findings: 1{end}"
    )  # fmt: skip


def test_a_script_in_a_study_is_judged_by_the_project(folder: Path, my_rules: Rules) -> None:
    my_rules(folder)
    (folder / "autotune.toml").write_text("rule_files = ['my_rules.py']\n[rules.ACME001]\nseverity = 'fatal'\n")
    trial = folder / "trial"
    trial.mkdir()
    translator = Translator(trial, CommandSpec("python x.py", "reward_mean"), 1)
    (trial / "log.jsonl").write_text((folder / "runs" / "a.jsonl").read_text())
    while not translator.poll(time.monotonic() + 5, ended=True):
        pass
    translator.end(Outcome.FINISHED, "")
    told = [envelope.event for envelope in Tail(trial / EVENTS_FILE).poll()]
    assert ("ACME001", "FATAL") in {(e.finding.code, e.finding.severity.name) for e in told if type(e) is FindingRaised}
    start = next(event for event in told if isinstance(event, RunStarted))
    assert "while it ran, rules from my_rules.py: ACME001, ACME002" in start.notes


@pytest.mark.parametrize("arguments", [["study", "start", "--dir", "s"], ["train", "--preset", "arithmetic-grpo"]])
def test_a_wrong_configuration_is_told_before_anything_begins(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "autotune.toml").write_text("[rules.KL02]\n")
    before = {*folder.iterdir()}
    assert main(arguments) == 2
    assert "autotune.toml, [rules.KL02]: there is no rule KL02." in capsys.readouterr().err
    assert {*folder.iterdir()} == before


def test_the_monitor_tells_a_wrong_configuration_before_it_takes_the_screen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "autotune.toml").write_text("[rules.KL02]\n")
    assert main(["monitor", "runs"]) == 2
    assert "there is no rule KL02" in capsys.readouterr().err


def test_nothing_of_a_project_is_read_from_beside_a_log(
    folder: Path, capsys: pytest.CaptureFixture[str], my_rules: Rules
) -> None:
    my_rules(folder / "runs", ('"""The rules of our house."""', "raise AssertionError('it was run')"))
    (folder / "runs" / "autotune.toml").write_text("rule_files = ['my_rules.py']\n[rules.NUM001]\nignore = true\n")
    assert found(capsys) == (0, set(), [])
    os.chdir(folder / "runs")
    with pytest.raises(UserError, match="code that comes with logs is not run"):
        diagnostics.diagnose("a.jsonl")
