"""KL001 tells its causes apart: for each the words that log and settings must bring about, and what is done."""

import pytest

from diagnostics.engine import rises
from diagnostics.rule import all_rules
from diagnostics.series import example

TOKEN, UNKNOWN, K3 = "kl.reference.k1.token", "kl.reference.unknown", "kl.reference.k3.token"
LATE = {TOKEN: "0.02~0.002*20 -0.05~0.005*20"}
EARLY = {TOKEN: "-0.05~0.005*40"}
FLAT = {"reward_mean": "0.3~0.05*40"}
LEARNS = {"reward_mean": "0.3+0.01~0.02*40"}

TABLE = [
    (LATE, {}, "log and settings do not tell which", []),
    (LATE, {"top_p": 0.9}, "sampled with top_p 0.9", [("top_p", 1.0)]),
    (LATE, {"top_p": 1, "top_k": 0, "temperature": 0.7}, "log and settings do not tell which", []),
    (LATE, {"top_k": 50}, "sampled with top_k 50", []),
    (LATE, {"min_p": 0.05}, "sampled with min_p 0.05", []),
    (LATE, {"temperature": 0.7, "scoring_temperature": 1.0}, "temperature 0.7 and scored at 1", [("temperature", 1.0)]),
    (LATE, {"temperature": 0.7, "scoring_temperature": 0.7}, "log and settings do not tell which", []),
    (LATE, {"min_completion_length": 32}, "no completion may end before 32 tokens", []),
    (LATE | {"truncated_share": "0.1*20 1*20"}, {}, "no completion ends by itself", []),
    (LATE | {"truncated_share": "0.1*20 0.9*20"}, {}, "log and settings do not tell which", []),
    (LATE | {"eos_tokens": "30*20 0*20"}, {}, "no completion ends by itself", []),
    (LATE | {"completion_length_mean": "32*40"}, {"max_completion_length": 32}, "at the limit of 32", []),
    (LATE | {"completion_length_mean": "30*40"}, {"max_completion_length": 32}, "do not tell which", []),
    (LATE | {"entropy.token": "2*20 2.2*20"}, {}, "the entropy rose from 2 to 2.2", []),
    (LATE | {"entropy.token": "2*20 2.05*20"}, {}, "log and settings do not tell which", []),
    (EARLY, {"peft": True}, "a reference that is not the policy without its adapter", []),
    (EARLY, {}, "two passes that differ", []),
    (EARLY | {"completion_length_mean": "20*40", "completion_length_max": "60*40"}, {}, "padding that is scored", []),
    (EARLY | {"completion_length_mean": "40*40", "completion_length_max": "60*40"}, {}, "two passes that differ", []),
    ({UNKNOWN: "0-0.01~0.002*40"} | LEARNS, {}, "log(reference / policy)", []),
    ({UNKNOWN: "0.1*10 0-0.01~0.002*30"} | LEARNS, {}, "log and settings do not tell which", []),  # it was positive
    ({UNKNOWN: "0-0.01~0.002*40"} | FLAT, {}, "two passes that differ", []),
    ({K3: "0.02~0.002*20 -0.05~0.005*20"}, {}, "another estimator than k3", []),
    ({"kl.reference.k3.sequence": "0.02~0.002*20 -0.05~0.005*20"}, {}, "another estimator than k3", []),
]


@pytest.mark.parametrize(("metrics", "settings", "words", "changes"), TABLE)
def test_the_first_cause_is_the_one_that_log_and_settings_speak_for(metrics, settings, words, changes):
    finding = rises(all_rules()["KL001"], example(metrics, settings=settings))[-1]
    first = finding.message.partition("; likely ")[2].partition("; or ")[0]
    assert words in first
    assert [(p.knob, p.change.value) for p in finding.prescriptions] == changes
    assert finding.prescriptions or finding.advice


def test_two_causes_are_ranked_and_both_are_repaired():
    run = example(LATE | {"truncated_share": "1*40"}, settings={"top_p": 0.9, "kl_coef": 0.1})
    finding = rises(all_rules()["KL001"], run)[-1]
    assert finding.message.index("top_p 0.9") < finding.message.index("no completion ends by itself")
    assert [p.knob for p in finding.prescriptions] == ["top_p"]
    assert any("end by themselves" in sentence for sentence in finding.advice)
    assert any("without the penalty" in sentence for sentence in finding.advice)


def test_a_kl_to_the_policy_that_sampled_is_not_looked_at():
    run = example({TOKEN: "0.01~0.002*60", "kl.rollout.k1.token": "-0.5~0.01*60"})
    assert rises(all_rules()["KL001"], run) == ()
