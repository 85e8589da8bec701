"""Faults planted in healthy runs are found, and healthy runs are left in peace; `table_planted.py` has it in full."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator

import numpy as np
import planted
import pytest
import table_planted as table
from planted import FAULTS, KL_TOKEN, Shape, Toward

from diagnostics.metrics import metrics
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.stats import noise
from diagnostics.vocabulary import frameworks, vocabulary

RUNS, HEALTHY, HARD = 6, 140, 2  # of each fault, of healthy ones, and of each source with its hard cases
BY_NAME = {fault.name: i for i, fault in enumerate(FAULTS)}


def made(source: str = "good-0", length: int = 600, seed: int = 0) -> RunHistory:
    return planted.healthy(table.recorded(source)[0], length, seed)


def change(name: str, metric: str, strength: float, source: str = "good-0") -> np.ndarray:
    """By how much a fault changes `metric` at each row, from the row of its onset on."""
    run = made(source)
    return (planted.plant(run, FAULTS[BY_NAME[name]], 400, strength)[metric].values - run[metric].values)[400:]


# ---- what the rules say


def sources(fault: int) -> list[str]:
    of = table.PPO if FAULTS[fault].ppo else table.GRPO + table.PPO
    return [source for source in of if table.can_have(FAULTS[fault], source)]


def test_faults_are_found_and_soon() -> None:
    jobs = [
        table.Job(sources(i)[seed % len(sources(i))], seed, i, table.AT)
        for i in range(len(FAULTS))
        for seed in range(RUNS)
    ]
    delays = {job: table.delay(table.judged(job)[0]) for job in jobs}
    found = [delay for delay in delays.values() if delay is not None]
    missed = [f"{FAULTS[job.fault].name} in {job.source}" for job, delay in delays.items() if delay is None]
    assert len(found) >= 0.95 * len(jobs), missed
    assert statistics.median(found) <= 20


def test_healthy_runs_are_left_in_peace() -> None:
    """Of so many runs no more have a false alarm than 1 % of all could by chance, at 99 %."""
    jobs = [
        table.Job(source, seed, length=table.HEALTHY)
        for source, seed in zip(every_source(), range(HEALTHY), strict=False)
    ]
    said = [(job.source, job.seed, outcome.said) for job in jobs for outcome in table.judged(job) if outcome.said]
    assert len(said) <= most_by_chance(HEALTHY, 0.01), said


def every_source() -> Iterator[str]:
    return itertools.cycle(table.GRPO + table.PPO)


def most_by_chance(runs: int, rate: float) -> int:
    """The fewest that more than which happen in less than 1 % of samples of so many runs."""
    chance, most = 0.0, -1
    while chance < 0.99:
        most += 1
        chance += math.comb(runs, most) * rate**most * (1 - rate) ** (runs - most)
    return most


def test_as_many_false_alarms_as_chance_has() -> None:
    assert most_by_chance(100, 0.01) == 4  # 0.37 + 0.37 + 0.18 + 0.06 + 0.01 = 0.997
    assert most_by_chance(1, 0.01) == 0


def test_what_looks_ill_and_is_not_is_left_in_peace() -> None:
    jobs = [table.Job(s, seed, length=500, hard=True) for s in table.GRPO + table.PPO for seed in range(HARD)]
    outcomes = [outcome for job in jobs for outcome in table.judged(job)]
    assert len({outcome.name for outcome in outcomes}) == 8
    said = [(o.name, o.job.source, o.said) for o in outcomes if o.said]
    assert len(said) <= most_by_chance(len(outcomes), 0.01), said


# ---- healthy runs


@pytest.mark.parametrize("source", table.GRPO + table.PPO)
def test_a_made_run_ends_as_the_recorded_one_did(source: str) -> None:
    recorded, run = table.recorded(source)[0], made(source, 1_200)
    assert [len(run["grad_norm"]), run.settings["max_steps"], run.last_step] == [1_200] * 3
    for name in ("reward_mean", "grad_norm", "entropy.token", "completion_length_mean", KL_TOKEN[0]):
        then, now = recorded[name].values[-25:], run[name].values[-400:]
        assert abs(np.mean(now) - np.mean(then)) < np.std(then), name
        assert 0.5 < noise(now) / noise(then) < 2.0, name


def test_a_made_run_learns_at_first_and_then_hardly_moves() -> None:
    tenths = made("query-slow", 1_000)["reward_mean"].values.reshape(10, 100).mean(axis=1)
    assert tenths[3] - tenths[0] > 3 * abs(tenths[9] - tenths[6])
    assert (np.diff(tenths) > -0.02).all()


def test_metrics_of_a_row_stay_together() -> None:
    recorded, run = table.recorded("good-0")[0], made()
    pair = ("policy_loss.token", "total_loss")
    then, now = (np.corrcoef([h[name].values[-50:] for name in pair])[0, 1] for h in (recorded, run))
    assert abs(then - now) < 0.15


def test_rows_are_drawn_from_all_around_at_the_end_too() -> None:
    place = np.full(2_000, 99.0)
    rows = planted._taken(place, 100, np.random.default_rng(0))
    assert (rows[1::10] == rows[::10] + 1).all()  # blocks
    assert rows.min() >= 40
    assert rows.max() <= 99
    assert np.bincount(rows).max() < 3 * np.bincount(rows)[45:].mean()


def test_made_runs_differ_by_their_seed_alone() -> None:
    again, other = made(seed=1), made(seed=2)
    np.testing.assert_array_equal(made(seed=1)["reward_mean"].values, again["reward_mean"].values)
    assert not np.array_equal(other["reward_mean"].values, again["reward_mean"].values)


def test_a_log_with_a_row_every_few_steps() -> None:
    thin = planted.every(made(length=100), 10)
    assert thin["reward_mean"].steps.tolist() == list(range(10, 101, 10))
    assert thin["reward_mean"].values[0] == made(length=100)["reward_mean"].values[9]


# ---- faults


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_changes_before_the_onset_and_nothing_but_the_fault_after_it(fault: planted.Fault) -> None:
    run = made(sources(FAULTS.index(fault))[0])
    ill = planted.plant(run, fault, 400, 6)
    changed = {name for change in fault.changes for name in planted.named(change)} & set(ill.series)
    sums = {planted.summed(name) for name in changed if name.startswith("kl.reference")} & set(run.series)
    assert {name for name in run.series if ill[name] is not run[name]} == changed | sums
    for name in changed:
        early = ill[name].steps <= 400
        np.testing.assert_array_equal(ill[name].values[early], run[name].values[early])
        assert not np.array_equal(ill[name].values[~early], run[name].values[~early])
        low, high = metrics()[name].range
        assert (ill[name].values >= low).all() and (ill[name].values <= high).all()


def test_a_fault_is_as_strong_as_declared() -> None:
    unit = noise(made()["reward_mean"].values[300:400])
    assert change("the reward falls at once", "reward_mean", 2)[:6] / unit == pytest.approx(
        [-0.4, -0.8, -1.2, -1.6, -2, -2]
    )
    assert change("the reward declines", "reward_mean", 2)[[0, 24, 49, 100]] / unit == pytest.approx(
        [-0.04, -1, -2, -2]
    )
    assert change("the reward swings", "reward_mean", 2)[[0, 10, 30]] / unit == pytest.approx([0, 2, -2], abs=1e-9)
    assert change("groups agree", "zero_std_share", 3)[10:12] == pytest.approx([0.3, 0.3], abs=0.31)
    grad = made()["grad_norm"].values[300:400]
    spikes = change("the gradient spikes", "grad_norm", 5)[:40] / np.median(grad)
    assert spikes[[0, 2, 3, 9, 10, 22, 23, 30]] == pytest.approx([10, 10, 0, 0, 10, 10, 0, 0])


def test_a_negative_kl_is_so_far_below_zero_whatever_it_was_before() -> None:
    for source in (*table.GRPO, *table.PPO):
        run = made(source)
        ill = planted.plant(run, FAULTS[BY_NAME["KL is negative"]], 400, 6)["kl.reference.k1.sequence"].values
        well = run["kl.reference.k1.sequence"].values
        drift = np.mean(well[410:]) - np.mean(well[300:400])  # it goes on as it would have gone, from there
        assert np.mean(ill[410:]) - drift == pytest.approx(-1.2, abs=0.01)
        assert np.std(ill[410:]) > 0.05


def test_a_critic_loses_by_what_the_returns_are() -> None:
    ppo = table.PPO[0]
    reward = float(np.mean(made(ppo)["reward_mean"].values[300:400]))
    assert change("the critic is lost", "value_loss", 5, ppo)[60] == pytest.approx(10 * reward**2)
    explained = made(ppo)["explained_variance"].values[300:400]
    assert change("the value loss diverges", "explained_variance", 2, ppo)[60] == pytest.approx(
        -2 * (1 - np.median(explained))
    )


def test_a_metric_goes_to_its_target_and_by_six_units_is_there() -> None:
    run = made()
    for strength, part in ((3, 0.5), (6, 1.0), (12, 1.0)):
        ill = planted.plant(run, FAULTS[BY_NAME["the gradient dies"]], 400, strength)
        assert ill["grad_norm"].values[404:] == pytest.approx((1 - part) * run["grad_norm"].values[404:])


def test_a_sum_over_a_completion_moves_with_its_mean_over_tokens() -> None:
    length = made()["completion_length_mean"].values[400:]
    moved = change("KL explodes", "kl.reference.k3.sequence", 5)
    assert moved[4:] == pytest.approx(0.5 * length[4:])


def test_a_fault_comes_on_in_rows_of_the_log() -> None:
    run = planted.every(made(length=6_000), 10)
    moved = planted.plant(run, FAULTS[BY_NAME["the reward falls at once"]], 400, 2)
    fell = moved["reward_mean"].values - run["reward_mean"].values
    assert np.flatnonzero(fell)[0] == 400
    assert fell[[400, 402, 404]] / fell[410] == pytest.approx([0.2, 0.6, 1.0])


# ---- under the names of frameworks


@pytest.mark.parametrize("framework", frameworks())
def test_a_run_has_only_what_a_framework_logs(framework: str) -> None:
    known = {entry.means for entry in vocabulary(framework).metrics}
    logged = planted.as_logged(made(table.PPO[0]), framework)
    assert {name.partition("[")[0] for name in logged.series} <= known
    assert len(logged.series) >= 3


def test_a_framework_logs_the_same_quantity_in_its_own_way() -> None:
    run = made()
    kl, length = run["kl.reference.k3.token"], run["completion_length_mean"]
    logged = planted.as_logged(run, "verl")
    np.testing.assert_array_equal(logged["kl.reference.unknown.token"].values, kl.values)
    np.testing.assert_array_equal(logged["entropy"].values, run["entropy.token"].values)
    summed = planted.as_logged(run, "trlx")["kl.reference.unknown.sequence"]
    np.testing.assert_allclose(summed.values, kl.values * length.values)
    own = planted.as_logged(run, "trl-ppo")["kl.reference.k1.sequence"]
    assert own is not None
    np.testing.assert_array_equal(own.values, run["kl.reference.k1.sequence"].values)


def test_a_fault_that_a_framework_does_not_log_is_not_asked_of_it() -> None:
    def shown(name: str, framework: str, source: str = "good-0") -> bool:
        return table.can_have(FAULTS[BY_NAME[name]], source, framework)

    assert shown("KL explodes", "trl-ppo")
    assert not shown("KL explodes", "transformers")
    assert shown("entropy collapses", "plain")
    assert not shown("KL is negative", "trl-grpo")  # it logs k3, which is never below zero
    assert not shown("the value loss spikes", "verl")  # a run without a critic
    ppo = table.PPO[0]
    assert shown("old-to-new KL spikes", "trlx", ppo)
    assert not shown("old-to-new KL spikes", "plain", ppo)  # which does not say whether it is a sum
    assert not shown("the updates are clipped", "cleanrl", ppo)  # of actions


def test_the_shapes_begin_at_their_onset() -> None:
    t = np.arange(60.0)
    assert {shape: planted.SHAPES[shape](t)[5] for shape in Shape if shape is not Shape.SPIKES} == pytest.approx(
        {Shape.STEP: 1, Shape.RAMP: 0.12, Shape.WAVE: math.sin(math.pi / 4)}
    )
    assert planted.SHAPES[Shape.SPIKES](t).sum() == 9


def test_toward_keeps_a_range() -> None:
    shrunk = planted.plant(made(), FAULTS[BY_NAME["completions shrink"]], 400, 6)["completion_length_mean"]
    assert isinstance(FAULTS[BY_NAME["completions shrink"]].changes[0], Toward)
    assert shrunk.values[404:] == pytest.approx(np.ones(196))
    assert isinstance(shrunk, MetricSeries)
