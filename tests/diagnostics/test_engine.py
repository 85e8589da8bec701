"""The engine: following a run and reading the finished one are the same."""

import io
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from rich.console import Console

from diagnostics.engine import diagnose
from diagnostics.events import MetricsLogged, RunStarted, decode
from diagnostics.finding import Evidence, Severity
from diagnostics.metrics import settings as canonical
from diagnostics.report import terminal
from diagnostics.report.json import render
from diagnostics.rule import Alarm, NotApplicable, Told, all_rules, rule
from diagnostics.series import MetricSeries, RunHistory, example
from diagnostics.stats import lagged
from diagnostics.watch import Watch

RULES = all_rules()
RECORDED = sorted((Path(__file__).parent.parent / "data" / "runs").glob("*/events.jsonl"))
METRICS = sorted({metric for rule in RULES.values() for metric in rule.metrics})


def recorded(path: Path) -> RunHistory:
    """A run from its event file."""
    points: dict[str, dict[int, float]] = {}
    started = RunStarted(0, "", "", {})
    for line in path.read_bytes().splitlines():
        event = decode(line).event
        if isinstance(event, RunStarted):
            started = event
        elif isinstance(event, MetricsLogged):
            for name, value in event.metrics.items():
                points.setdefault(name, {})[event.step] = value
    series = {m: MetricSeries(m, np.array(list(p), np.int64), np.array(list(p.values()))) for m, p in points.items()}
    return RunHistory(series, started.settings, reward_bounds=started.reward_bounds)


def followed(run: RunHistory, **options) -> Watch:
    """A watch that saw `run` step by step."""
    watch = Watch(
        settings=run.settings, reward_bounds=run.reward_bounds, segment=run.segment, went_back=run.went_back, **options
    )
    rows: dict[int, dict[str, float]] = {}
    for series in run.series.values():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            rows.setdefault(step, {})[series.metric] = value
    for step in sorted(rows):
        watch.add(step, rows[step])
    watch.close()
    return watch


def said(findings) -> set[tuple[str, int, Severity]]:
    return {(f.code, f.raised_at, f.severity) for f in findings}


# ---- live equals finished

# Levels far apart and close to the limits of the rules, so that limits are crossed and sometimes met exactly.
LEVELS = (0.0, 0.05, 0.2, 0.3, 0.5, 0.65, 0.9, 1.0, 3.0, -0.6, 60.0)


@st.composite
def a_series(draw, metric: str) -> MetricSeries:
    """Stretches of constant, noisy or sloping values, logged every few steps, with gaps and non-finite points."""
    every, offset = draw(st.sampled_from([1, 1, 1, 2, 7])), draw(st.integers(0, 40))
    values: list[float] = []
    for _ in range(draw(st.integers(1, 5))):
        count, level = draw(st.integers(1, 90)), draw(st.sampled_from(LEVELS))
        slope, noise = draw(st.sampled_from([0, 0, 0.01, -0.01])), draw(st.sampled_from([0, 0, 0.02, 0.2]))
        random = np.random.default_rng(draw(st.integers(0, 2**16)))
        values += (level + slope * np.arange(count) + noise * random.standard_normal(count)).tolist()
    for bad in draw(st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=3)):
        values[draw(st.integers(0, len(values) - 1))] = bad
    steps = offset + every * np.arange(len(values))
    gap, width = draw(st.integers(0, len(values) - 1)), draw(st.sampled_from([0, 0, 50]))
    steps[gap:] += width
    return MetricSeries(metric, steps.astype(np.int64), np.array(values))


@st.composite
def a_run(draw) -> RunHistory:
    names = draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=6, unique=True))
    chosen = {
        "temperature": draw(st.sampled_from([None, 0.3, 1.0])),
        "kl_coef": draw(st.sampled_from([None, 0.0, 1.0])),
    }
    return RunHistory(
        {name: draw(a_series(name)) for name in names},
        {name: value for name, value in chosen.items() if value is not None},
        reward_bounds=draw(st.sampled_from([None, (-1.0, 1.0)])),
    )


