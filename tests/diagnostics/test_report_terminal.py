import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from sample_report import BECAUSE, CAUSE, ESCAPED, EVIL, EXPLAINED, FINDING, REPORT, RULES, controls

from diagnostics.cause import Link
from diagnostics.finding import (
    Prescription,
    Report,
    Scale,
    Severity,
    Skip,
)
from diagnostics.metrics import settings
from diagnostics.reasoning import all_theories
from diagnostics.report.digest import digest
from diagnostics.report.overview import overview
from diagnostics.report.terminal import render
from diagnostics.report.words import METRICS, to_log


def shown(report: Report, width: int = 80, *, verbose: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(report, verbose=verbose))
    return console.file.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [80, 40, 20])
def test_nothing_is_lost_and_no_line_is_longer_than_the_terminal(width):
    text = shown(REPORT, width, verbose=True)
    assert all(cell_len(line) <= width for line in text.splitlines())
    letters = "".join(text.split())
    for part in (
        "CAUSE 1 The learning rate is too high medium confidence",
        "KL002 kl_explosion at 22 -> RWD003 reward_decline at 31",
        "for: the reward fell",
        "against: num_iterations is 4",
        "Try: divide learning_rate by 8, because the pull",
        "Consider: start from a checkpoint before step 22",
        "what would settle it: log what temperature is set to and the entropy (entropy.token)",
        "Looks wrong and is not The policy loss is about zero steps 1 to 39 policy_loss is 0.01.",
        "runs/3",
        "wandb run file, trl-grpo 0.17.0 or newer, by clip_ratio/region_mean, last step 39",
        "ERROR KL002 kl_explosion",
        "steps 22 to 39, warning at 23, raised at 25, medium confidence",
        FINDING.message,
        "kl.reference.k3.token (train/kl in the log) median of the last 4 2.42 (limit 1), steps 22 to 25",
        "because the pull to the reference was too weak; expect kl.reference.k3.token to go down by 0.5",
        "WARNING RWD003 reward_decline",
        "Not checked: 2 rules",
        "need what this run did not log: VAL001, VAL003 value_loss",
        "Not understood: 3 names",
        "avg return perhaps reward_mean or return_mean: --map 'avg return'=reward_mean",
        "mystery, riddle",
        "Notes",
        "the run has not ended",
    ):
        assert "".join(part.split()) in letters


def test_changes_are_said_in_the_words_of_the_framework():
    text = words(shown(replace(REPORT, causes=())))
    assert "Try: multiply beta by 2, because" in text
    assert "Consider: divide learning_rate by 10, because" in text
    assert "Or try: set num_iterations to 1, because" in text
    assert "Or try: lower temperature by 0.1, because" in text
    assert "kl_coef" not in text


def test_a_framework_without_a_vocabulary_gets_canonical_names():
    assert "Try: multiply kl_coef by 2" in words(shown(replace(REPORT, framework="autotune", causes=())))


def test_causes_come_first_and_then_the_worst_finding():
    text = shown(REPORT)
    assert text.index(CAUSE.title) < text.index("ERROR  KL002") < text.index("WARNING  RWD003")
    assert "1 error, 1 warning;" in text


def test_what_no_cause_explains_is_named_below_them():
    assert "not explained by" not in shown(REPORT)
    alone = replace(FINDING, code="VAL001", name="value_loss_spike", severity=Severity.WARNING)
    text = shown(replace(REPORT, findings=(*REPORT.findings, alone)))
    assert "1 finding not explained by a common cause: VAL001" in text
    assert text.index("not explained by") < text.index("ERROR  KL002")
    assert "not explained by" not in shown(replace(REPORT, causes=()))  # where there is none, there is nothing to add


def test_of_a_finding_that_a_cause_explains_the_remedies_are_told_with_the_cause():
    text = words(shown(REPORT))
    assert text.count("see CAUSE 1") == 2 and text.count("Try: ") == 1 and "num_iterations to 1" not in text
    text = words(shown(REPORT, verbose=True))
    assert text.count("see CAUSE 1") == 2 and text.count("set num_iterations to 1") == 2


def test_what_is_only_worth_knowing_takes_a_line_unless_asked():
    known = replace(FINDING, severity=Severity.INFO)
    report = replace(REPORT, findings=(known,), causes=())
    assert f"INFO KL002 kl_explosion steps 22 to 39: {FINDING.message}" in words(shown(report))
    assert "Try: " not in shown(report) and "limit" not in shown(report)
    assert "Try: multiply beta by 2" in words(shown(report, verbose=True))
    assert "median of the last 4" in words(shown(report, verbose=True))


def test_a_harmless_spike_is_not_told_of_a_policy_that_is_carried_off():
    spike = replace(FINDING, code="KL006", name="kl_spike", severity=Severity.INFO)
    assert "KL006" not in shown(replace(REPORT, findings=(FINDING, spike)))
    assert "KL006" in shown(replace(REPORT, findings=(FINDING, spike)), verbose=True)
    assert "KL006" in shown(replace(REPORT, findings=(FINDING, replace(spike, segment=2))))


