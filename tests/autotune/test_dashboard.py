"""What Optuna's dashboard shows of a study: notes and attributes as stored, and as its server gives them out."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna_dashboard import get_note, save_note

from autotune.dashboard import BELOW, WIDTH, annotate, annotate_study
from diagnostics.finding import Confidence, Finding, Hypothesis, Severity
from studies.record import Judgement, Origin, Proposal, State, StudyRecord, TrialRecord, Verdict
from studies.spec import load

SPEC = load("arithmetic-grpo")
FINDING = Finding("KL002", "kl_explosion", Severity.FATAL, Confidence.HIGH, 11, 20, 20, "kl is 2, limit 0.5", (), ())
CLAIM = Hypothesis("kl.reference.k3.token", "down", 1.2, 0.5, "the updates are too large")
RECORD = TrialRecord(
    0, 1, 1000, Proposal(dict(SPEC.start), Origin.FINDING, "KL002 in trial 7", 7, hypothesis=CLAIM), State.PRUNED,
    reason="KL002 kl_explosion at step 20", findings=(FINDING,), steps=20, max_steps=100,
)  # fmt: skip


def asked(study: optuna.Study) -> optuna.Trial:
    return study.ask({"learning_rate": optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True)})


def note_of(study: optuna.Study, number: int = 0) -> str:
    return get_note(optuna.trial.Trial(study, study.trials[number]._trial_id))


def test_a_trial_says_why_it_was_made_and_what_was_found() -> None:
    study = optuna.create_study(direction="maximize")
    trial = asked(study)
    annotate(study, RECORD)
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    attributes = study.trials[0].user_attrs
    assert attributes["findings"] == {"KL002": "fatal"}
    assert (attributes["origin"], attributes["why"], attributes["seed"]) == ("finding", "KL002 in trial 7", 1000)
    assert attributes["hypothesis"].startswith("the updates are too large")
    note = note_of(study)
    assert "**Why:** KL002 in trial 7 (from trial 7)" in note
    assert "**Hypothesis:** the updates are too large; so kl.reference.k3.token falls by 1.2" in note.replace("\\", "")
    assert "- FATAL KL002 kl_explosion at step 20: kl is 2, limit 0.5" in note.replace("\\", "")
    assert "**Result:** stopped 20/100" in note
    assert "Verdict" not in note


def test_a_verdict_that_comes_after_the_trial_was_told_is_added_to_its_note() -> None:
    study = optuna.create_study(direction="maximize")
    trial = asked(study)
    annotate(study, RECORD)
    study.tell(trial, 1.0)
    annotate(study, replace(RECORD, findings=(), verdict=Verdict(Judgement.REFUTED, "it rose")))
    assert study.trials[0].user_attrs["findings"] == {"KL002": "fatal"}  # Optuna lets nobody change them any more
    assert "**Verdict:** refuted: it rose" in note_of(study)
    assert note_of(study).count("**Why:**") == 1


def test_calling_it_again_writes_nothing_new() -> None:
    study = optuna.create_study(direction="maximize")
    asked(study)
    record = StudyRecord(Path("s"), SPEC, (RECORD,))
    annotate(study, RECORD)
    annotate_study(study, record)
    before = study._storage.get_study_system_attrs(study._study_id)
    annotate(study, RECORD)
    annotate_study(study, record)
    assert study._storage.get_study_system_attrs(study._study_id) == before


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_what_a_person_wrote_stays(first: str) -> None:
    study = optuna.create_study(direction="maximize")
    trial = asked(study)
    if first == "ours":
        annotate(study, RECORD)
    save_note(trial, get_note(trial) + "\n\nask Ann about this one")
    annotate(study, replace(RECORD, reason="another"))
    annotate(study, replace(RECORD, reason="and another"))
    ours, _, theirs = note_of(study).partition(BELOW)
    assert theirs.strip() == "ask Ann about this one"
    assert "and another" in ours and "Ann" not in ours


def test_text_of_a_run_is_text_in_markdown() -> None:
    study = optuna.create_study(direction="maximize")
    asked(study)
    hostile = "![x](http://x/y.png) <script> [a](b) | `c` *d*\nn\x1b[31m"
    annotate(study, replace(RECORD, reason=hostile, proposal=replace(RECORD.proposal, why=hostile)))
    note = note_of(study)
    assert not re.search(r"(?<!\\)[!<\[|`\x1b]", note.partition("**Hypothesis:**")[0])
    assert r"\!\[x\](http://x/y.png) \<script\>" in note


def test_long_attributes_are_cut_and_the_note_has_them_whole() -> None:
    study = optuna.create_study(direction="maximize")
    asked(study)
    why = "because of this and that " * 20
    annotate(study, replace(RECORD, proposal=replace(RECORD.proposal, why=why)))
    assert len(study.trials[0].user_attrs["why"]) <= WIDTH
    assert why.strip() in note_of(study)


def test_the_study_has_a_table_of_its_trials() -> None:
    study = optuna.create_study(direction="maximize")
    annotate_study(study, StudyRecord(Path("s"), SPEC, (RECORD,)))
    note = get_note(study)
    assert "no trial ran to its end" in note
    assert "| 0 |" in note and "| stopped 20/100 | KL002 |" in note


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_dashboard_gives_out_curves_states_and_notes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=url, study_name="s", direction="maximize")
    trial = asked(study)
    for cost, value in ((0, -0.5), (1280, -0.75)):
        trial.report(value, cost)
    annotate(study, RECORD)
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    annotate_study(study, StudyRecord(Path("s"), SPEC, (RECORD,)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), url, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                studies = fetched(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
                break
            except urllib.error.URLError:
                assert server.poll() is None
                time.sleep(0.1)
        data = fetched(f"http://127.0.0.1:{port}/api/studies/{studies[0]['study_id']}")
    finally:
        server.terminate()
        server.wait(timeout=10)
    shown = data["trials"][0]
    assert shown["state"] == "Pruned"
    assert [(p["step"], p["value"]) for p in shown["intermediate_values"]] == [(0, -0.5), (1280, -0.75)]
    assert {a["key"] for a in shown["user_attrs"]} >= {"findings", "why", "hypothesis", "origin"}
    assert "KL002" in shown["note"]["body"]
    assert "stopped 20/100" in data["note"]["body"]