@configured(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(a_run())
def test_following_equals_reading(run):
    assert said(followed(run).raised) == said(diagnose(run).raised)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.code)
def test_following_equals_reading_on_the_examples(rule):
    """By all rules at once; test_rules.py follows every example by its own rule."""
    for run in (rule.fires[-1].run, rule.quiet[0]):
        assert said(followed(run).raised) == said(diagnose(run).raised)


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.parent.name)
def test_following_equals_reading_on_recorded_runs(path):
    run = recorded(path)
    assert said(followed(run).raised) == said(diagnose(run).raised)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda r: r.code)
def test_what_is_raised_needs_no_later_point(rule):
    """Cut right after `raised_at`, the run raises the same."""
    for case in rule.fires:
        for finding in diagnose(case.run, {rule.code: rule}).raised:
            early = diagnose(case.run.upto(finding.raised_at), {rule.code: rule}).raised
            assert said([finding]) <= said(early)


# ---- the engine itself, on a rule made for it


def _told(i: int) -> Told:
    return Told("high", i, (Evidence("grad_norm", i, i, "value", 1.0, 1.0),))


def _rule(check, **options):
    return rule("TST001", Severity.FATAL, needs=["grad_norm"], fires=[], quiet=[], **options)(check)


def levels(run: RunHistory):
    """Raises a severity for each level that the gradient norm reaches."""
    grad = run.get("grad_norm")
    for severity in Severity:
        yield Alarm(severity, grad.steps, grad.values >= int(severity) + 1, _told)


def test_severity_only_rises():
    report = diagnose(example({"grad_norm": "0 1 3 2 1 4"}), {"TST001": _rule(levels)})
    assert [(f.raised_at, f.severity) for f in report.raised] == [
        (1, Severity.INFO),
        (2, Severity.ERROR),
        (5, Severity.FATAL),
    ]
    assert [f.severity for f in report.findings] == [Severity.FATAL]
    assert report.worst() == Severity.FATAL


def test_a_finding_lasts_until_its_condition_ends():
    report = diagnose(example({"grad_norm": "0*3 1*4 0*5"}), {"TST001": _rule(levels)})
    assert [(f.raised_at, f.last_step) for f in report.raised] == [(3, 6)]


def test_a_step_is_closed_by_the_next():
    watch = Watch(rules={"TST001": _rule(levels)})
    assert watch.add(1, {"grad_norm": 1.0}) == ()
    assert watch.add(1, {"entropy.token": 1.0}) == ()  # a late row of the same step
    assert said(watch.add(2, {"grad_norm": 0.0})) == {("TST001", 1, Severity.INFO)}
    assert watch.close() == ()
    assert said(watch.raised) == {("TST001", 1, Severity.INFO)}


def test_a_later_row_corrects_an_earlier_one_of_its_step():
    watch = Watch(rules={"TST001": _rule(levels)})
    watch.add(1, {"grad_norm": 1.0})
    watch.add(1, {"grad_norm": 0.0})
    assert watch.close() == ()
    assert watch.history()["grad_norm"].values.tolist() == [0.0]


def test_steps_do_not_go_back():
    watch = Watch(rules={})
    watch.add(5, {"grad_norm": 1.0})
    with pytest.raises(ValueError, match="step 4 after step 5"):
        watch.add(4, {"grad_norm": 1.0})


def test_a_watched_rule_sees_its_head_and_its_tail_only():
    seen: list[list[int]] = []

    def look(run: RunHistory):
        """Remembers what it was shown."""
        seen.append(run["grad_norm"].steps.tolist())
        return ()

    watch = Watch(rules={"TST001": _rule(look, warmup=2, lookback=3)})
    for step in range(20):
        watch.add(step, {"grad_norm": 0.0})
    watch.close()
    assert seen[-1] == [0, 1, 16, 17, 18, 19]


def not_for_this_run(run: RunHistory):
    """Never judges."""
    raise NotApplicable("not this one")