def test_the_same_cause_of_several_segments_is_told_once():
    second = replace(CAUSE, segment=2, chain=(Link("KL002", "kl_explosion", 80),), speaks_for=("of the second",))
    text = words(shown(replace(REPORT, segments=2, causes=(CAUSE, second)), 200))
    assert "CAUSE 1 The learning rate is too high segments 1, 2, medium confidence" in text
    assert "segment 2: KL002 kl_explosion at 80" in text and "segment 1: KL002 kl_explosion at 22 ->" in text
    assert "CAUSE 2" not in text and "of the second" not in text
    other = replace(second, recommendation=Prescription("learning_rate", Scale(1 / 2), BECAUSE))
    assert "CAUSE 2" in shown(replace(REPORT, segments=2, causes=(CAUSE, other)))


def test_what_would_settle_a_cause_is_said_in_plain_words():
    for theory in all_theories().values():
        assert all((name in METRICS) == (name not in settings()) for name in theory.settled_by), theory.name
    assert to_log(("beta", "top_p", "top_k")) == "log what beta, top_p and top_k are set to"
    assert to_log(("value_loss",)) == "log the value loss (value_loss)"


def test_what_looks_wrong_and_is_not_is_told_when_asked():
    assert words(shown(REPORT)).endswith(
        "1 thing in this run looks wrong and is not: autotune diagnose --verbose explains."
    )
    two = replace(REPORT, explained=(EXPLAINED, EXPLAINED))
    assert "2 things in this run look wrong and are not:" in words(shown(two))
    assert EXPLAINED.text not in shown(REPORT) and EXPLAINED.text in shown(REPORT, verbose=True)
    nothing = replace(REPORT, explained=())
    assert "--verbose" not in shown(nothing) and "Looks wrong" not in shown(nothing, verbose=True)


def test_a_notebook_is_told_all():
    assert EXPLAINED.text in REPORT._repr_html_() and CAUSE.title in REPORT._repr_html_()
    assert "see CAUSE 1" in REPORT._repr_html_() and "set num_iterations to 1" not in REPORT._repr_html_()
    assert repr(REPORT).splitlines()[1] == (
        "The learning rate is too high: KL002 kl_explosion at 22 -> RWD003 reward_decline at 31"
    )


def test_a_clean_report_says_what_was_not_checked():
    text = words(shown(replace(REPORT, findings=(), raised=())))
    assert f"No findings; {RULES - 2} of {RULES} rules could be checked." in text
    assert "Not checked: 2 rules need what this run did not log: VAL001, VAL003 value_loss" in text


def test_a_run_in_which_nothing_could_be_checked_is_not_called_clean():
    text = words(shown(Report("runs/3", "unknown", -1, (), (), (), ("mystery",), (), rules=RULES)))
    assert "No findings" not in text
    assert "Nothing could be checked" in text


def test_what_rules_lack_in_the_same_way_is_said_together():
    skips = (
        Skip("A", "needs a, which this run did not log"),
        Skip("B", "needs b or c, which this run did not log"),
        Skip("C", "needs the setting d, which is not known of this run"),
        Skip("D", "needs 5 points of e, has 2"),
        Skip("E", "needs a, which this run did not log"),
        Skip("F", "needs 5 points of e, has 2"),
    )
    lines = shown(replace(REPORT, skips=skips)).splitlines()
    start = lines.index("Not checked: 6 rules") + 1
    assert [line.strip() for line in lines[start : start + 3]] == [
        "need what this run did not log: A, E a; B b or c",
        "need what is not known of this run: C the setting d",
        "D, F  needs 5 points of e, has 2",
    ]


def test_of_a_log_with_segments_each_finding_says_in_which_it_is():
    rise = replace(FINDING, severity=Severity.WARNING, raised_at=2)
    second = replace(FINDING, segment=2)
    report = replace(
        REPORT, findings=(second,), raised=(rise, replace(rise, segment=2, raised_at=23), second), segments=2
    )
    text = words(shown(report, 200))
    assert "2 segments, of the last one the last step 39" in text
    assert "segment 2, steps 22 to 39, warning at 23, raised at 25" in text
    text = words(shown(replace(report, causes=(replace(CAUSE, segment=2),)), 200))
    assert "CAUSE 1 The learning rate is too high segment 2, medium confidence" in text


def test_a_finding_began_when_it_was_less_severe():
    early = replace(FINDING, severity=Severity.WARNING, first_step=7, raised_at=23)
    report = replace(REPORT, raised=(early, FINDING))
    assert "steps 7 to 39, warning at 23, raised at 25" in words(shown(report))
    assert digest(report).verdict.since == "since step 7; warning at step 23, error at step 25"
    assert digest(replace(report, raised=(FINDING,))).verdict.since == "since step 22, known at step 25"


