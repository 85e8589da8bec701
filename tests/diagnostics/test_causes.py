"""Every cause keeps its contract, is told where it is at work and not in what resembles it, and comes first in reports.

How often the first cause of a recorded run is right: tests/corpus/test_causes.py.
"""

from dataclasses import replace

import numpy as np
import pytest

from diagnostics.cause import Link, cause_from_json, cause_to_json
from diagnostics.engine import diagnose
from diagnostics.finding import Add, Confidence, Direction, Evidence, Finding, Scale, Set, Severity
from diagnostics.metrics import is_metric, knobs, settings
from diagnostics.reasoning import HEADINGS, Weight, against, all_theories, causes, supports
from diagnostics.rule import all_lints, all_rules
from diagnostics.series import RunHistory, example
from diagnostics.watch import Watch

K3, K1, CUT, CLIPPED = "kl.reference.k3.token", "kl.reference.k1.token", "truncated_share", "clip_fraction.token"
REWARD, ZERO_STD, UNIQUE = "reward_mean", "zero_std_share", "unique_share"
THEORIES = list(all_theories().values())
each = pytest.mark.parametrize("theory", THEORIES, ids=lambda t: t.name)

RISES = "0.2~0.02*20 0.2+0.01~0.02*40 0.6~0.02*40"
FALLS = "0.5~0.02*10 0.5-0.01~0.02*40 0.1~0.02*50"
FLAT = "0.3~0.02*100"
FAR_AT_ONCE, SLOWLY_FAR = "0 0.4 0.9 1.5~0.1*97", "0+0.005*100"


def found(text: str) -> list[Finding]:
    """Findings written as "KL002@20 RWD001@30 RWD005@3:info": each rests on a number above its limit."""
    findings = []
    for word in text.split():
        code, _, rest = word.partition("@")
        step, _, severity = rest.partition(":")
        onset = int(step)
        evidence = Evidence("grad_norm", onset, onset + 9, "mean", 3.0, 1.0)
        findings.append(
            Finding(
                code,
                code.lower(),
                Severity.parse(severity or "warning"),
                Confidence.HIGH,
                onset,
                99,
                onset + 10,
                code,
                (evidence,),
            )
        )
    return findings


def told(findings: str, metrics: dict[str, str] | None = None, **settings: float | str) -> list[str]:
    run = example(metrics or {}, settings=settings)
    return [cause.name for cause in causes(found(findings), run)]


