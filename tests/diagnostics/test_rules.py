"""Every rule and every lint keeps its contract: page, thresholds, examples, findings that survive JSON."""

import importlib
import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from diagnostics.engine import diagnose, rises
from diagnostics.examples import growing
from diagnostics.finding import (
    Add,
    Confidence,
    Direction,
    Finding,
    Safety,
    Scale,
    Set,
    finding_from_json,
    finding_to_json,
)
from diagnostics.judging import linted
from diagnostics.metrics import is_metric, knobs, settings
from diagnostics.rule import HEADINGS, Lint, NotApplicable, Rule, all_lints, all_rules
from diagnostics.series import RunHistory, example

RULES = list(all_rules().values())
LINTS = list(all_lints().values())
BOTH: list[Rule | Lint] = [*RULES, *LINTS]

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda r: r.code)
each_lint = pytest.mark.parametrize("lint", LINTS, ids=lambda r: r.code)
each = pytest.mark.parametrize("rule", BOTH, ids=lambda r: r.code)


def raised(rule: Rule, run: RunHistory, **thresholds: Any) -> str:
    try:
        return " ".join(f"{f.severity.name.lower()}@{f.raised_at}" for f in rises(rule, run, **thresholds))
    except NotApplicable:
        return ""


def outcome(rule: Rule | Lint, **thresholds: Any) -> list[str]:
    """What the rule says of each of its examples."""
    if isinstance(rule, Lint):
        return [str(len(list(rule.check(s, **thresholds)))) for s in (*rule.fires, *rule.quiet)]
    return [raised(rule, run, **thresholds) for run in (*(c.run for c in rule.fires), *rule.quiet)]


def changed(value: float) -> Iterator[tuple[str, float]]:
    if isinstance(value, int):
        yield "down", min(value - 1, round(value * 0.75))
        yield "up", max(value + 1, round(value * 1.25))
    else:
        yield "down", value * 0.75
        yield "up", value * 1.25


# ---- examples


@pytest.mark.parametrize(
    ("rule", "case"), [(r, c) for r in RULES for c in r.fires], ids=lambda x: getattr(x, "code", "")
)
def test_fires_exactly_so(rule, case):
    assert raised(rule, case.run) == case.raises


@pytest.mark.parametrize(
    ("rule", "run"), [(r, q) for r in RULES for q in r.quiet], ids=lambda x: getattr(x, "code", "")
)
def test_stays_quiet(rule, run):
    assert raised(rule, run) == ""


@each_lint
def test_lint_examples(lint):
    assert all(list(lint.check(s)) for s in lint.fires)
    assert not any(list(lint.check(s)) for s in lint.quiet)
    assert not any(lint.missing(s) for s in (*lint.fires, *lint.quiet))


@each
def test_has_examples(rule):
    assert len(rule.fires) >= 1
    assert len(rule.quiet) >= 2


@pytest.mark.parametrize(
    ("rule", "name", "direction", "value"),
    [(r, n, d, v) for r in BOTH for n, default in r.thresholds.items() for d, v in changed(default)],
    ids=lambda x: getattr(x, "code", x),
)
def test_threshold_matters_in_both_directions(rule, name, direction, value):
    """A threshold that may change by a quarter and change no example is not tested, or not needed."""
    assert outcome(rule, **{name: value}) != outcome(rule), (
        f"{rule.code}: {name} = {value:g} raises on every example what {rule.thresholds[name]:g} raises: "
        "add an example between the two"
    )


@pytest.mark.parametrize(
    ("rule", "run"),
    [(r, e) for r in RULES for e in (*(c.run for c in r.fires), *r.quiet)],
    ids=lambda x: getattr(x, "code", ""),
)
def test_an_example_that_grows_is_told_as_the_finished_one(rule, run):
    """A growing run shows the first `warmup` and the last `lookback` points: these must be what the rule looks at."""
    assert growing(rule, run) == raised(rule, run), (
        f"{rule.code} looks at more than its warmup and lookback, or at points to come"
    )


# ---- the page


@each
def test_page_has_the_headings_in_order(rule):
    assert tuple(line[3:] for line in rule.page.splitlines() if line.startswith("## ")) == HEADINGS
    sections = rule.page.split("\n## ")
    assert sections[0].strip()
    assert all(section.partition("\n")[2].strip() for section in sections[1:])


@each
def test_references_name_the_source_of_every_threshold(rule):
    references = rule.page.split("## References")[1]
    assert [n for n in rule.thresholds if f"`{n}`" not in references] == []


@each
def test_references_quote_the_defaults(rule):
    references = rule.page.split("## References")[1]
    quoted = {name: float(number) for name, number in re.findall(r"`(\w+)` = ([\d.e+-]*\d)", references)}
    assert quoted == rule.thresholds


# ---- identity


