import math

import numpy as np
import pytest
import torch

from diagnostics.metrics import is_metric
from trainers.measure import Meter, averages, completion_hashes, group_statistics, loss_sums, unique_share, weighted

REWARDS = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])


def test_group_statistics_by_hand() -> None:
    metrics = group_statistics(REWARDS, (-1.0, 1.0))
    assert metrics == pytest.approx(
        {
            "reward_mean": 0.0,
            "reward_std.batch": math.sqrt(6 / 7),  # six squares of 1 over n - 1
            "reward_std.group": math.sqrt(2) / 4,  # only the third group has spread: sqrt(2 / 1)
            "reward_best_of_n": (1 - 1 + 1 + 0) / 4,
            "reward_worst_of_n": (1 - 1 - 1 + 0) / 4,
            "zero_std_share": 3 / 4,
            "zero_std_share_ceiling": 1 / 4,
            "zero_std_share_floor": 1 / 4,
        }
    )


def test_without_declared_bounds_nothing_is_said_of_ceiling_and_floor() -> None:
    assert not {"zero_std_share_ceiling", "zero_std_share_floor"} & group_statistics(REWARDS).keys()


def test_bounds_hold_for_rewards_that_went_through_float32() -> None:
    rewards = np.full((1, 4), np.float32(0.7), dtype=np.float64)
    assert group_statistics(rewards, (0.0, 0.7))["zero_std_share_ceiling"] == 1.0


def test_unscored_completions_count_neither_as_zero_nor_for_their_group() -> None:
    metrics = group_statistics(np.array([[1.0, math.nan], [0.0, 1.0]]))
    assert metrics["reward_mean"] == pytest.approx(2 / 3)
    assert metrics["zero_std_share"] == 0.0
    assert group_statistics(np.full((2, 2), math.nan)) == {}


def test_functions_are_weighted_and_what_none_of_them_scored_is_nan() -> None:
    nan = math.nan
    scores = torch.tensor([[1.0, 2.0], [nan, 2.0], [nan, nan]])
    assert weighted(scores, torch.tensor([1.0, 0.5])).tolist() == pytest.approx([2.0, 1.0, nan], nan_ok=True)


def test_unique_share_looks_within_groups() -> None:
    hashes = completion_hashes([[1, 2], [1, 2], [3], [4], [1, 2], [1, 2], [1, 2], [5]])
    assert unique_share(np.array(hashes).reshape(2, 4)) == pytest.approx((3 + 2) / 8)


def test_token_metrics_by_hand() -> None:
    log2 = math.log(2)
    logps = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    reference = torch.tensor([[-log2, -log2, 9.0], [log2, 9.0, 9.0]])
    rollout = torch.tensor([[-log2, 0.0, 9.0], [log2, 9.0, 9.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    sums = loss_sums(
        logps,
        torch.ones(2, 3),
        mask,
        torch.tensor([1.0, -1.0]),
        reference=reference,
        rollout=rollout,
        clip=(0.2, 0.2),
    )
    metrics = averages(sums, lambda x: x)
    k3_down, k3_up = 0.5 - 1 + log2, 2 - 1 - log2  # r = 1/2 twice, r = 2 once
    assert metrics == pytest.approx(
        {
            "entropy.token": 1.0,
            "kl.reference.k1.token": (2 - 1) * log2 / 3,
            "kl.reference.k1.sequence": (2 - 1) * log2 / 2,
            "kl.reference.k3.token": (2 * k3_down + k3_up) / 3,
            "kl.reference.k3.sequence": (2 * k3_down + k3_up) / 2,
            "kl.rollout.k2.token": (log2**2) / 3,
            "policy_loss.token": (-1.2 - 1.0 + 0.8) / 3,  # ratios 2, 1 with advantage 1; 1/2 with -1
            "clip_fraction_low.token": 1 / 3,
            "clip_fraction_high.token": 1 / 3,
            "clip_fraction.token": 2 / 3,
        },
        abs=1e-6,
    )
    assert all(is_metric(name) for name in metrics)


def test_sums_over_micro_batches_are_no_means_of_means() -> None:
    def sums(n: int, kl: float) -> dict[str, torch.Tensor]:
        logps, mask = torch.zeros(1, 4), torch.tensor([[1] * n + [0] * (4 - n)])
        return loss_sums(logps, None, mask, torch.ones(1), reference=torch.full((1, 4), -kl), rollout=None, clip=None)

    meter = Meter()
    meter.micro_batch(sums(1, 4.0))
    meter.micro_batch(sums(3, 0.0))
    metrics = meter.read(lambda x: 2 * x)  # as if a second process had the same
    assert metrics["kl.reference.k1.token"] == pytest.approx(4.0 / 4)
    assert metrics["kl.reference.k1.sequence"] == pytest.approx(4.0 / 2)


def test_a_step_whose_tokens_are_all_masked_has_no_token_metrics() -> None:
    sums = loss_sums(
        torch.zeros(1, 2), None, torch.zeros(1, 2), torch.ones(1), reference=torch.ones(1, 2), rollout=None, clip=None
    )
    assert averages(sums, lambda x: x) == {}


def test_the_meter_counts_completions_over_the_run_and_forgets_the_rest() -> None:
    meter = Meter()
    meter.rollout(REWARDS, np.zeros((4, 2), np.int64))
    meter.seconds["reward_seconds"] += 1.5
    first = meter.read(lambda x: x)
    assert (first["completions_generated"], first["unique_share"], first["reward_seconds"]) == (8.0, 0.5, 1.5)
    assert meter.read(lambda x: x) == {"completions_generated": 8.0}
