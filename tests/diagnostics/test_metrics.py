import math
import tomllib
from pathlib import Path

import pytest

import diagnostics
from diagnostics.metrics import (
    Against,
    Aggregation,
    Estimator,
    Group,
    Kind,
    is_metric,
    knobs,
    metric_of,
    metrics,
    settings,
)

FOLDER = Path(diagnostics.__file__).parent


@pytest.mark.parametrize("name", metrics())
def test_a_name_spells_its_identity_in_the_one_order(name):
    metric = metrics()[name]
    assert metric.name == name
    kinds = [
        0 if part in tuple(Against) else 1 if part in tuple(Estimator) else 2 if part in tuple(Aggregation) else -1
        for part in name.split(".")[1:]
    ]
    assert -1 not in kinds, "a part is neither policy, estimator nor aggregation"
    assert kinds == sorted(set(kinds)), "a part is out of order, or there twice"


def test_no_definition_in_the_file_is_lost():
    """Two tables that spell the same identity would hide one another."""

    def definitions(table):
        return sum(("definition" in t) + definitions(t) for t in table.values() if isinstance(t, dict))

    assert len(metrics()) == definitions(tomllib.loads((FOLDER / "metrics.toml").read_text()))


@pytest.mark.parametrize("name", metrics())
def test_a_metric_is_defined(name):
    metric = metrics()[name]
    assert metric.definition.endswith(".") or metric.definition.endswith(")")
    assert metric.unit
    low, high = metric.range
    assert low < high


@pytest.mark.parametrize("name", [name for name in metrics() if metrics()[name].unit == "share"])
def test_a_share_lies_between_0_and_1(name):
    assert metrics()[name].range == (0, 1)


@pytest.mark.parametrize("name", [name for name in metrics() if metrics()[name].quantity == "kl"])
def test_a_divergence_says_against_what_and_how_it_is_estimated_and_aggregated(name):
    metric = metrics()[name]
    assert metric.against is not None
    assert metric.estimator is not None
    assert metric.aggregation is not None or metric.estimator is Estimator.UNKNOWN
    never_negative = metric.estimator in (Estimator.K2, Estimator.K3, Estimator.EXACT)
    assert metric.range == ((0 if never_negative else -math.inf), math.inf)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("reward_mean", True),
        ("kl.reference.k3.token", True),
        ("reward_component_mean[format]", True),
        ("reward_component_mean[a[b]]", True),
        ("reward_component_mean", False),
        ("reward_component_mean[]", False),
        ("reward_component_mean[format", False),
        ("reward_mean[format]", False),
        ("kl", False),
        ("kl.reference.k3", False),
        ("", False),
    ],
)
def test_is_metric(name, known):
    assert is_metric(name) is known


def test_the_five_knobs_of_the_mission_are_knobs():
    assert {"learning_rate", "kl_coef", "update_epochs", "temperature", "num_generations"} <= set(knobs())
    assert "seed" not in knobs()


@pytest.mark.parametrize("name", settings())
def test_a_setting_is_defined(name):
    setting = settings()[name]
    assert setting.definition.endswith(".")
    assert setting.range[0] < setting.range[1]
    assert (setting.kind is Kind.CHOICE) == bool(setting.choices)
    assert setting.kind in (Kind.NUMBER, Kind.INTEGER) or setting.range == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("name", "kind", "choice"),
    [
        ("learning_rate", Kind.NUMBER, None),
        ("update_epochs", Kind.INTEGER, None),
        ("num_generations", Kind.INTEGER, None),
        ("seed", Kind.INTEGER, None),
        ("loss_type", Kind.CHOICE, "dr_grpo"),
        ("scale_rewards", Kind.CHOICE, "batch"),
        ("precision", Kind.CHOICE, "bf16"),
        ("peft", Kind.FLAG, None),
    ],
)
def test_what_a_setting_holds(name, kind, choice):
    assert settings()[name].kind is kind
    assert choice is None or choice in settings()[name].choices


def test_each_quantity_is_told_in_one_group():
    loaded = tomllib.loads((FOLDER / "metrics.toml").read_text(encoding="utf-8"))
    told = [name for names in loaded["groups"].values() for name in names]
    assert sorted(told) == sorted({metric.quantity for metric in metrics().values()})
    assert tuple(loaded["groups"]) == tuple(Group)
    assert metrics()["kl.reference.k3.token"].group is Group.KL
    assert metric_of("reward_component_mean[format]") is metrics()["reward_component_mean"]
    assert metric_of("my_own_score") is None
