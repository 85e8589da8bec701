"""Following a recorded run step by step raises what reading it whole does, for each rule alone and for all together.

A watch shows its rules the last points, as many as the one that looks back furthest asks for. Alone, a rule that asks
for less than it reads sees too little, and says something else. Each rule alone follows every third run, all together
one seed of each recorded pathology and all shared runs (tests/test_recorded_runs.py has our own); AUTOTUNE_FOLLOW=all
has each rule and all together on every run. What is raised is what holds first; that all else holds too as it does on
the whole run is looked at where it changes, and at some steps between.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from labels import OURS, PATHOLOGIES, SHARED, corpora, runs

from diagnostics.engine import diagnose
from diagnostics.rule import NotApplicable, Rule, all_rules
from diagnostics.series import RunHistory
from diagnostics.watch import Watch

ALL = os.environ.get("AUTOTUNE_FOLLOW") == "all"
Raised = set[tuple[str, int, int, int]]


def segments(corpus: str, first: int, every: int) -> Iterator[tuple[str, RunHistory]]:
    """Of the runs from the `first` on one in `every`, or all."""
    for run in runs(corpus) if ALL else runs(corpus)[first::every]:
        for segment in run.segments:
            yield f"{run.name} [{segment.segment}]", segment


def rows(run: RunHistory) -> Iterator[tuple[int, dict[str, float]]]:
    """The points of `run` as they were logged."""
    logged: dict[int, dict[str, float]] = {}
    for metric, series in run.series.items():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            logged.setdefault(step, {})[metric] = value
    yield from sorted(logged.items())


def watch_of(run: RunHistory, rules: Mapping[str, Rule]) -> Watch:
    return Watch(
        settings=run.settings,
        reward_bounds=run.reward_bounds,
        segment=run.segment,
        went_back=run.went_back,
        rules=rules,
    )


def followed(run: RunHistory, rules: Mapping[str, Rule]) -> Raised:
    watch = watch_of(run, rules)
    read = {metric for rule in rules.values() for metric in rule.metrics}
    mine = {name: series for name, series in run.series.items() if not read or name.partition("[")[0] in read}
    for step, metrics in rows(run.with_series(mine)):
        watch.add(step, metrics)
    watch.close()
    return {(f.code, f.segment, f.raised_at, int(f.severity)) for f in watch.raised}


def whole(run: RunHistory, rules: Mapping[str, Rule]) -> Raised:
    return {(f.code, f.segment, f.raised_at, int(f.severity)) for f in diagnose(run, rules).raised}


def held(rule: Rule, run: RunHistory) -> dict[int, set[int]]:
    """The severities that hold at each step that `rule` judges."""
    found: dict[int, set[int]] = {}
    try:
        with np.errstate(all="ignore"):  # as the engine does
            for alarm in rule.check(run):
                for step, holds in zip(alarm.steps.tolist(), alarm.holds.tolist(), strict=True):
                    found.setdefault(step, set()).update({int(alarm.severity)} if holds else ())
    except NotApplicable:
        pass
    return found


def worth_a_look(holding: Mapping[int, set[int]], most: int = 8) -> set[int]:
    """Steps before and after what holds changes, and others evenly between."""
    steps = sorted(holding)
    change = [i for i in range(1, len(steps)) if holding[steps[i]] != holding[steps[i - 1]]]
    near = sorted({i for at in change for i in (at - 1, at)})
    return {steps[i] for of in (near, range(len(steps))) for i in of[:: -(-len(of) // most) or 1]}


@pytest.fixture
def recorded(corpus: str) -> str:
    if corpus not in corpora():
        pytest.skip("AUTOTUNE_CORPUS is not set: the folder with the shared real runs")
    return corpus


@pytest.mark.parametrize("corpus", [PATHOLOGIES, OURS, SHARED])
@pytest.mark.parametrize("code", all_rules())
def test_each_rule_alone(code: str, corpus: str, recorded: str) -> None:
    rule = {code: all_rules()[code]}
    differ = {}
    for name, run in segments(corpus, list(all_rules()).index(code) % 3, 3):
        if rule[code].logged(run) and (live := followed(run, rule)) != (finished := whole(run, rule)):
            differ[name] = f"followed {sorted(live - finished)}, read whole {sorted(finished - live)}"
    assert differ == {}


@pytest.mark.parametrize("corpus", [PATHOLOGIES, OURS, SHARED])
@pytest.mark.parametrize("code", all_rules())
def test_what_holds_is_told_by_the_points_that_a_watch_shows(code: str, corpus: str, recorded: str) -> None:
    rule = all_rules()[code]
    differ = {}
    for name, run in segments(corpus, (list(all_rules()).index(code) + 1) % 3, 3):
        if not rule.logged(run):
            continue
        whole_run = held(rule, run)
        for step in worth_a_look(whole_run):
            watch = watch_of(run, {code: rule})
            watch.load(run.upto(step))
            shown = held(rule, watch._view()).get(step, set())
            if shown != whole_run[step]:
                differ[f"{name} at step {step}"] = f"of what is shown {shown}, of the whole {whole_run[step]}"
    assert differ == {}


@pytest.mark.parametrize("corpus", [PATHOLOGIES, *([OURS] if ALL else []), SHARED])
def test_all_rules_together(corpus: str, recorded: str) -> None:
    differ = {}
    for name, run in segments(corpus, 0, 3 if corpus == PATHOLOGIES else 1):
        if (live := followed(run, all_rules())) != (finished := whole(run, all_rules())):
            differ[name] = f"followed {sorted(live - finished)}, read whole {sorted(finished - live)}"
    assert differ == {}
