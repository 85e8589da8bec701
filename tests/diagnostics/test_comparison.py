"""What differs between runs: settings, findings, and which metrics are compared at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from diagnostics.comparison import Comparison, compare, sides
from diagnostics.differences import Fate, Judged
from diagnostics.engine import diagnose
from diagnostics.finding import Confidence, Finding, Report, Severity, Skip
from diagnostics.series import MetricSeries, RunHistory, Values, example

NOTHING = diagnose(RunHistory({}))


def run(settings: Mapping[str, Any] | None = None, steps: int = 60, **metrics: Values) -> RunHistory:
    """A run of TRL's GRPOTrainer with a reward that does not move."""
    values = {"reward_mean": np.linspace(0, 0.01, steps), **metrics}
    series = {name: MetricSeries(name, np.arange(1, len(v) + 1), v) for name, v in values.items()}
    return RunHistory(series, settings or {}, framework="trl-grpo")


def finding(code: str, severity: Severity = Severity.ERROR, raised_at: int = 10) -> Finding:
    return Finding(code, code.lower(), severity, Confidence.HIGH, 1, 20, raised_at, "", ())


def judged(history: RunHistory, *findings: Finding, skips: tuple[str, ...] = ()) -> Judged:
    report: Report = replace(
        NOTHING, findings=findings, skips=tuple(Skip(code, "not logged") for code in skips), steps=history.last_step
    )
    return Judged(history, report)


def of(before: RunHistory, after: RunHistory) -> Comparison:
    return compare([judged(before)], [judged(after)])


def fates(comparison: Comparison) -> dict[str, Fate]:
    return {change.code: change.fate for change in comparison.findings}


# ---- settings


def test_settings_that_differ_are_apart_from_those_that_one_side_logs():
    comparison = of(
        run({"temperature": 1.0, "seed": 1, "learning_rate": 1e-3, "top_p": 0.9}),
        run({"temperature": 1, "seed": 2, "learning_rate": 1e-4}),
    )
    assert [(c.name, c.before, c.after) for c in comparison.changed] == [
        ("learning_rate", (1e-3,), (1e-4,)),
        ("seed", (1,), (2,)),
    ]
    assert [c.name for c in comparison.changes()] == ["learning_rate"]
    assert [(c.name, c.before, c.after) for c in comparison.one_sided] == [("top_p", (0.9,), ())]


def test_a_setting_has_the_names_of_the_frameworks_of_both_sides():
    (change,) = of(run({"kl_coef": 0.1}), replace(run({"kl_coef": 0.2}), framework="verl")).changed
    assert change.spoken[0] == "beta" and change.spoken[1] != "beta"


def test_flags_and_texts_and_settings_without_a_value_are_compared_as_they_are():
    comparison = of(
        run({"peft": True, "loss_type": "grpo", "clip_range_high": None}),
        run({"peft": False, "loss_type": "dapo", "clip_range_high": None}),
    )
    assert {c.name for c in comparison.changed} == {"peft", "loss_type"}


def test_a_learning_rate_that_is_only_logged_counts_by_its_peak():
    warm = np.concatenate([np.linspace(0, 1e-3, 10), np.full(50, 1e-3)])
    (change,) = of(run(learning_rate=warm), run(learning_rate=warm / 10)).changed
    assert (change.name, change.before, change.after) == ("learning_rate", (1e-3,), (1e-4,))
    assert of(run(learning_rate=warm), run(learning_rate=warm * 1.001)).changed == ()
    assert of(run(learning_rate=np.full(60, np.nan)), run(learning_rate=np.full(60, np.nan))).changed == ()


def test_a_learning_rate_that_both_were_told_counts_to_the_last_digit():
    assert of(run({"learning_rate": 1e-3}), run({"learning_rate": 1.001e-3})).changed != ()


def test_the_logged_learning_rate_of_one_is_compared_with_that_of_the_other():
    """One logs a setting besides, whose schedule never reaches it."""
    before, after = run({"learning_rate": 1e-3}, learning_rate=np.full(60, 5e-4)), run(learning_rate=np.full(60, 5e-4))
    assert of(before, after).changed == ()
    assert not of(before, after).told


def test_settings_without_a_canonical_name_are_told_the_texts_last():
    raw = {"optim": "adamw", "warmup_steps": 0, "weight_decay": 0.0, "learning_rate": 1e-3}
    before = replace(run({"learning_rate": 1e-3}), raw_settings=raw)
    after = replace(before, raw_settings={**raw, "optim": "sgd", "weight_decay": 0.1, "extra": 1})
    assert [(c.name, c.before, c.after) for c in of(before, after).others] == [
        ("weight_decay", (0.0,), (0.1,)),
        ("optim", ("adamw",), ("sgd",)),
        ("extra", (), (1,)),
    ]
    assert of(before, replace(after, framework="verl")).others == ()  # whose names are others


def test_groups_are_of_equal_settings_but_for_the_seed():
    a0, a1, b0 = (judged(run({"kl_coef": kl, "seed": seed})) for kl, seed in ((0.1, 0), (0.1, 1), (0.2, 0)))
    assert sides([a0, b0, a1]) == [(a0, a1), (b0,)]
    assert sides([a0, a1]) == [(a0,), (a1,)]
    unknown = judged(run()), judged(run())
    assert sides([a0, a1, *unknown]) == [(a0, a1), (unknown[0],), (unknown[1],)]


# ---- findings


