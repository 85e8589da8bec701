"""A comparison in words: the answer first, no markup of others, the same in all formats."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from diagnostics.comparison import Comparison, compare
from diagnostics.differences import Judged
from diagnostics.engine import diagnose
from diagnostics.report import comparison_json, comparison_markdown
from diagnostics.report.comparison import told
from diagnostics.report.comparison_terminal import render
from diagnostics.series import RunHistory, example

AB = ("A", "B")
EVIL = "a\x1b[31m[bold]|<b>`x`\n# y"


def run(reward: str, source: str = "run", **settings: object) -> Judged:
    history = replace(
        example({"reward_mean": reward}, settings=settings), source=source, framework="trl-grpo", raw_settings=settings
    )
    return Judged(history, diagnose(history))


def answer(comparison: Comparison) -> dict[str, str]:
    return dict(told(comparison, AB).answer)


def shown(comparison: Comparison, width: int = 80) -> str:
    console = Console(width=width, highlight=False, emoji=False, markup=False, no_color=True)
    with console.capture() as captured:
        console.print(render(comparison, AB))
    return captured.get()


BETTER = compare(
    [run("0.1~0.02*60", "old", kl_coef=0.1, learning_rate=1e-3)],
    [run("0.8~0.02*60", "new", kl_coef=0.4, learning_rate=1e-3)],
)


def test_the_answer_names_the_change_and_what_came_of_it():
    words = answer(BETTER)
    assert words["Changed"] == "beta (kl_coef) 0.1 → 0.4 (× 4)"
    assert words["Gone"] == words["New"] == "no finding"
    assert words["Reward"].startswith("reward_mean ends 0.695 ± 0.11")
    assert " higher (0.1" in words["Reward"] and words["Reward"].endswith("apart since step 0")
    assert words["Apart"] == "1 of 1 metric parts beyond noise, reward_mean first, at step 0"


def test_nothing_but_the_seed():
    comparison = compare([run("0~0.1*60", seed=1)], [run("0.01~0.1*60", seed=2)])
    assert answer(comparison)["Changed"] == "nothing but the seed (1 → 2)"
    assert answer(comparison)["Apart"] == "none of 1 metric parts beyond noise"
    assert "does not part beyond noise" in answer(comparison)["Reward"]


def test_what_the_logs_do_not_say_is_not_called_unchanged():
    silent, settings = run("0*60"), run("0*60", kl_coef=0.1)
    assert answer(compare([silent], [silent]))["Changed"] == "it is not known, the logs have no settings"
    assert answer(compare([silent], [settings]))["Changed"] == (
        "1 setting that only one side logs; others are not known, the log of A has no settings"
    )


def test_many_settings_are_counted():
    before = run("0*60", learning_rate=1e-3, kl_coef=0.1, temperature=1.0, top_p=1.0, num_generations=8, seed=0)
    after = run("0*60", learning_rate=1e-4, kl_coef=0.2, temperature=0.5, top_p=0.9, num_generations=4, seed=1)
    words = answer(compare([before], [after]))["Changed"]
    assert "; 1 more setting; the seed (0 → 1)" in words and words.count("→") == 5


def test_settings_autotune_has_no_name_for_are_named():
    before, after = run("0*60", weight_decay=0.0, run_name="a"), run("0*60", weight_decay=0.1, run_name="b")
    for one, raw in ((before, {"weight_decay": 0.0, "run_name": "a"}), (after, {"weight_decay": 0.1, "run_name": "b"})):
        object.__setattr__(one.run, "settings", {"kl_coef": 0.1})
        object.__setattr__(one.run, "raw_settings", raw)
    words = answer(compare([before], [after]))["Changed"]
    assert words == "weight_decay 0 → 0.1"  # and a text, which stands in the table
    assert "run_name" in shown(compare([before], [after]))


def test_a_text_alone_is_counted():
    sides = []
    for name in ("gpt2", "qwen"):
        one = run("0*60", kl_coef=0.1)
        sides.append(Judged(replace(one.run, raw_settings={"model": name}), one.report))
    words = answer(compare([sides[0]], [sides[1]]))["Changed"]
    assert words == "1 setting that autotune has no name for"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hub_token", "{}"),
        ("WANDB_API_KEY", "{}"),
        ("db.password", "{}"),
        ("use_wandb", "{}"),
        ("storage", "postgresql://me:{}@host/db"),
        ("remote", "https://{}@host/x"),
        ("command", "train.py --api-key={}"),
        ("env", {"HF_TOKEN": "{}"}),
        ("auth", "hf_{}{}"),
    ],
)
def test_what_may_be_a_secret_is_not_shown(name, value):
    sides = []
    for text in ("hunter2", "hunter3"):
        one = run("0*60", kl_coef=0.1)
        secret = {k: v.replace("{}", text) for k, v in value.items()} if name == "env" else value.replace("{}", text)
        sides.append(Judged(replace(one.run, raw_settings={name: secret, "max_tokens": 5 + len(sides)}), one.report))
    comparison = compare([sides[0]], [sides[1]])
    for text in (
        shown(comparison),
        comparison_markdown.render([comparison], [AB]),
        comparison_json.render([comparison], [AB]),
    ):
        assert "hunter" not in text and "(hidden)" in text
    assert "max_tokens 5 → 6" in shown(comparison)


def test_a_log_of_several_runs_says_which_one_it_is():
    one = run("0*60")
    last = Judged(replace(one.run, segment=3), one.report)
    assert "run (the last of 3 runs in it), to step 59" in dict(told(compare([last], [one]), AB).sides)["A"]


def test_names_of_others_stay_text():
    before, after = (run(reward, EVIL, kl_coef=kl) for reward, kl in (("0~0.01*60", 0.1), ("1~0.01*60", 0.2)))
    series = {**before.run.series, f"reward_component_mean[{EVIL}]": before.run.series["reward_mean"]}
    before = Judged(replace(before.run, series=series), before.report)
    comparison = compare([before], [after])
    terminal, markdown = shown(comparison, 200), comparison_markdown.render([comparison], [AB])
    assert "\x1b[31m" not in terminal and "\x1b" not in markdown
    assert "[bold]" in terminal
    assert not re.search(r"(?<!\\)<b>", markdown) and "\n# y" not in markdown
    assert "\x1b" not in comparison_json.render([comparison], [AB])  # in ASCII, escaped


def test_no_line_is_wider_than_the_terminal():
    for width in (60, 80, 160):
        assert max(map(len, shown(BETTER, width).splitlines())) <= width


def test_all_formats_say_the_same():
    markdown = comparison_markdown.render([BETTER], [AB])
    for lead, text in told(BETTER, AB).answer:
        assert f"**{lead}**" in markdown and lead in shown(BETTER)
        assert text.split(" ")[0].replace("_", "\\_") in markdown.replace("reward_mean", "reward\\_mean")
    assert "| beta (kl_coef) | 0.1 | 0.4 (× 4) |" in markdown


def test_json_is_whole_and_finite():
    inf = run("0*60", clip_range=float("inf"))
    document = json.loads(comparison_json.render([BETTER, compare([inf], [run("0*60", clip_range=0.2)])], [AB, AB]))
    better, other = document["comparisons"]
    assert better["settings"]["changed"] == [
        {"setting": "kl_coef", "name_before": "beta", "name_after": "beta", "before": [0.1], "after": [0.4]}
    ]
    (metric,) = better["metrics"]
    assert metric["metric"] == "reward_mean" and metric["parts_at"] == 0 and metric["until"] is None
    assert metric["difference"] == pytest.approx(0.7, abs=0.05) and 0 < metric["error"] < 0.3
    assert other["settings"]["changed"][0]["before"] == ["inf"]
    assert better["before"]["runs"] == [{"source": "old", "framework": "trl-grpo", "steps": 59, "segment": 1}]


def test_completions_are_said_where_steps_stand_for_others():
    def counted(reward: str, each: int) -> Judged:
        one = run(reward)
        series = dict(one.run.series)
        steps = series["reward_mean"].steps
        series["completions_generated"] = replace(
            series["reward_mean"], metric="completions_generated", values=each * steps.astype(np.float64)
        )
        return Judged(replace(one.run, series=series), one.report)

    comparison = compare([counted("0~0.01*50", 1000)], [counted("0~0.01*20 1~0.01*30", 999 * 2)])
    assert " completions" in answer(comparison)["Reward"]
    (metrics,) = [rows for rows in told(comparison, AB).tables if rows.title == "Metrics that part"]
    assert metrics.heads[1] == "since (completions)"


def test_runs_of_nothing_have_words_too():
    empty = Judged(RunHistory({}), diagnose(RunHistory({})))
    words = answer(compare([empty], [empty]))
    assert words["Apart"] == "no metric has points enough on both sides to be compared" and "Reward" not in words