def test_a_verdict_names_the_cause_of_the_worst_finding_and_else_the_finding():
    verdict = digest(REPORT).verdict
    assert (verdict.severity, verdict.what) == (Severity.ERROR, CAUSE.title)
    assert verdict.remedy.what == "divide learning_rate by 8"
    worse = replace(FINDING, code="NUM001", severity=Severity.FATAL, message="a gradient is nan")
    verdict = digest(replace(REPORT, findings=(worse, *REPORT.findings))).verdict
    assert (verdict.severity, verdict.what) == (Severity.FATAL, "A gradient is nan")
    assert digest(replace(REPORT, findings=(worse,), causes=())).verdict.remedy.what == "multiply beta by 2"
    known = replace(FINDING, severity=Severity.INFO)
    healthy = digest(replace(REPORT, findings=(known,), causes=())).verdict
    assert (healthy.severity, healthy.checked, healthy.since, healthy.remedy) == (None, True, "", None)


def test_of_hundreds_of_names_without_a_meaning_some_are_listed():
    text = words(shown(replace(REPORT, unmapped=tuple(f"layer_{i}" for i in range(300)), suggestions={})))
    assert "Not understood: 300 names layer_0, layer_1," in text
    assert "layer_39 and 260 more" in text and "layer_40" not in text


def test_text_of_others_neither_colours_nor_moves_the_cursor_nor_is_markup():
    evil = EVIL
    evidence = (replace(FINDING.evidence[0], metric=f"reward_component_mean[{evil}]", statistic=evil),)
    finding = replace(
        FINDING, message=evil, evidence=evidence, prescriptions=(replace(FINDING.prescriptions[0], knob=evil),)
    )
    report = Report(
        evil, evil, 39, (finding,), (finding,), (Skip("VAL001", evil),), (evil, f"{evil}2"), (evil,), format=evil,
        recognised=evil, names={evidence[0].metric: evil}, suggestions={evil: ("reward_mean",)},
        causes=(
            replace(CAUSE, title=evil, speaks_for=(evil,), speaks_against=(evil,), advice=evil, settled_by=(evil,)),
        ),
        explained=(replace(EXPLAINED, title=evil, text=evil),),
    )  # fmt: skip
    text = shown(report, width=2000, verbose=True)
    assert not controls(text)
    assert text.count(ESCAPED) == 20
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(overview([report, report], {evil: evil}, [Path(evil.replace("/", ""))]))
    assert not controls(console.file.getvalue())


def seen(what, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    return console.file.getvalue()


def test_overview_of_several_runs():
    clean = replace(REPORT, findings=(), source="runs/4")
    text = seen(overview([clean, REPORT, REPORT], {"runs/5.csv": "empty"}, [Path("a.md"), Path("b.txt")]), 100)
    assert text.startswith("below runs/, all wandb run file\n")
    assert [line.split()[0] for line in text.splitlines()[2:8] if line[0] != " "] == ["3", "3", "5.csv", "4"]
    assert "ERROR  KL002 kl_explosion +1" in text
    assert text.splitlines()[3].strip() == "The learning rate is too high, since step 22"
    assert "not read: empty" in text
    assert "3 runs by their worst finding: 2 error, 1 none. 1 could not be read." in text
    assert "No logs: 2 files (a.md, b.txt)." in text


def test_a_run_in_which_nothing_could_be_checked_is_not_counted_as_clean():
    clean = replace(REPORT, findings=())
    text = words(seen(overview([clean, replace(clean, steps=-1), REPORT, replace(clean, skips=REPORT.skips * 10)])))
    assert "4 runs by their worst finding: 1 error, 1 none, 2 in which nothing could be checked." in text
    assert text.count("nothing could be checked") == 3


@pytest.mark.parametrize("width", [40, 80])
def test_the_overview_fits_and_loses_nothing(width: int):
    report = replace(REPORT, source="a/long/path/to/some/run/of/a/study/trials/17/events.jsonl")
    text = seen(overview([report], {"a/long/path/to/an/empty/file.csv": "empty"}), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    letters = "".join(text.split())
    assert all(part in letters for part in ("a/long", "emp", "KL002", "+1", "1runbyitsworstfinding:1error."))


def test_of_several_formats_each_is_told():
    text = seen(overview([REPORT, replace(REPORT, format="JSONL", source="runs/4")], {"runs/5.csv": "empty"}), 100)
    rows = text.splitlines()
    assert rows[1].split() == ["source", "format", "steps", "worst", "finding"] and rows[0] == "below runs/"
    assert ["wandb run file" in rows[2], "JSONL" in rows[4]] == [True, True]


def test_sources_that_lie_in_no_folder_together_are_told_in_full():
    report = replace(REPORT, source="/home/me/runs/a/log.csv")
    for other in ("standard input", "/srv/b.csv", "/home/me/runs/a"):
        text = seen(overview([report, replace(REPORT, source=other)]), 100)
        assert "below" not in text
        named = [line.split("  ")[0] for line in text.splitlines()[2:6] if line[0] != " "]
        assert named == ["/home/me/runs/a/log.csv", other]