@each
def test_file_function_and_name_are_one(rule):
    folder = "rules" if isinstance(rule, Rule) else "lint"
    module = importlib.import_module(f"diagnostics.{folder}.{rule.name}")
    assert getattr(module, rule.name) is rule
    assert module.__doc__
    assert module.__doc__.startswith(f"{rule.code}: ")


@each_rule
def test_metrics_are_canonical(rule):
    assert [m for m in rule.metrics if not is_metric(m) and not is_metric(f"{m}[any]")] == []  # a family by its name


@each_lint
def test_settings_are_canonical(lint):
    assert set(lint.needs) <= set(settings())


# ---- what findings say


def findings(rule: Rule | Lint) -> list[Finding]:
    if isinstance(rule, Rule):
        return [f for case in rule.fires for f in rises(rule, case.run)]
    return [f for settings in rule.fires for f in linted(RunHistory({}, settings=settings), [rule])[0]]


@each
def test_findings_survive_json(rule):
    for finding in findings(rule):
        assert finding_from_json(json.loads(json.dumps(finding_to_json(finding), allow_nan=False))) == finding


@each
def test_findings_are_consistent(rule):
    assert findings(rule)
    for finding in findings(rule):
        assert finding.severity <= rule.severity
        assert finding.first_step <= finding.raised_at <= finding.last_step
        # What a framework refuses is a sentence, and no number.
        assert finding.evidence or (isinstance(rule, Lint) and rule.ahead)
        for evidence in finding.evidence:
            assert math.isfinite(evidence.value)
            assert math.isfinite(evidence.limit)
            assert evidence.first_step <= evidence.last_step <= finding.raised_at
        assert rule.code == "NUM001" or "nan" not in finding.message


@each
def test_prescriptions_name_knobs_and_metrics(rule):
    for finding in findings(rule):
        for prescription in finding.prescriptions:
            hypothesis = prescription.hypothesis
            assert prescription.knob in knobs()
            assert is_metric(hypothesis.metric)
            assert 0 < hypothesis.by <= 1
            assert hypothesis.amount >= 0
            assert hypothesis.because


@each
def test_every_finding_says_what_to_do(rule):
    """At every severity: a change to a knob with all that its hypothesis needs, or a sentence that can be acted on."""
    for finding in findings(rule):
        assert finding.prescriptions or finding.advice, finding.message
        for prescription in finding.prescriptions:
            assert isinstance(prescription.change, Scale | Set | Add)
            assert isinstance(prescription.safety, Safety)
            assert isinstance(prescription.hypothesis.direction, Direction)
            assert math.isfinite(prescription.hypothesis.amount)
            assert len(prescription.hypothesis.because.split()) >= 3
        for sentence in finding.advice:
            assert sentence[0].isupper(), sentence
            assert len(sentence.split()) >= 4, sentence


@each
def test_a_finding_of_low_confidence_names_the_metric_that_would_settle_it(rule):
    for finding in findings(rule):
        if finding.confidence is Confidence.LOW:
            words = re.findall(r"[a-z_][\w.]*\w", " ".join(finding.advice))
            assert any(is_metric(word) or is_metric(f"{word}[any]") for word in words), finding.message


def test_the_highest_severity_is_declared_and_reached():
    for rule in RULES:
        assert max(f.severity for f in findings(rule)) == rule.severity, rule.code


def test_codes_and_names_are_unique():
    assert len({r.name for r in BOTH}) == len({r.code for r in BOTH}) == len(BOTH)


# ---- learning curves


@pytest.mark.parametrize(("rate", "seed"), list(itertools.product((0.0, 0.0045, 0.008), range(20))))
def test_arithmetic_learning_curves(rate, seed):
    """A reward from -0.33 with the noise of 128 completions: flat is reported by step 100, learning is not."""
    run = example(
        {"reward_mean": f"-0.33+{rate}~0.1*{100 + seed}", "reward_best_of_n": f"0.85~0.08*{100 + seed}"},
        reward_bounds=(-1, 1),
    )
    loud = {f.code for f in diagnose(run.upto(99)).findings}
    assert ("RWD004" in loud) == (rate == 0.0)
    assert not loud & {"RWD002", "RWD003"}


def test_a_fall_at_once_is_told_from_where_it_fell():
    """Also where the reward had only just climbed there, so that fifty points ago it was lower than it is now."""
    run = example({"reward_mean": "0.1~0.02*120 0.1+0.02~0.02*40 0.9~0.02*10 0.6~0.02*25"})
    (told,) = (f for f in diagnose(run).raised if f.code == "RWD003")
    assert told.message == "the reward fell at once from 0.803 to 0.607 between steps 151 and 180"
    assert told.evidence[0].value > told.evidence[0].limit
    assert told.prescriptions[0].hypothesis.amount > 0
