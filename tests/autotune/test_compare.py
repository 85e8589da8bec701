"""`autotune compare` as a person and a script meet it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autotune.cli import ExitStatus, main

RUNS = Path(__file__).parents[1] / "data" / "runs"
Compare = Callable[..., str]


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Compare:
    """What is printed where the recorded runs lie, by a call that ends with `status`."""
    monkeypatch.chdir(RUNS)

    def call(*arguments: str | Path, status: ExitStatus = ExitStatus.CLEAN) -> str:
        assert main(["compare", *map(str, arguments)]) == status
        captured = capsys.readouterr()
        return captured.out if status is ExitStatus.CLEAN else captured.err

    return call


def sides(document: str) -> list[list[list[str]]]:
    """For each comparison the runs of both sides."""
    comparisons = json.loads(document)["comparisons"]
    return [[[run["source"] for run in one[side]["runs"]] for side in ("before", "after")] for one in comparisons]


def test_a_sick_run_and_a_healthy_one(compare):
    text = compare("collapse-0", "good-0")
    assert text.splitlines()[3] == "Changed  learning_rate 0.003 → 0.0001 (÷ 30)"
    assert "Gone     FATAL KL002 kl_explosion" in text and "New      no finding" in text
    assert "validation_reward ends 1.11 ± " in text


def test_as_many_findings_are_counted_as_diagnose_tells_of(compare, capsys):
    """A spike of the KL is worth a word in a healthy run, and says nothing beside an explosion of it."""
    assert compare("collapse-0", "asleep").splitlines()[0] == "A  collapse-0, to step 100: 1 fatal, 2 warning, 1 info"
    assert "KL006" not in compare("collapse-0", "asleep")
    assert main(["diagnose", "collapse-0"]) == ExitStatus.FINDINGS
    assert "1 fatal, 2 warning, 1 info;" in capsys.readouterr().out
    assert "both  KL006 kl_spike          info     info" in compare("collapse-0", "good-0"), "as it is told of good-0"


def test_runs_of_two_trainers_are_told_from_each_other_and_what_is_not_known_is_in_the_answer(compare, tmp_path):
    lines = compare("collapse-0", "ppo-good").splitlines()
    assert lines[0].startswith("A  collapse-0 (trl-grpo), to step 100: ")
    assert lines[1].startswith("B  ppo-good (autotune-ppo), to step 120: ")
    answer = " ".join(" ".join(lines[: lines.index("Settings that differ")]).split())
    assert "Unknown FATAL KL002 kl_explosion, WARNING RWD001 zero_reward_std, WARNING RWD004" in answer
    table = tmp_path / "table.csv"
    table.write_text("step,reward\n" + "".join(f"{step},{step / 60}\n" for step in range(60)))
    assert " (" not in compare("collapse-0", table).splitlines()[1], "no framework is recognised"
    assert "trl-grpo" not in (alike := compare("collapse-0", "good-0")) and "Unknown" not in alike


def test_two_seeds_differ_in_nothing(compare):
    text = compare("good-0", "good-1")
    assert "Changed  nothing but the seed (0 → 1)" in text
    assert "none of 26 metrics parts beyond noise" in text


def test_runs_of_equal_settings_are_one_side(compare):
    document = compare("good-0", "collapse-0", "good-1", "asleep", "--format", "json")
    assert sides(document) == [[["good-0", "good-1"], ["collapse-0"]], [["good-0", "good-1"], ["asleep"]]]
    names = [(one["before"]["name"], one["after"]["name"]) for one in json.loads(document)["comparisons"]]
    assert names == [("A", "B"), ("A", "C")]


def test_dashes_divide_the_sides_and_options_may_stand_anywhere(compare):
    wanted = [[["good-0"], ["good-1", "collapse-0"]]]
    assert sides(compare("good-0", "--", "good-1", "collapse-0", "--format", "json")) == wanted
    assert sides(compare("--format=json", "good-0", "--", "good-1", "collapse-0")) == wanted
    three = compare("good-0", "--", "good-1", "--", "asleep", "--format", "json")
    assert sides(three) == [[["good-0"], ["good-1"]], [["good-0"], ["asleep"]]]


def test_a_folder_of_runs_is_all_of_them(compare, tmp_path):
    for name in ("good-0", "good-1"):
        shutil.copytree(RUNS / name, tmp_path / "many" / name)
    document = compare(tmp_path / "many", "--", "asleep", "--format", "json")
    assert sides(document) == [[[str(tmp_path / "many" / f"good-{seed}") for seed in (0, 1)], ["asleep"]]]


def test_markdown(compare):
    text = compare("collapse-0", "good-0", "--format", "markdown")
    assert text.startswith("# B against A\n") and "| learning_rate | 0.003 | 0.0001 (÷ 30) |" in text


def test_of_a_log_of_several_runs_the_last_is_compared(compare, tmp_path):
    log = tmp_path / "log.csv"
    rows = [(i, 0.1 + 0.01 * (i % 7)) for i in range(40)] + [(i, 0.9 + 0.01 * (i % 5)) for i in range(40)]
    log.write_text("step,reward_mean\n" + "".join(f"{step},{reward}\n" for step, reward in rows), encoding="utf-8")
    other = tmp_path / "other.csv"
    other.write_text("step,reward_mean\n" + "".join(f"{s},{r}\n" for s, r in rows[40:]), encoding="utf-8")
    text = " ".join(compare(log, other).split())
    assert "(the last of 2 runs in it)" in text and "none of 1 metric parts beyond noise" in text


def test_a_name_may_be_given_a_meaning(compare, tmp_path):
    for name, level in (("a", 0.0), ("b", 1.0)):
        rows = "".join(f"{i},{level + 0.01 * (i % 7)}\n" for i in range(60))
        (tmp_path / f"{name}.csv").write_text(f"step,ep_score\n{rows}", encoding="utf-8")
    files = tmp_path / "a.csv", tmp_path / "b.csv"
    assert "none of its names is known" in compare(*files, status=ExitStatus.ERROR)
    assert "reward_mean ends 1 ± " in compare(*files, "--map", "ep_score=reward_mean")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["good-0"], "there is only one run to compare. Name two or more: autotune compare BEFORE AFTER."),
        (["good-0", "--"], "there is no run on one side of --. Name them: autotune compare A1 A2 -- B1 B2."),
        (["--", "good-0"], "there is no run on one side of --. Name them: autotune compare A1 A2 -- B1 B2."),
        (["good-0", "god-1"], "there is no god-1. Did you mean good-1?"),
        (["good-0", "good-1", "--format", "html"], "unknown --format html. Choose from terminal, json, markdown."),
        (["good-0", "good-1", "--verbse"], "unknown option --verbse."),
        ([], "the following arguments are required: SOURCE. See autotune compare --help."),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(compare, arguments, said):
    (line,) = compare(*arguments, status=ExitStatus.ERROR).splitlines()
    assert line.startswith(f"autotune: error: {said}")


def test_a_log_in_a_folder_that_cannot_be_read_is_told_and_stops_nothing(tmp_path, capsys):
    for name in ("good-0", "good-1"):
        shutil.copytree(RUNS / name, tmp_path / name)
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    assert main(["compare", str(tmp_path), "--format", "json"]) == ExitStatus.CLEAN
    captured = capsys.readouterr()
    assert sides(captured.out) == [[[str(tmp_path / "good-0")], [str(tmp_path / "good-1")]]]
    assert captured.err == f"autotune: not read: {tmp_path / 'empty.csv'}: empty\n"