def test_skips_say_why():
    run = example({"grad_norm": "1*5"})
    rules = {"TST001": _rule(not_for_this_run), "RWD004": RULES["RWD004"]}
    skips = {s.code: s.reason for s in diagnose(run, rules).skips}
    assert skips["TST001"] == "not this one"
    assert skips["RWD004"] == "needs reward_mean or success_share or reward_total, which this run did not log"
    watch = followed(run, rules=rules)
    assert {s.code: s.reason for s in watch.report().skips} == skips
    short = diagnose(example({"reward_mean": "1*5"}), {"RWD004": RULES["RWD004"]}).skips
    assert "has 5" in {s.code: s.reason for s in short}["RWD004"]


def test_an_empty_run_has_no_findings_and_says_so():
    report = diagnose(RunHistory({}))
    assert report.findings == ()
    assert {s.code for s in report.skips} >= set(RULES)
    assert report.worst() is None


def test_the_configuration_is_checked_before_the_first_step():
    watch = Watch(settings={"num_generations": 8, "batch_size": 60})
    assert [f.code for f in watch.lint()] == ["CFG001"]
    run = replace(example({"grad_norm": "1*3"}), settings={"num_generations": 8, "batch_size": 60})
    assert [f.code for f in diagnose(run).findings] == ["CFG001"]


# ---- logs that lie

ABSURD = [0.0, 1.0, -1.0, 0.6, 1e-320, 1e-6, 1e300, 1e308, -1e308, 1.7e308, -1e306, math.inf, -math.inf, math.nan]
SETTINGS: list[object] = [*ABSURD, 8, 2**53 + 1, -(10**400), 10**400, "NaN", "8", "", True, None, [1], {}]
floats = st.one_of(st.sampled_from(ABSURD), st.floats())


@st.composite
def an_absurd_series(draw, metric: str) -> MetricSeries:
    """Stretches of anything, alternating between two values, so that every rule sees full windows of it."""
    values: list[float] = []
    for _ in range(draw(st.integers(1, 4))):
        values += [draw(floats), draw(floats)] * draw(st.sampled_from([1, 3, 10, 30]))
    return MetricSeries(metric, np.arange(len(values)), np.array(values))


@configured(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_no_number_whatever_makes_a_diagnosis_fail(data):
    names = data.draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=8, unique=True))
    run = RunHistory(
        {name: data.draw(an_absurd_series(name)) for name in names},
        data.draw(st.dictionaries(st.sampled_from(sorted(canonical())), st.sampled_from(SETTINGS))),
        reward_bounds=data.draw(st.one_of(st.none(), st.tuples(floats, floats))),
    )
    report, watch = diagnose(run), followed(run)
    assert said(watch.raised) == said(report.raised)
    assert json.loads(render([report, watch.report(run)]))
    Console(file=io.StringIO()).print(terminal.render(report))


@pytest.mark.parametrize("bounds", [(0.0, math.inf), (1.0, 0.0), (1.0, 1.0), (math.nan, 1.0), (-1.7e308, 1.7e308)])
def test_bounds_that_bound_nothing_are_unknown(bounds):
    run = example({"reward_mean": "0.2~0.3*100", "zero_std_share": "0.8*100"})
    assert followed(replace(run, reward_bounds=bounds)).raised == followed(run).raised
    assert diagnose(replace(run, reward_bounds=bounds)).raised == diagnose(run).raised


@pytest.mark.parametrize("value", [math.inf, math.nan, 1e300, 2.5, "8", True])
def test_settings_that_can_be_none_are_unknown(value):
    odd = {"num_generations": value, "batch_size": 60, "dataset_size": 1000}
    assert {s.code for s in diagnose(RunHistory({}, odd)).skips} >= {"CFG001"}
    assert [f.code for f in Watch(settings=odd).lint()] == []


# ---- logs of several segments

SHORT = example({"reward_mean": "0.5*3"})