def test_findings_are_gone_new_or_in_both():
    before = judged(run(), finding("KL002", Severity.FATAL), finding("RWD001"))
    after = judged(run(), finding("KL002", Severity.WARNING), finding("LEN001"))
    comparison = compare([before], [after])
    assert fates(comparison) == {"KL002": Fate.BOTH, "RWD001": Fate.GONE, "LEN001": Fate.NEW}
    both = comparison.of_fate(Fate.BOTH)[0]
    assert (both.before, both.after, both.worst) == (Severity.FATAL, Severity.WARNING, Severity.FATAL)


def test_what_the_other_run_could_not_be_checked_for_is_not_gone():
    comparison = compare([judged(run(), finding("KL002"))], [judged(run(), skips=("KL002",))])
    assert [(c.fate, c.why) for c in comparison.findings] == [(Fate.UNKNOWN, "not logged")]


def test_what_a_run_ended_too_early_for_is_not_gone():
    late = judged(run(), finding("RWD004", raised_at=50))
    assert fates(compare([late], [judged(run(steps=40))])) == {"RWD004": Fate.UNKNOWN}
    assert fates(compare([late], [judged(run(steps=50))])) == {"RWD004": Fate.GONE}


def test_of_several_runs_a_side_more_than_half_count():
    with_it, without = judged(run(), finding("KL002")), judged(run())
    assert fates(compare([with_it, with_it, without], [without])) == {"KL002": Fate.GONE}
    assert fates(compare([with_it, without], [without])) == {"KL002": Fate.RARE}
    (change,) = compare([with_it, with_it, without], [without, without]).findings
    assert change.runs == (2, 0)


# ---- metrics


def test_metrics_of_one_side_and_those_with_too_few_points_are_listed():
    comparison = of(run(kl_coef=np.ones(60), entropy=np.ones(60), grad_norm=np.ones(60)), run(grad_norm=np.ones(4)))
    assert comparison.only == (("entropy",), ())  # the coefficient is set, not measured
    assert comparison.short == ("grad_norm",)
    assert [p.metric for p in comparison.partings] == ["reward_mean"]


def test_the_same_numbers_are_compared_once():
    reward = np.linspace(0, 1, 60)
    one = {"reward_mean": reward, "reward_best_of_n": reward, "reward_component_mean[only]": reward}
    comparison = of(run(None, 60, **one), run(None, 60, **one))
    assert [p.metric for p in comparison.partings] == ["reward_mean"]
    assert comparison.doubles == {"reward_best_of_n": "reward_mean", "reward_component_mean[only]": "reward_mean"}
    other = run(None, 60, **{**one, "reward_best_of_n": reward + 0.1})
    assert {p.metric for p in of(run(None, 60, **one), other).partings} == {"reward_mean", "reward_best_of_n"}


def test_a_metric_that_ceases_to_be_finite_on_one_side_is_told():
    broken = np.concatenate([np.ones(30), np.full(30, np.nan)])
    assert of(run(grad_norm=broken), run(grad_norm=np.ones(60))).broken == {"grad_norm": (31, None)}
    assert of(run(grad_norm=broken), run(grad_norm=broken)).broken == {}


def test_steps_that_stand_for_other_numbers_of_completions_are_compared_by_these():
    """The run after takes four steps for as many completions: it learns as fast for each of these."""
    learns = np.linspace(0, 1, 50)
    before = run(None, 50, reward_mean=learns, completions_generated=128.0 * np.arange(1, 51))
    after = run(None, 200, reward_mean=np.repeat(learns, 4), completions_generated=32.0 * np.arange(1, 201))
    comparison = of(before, after)
    assert comparison.unit == "completions" and comparison.apart() == ()
    assert of(before, before).unit == "steps"
    uncounted = run(None, 200, reward_mean=np.repeat(learns, 4))
    assert of(before, uncounted).unit == "steps"


def test_a_finding_is_not_missed_for_steps_that_stand_for_less():
    before = judged(run(None, 200, completions_generated=32.0 * np.arange(1, 201)), finding("KL002", raised_at=120))
    after = judged(run(None, 50, completions_generated=128.0 * np.arange(1, 51)))
    assert fates(compare([before], [after])) == {"KL002": Fate.GONE}


def test_the_reward_is_the_held_out_one_unless_only_that_in_training_parts():
    held_out = {"validation_reward": "0.1~0.01*30"}
    before = example({"reward_mean": "0~0.01*60", **held_out})
    after = example({"reward_mean": "1~0.01*60", **held_out})
    told = of(before, after).reward(), of(before, before).reward()
    assert [parting.metric for parting in told if parting] == ["reward_mean", "validation_reward"]
    assert of(RunHistory({}), RunHistory({})).reward() is None


def test_runs_without_anything_can_be_compared():
    comparison = of(RunHistory({}), RunHistory({}))
    assert comparison.partings == () and comparison.changed == () and not comparison.told


@pytest.mark.parametrize("steps", [60, 7])
def test_the_same_run_twice_differs_in_nothing(steps):
    comparison = of(run({"kl_coef": 0.1}, steps), run({"kl_coef": 0.1}, steps))
    assert comparison.apart() == () and comparison.changed == () and comparison.others == ()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values", [np.full(60, 1e300), np.full(60, np.inf), np.arange(60) * -1e305, np.full(60, np.nan)]
)
def test_any_number_can_be_compared(values):
    names = ("reward_mean", "completions_generated", "learning_rate", "grad_norm")
    odd, plain = run(None, 60, **dict.fromkeys(names, values)), run(None, 60, **dict.fromkeys(names, np.ones(60)))
    for one, other in ((odd, plain), (plain, odd), (odd, odd)):
        for parting in of(one, other).partings:
            assert np.isfinite([parting.difference, parting.error, parting.chance]).all()