# For each cause: findings, curves and settings in which it comes first, and what resembles it.
AT_WORK = {
    "learning_rate_too_high": ("KL002@20 RWD001@30 RWD002@40", {K3: FAR_AT_ONCE, REWARD: FALLS}, {}),
    "learning_rate_too_low": ("RWD004@0", {K3: "0+0.00002*100", REWARD: FLAT}, {}),
    "kl_penalty_too_strong": ("RWD003@20 RWD004@0", {K3: "0.3-0.0026*100", REWARD: FALLS}, {"kl_coef": 2.0}),
    "kl_penalty_missing": ("ENT001@50 LEN002@60", {K3: "0*100", REWARD: RISES}, {"kl_coef": 0.0}),
    "sampling_differs": ("KL001@20 RWD003@40", {K1: "-0.02~0.001*100", K3: "0.02*100"}, {"top_p": 0.9}),
    "eos_suppressed": ("LEN001@0 KL001@20", {CUT: "1*100", K1: "-0.1*100"}, {}),
    "completions_too_short": ("LEN001@0 RWD001@30", {CUT: "0.8~0.02*100"}, {}),
    "temperature_too_low": ("RWD001@10", {UNIQUE: "0.2*100", ZERO_STD: "0.6*100"}, {"temperature": 0.3}),
    "temperature_too_high": ("RWD004@0 ENT002@50", {K3: SLOWLY_FAR, REWARD: FLAT}, {"temperature": 2.0}),
    "too_few_generations": ("RWD001@10", {UNIQUE: "0.95*100", ZERO_STD: "0.7*100"}, {"num_generations": 2}),
    "too_many_epochs": ("UPD002@4", {CLIPPED: "0.3~0.01*100", K3: SLOWLY_FAR}, {"update_epochs": 16}),
    "critic_learns_too_fast": (
        "VAL001@1 VAL002@5",
        {"value_loss": "50 30 5 1*97", "return_mean": "1*100", "return_var": "0.2*100"},
        {},
    ),
    "critic_not_warmed_up": ("VAL002@5", {"value_loss": "0.4*100", REWARD: FLAT}, {}),
    "too_few_prompts": ("GEN001@30 RWD001@50 GRD002@60", {REWARD: RISES}, {"unique_prompts": 8}),
    "task_learned": ("RWD005@40:info ENT001@50 RWD001@60", {REWARD: RISES}, {}),
    "reward_broken": ("RWD001@0 GRD002@0", {REWARD: "0*100", ZERO_STD: "1*100"}, {}),
    "sampler_mismatch": ("OFF001@10 RWD002@40 GRD001@38", {REWARD: FALLS}, {}),
    "numeric_breakdown": ("NUM001@10", {K3: "0.01*100"}, {"precision": "fp16", "max_grad_norm": 0.0}),
}  # fmt: skip
RESEMBLES = {
    "learning_rate_too_high": ("UPD002@4", {CLIPPED: "0.3~0.01*100", K3: SLOWLY_FAR, REWARD: RISES}, {}),
    "learning_rate_too_low": ("RWD004@0", {K3: SLOWLY_FAR, REWARD: FLAT}, {}),  # it moved, and gained nothing
    "kl_penalty_too_strong": ("RWD003@20 KL001@10", {K3: "0.02*100", REWARD: FALLS}, {"kl_coef": 1.0}),
    "kl_penalty_missing": ("LEN001@0", {CUT: "0.8*100", K3: "0*100"}, {"kl_coef": 0.0}),  # before anything was learned
    "sampling_differs": ("KL002@20 RWD002@40", {K3: FAR_AT_ONCE, REWARD: FALLS}, {"top_p": 0.9}),
    "eos_suppressed": ("LEN001@40", {CUT: "0*30 1*70"}, {}),  # the first completions ended
    "completions_too_short": ("LEN001@40 LEN003@30", {CUT: "0*30 0.8*70"}, {}),
    "temperature_too_low": ("RWD001@10", {UNIQUE: "0.9*100", ZERO_STD: "0.7*100"}, {}),
    "temperature_too_high": ("RWD004@0", {K3: SLOWLY_FAR, REWARD: FLAT}, {"temperature": 1.0}),
    "too_few_generations": ("RWD001@50", {UNIQUE: "0.9*40 0.1*60", ZERO_STD: "0.1*40 0.9*60"}, {"num_generations": 8}),
    "too_many_epochs": ("UPD002@4", {CLIPPED: "0.4*5 0.02*95"}, {"update_epochs": 1}),
    "critic_learns_too_fast": ("KL002@5 VAL001@10", {"value_loss": "1*5 90*95", K3: FAR_AT_ONCE}, {}),  # the returns
    "critic_not_warmed_up": ("VAL002@5", {"value_loss": "0.4*100", REWARD: RISES}, {}),  # and the policy learns
    "too_few_prompts": ("RWD001@50 GRD002@60", {REWARD: RISES}, {"unique_prompts": 8}),  # nothing held out says so
    "task_learned": ("RWD005@40:info ENT001@50 GEN001@60", {REWARD: RISES}, {}),
    "reward_broken": ("RWD001@50", {REWARD: RISES, ZERO_STD: "0.1*40 0.9*60"}, {}),
    "sampler_mismatch": ("RWD002@40 GRD001@38", {REWARD: FALLS}, {}),
    "numeric_breakdown": ("KL002@3 NUM001@10", {K3: FAR_AT_ONCE, REWARD: FALLS}, {}),
}  # fmt: skip