def test_segments_are_judged_each_by_itself_and_told_in_one_report():
    collapse = {"reward_mean": "0.5~0.02*40 0.9~0.02*40 0.1~0.02*40"}
    first = replace(example({"reward_mean": "0.5~0.02*3"}), notes=("of the log",))
    second = replace(example(collapse, went_back=(2, 0)), segment=2, notes=("of the log",))
    alone = diagnose(second)
    report = diagnose([first, second])
    assert report.segments == 2
    assert {f.code for f in alone.findings} >= {"LOG001", "RWD002"}
    assert report.findings == alone.findings
    assert {f.segment for f in report.findings} == {2}
    assert report.notes == ("of the log",)
    assert "RWD002" not in {s.code for s in report.skips}  # too short to be judged in the first, judged in the second
    assert {s.code for s in report.skips} == {s.code for s in alone.skips}
    assert [f.severity for f in report.findings] == sorted((f.severity for f in report.findings), reverse=True)


def test_what_no_segment_could_judge_is_told_of_the_longest():
    longest = example({"reward_mean": "0.5*40", "kl.reference.k3.token": "0*40"})
    for report in (diagnose([longest, replace(SHORT, segment=2)]), diagnose([SHORT, replace(longest, segment=2)])):
        assert "not measured" in {s.code: s.reason for s in report.skips}["KL001"]


def test_settings_are_judged_once_in_a_log_of_several_segments():
    run = replace(example({"reward_mean": "0.5*3"}), settings={"num_generations": 8, "batch_size": 60})
    report = diagnose([run, replace(run, segment=2, went_back=(2, 0))])
    assert [f.code for f in report.findings] == ["CFG001", "LOG001"]


def test_that_the_steps_went_on_is_no_check_of_a_run():
    report = diagnose(example({"reward_mean": "0.5*3"}))  # too short for any other rule
    assert len(report.skips) == report.rules - 1
    assert not report.judged
    assert diagnose(example({"grad_norm": "1*3"})).judged
    assert diagnose(example({"reward_mean": "0.5*3"}, went_back=(3, 0))).judged  # it found something


def test_a_long_run_is_checked_every_few_steps_and_says_the_same():
    checks: list[int] = []

    def look(run: RunHistory):
        """A level of 1 and more."""
        grad = run["grad_norm"]
        checks.append(int(grad.steps[-1]))
        yield Alarm(Severity.INFO, grad.steps, grad.values >= 1, lambda i: Told("high", int(grad.steps[i]), ()))

    watch = Watch(rules={"TST001": _rule(look)})
    for step in range(9_500):
        watch.add(step, {"grad_norm": float(step == 9_490)})
    watch.close()
    assert [(f.code, f.raised_at) for f in watch.raised] == [("TST001", 9_490)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(checks)]
    assert gaps[:90] == [1] * 90
    assert max(gaps) == gaps[-2] == 8


@pytest.mark.parametrize("at", range(9_480, 9_488))
def test_of_several_steps_checked_at_once_the_first_is_seen_as_far_back_as_the_last(at: int):
    def look(run: RunHistory):
        """A level of 1 three points ago."""
        grad = run["grad_norm"]
        yield Alarm(Severity.INFO, grad.steps, lagged(grad.values, 3) >= 1, lambda i: Told("", int(grad.steps[i]), ()))

    watch = Watch(rules={"TST001": _rule(look, lookback=3)})
    watch.load(example({"grad_norm": "0*9400"}))
    for step in range(9_400, 9_500):
        watch.add(step, {"grad_norm": float(step == at)})
    watch.close()
    assert [f.raised_at for f in watch.raised] == [at + 3]


def test_beside_a_rare_metric_a_watch_sees_as_far_back_as_that_reaches():
    seen: list[list[int]] = []

    def look(run: RunHistory):
        """Remembers what it was shown."""
        seen.append(run["grad_norm"].steps.tolist())
        return ()

    both = rule("TST001", Severity.FATAL, needs=["grad_norm", "eval_reward"], fires=[], quiet=[], lookback=3)(look)
    watch = Watch(rules={"TST001": both})
    for step in range(52):
        watch.add(step, {"grad_norm": 0.0} | ({} if step % 10 else {"eval_reward": 0.0}))
    watch.close()
    assert seen[-2:] == [[*range(10, 51)], [48, 49, 50, 51]]  # five of the rare one; four by itself at the end
