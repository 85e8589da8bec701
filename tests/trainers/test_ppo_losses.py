"""PPO's formulas against numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from diagnostics.metrics import is_metric
from trainers import losses, measure_ppo
from trainers.kl_controller import KLController
from trainers.measure import averages, loss_sums

NAN = math.nan
LOG2 = math.log(2)


def alone(sums: Tensor) -> Tensor:
    """The sum over the processes, where there is one."""
    return sums


def rows(tensor: Tensor) -> list[object]:
    return [pytest.approx(row, abs=1e-6) for row in tensor.tolist()]


def test_the_absolute_kl() -> None:
    policy, other = torch.tensor([[0.5, 0.2, 0.3]]).log(), torch.tensor([[0.25, 0.4, 0.3]]).log()
    assert rows(losses.kl_abs(policy, other)) == [[LOG2, LOG2, 0.0]]


@pytest.mark.parametrize(
    ("value", "old", "target", "loss", "binds"),
    [
        (1.0, 0.0, 2.0, 1.8**2 / 2, True),  # towards the target beyond old + 0.2, which is further from it
        (1.0, 0.0, 0.5, 0.5**2 / 2, False),  # what is clipped is nearer, at 0.3: the greater loss counts
        (0.1, 0.0, 1.0, 0.9**2 / 2, False),
        (-1.0, 0.0, -2.0, 1.8**2 / 2, True),
        (1.0, 0.9, 2.0, 1.0**2 / 2, False),  # around the old value, not around 0
        (1.0, 0.5, 2.0, 1.3**2 / 2, True),
    ],
)
def test_clipped_value_loss(value: float, old: float, target: float, loss: float, binds: bool) -> None:
    values = torch.tensor([[value]], requires_grad=True)
    computed = losses.clipped_value_loss(values, torch.tensor([[old]]), torch.tensor([[target]]), 0.2)
    assert computed.item() == pytest.approx(loss)
    computed.sum().backward()
    assert values.grad.item() == pytest.approx(0.0 if binds else value - target)


def test_a_token_earns_its_kl_and_the_last_that_counts_the_score() -> None:
    kl = torch.tensor([[0.1, 0.2, NAN], [0.4, 0.5, 0.6], [0.1, NAN, 0.3], [NAN, NAN, NAN]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 1], [0, 0, 0]])
    earned = losses.token_rewards(torch.tensor([2.0, -1.0, 4.0, 9.0]), kl, mask, 0.5)
    assert rows(earned) == [[-0.05, 1.9, 0.0], [-0.2, -0.25, -1.3], [-0.05, 0.0, 3.85], [0.0, 0.0, 0.0]]


def test_generalized_advantages() -> None:
    # gamma lam = 0.72, from the end:
    # 1 - 0.2 = 0.8; 0.9 0.2 - 0.4 + 0.72 0.8 = 0.356; 0.9 0.4 - 0.5 + 0.72 0.356 = 0.11632
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.4, 0.2]])
    advantages, returns = losses.generalized_advantages(rewards, values, torch.ones(1, 3), 0.9, 0.8)
    assert rows(advantages) == [[0.11632, 0.356, 0.8]]
    assert rows(returns) == [[0.61632, 0.756, 1.0]]


def test_generalized_advantages_step_over_what_does_not_count() -> None:
    rewards = torch.tensor([[0.0, NAN, 1.0, NAN], [NAN, NAN, NAN, NAN]])
    values = torch.tensor([[0.5, NAN, 0.2, NAN], [NAN, NAN, NAN, NAN]])
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0]])
    advantages, returns = losses.generalized_advantages(rewards, values, mask, 0.9, 0.8)
    # The first token's next is the third: 0.9 0.2 - 0.5 + 0.72 0.8 = 0.256
    assert rows(advantages) == [[0.256, 0.0, 0.8, 0.0], [0.0] * 4]
    assert rows(returns) == [[0.756, 0.0, 1.0, 0.0], [0.0] * 4]


def test_without_discount_returns_are_what_is_still_to_come_and_with_lambda_0_the_next_value() -> None:
    rewards, values = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.3, -0.7, 5.0]])
    _, to_come = losses.generalized_advantages(rewards, values, torch.ones(1, 3), 1.0, 1.0)
    assert rows(to_come) == [[7.0, 6.0, 4.0]]
    _, next_value = losses.generalized_advantages(rewards, values, torch.ones(1, 3), 0.5, 0.0)
    assert rows(next_value) == [[1 - 0.35, 2 + 2.5, 4.0]]


def test_moments_over_what_counts_in_all_processes() -> None:
    values, mask = torch.tensor([[1.0, 2.0, NAN], [3.0, NAN, NAN]]), torch.tensor([[1, 1, 0], [1, 0, 0]])
    mean, variance = losses.moments(values, mask, alone)
    assert (mean.item(), variance.item()) == pytest.approx((2.0, 2 / 3))
    # Another process has 4 and 6: all are 1, 2, 3, 4, 6, of mean 3.2 and variance (66 - 5 * 3.2^2) / 5 = 2.96.
    others = iter([torch.tensor([2.0, 10.0]), torch.tensor(0.8**2 + 2.8**2)])
    mean, variance = losses.moments(values, mask, lambda sums: sums + next(others))
    assert (mean.item(), variance.item()) == pytest.approx((3.2, 2.96))
    assert [m.item() for m in losses.moments(values, torch.zeros(2, 3), alone)] == [0.0, 0.0]


def test_a_small_variance_far_from_0_keeps_its_digits() -> None:
    _, variance = losses.moments(torch.tensor([[4096.0, 4096.5]]), torch.ones(1, 2), alone)
    assert variance.item() == 0.0625


def test_whitening() -> None:
    values, mask = torch.tensor([[1.0, 2.0, NAN], [3.0, NAN, NAN]]), torch.tensor([[1, 1, 0], [1, 0, 0]])
    mean, variance = losses.moments(values, mask, alone)
    one = 1.5**0.5  # 1 / std
    assert rows(losses.whiten(values, mask, mean, variance)) == [[-one, 0.0, 0.0], [one, 0.0, 0.0]]
    kept = losses.whiten(values, mask, mean, variance, shift_mean=False)
    assert rows(kept) == [[2 - one, 2.0, 0.0], [2 + one, 0.0, 0.0]]
    same = losses.whiten(torch.ones(1, 2), torch.ones(1, 2), torch.tensor(1.0), torch.tensor(0.0))
    assert same.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("kl", "error", "factor"),
    [
        (6.6, 0.1, 1 + 0.1 * 64 / 1000),
        (6.0, 0.0, 1.0),
        (5.4, -0.1, 1 - 0.1 * 64 / 1000),
        (12.0, 1.0, 1 + 0.2 * 64 / 1000),  # at most 0.2 of it counts
        (-3.0, -1.5, 1 - 0.2 * 64 / 1000),
    ],
)
def test_the_adaptive_controller(kl: float, error: float, factor: float) -> None:
    controller = KLController(0.1, target=6.0, horizon=1000.0)
    assert controller.error(kl) == pytest.approx(error, abs=1e-9)
    controller.update(kl, 64)
    assert controller.coef == pytest.approx(0.1 * factor, rel=1e-12)
    controller.update(kl, 64)
    assert controller.coef == pytest.approx(0.1 * factor**2, rel=1e-12)


def test_without_a_target_the_coefficient_stays() -> None:
    controller = KLController(0.1)
    assert controller.error(100.0) == 0.0
    controller.update(100.0, 64)
    assert controller.coef == 0.1


def rollout(reference: bool = True) -> measure_ppo.Rollout:
    """Three completions of one, two and no tokens that count; what does not count is NaN where it may be."""
    mask = torch.tensor([[1, 0], [1, 1], [0, 0]])
    rewards = torch.tensor([[1.0, 0.0], [-0.5, 2.0], [0.0, 0.0]])
    returns = torch.tensor([[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]])
    values = torch.tensor([[0.5, 0.0], [2.0, 2.0], [0.0, 0.0]])
    return measure_ppo.Rollout(
        mask=mask,
        logps=torch.tensor([[-LOG2, NAN], [-LOG2, -LOG2], [NAN, NAN]]),
        reference=torch.tensor([[-2 * LOG2, NAN], [-LOG2, 0.0], [NAN, NAN]]) if reference else None,
        scores=torch.tensor([1.5, 2.5, NAN]),
        ended=torch.tensor([True, False, True]),
        rewards=rewards,
        values=values,
        returns=returns,
        advantages=returns - values,
    )


def test_metrics_of_a_rollout() -> None:
    sums = measure_ppo.rollout_sums(rollout())
    metrics = measure_ppo.rollout_metrics({name: float(value) for name, value in sums.items()})
    k3 = (0.5 - 1 + LOG2) + (2 - 1 - LOG2)  # reference / policy is 1/2 once, 1 once and 2 once
    assert metrics == pytest.approx(
        {
            "entropy.sequence": 3 * LOG2 / 2,
            "eos_share": 1 / 2,
            "reward_total": (1 - 0.5 + 2) / 2,
            "value_mean": 4.5 / 3,
            "value_error": (0.25 + 0 + 1) / 3,
            "return_mean": 2.0,
            "return_var": 2 / 3,
            "advantage_mean": 1.5 / 3,
            "advantage_std": math.sqrt(1.25 / 3 - 0.25),
            "explained_variance": 1 - (1.25 / 3 - 0.25) / (2 / 3),
            "kl.reference.k1.token": 0.0,
            "kl.reference.k1.sequence": 0.0,
            "kl.reference.k3.token": k3 / 3,
            "kl.reference.k3.sequence": k3 / 2,
            "kl_penalty_reward.token": (2.5 - 4.0) / 3,  # earned, without the scores 1.5 and 2.5
            "kl_penalty_reward.sequence": (2.5 - 4.0) / 2,
        },
        abs=1e-6,
    )
    assert all(is_metric(name) for name in metrics)


def test_metrics_of_a_rollout_are_those_of_all_processes() -> None:
    whole = {name: float(value) for name, value in measure_ppo.rollout_sums(rollout()).items()}
    twice = {name: 2 * value for name, value in whole.items()}
    assert measure_ppo.rollout_metrics(twice) == pytest.approx(measure_ppo.rollout_metrics(whole))


def test_a_rollout_without_reference_has_no_kl_and_one_without_tokens_no_metrics() -> None:
    sums = {name: float(value) for name, value in measure_ppo.rollout_sums(rollout(reference=False)).items()}
    assert not [name for name in measure_ppo.rollout_metrics(sums) if "kl" in name]
    assert measure_ppo.rollout_metrics(dict.fromkeys(sums, 0.0)) == {}


def test_equal_returns_have_no_explained_variance() -> None:
    sums = {name: float(value) for name, value in measure_ppo.rollout_sums(rollout()).items()}
    metrics = measure_ppo.rollout_metrics(sums | {"returns": 6.0, "returns^2": 12.0})
    assert metrics["return_var"] == 0.0 and "explained_variance" not in metrics


def test_metrics_of_an_update() -> None:
    # Values: one clipped at 0.2 with the target at 2, one that moved away from its target and is not, one still.
    log_ratio = torch.tensor([[LOG2, -LOG2, 0.0, NAN]])
    mask = torch.tensor([[1, 1, 1, 0]])
    values = torch.tensor([[1.0, 1.0, 0.0, NAN]])
    returns = torch.tensor([[2.0, 0.0, 3.0, NAN]])
    sums = measure_ppo.update_sums(log_ratio, values, torch.zeros(1, 4), returns, mask, 0.2)
    counts = loss_sums(log_ratio, None, mask, torch.ones(1), reference=None, rollout=None, clip=None)
    metrics = averages(counts | sums, alone)
    expected = {
        "kl.rollout.k1.token": 0.0,
        "probability_ratio_mean": (2 + 0.5 + 1) / 3,
        "value_loss": (1.8**2 + 1.0**2 + 3.0**2) / 2 / 3,
        "value_clip_fraction": 1 / 3,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert all(is_metric(name) for name in expected)
    assert measure_ppo.update_sums(torch.full((1, 1), LOG2), *[torch.zeros(1, 1)] * 3, torch.ones(1, 1), 0.2)[
        "kl.rollout.k1.token"
    ].item() == pytest.approx(-LOG2)  # log(old / new)


def test_the_extremes_of_the_ratio_are_of_tokens_that_count() -> None:
    log_ratio = torch.tensor([[LOG2, 3 * LOG2, NAN], [2 * LOG2, 99.0, -99.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    highest, inverse_lowest = measure_ppo.ratio_extremes(log_ratio, mask).tolist()
    assert (highest, 1 / inverse_lowest) == pytest.approx((8.0, 2.0))
    assert measure_ppo.ratio_extremes(log_ratio, torch.zeros(2, 3)).tolist() == [0.0, 0.0]