def test_each_cause_has_a_case_and_what_resembles_it():
    assert {theory.name for theory in THEORIES} == set(AT_WORK) == set(RESEMBLES)


@pytest.mark.parametrize("name", AT_WORK)
def test_a_cause_comes_first_where_it_is_at_work(name: str):
    findings, metrics, settings = AT_WORK[name]
    assert told(findings, metrics, **settings)[:1] == [name]


@pytest.mark.parametrize("name", RESEMBLES)
def test_a_cause_is_not_told_in_what_resembles_it(name: str):
    findings, metrics, settings = RESEMBLES[name]
    assert name not in told(findings, metrics, **settings)


@each
def test_a_cause_has_its_page_and_knows_the_codes_that_it_names(theory):
    lines = theory.page.splitlines()
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == list(HEADINGS)
    assert lines[0].endswith(".") and all(len(line) <= 116 for line in lines)
    assert theory.signs and theory.signs.isdisjoint(theory.leads_to)
    assert theory.signs | theory.leads_to <= CATALOGUE
    assert theory.settled_by and all(is_metric(name) or name in settings() for name in theory.settled_by)
    assert theory.title[0].isupper() and not theory.title.endswith(".")


@pytest.mark.parametrize("name", AT_WORK)
def test_a_person_is_told_what_to_do_and_why(name: str):
    findings, metrics, settings = AT_WORK[name]
    first = causes(found(findings), example(metrics, settings=settings))[0]
    assert first.speaks_for and all(reason and not reason.endswith(".") for reason in first.speaks_for)
    assert first.recommendation is not None or first.advice
    if first.recommendation is not None:
        assert first.recommendation.knob in knobs()
        assert is_metric(first.recommendation.hypothesis.metric)
        assert isinstance(first.recommendation.change, Scale | Set | Add)
    assert cause_from_json(cause_to_json(first)) == first


CATALOGUE = {*all_rules(), *all_lints()}


def test_no_finding_has_no_cause_and_neither_has_what_is_only_worth_knowing():
    assert told("") == []
    assert told("KL006@10:info RWD005@20:info GRD001@30:info", {REWARD: RISES, K3: SLOWLY_FAR}) == []


def test_a_guess_is_not_told():
    assert told("KL002@50", {K3: "0.01*50 0.8*50", REWARD: FLAT}) == []


def test_the_chain_is_in_the_order_of_the_onsets_and_ends_with_what_is_said_of_the_whole_run():
    run = example({K3: FAR_AT_ONCE, REWARD: FALLS})
    (first,) = causes(found("RWD002@60 RWD004@0 KL002@40 RWD001@55"), run)
    assert first.chain == (
        Link("RWD004", "rwd004", 10),  # raised at 10, though its onset is the beginning of the run
        Link("KL002", "kl002", 40),
        Link("RWD001", "rwd001", 55),
        Link("RWD002", "rwd002", 60),
    )


def test_what_set_in_before_a_cause_is_not_explained_by_it():
    run = example({K1: "-0.02~0.001*100"}, settings={"top_p": 0.9})
    first, *_ = causes(found("KL001@50 UPD003@20 RWD003@60"), run)
    assert [link.code for link in first.chain] == ["KL001", "RWD003"]


def test_a_second_cause_is_told_for_what_the_first_does_not_explain():
    metrics = {CUT: "0.8~0.02*100", K1: "-0.02~0.001*100"}
    assert told("LEN001@0 KL001@50", metrics, top_p=0.9) == ["completions_too_short", "sampling_differs"]


def test_confidence_is_what_the_reasons_weigh_together():
    epochs = {"update_epochs": 16}
    by_setting = causes(found("UPD002@4"), example({CLIPPED: "0.3~0.01*100"}, settings=epochs))[0]
    by_curve = causes(found("UPD002@4"), example({CLIPPED: "0.3~0.01*100"}))[0]
    assert (by_setting.confidence, by_curve.confidence) == (Confidence.HIGH, Confidence.MEDIUM)
    assert by_setting.recommendation is not None and by_setting.recommendation.knob == "update_epochs"
    assert by_curve.recommendation is None and "num_iterations" not in by_curve.advice  # its framework is not known


