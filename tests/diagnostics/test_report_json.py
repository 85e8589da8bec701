import json
import math
from dataclasses import replace
from sys import float_info

import pytest

from diagnostics.cause import Cause, Explained, Link
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
from diagnostics.report.json import render

BECAUSE = Hypothesis("grad_norm", Direction.DOWN, 0.5, 0.25, "the steps were too large")
REPORT = Report(
    source="runs/3",
    framework="trl-grpo",
    steps=99,
    findings=(
        Finding(
            "KL002",
            "kl_explosion",
            Severity.ERROR,
            Confidence.MEDIUM,
            40,
            99,
            44,
            "KL rose from 0.02 to 12 \x1b[31m\ud800",
            (Evidence("kl.reference.k3.token", 40, 44, "median of the last 5", 12.0, 3.0),),
            (
                Prescription("learning_rate", Scale(0.1), BECAUSE),
                Prescription("num_generations", Set(16), BECAUSE, Safety.SAFE),
                Prescription("temperature", Add(-0.1), BECAUSE, Safety.ADVICE),
            ),
            2,
        ),
    ),
    raised=(),
    skips=(Skip("VAL001", "needs value_loss, which this run did not log"),),
    unmapped=("mystery", "avg_return"),
    notes=("the run has not ended",),
    segments=2,
    format="wandb run file",
    version="0.17.0 or newer",
    recognised="trl-grpo 0.17.0 or newer, by clip_ratio/region_mean",
    names={"kl.reference.k3.token": "train/kl"},
    suggestions={"avg_return": ("reward_mean",)},
    rules=15,
    causes=(
        Cause(
            "learning_rate_too_high",
            "The learning rate is too high",
            (Link("KL002", "kl_explosion", 40),),
            ("the reward fell",),
            ("its schedule ends at 0",),
            Confidence.MEDIUM,
            Prescription("learning_rate", Scale(0.1), BECAUSE),
            "start anew",
            ("kl_coef",),
            2,
        ),
    ),
    explained=(Explained("policy_loss_near_zero", "A loss of 0", "is normal", "policy_loss", 1, 99, 2),),
)
HYPOTHESIS = {
    "metric": "grad_norm",
    "direction": "down",
    "amount": 0.5,
    "by": 0.25,
    "because": "the steps were too large",
}


def test_the_document_is_a_contract():
    """Whoever changes this changes VERSION: other programs read it."""
    assert json.loads(render([REPORT], {"runs/4": "empty"})) == {
        "version": 4,
        "overview": [
            {
                "source": "runs/3",
                "run": 0,
                "state": "sick",
                "worst": "error",
                "verdict": "The learning rate is too high",
                "since": "since step 40 of segment 2, known at step 44",
            },
            {"source": "runs/4", "run": None, "state": "unread", "worst": None, "verdict": "empty", "since": ""},
        ],
        "runs": [
            {
                "source": "runs/3",
                "format": "wandb run file",
                "framework": "trl-grpo",
                "framework_version": "0.17.0 or newer",
                "recognised_by": "trl-grpo 0.17.0 or newer, by clip_ratio/region_mean",
                "steps": 99,
                "segments": 2,
                "rules": 15,
                "causes": [
                    {
                        "name": "learning_rate_too_high",
                        "title": "The learning rate is too high",
                        "confidence": "medium",
                        "segment": 2,
                        "chain": [{"code": "KL002", "name": "kl_explosion", "step": 40}],
                        "speaks_for": ["the reward fell"],
                        "speaks_against": ["its schedule ends at 0"],
                        "recommendation": {
                            "knob": "learning_rate",
                            "change": {"scale": 0.1},
                            "hypothesis": HYPOTHESIS,
                            "safety": "unsafe",
                        },
                        "advice": "start anew",
                        "settled_by": ["kl_coef"],
                    }
                ],
                "findings": [
                    {
                        "code": "KL002",
                        "name": "kl_explosion",
                        "severity": "error",
                        "confidence": "medium",
                        "first_step": 40,
                        "last_step": 99,
                        "raised_at": 44,
                        "segment": 2,
                        "message": "KL rose from 0.02 to 12 \x1b[31m\ud800",
                        "evidence": [
                            {
                                "metric": "kl.reference.k3.token",
                                "first_step": 40,
                                "last_step": 44,
                                "statistic": "median of the last 5",
                                "value": 12.0,
                                "limit": 3.0,
                            }
                        ],
                        "advice": [],
                        "prescriptions": [
                            {
                                "knob": "learning_rate",
                                "change": {"scale": 0.1},
                                "hypothesis": HYPOTHESIS,
                                "safety": "unsafe",
                            },
                            {
                                "knob": "num_generations",
                                "change": {"set": 16},
                                "hypothesis": HYPOTHESIS,
                                "safety": "safe",
                            },
                            {
                                "knob": "temperature",
                                "change": {"add": -0.1},
                                "hypothesis": HYPOTHESIS,
                                "safety": "advice",
                            },
                        ],
                    }
                ],
                "explained": [
                    {
                        "name": "policy_loss_near_zero",
                        "title": "A loss of 0",
                        "text": "is normal",
                        "metric": "policy_loss",
                        "first_step": 1,
                        "last_step": 99,
                        "segment": 2,
                    }
                ],
                "skips": [{"code": "VAL001", "reason": "needs value_loss, which this run did not log"}],
                "names": {"kl.reference.k3.token": "train/kl"},
                "unmapped": ["mystery", "avg_return"],
                "suggestions": {"avg_return": ["reward_mean"]},
                "notes": ["the run has not ended"],
            }
        ],
        "unread": [{"source": "runs/4", "reason": "empty"}],
    }


