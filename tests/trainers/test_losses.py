import math

import pytest
import torch

from trainers import losses

POLICY = torch.tensor([[math.log(0.5), math.log(0.2)]])
OTHER = torch.tensor([[math.log(0.25), math.log(0.4)]])


def test_kl_estimators_by_hand() -> None:
    log2 = math.log(2)
    assert losses.kl_k1(POLICY, OTHER)[0].tolist() == pytest.approx([log2, -log2])
    assert losses.kl_k2(POLICY, OTHER)[0].tolist() == pytest.approx([log2**2 / 2, log2**2 / 2])
    # r - 1 - log r with r = 0.25 / 0.5 = 1/2, then 0.4 / 0.2 = 2
    assert losses.kl_k3(POLICY, OTHER)[0].tolist() == pytest.approx([0.5 - 1 + log2, 2 - 1 - log2])


def test_estimators_agree_in_expectation() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.3, 0.2])
    exact = float((p * (p / q).log()).sum())
    assert float((p * losses.kl_k1(p.log(), q.log())).sum()) == pytest.approx(exact, abs=1e-6)
    assert float((p * losses.kl_k3(p.log(), q.log())).sum()) == pytest.approx(exact, abs=1e-6)


def test_masked_sums_leave_out_padding_even_where_it_is_nan() -> None:
    values = torch.tensor([[1.0, 2.0, math.nan], [4.0, math.inf, 0.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert float(losses.masked_sum(values, mask)) == 7.0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "low", "high"),
    [
        (1.5, 2.0, -1.2 * 2.0, False, True),  # the gain is capped at 1 + 0.2
        (1.5, -2.0, 1.5 * 2.0, False, False),  # the loss is not
        (0.5, -2.0, 0.8 * 2.0, True, False),  # capped at 1 - 0.2
        (0.5, 2.0, -0.5 * 2.0, False, False),
        (1.1, 2.0, -1.1 * 2.0, False, False),
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, loss: float, low: bool, high: bool) -> None:
    log_ratio, advantages = torch.tensor([[ratio]]).log(), torch.tensor([[advantage]])
    assert float(losses.clipped_surrogate(log_ratio, advantages, 0.2, 0.2)) == pytest.approx(loss)
    sides = losses.clipped_sides(log_ratio, advantages, 0.2, 0.2)
    assert [bool(side) for side in sides] == [low, high]


def test_the_clip_stops_the_gradient_exactly_where_it_is_said_to_bind() -> None:
    log_ratio = torch.linspace(-0.6, 0.6, 31).repeat(2).reshape(2, 31).requires_grad_()
    advantages = torch.tensor([[1.0], [-1.0]])
    losses.clipped_surrogate(log_ratio, advantages, 0.2, 0.3).sum().backward()
    low, high = losses.clipped_sides(log_ratio, advantages, 0.2, 0.3)
    assert torch.equal(log_ratio.grad == 0, low | high)