def test_a_cause_that_is_not_sure_says_what_would_settle_it():
    run = replace(example({CLIPPED: "0.3~0.01*100"}), framework="trl-grpo")
    assert causes(found("UPD002@4"), run)[0].settled_by == ("num_iterations", "kl.rollout.k3.token")
    logged = example({CLIPPED: "0.3~0.01*100", "kl.rollout.k3.token": "0.01*100"})
    assert causes(found("UPD002@4"), logged)[0].settled_by == ("update_epochs",)
    assert causes(found("UPD002@4"), replace(run, settings={"update_epochs": 16}))[0].settled_by == ()


def test_any_estimate_of_a_kl_is_one():
    raised = replace(example({K3: "0.01*100"}, settings={"learning_rate": 1e-5}), knobs=((4, "learning_rate", 1e-3),))
    for name in (K3, K1, "kl.reference.unknown"):
        run = replace(raised, series={name: replace(raised[K3], metric=name)})
        (cause,) = causes(found("UPD003@50"), run)
        assert cause.settled_by == ("update_epochs", "kl_coef")
    unmeasured = example({K1: "0*100"}, settings={"learning_rate": 1e-5})
    cause, *_ = causes(found("UPD003@50"), replace(unmeasured, knobs=((4, "learning_rate", 1e-3),)))
    assert cause.settled_by == ("update_epochs", "kl_coef", K3)


def test_a_cause_of_low_confidence_claims_few_findings_and_those_that_came_soon():
    run = example({K1: "-0.1*100"})
    many = "KL001@10 UPD001@10 RWD002@12 RWD003@13 UPD003@14 ENT001@15"
    first, *_ = causes(found(many), run)
    assert first.confidence is Confidence.LOW
    assert [link.code for link in first.chain] == ["KL001", "UPD001", "RWD002", "RWD003"]
    first, *_ = causes(found("KL001@10 UPD001@10 RWD002@32 RWD003@33 RWD005@11:info"), run)
    assert [link.code for link in first.chain] == ["KL001", "UPD001", "RWD002"]
    first, *_ = causes(found(many), replace(run, settings={"top_p": 0.9}))
    assert first.confidence > Confidence.LOW and len(first.chain) == 6


def test_a_cause_of_low_confidence_claims_nothing_that_a_surer_one_explains():
    run = example({ZERO_STD: "0.8*100", REWARD: FLAT}, settings={"num_generations": 2, "kl_coef": 0.0})
    first, second = causes(found("RWD001@10 GRD002@10 LEN002@20"), run)
    assert (first.name, second.name) == ("too_few_generations", "kl_penalty_missing")
    assert [link.code for link in second.chain] == ["LEN002"]


def test_a_guess_at_a_guess_is_not_told():
    run = example({K1: "-0.1*100"})
    (negative,) = found("KL001@10")
    assert causes([replace(negative, confidence=Confidence.MEDIUM)], run)
    unsure = replace(negative, confidence=Confidence.LOW)
    assert causes([unsure], run) == ()
    assert causes([unsure], replace(run, settings={"top_p": 0.9}))


def test_reasons_weigh_for_and_against():
    assert supports(Weight.STRONG, "a").against is False
    assert against(Weight.STRONG, "a").against is True


def test_what_the_log_says_of_settings_counts_where_they_are_not_known_otherwise():
    metrics = {"kl_coef": "0*100", K3: "0*100", REWARD: RISES}
    assert told("ENT001@50", metrics) == ["kl_penalty_missing"]
    assert told("ENT001@50", metrics, kl_coef=0.1) == []
    assert told("ENT001@50", metrics | {"kl_coef": "0.1*50 0*50"}) == []  # its peak counts


