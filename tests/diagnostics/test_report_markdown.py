"""Reports as Markdown, read back by a parser of GitHub's flavour."""

import re
from dataclasses import replace
from html import unescape

import pytest
from markdown_it import MarkdownIt
from sample_report import CAUSE, EVIL, EXPLAINED, FINDING, REPORT, controls

from diagnostics.finding import Report, Severity, Skip
from diagnostics.report.markdown import code, escaped, render

MARKUP = r"<b>x</b> | `y` *z* [a](http://b) ![c](d) ~~e~~ _f_ $g$ &amp; \h <!-- @me :skull: #1"


def shown(markdown: str) -> str:
    """Markdown as GitHub's parser makes HTML of it, tags in it left alone."""
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


def text(html: str) -> str:
    """The text of HTML without tags."""
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_the_first_lines_say_what_is_wrong_since_when_and_what_to_change():
    lines = [line for line in render([REPORT]).splitlines() if line][:5]
    assert lines == [
        "# ERROR: The learning rate is too high",
        "`runs/3`, wandb run file, trl-grpo 0.17.0 or newer, by clip_ratio/region_mean, last step 39",
        "**Since step 22; warning at step 23, error at step 25.**",
        "Try: **divide learning_rate by 8**",
        "1 error, 1 warning; 18 of 20 rules could be checked.",
    ]


def test_it_says_all_that_the_terminal_says():
    said = text(shown(render([REPORT])))
    for part in (
        "CAUSE 1: The learning rate is too high",
        "KL002 kl_explosion at 22 -> RWD003 reward_decline at 31",
        "for: the reward fell",
        "against: num_iterations is 4",
        "Try: divide learning_rate by 8, because the pull to the reference was too weak",
        "what would settle it: log what temperature is set to and the entropy (entropy.token)",
        FINDING.message,
        "kl.reference.k3.token (train/kl in the log) median of the last 4 2.42 (limit 1), steps 22 to 25",
        "see CAUSE 1",
        "Looks wrong and is not",
        "Not checked: 2 rules",
        "need what this run did not log: VAL001, VAL003 value_loss",
        "avg return perhaps reward_mean or return_mean: --map 'avg return'=reward_mean",
        "mystery, riddle",
        "the run has not ended",
    ):
        assert part in said, part
    assert shown(render([REPORT])).count("<td") == 2 * 6 and "▁" in said


def test_of_several_runs_a_table_leads_and_the_sick_ones_come_first():
    clean = replace(REPORT, findings=(), raised=(), causes=(), source="runs/2")
    markdown = render([clean, REPORT], {"runs/5.csv": "empty"})
    assert markdown.startswith(
        "# 2 runs by their worst finding: 1 error, 1 none. 1 could not be read.\n\nBelow `runs/`"
    )
    rows = [line for line in markdown.splitlines() if line.startswith("|")][2:5]
    assert rows[0].startswith("| **ERROR** | `3` | 39 | KL002 kl_explosion: The learning rate is too high | step 22 |")
    assert rows[0].endswith("| divide learning_rate by 8 |")
    assert rows[1:] == [
        "| not read | `5.csv` | | empty | | |",
        "| healthy | `2` | 39 | Nothing is wrong that could be checked | | |",
    ]
    assert shown(markdown).count("<tr") == 4 + 3
    assert markdown.index("## ERROR: The") < markdown.index("## Nothing is wrong")


def written_by(name: str, lines: str) -> str:
    """The Markdown of three runs in which each text is `name`, its lines apart by `lines`."""
    finding = replace(
        FINDING,
        code=name,
        name=name,
        message=name,
        evidence=(replace(FINDING.evidence[0], metric=f"{name}m", statistic=name),),
        prescriptions=(replace(FINDING.prescriptions[0], knob=name),),
    )
    cause = replace(CAUSE, title=name, speaks_for=(name,), speaks_against=(name,), advice=name, settled_by=(name,))
    report = Report(
        name, name, 39, (finding, replace(finding, code="B", severity=Severity.INFO)), (), (Skip("VAL001", name),),
        (name, "other"), (name,), format=name, recognised=name, names={f"{name}m": name},
        suggestions={name: ("reward_mean",)}, causes=(cause,), explained=(replace(EXPLAINED, title=name, text=name),),
        rules=20,
    )  # fmt: skip
    return render([replace(report, source="x"), report, report], {name: name}).replace("\n", lines)


@pytest.mark.parametrize(
    "evil", [MARKUP, EVIL, "1. a", "- a", "# a", "> a", "`", "``", " a ", "a|b`c", "\\|", "|", "+ 1"]
)
def test_what_a_log_says_is_no_markup(evil: str):
    for lines in ("\n", "\n\n"):  # as it is, and each line by itself
        markdown = written_by(evil, lines)
        assert not controls(markdown)
        assert tags(shown(markdown)) == tags(shown(written_by("plain", lines)))


def tags(html: str) -> list[str]:
    """The tags in HTML, in their order."""
    return re.findall(r"</?\w+|<!", html)


def test_nobody_is_called_and_no_picture_is_put_in_by_a_text():
    assert escaped("ask @me or :skull: at 10:20:30") == "ask @\u2060me or :\u2060skull: at 10:\u206020:30"
    assert code("@me") == "`@me`"


def test_names_are_not_littered_with_escapes():
    assert escaped("kl_explosion: reward_mean fell -> 3.5 (limit 0.5)") == (
        "kl_explosion: reward_mean fell -> 3.5 (limit 0.5)"
    )


def test_a_summary_that_has_a_limit_says_what_does_not_fit():
    whole = render([REPORT] * 30)
    for most in (len(whole.encode()), 20_000, 9_000, 200):
        cut = render([REPORT] * 30, most_bytes=most)
        assert len(cut.encode()) <= most
        kept = cut.count("## ERROR: The")
        assert (f"\n{30 - kept} runs more would not fit here.\n" in cut) == (kept < 30 and most > 200)
    assert render([REPORT] * 30, most_bytes=len(whole.encode())) == whole


def test_a_run_in_which_nothing_could_be_checked_is_not_called_healthy():
    blind = Report("runs/3", "unknown", -1, (), (), (), ("mystery",), (), rules=20)
    assert render([blind]).startswith("# Nothing could be checked\n")
    assert "| unchecked | `3` |" in render([blind, replace(REPORT, source="runs/4")])
