"""The table of all trials: what a spreadsheet and a program get."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

from autotune.export import export
from diagnostics.finding import Confidence, Finding, Hypothesis, Severity
from studies.record import Judgement, Origin, Proposal, State, StudyRecord, TrialRecord, Verdict
from studies.spec import load
from studies.trial_log import Evaluation

FINDING = Finding("KL002", "kl_explosion", Severity.FATAL, Confidence.HIGH, 11, 20, 20, "kl is 2, limit 0.5", (), ())
CLAIM = Hypothesis("kl.reference.k3.token", "down", 1.2, 0.5, "the updates are too large")


def study(*trials: TrialRecord) -> StudyRecord:
    return StudyRecord(Path("study"), load("arithmetic-grpo"), trials)


def trial(number: int = 0, **changes: object) -> TrialRecord:
    knobs = dict(load("arithmetic-grpo").start)
    given = {"proposal": Proposal(knobs, Origin.START, "where it starts"), "state": State.COMPLETE, **changes}
    return TrialRecord(number, 1, 1000 + number, **given)  # type: ignore[arg-type]


SICK = trial(
    reason="KL002 kl_explosion at step 20",
    state=State.PRUNED,
    evaluations=(Evaluation(0, 0, -0.5), Evaluation(10, 1280, -0.875)),
    findings=(FINDING,),
    steps=20,
    completions=2560,
    seconds=12.34567,
)
CURED = trial(
    1,
    proposal=Proposal({**SICK.proposal.knobs, "learning_rate": 1e-4}, Origin.FINDING, "KL002", 0, hypothesis=CLAIM),
    evaluations=(Evaluation(100, 12800, 0.25),),
    verdict=Verdict(Judgement.CONFIRMED, "it fell"),
)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_says_all_of_a_trial() -> None:
    sick, cured = rows(export(study(SICK, CURED), "csv"))
    assert (sick["number"], sick["state"], sick["value"], sick["seed"]) == ("0", "pruned", "-0.875", "1000")
    assert (sick["learning_rate"], sick["num_generations"]) == ("0.003", "8")
    assert sick["findings"] == "KL002 kl_explosion fatal at step 20"
    assert (sick["steps"], sick["completions"], sick["seconds"]) == ("20", "2560", "12.346")
    assert (sick["parent"], sick["hypothesis"], sick["verdict"]) == ("", "", "")
    assert (cured["origin"], cured["parent"], cured["learning_rate"]) == ("finding", "0", "0.0001")
    assert cured["hypothesis"].startswith("the updates are too large; so kl.reference.k3.token falls by 1.2")
    assert cured["verdict"] == "confirmed: it fell"
    assert cured["attempt"] == "1"


def test_the_columns_do_not_depend_on_the_trials() -> None:
    header = export(study(), "csv")
    assert header.count("\n") == 1
    assert export(study(trial(evaluations=()), CURED), "csv").startswith(header)
    assert header.split(",")[:5] == ["number", "state", "reason", "value", "learning_rate"]


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x";"y")', " =1", "＝1", "\t=1", "\r=1", "\n=1", "\x0b@x"],
)
def test_no_text_of_a_run_is_a_formula(text: str) -> None:
    finding = Finding(text, text, Severity.ERROR, Confidence.LOW, 0, 1, 1, "m", (), ())
    knobs = {**SICK.proposal.knobs, "loss_type": text}
    bad = trial(
        reason=text,
        proposal=Proposal(knobs, Origin.START, text, hypothesis=Hypothesis("kl", "up", 0.0, 1.0, text)),
        findings=(finding,),
        verdict=Verdict(Judgement.REFUTED, text),
    )
    exported = export(study(bad), "csv")
    assert len(rows(exported)) == 1 and exported.count("\n") == 2  # one line, whatever the text holds
    for column, cell in rows(exported)[0].items():
        assert not cell.lstrip().startswith(tuple("=+-@＝")), (column, cell)


def test_numbers_below_zero_stay_numbers() -> None:
    assert rows(export(study(SICK), "csv"))[0]["value"] == "-0.875"


def test_json_holds_the_same_and_the_evaluations() -> None:
    data = json.loads(export(study(SICK, CURED), "json"))
    assert (data["study"], data["objective"]) == ("arithmetic-grpo", "validation_reward")
    sick, cured = data["trials"]
    assert sick["knobs"]["learning_rate"] == 3e-3
    assert sick["evaluations"] == [[0, 0, -0.5], [10, 1280, -0.875]]
    assert sick["findings"] == [
        {"code": "KL002", "name": "kl_explosion", "severity": "fatal", "first_step": 11, "raised_at": 20}
    ]
    assert cured["hypothesis"]["metric"] == "kl.reference.k3.token"
    assert cured["verdict"]["judgement"] == "confirmed"


def test_what_is_not_known_and_what_is_not_finite() -> None:
    blank = trial(evaluations=())
    broken = trial(1, evaluations=(Evaluation(1, 1, math.nan),))
    assert [r["value"] for r in rows(export(study(blank, broken), "csv"))] == ["", "nan"]
    assert [t["value"] for t in json.loads(export(study(blank, broken), "json"))["trials"]] == [None, "NaN"]