def test_no_runs():
    assert json.loads(render([])) == {"version": 4, "overview": [], "runs": [], "unread": []}


def test_every_run_in_order():
    runs = json.loads(render([REPORT, Report("b", "trl-grpo", -1, (), (), (), (), ()), REPORT]))["runs"]
    assert [run["source"] for run in runs] == ["runs/3", "b", "runs/3"]


def test_the_overview_has_the_sick_ones_first():
    clean = replace(REPORT, findings=(), causes=(), source="clean", segments=1)
    blind, fatal = replace(clean, steps=-1, source="blind"), replace(REPORT.findings[0], severity=Severity.FATAL)
    known = replace(clean, findings=(replace(fatal, severity=Severity.INFO),), source="known")
    reports = [clean, known, blind, REPORT, replace(REPORT, findings=(fatal,), source="dead")]
    overview = json.loads(render(reports, {"gone": "empty"}))["overview"]
    assert [(line["source"], line["run"], line["state"], line["worst"]) for line in overview] == [
        ("dead", 4, "sick", "fatal"),
        ("runs/3", 3, "sick", "error"),
        ("gone", None, "unread", None),
        ("blind", 2, "unchecked", None),
        ("known", 1, "healthy", "info"),
        ("clean", 0, "healthy", None),
    ]
    assert overview[5]["verdict"] == "Nothing is wrong that could be checked" and not overview[5]["since"]
    assert overview[3]["verdict"] == "Nothing could be checked"


def test_any_terminal_can_show_it():
    text = render([REPORT])
    assert text.isascii()
    assert text.endswith("}\n")
    assert not any(ord(c) < 32 for c in text.replace("\n", ""))


def test_a_number_that_json_does_not_have_is_written_as_one_that_it_has():
    odd = Hypothesis("grad_norm", Direction.DOWN, math.nan, 0.25, "")
    evidence = Evidence("grad_norm", 0, 0, "", math.inf, -math.inf)
    finding = Finding(
        "A1", "a", Severity.INFO, Confidence.LOW, 0, 0, 0, "", (evidence,), (Prescription("kl_coef", Set(1), odd),)
    )
    written = json.loads(render([Report("a", "b", 0, (finding,), (), (), (), ())]))["runs"][0]["findings"][0]
    assert (written["evidence"][0]["value"], written["evidence"][0]["limit"]) == (float_info.max, -float_info.max)
    assert written["prescriptions"][0]["hypothesis"]["amount"] == 0


def test_a_change_to_nothing_is_a_bug_and_not_written():
    same = Hypothesis("grad_norm", Direction.DOWN, 0.0, 0.25, "")
    finding = Finding(
        "A1", "a", Severity.INFO, Confidence.LOW, 0, 0, 0, "", (), (Prescription("kl_coef", Set(math.nan), same),)
    )
    with pytest.raises(ValueError):
        render([Report("a", "b", 0, (finding,), (), (), (), ())])