def test_a_knob_that_was_raised_before_speaks_for_its_cause():
    run = example({K3: "0.01*50 0.8*50", REWARD: FLAT}, settings={"learning_rate": 1e-5})
    assert causes(found("KL002@50"), run) == ()
    raised = replace(run, knobs=((45, "learning_rate", 1e-3),))
    (cause,) = causes(found("KL002@50"), raised)
    assert "learning_rate was raised to 0.001 at step 45" in cause.speaks_for
    assert causes(found("KL002@50"), replace(run, knobs=((45, "learning_rate", 1e-6),))) == ()
    assert causes(found("KL002@50"), replace(run, knobs=((50, "learning_rate", 1e-3),))) != ()
    assert causes(found("KL002@50"), replace(run, knobs=((60, "learning_rate", 1e-3),))) == ()


def test_a_recommendation_expects_what_the_findings_themselves_expect():
    shorter = diagnose(example({"completion_length_mean": "20~0.5*20 20-0.5~0.5*30 3~0.2*60"}, settings={"kl_coef": 0}))
    (cause,) = shorter.causes
    assert cause.recommendation is not None and cause.recommendation.knob == "kl_coef"
    hypothesis = cause.recommendation.hypothesis  # of a length that collapsed: up again, and by more than to the limit
    assert (hypothesis.metric, hypothesis.direction) == ("completion_length_mean", Direction.UP)
    assert hypothesis.amount > 2
    (cut,) = diagnose(example({CUT: "0.8~0.001*60"})).causes
    assert cut.recommendation is not None and cut.recommendation.hypothesis.amount == pytest.approx(0.4, abs=0.01)
    broken = diagnose(example({REWARD: "0.2~0.1*5", "grad_norm": "1*4 nan", K3: "3*5"}))
    changes = [cause.recommendation for cause in broken.causes if cause.recommendation]
    assert changes and all(change.hypothesis.metric != "grad_norm" for change in changes)  # a count is no gradient norm


def test_a_policy_in_an_environment_learns_no_prompts_by_heart():
    run = example({REWARD: RISES})
    assert [cause.name for cause in causes(found("GEN001@30 GEN002@40"), run)] == ["too_few_prompts"]
    assert causes(found("GEN001@30 GEN002@40"), replace(run, framework="stable-baselines3")) == ()


def test_sentences_name_settings_as_the_framework_does():
    run = replace(example({K3: "0*100", REWARD: RISES}, settings={"kl_coef": 0.0}), framework="trl-grpo")
    assert causes(found("ENT001@50"), run)[0].speaks_for[0].startswith("beta is 0")


def collapse() -> RunHistory:
    metrics = {K3: "0 0.3 0.9~0.1*98", REWARD: "-0.2~0.1*3 -0.4~0.1*2 -0.65~0.1*95", ZERO_STD: "0.1+0.02*40 0.9*60"}
    return example(metrics, reward_bounds=(-1, 1))


def test_a_followed_run_has_the_causes_of_the_finished_one():
    run = collapse()
    watch = Watch(reward_bounds=(-1, 1))
    for step in range(100):
        watch.add(step, {m: float(s.values[i]) for m, s in run.series.items() for i in np.flatnonzero(s.steps == step)})
    watch.close()
    report = diagnose(run)
    assert report.causes and watch.report().causes == report.causes
    assert watch.report().explained == report.explained


def test_each_segment_has_its_own_causes():
    run = collapse()
    report = diagnose([run, replace(run, segment=2)])
    assert [cause.segment for cause in report.causes] == [1, 2]
    assert not report.unexplained()


def test_what_no_cause_explains_remains_listed():
    report = diagnose(collapse())
    one = replace(report.findings[0], code="OFF001")
    assert replace(report, findings=(*report.findings, one)).unexplained() == (one,)
    assert replace(report, findings=(*report.findings, replace(one, severity=Severity.INFO))).unexplained() == ()
