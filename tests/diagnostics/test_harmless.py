"""What looks wrong and is not: told with a run's numbers, not where it is wrong, and never against a finding."""

from dataclasses import asdict
from pathlib import Path

import pytest

from diagnostics.cause import Explained
from diagnostics.engine import diagnose
from diagnostics.explaining import HEADINGS, all_harmless, explained
from diagnostics.finding import Confidence, Finding, Severity
from diagnostics.readers import events
from diagnostics.rule import all_lints, all_rules
from diagnostics.series import RunHistory, example

RUNS = Path(__file__).parents[1] / "data" / "runs"
CATALOGUE = {*all_rules(), *all_lints()}
THINGS = list(all_harmless().values())

LOSS, TOTAL, ZERO_STD, REWARD = "policy_loss.token", "total_loss", "zero_std_share", "reward_mean"
K1, K3, PPO_KL = "kl.reference.k1.token", "kl.reference.k3.token", "kl.rollout.k1.token"
ENTROPY, CRITIC, CLIPPED = "entropy.token", "explained_variance", "clip_fraction.token"
RISES, FLAT, FALLS = "0.2+0.01~0.03*80", "0.4~0.03*80", "0.6-0.005~0.03*80"
TOP = (0.0, 1.0)

LOOKS_WRONG = {
    "policy_loss_near_zero": example({LOSS: "0~0.02*60", ZERO_STD: "0.1*60"}),
    "policy_loss_rising": example({TOTAL: "0+0.001~0.003*80", REWARD: RISES}),
    "negative_kl_noise": example({K1: "0.001~0.002*20 0.02~0.002*40"}),
    "rollout_kl_below_zero": example({PPO_KL: "0.0002~0.001*60"}),
    "isolated_kl_spikes": example({K3: "0.1~0.01*30 7 0.1~0.01*40"}),
    "entropy_decline": example({ENTROPY: "1.5-0.008~0.02*80", REWARD: RISES}),
    "critic_warm_up": example({CRITIC: "-0.5*5 -0.1*10 0.2*10 0.6*40"}),
    "saturation": example({REWARD: "0.3+0.02*34 0.98~0.005*40"}, reward_bounds=TOP),
    "nothing_clipped": example({CLIPPED: "0*40"}),
}
# What resembles it and is wrong, or is not there at all.
IS_WRONG: list[tuple[str, RunHistory]] = [
    ("policy_loss_near_zero", example({LOSS: "0.4~0.02*60", ZERO_STD: "0.1*60"})),
    ("policy_loss_near_zero", example({LOSS: "0~0.02*60", ZERO_STD: "0.1*60", "value_loss": "0.3*60"})),  # PPO
    ("policy_loss_near_zero", example({LOSS: "0~0.02*60"})),  # whether there are groups is not known
    ("policy_loss_near_zero", example({LOSS: "0*5", ZERO_STD: "0.1*60"})),
    ("policy_loss_rising", example({TOTAL: "0+0.001~0.003*80", REWARD: FALLS})),
    ("policy_loss_rising", example({TOTAL: "0~0.02*80", REWARD: RISES})),
    ("policy_loss_rising", example({TOTAL: "0+0.001~0.003*80", REWARD: RISES, "value_loss": "0+0.001*80"})),
    ("negative_kl_noise", example({K1: "-0.02~0.002*60"})),
    ("negative_kl_noise", example({K1: "0.05~0.002*60"})),  # nothing below zero
    ("rollout_kl_below_zero", example({PPO_KL: "0.1~0.2*60"})),
    ("rollout_kl_below_zero", example({PPO_KL: "0.005~0.0002*60"})),
    ("isolated_kl_spikes", example({K3: "0.1~0.01*30 7 6 5 4 3 2 1 0.1~0.01*30"})),  # it stays
    ("isolated_kl_spikes", example({K3: "0.1~0.01*60 7"})),  # the last point: it is not known what follows
    ("isolated_kl_spikes", example({K3: "0.1*3 7 " * 15})),  # so often that it is no exception
    ("isolated_kl_spikes", example({K3: "0*60 0.1 0*60"})),  # not measured
    ("entropy_decline", example({ENTROPY: "1.5-0.008~0.02*80", REWARD: FLAT})),
    ("entropy_decline", example({ENTROPY: "1.5~0.02*80", REWARD: RISES})),
    ("critic_warm_up", example({CRITIC: "-0.5~0.01*60"})),
    ("critic_warm_up", example({CRITIC: "0.5~0.01*60"})),
    ("saturation", example({REWARD: "0.5~0.01*80"}, reward_bounds=TOP)),
    ("saturation", example({REWARD: "0.98~0.01*80"})),  # its range is not known
    ("nothing_clipped", example({CLIPPED: "0*20 0.01 0*20"})),
    ("nothing_clipped", example({CLIPPED: "0*5"})),
]


