import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from diagnostics.finding import (
    Add,
    Confidence,
    Direction,
    Evidence,
    Finding,
    Hypothesis,
    Prescription,
    Report,
    Safety,
    Scale,
    Set,
    Severity,
    Skip,
)
from diagnostics.report.terminal import overview, render
from diagnostics.rule import all_lints, all_rules
from diagnostics.series import example

NEEDS_VALUE = "needs value_loss, which this run did not log"
RUN = example({"kl.reference.k3.token": "0.02*20 0.02+0.6*20"})
BECAUSE = Hypothesis("kl.reference.k3.token", Direction.DOWN, 0.5, 0.25, "the pull to the reference was too weak")
FINDING = Finding(
    "KL002",
    "kl_explosion",
    Severity.ERROR,
    Confidence.MEDIUM,
    22,
    39,
    25,
    "KL to the reference rose from 0.02 to 3.02 nats per token",
    (Evidence("kl.reference.k3.token", 22, 25, "median of the last 4", 2.42, 1.0),),
    (
        Prescription("kl_coef", Scale(2), BECAUSE),
        Prescription("learning_rate", Scale(0.1), BECAUSE, Safety.ADVICE),
        Prescription("update_epochs", Set(1), BECAUSE),
        Prescription("temperature", Add(-0.1), BECAUSE),
    ),
)
REPORT = Report(
    "runs/3",
    "trl-grpo",
    39,
    (FINDING, replace(FINDING, code="RWD003", name="reward_decline", severity=Severity.WARNING)),
    (replace(FINDING, severity=Severity.WARNING, raised_at=23), FINDING),
    (Skip("VAL001", NEEDS_VALUE), Skip("VAL003", NEEDS_VALUE)),
    ("mystery", "riddle"),
    ("the run has not ended",),
)


def shown(report: Report, width: int = 80, run=RUN) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(report, run))
    return console.file.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 40, 20])
def test_nothing_is_lost_and_no_line_is_longer_than_the_terminal(width):
    text = shown(REPORT, width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    letters = "".join(text.split())
    for part in (
        "runs/3",
        "ERROR KL002 kl_explosion",
        "steps 22 to 39, warning at 23, raised at 25, medium confidence",
        FINDING.message,
        "kl.reference.k3.token median of the last 4 2.42 (limit 1), steps 22 to 25",
        "because the pull to the reference was too weak; expect kl.reference.k3.token to go down by 0.5",
        "WARNING RWD003 reward_decline",
        "Not checked: 2 rules",
        f"VAL001, VAL003 {NEEDS_VALUE}",
        "Not understood: 2 names",
        "mystery, riddle",
        "Notes",
        "the run has not ended",
    ):
        assert "".join(part.split()) in letters


def test_changes_are_said_in_the_words_of_the_framework():
    text = words(shown(REPORT))
    assert "Try: multiply beta by 2, because" in text
    assert "Consider: divide learning_rate by 10, because" in text
    assert "Try: set num_iterations to 1, because" in text
    assert "Try: lower temperature by 0.1, because" in text
    assert "kl_coef" not in text


def test_a_framework_without_a_vocabulary_gets_canonical_names():
    assert "Try: multiply kl_coef by 2" in words(shown(replace(REPORT, framework="autotune")))


def test_the_worst_comes_first_and_is_counted():
    text = shown(REPORT)
    assert text.index("KL002") < text.index("RWD003")
    assert "1 error, 1 warning;" in text


def test_a_clean_report_says_what_was_not_checked():
    text = words(shown(replace(REPORT, findings=(), raised=())))
    rules = len(all_rules()) + len(all_lints())
    assert f"No findings; {rules - 2} of {rules} rules could be checked." in text
    assert f"Not checked: 2 rules VAL001, VAL003 {NEEDS_VALUE}" in text


def test_a_run_in_which_nothing_could_be_checked_is_not_called_clean():
    skips = tuple(Skip(code, "needs what this run did not log") for code in [*all_rules(), *all_lints()])
    text = words(shown(Report("runs/3", "trl-grpo", -1, (), (), skips, (), ())))
    assert "No findings" not in text
    assert "Nothing could be checked" in text


def test_text_of_others_neither_colours_nor_moves_the_cursor_nor_is_markup():
    evil = "\x1b[2J\x1b]0;title\x07[red]a[/red] :skull:\r\nb\x9b31m\u202e\u2028"
    evidence = (replace(FINDING.evidence[0], metric=f"reward_component_mean[{evil}]", statistic=evil),)
    finding = replace(
        FINDING, message=evil, evidence=evidence, prescriptions=(replace(FINDING.prescriptions[0], knob=evil),)
    )
    report = Report(evil, evil, 39, (finding,), (finding,), (Skip("VAL001", evil),), (evil,), (evil,))
    text = shown(report, width=2000)
    assert not {c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u202e\u2028"}
    escaped = r"\x1b[2J\x1b]0;title\x07[red]a[/red] :skull:\r\nb\x9b31m\u202e\u2028"
    assert text.count(escaped) == 9


def test_the_curve_shows_its_range_and_what_is_not_finite():
    run = example({"kl.reference.k3.token": "0.5 0.25 nan 1"})
    assert "▃▁×█  0.25 to 1, × not finite" in shown(REPORT, run=run)


def test_overview_of_several_runs():
    clean = replace(REPORT, findings=())
    assert overview([clean, REPORT, REPORT]).plain == "3 runs by their worst finding: 2 error, 1 none."
    assert overview([clean, clean]).plain == "2 runs by their worst finding: 2 none."