def names(run: RunHistory, *codes: str) -> list[str]:
    findings = [Finding(c, c, Severity.INFO, Confidence.HIGH, 1, 2, 2, "", ()) for c in codes]
    return [told.name for told in explained(findings, run)]


def test_each_thing_has_a_run_in_which_it_looks_wrong_and_one_in_which_it_is():
    assert {thing.name for thing in THINGS} == set(LOOKS_WRONG) == {name for name, _ in IS_WRONG}


@pytest.mark.parametrize("name", LOOKS_WRONG)
def test_it_is_explained_with_numbers_of_the_run(name: str):
    told = {one.name: one for one in explained((), LOOKS_WRONG[name])}[name]
    assert any(letter.isdigit() for letter in told.text) and told.text.endswith(".")
    assert told.metric in LOOKS_WRONG[name].series and told.metric in told.text
    assert 0 <= told.first_step <= told.last_step <= LOOKS_WRONG[name].last_step
    assert Explained(**asdict(told)) == told


@pytest.mark.parametrize(("name", "run"), IS_WRONG)
def test_it_is_not_explained_away_where_it_is_wrong(name: str, run: RunHistory):
    assert name not in names(run)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.name)
def test_a_finding_that_says_otherwise_silences_it(thing):
    run = LOOKS_WRONG[thing.name]
    assert thing.name in names(run)
    assert all(thing.name not in names(run, code) for code in thing.unless)


@pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.name)
def test_it_has_its_page_and_knows_the_codes_that_it_names(thing):
    lines = thing.page.splitlines()
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == list(HEADINGS)
    assert thing.unless and thing.unless <= CATALOGUE
    assert thing.title[0].isupper() and not thing.title.endswith(".")


def test_a_spike_is_told_with_its_step_and_how_many_there_are():
    run = example({K3: "0.1*30 7 0.1*20 3 0.1*40"})
    (told,) = explained((), run)
    assert "2 single points, 7 at step 30" in told.text and (told.first_step, told.last_step) == (30, 51)
    (alone,) = explained((), LOOKS_WRONG["isolated_kl_spikes"])
    assert "at one point, 7 at step 30" in alone.text


def test_nan_and_infinities_are_no_numbers_of_a_run():
    run = example({K1: "nan inf 0.001~0.002*20 0.02~0.002*40 -inf", ENTROPY: "nan*80", REWARD: "nan*80"})
    (told,) = explained((), run)
    assert told.name == "negative_kl_noise" and "nan" not in told.text and "inf" not in told.text


@pytest.mark.parametrize(
    ("name", "things"),
    [
        ("good-0", {"policy_loss_near_zero", "nothing_clipped"}),
        ("good-fast", {"policy_loss_near_zero", "entropy_decline"}),
        ("query-good-0", {"saturation"}),
    ],
)
def test_healthy_runs_of_ours_have_things_that_look_wrong(name: str, things: set[str]):
    report = diagnose(events.read(RUNS / name))
    assert things <= {told.name for told in report.explained}
    assert not report.causes
