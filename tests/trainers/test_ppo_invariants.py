"""What must not change an update, and what must leave everything as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from .small_ppo import PROMPTS, Trained, equal, sharpened, train

Train = Callable[..., Trained]
# Without momentum and its like a step is the gradient, and so is what two trainings differ by.
PLAIN = {"optim": "sgd", "learning_rate": 0.1}
# What stands in a stored rollout at each token, and not for it.
STORED = ("old_per_token_logps", "ref_per_token_logps", "values", "returns", "advantages")


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharpened(tiny_model, tmp_path_factory.mktemp("sharp"))


@pytest.fixture(scope="module")
def run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    def go(**options: Any) -> Trained:
        return train(model, tmp_path_factory.mktemp("ppo"), **options)

    return go


@pytest.fixture(scope="module")
def whole(run: Train) -> Trained:
    """Two rollouts, three epochs over each in two mini-batches, with all that is summed over a batch."""
    return run(**OFTEN)


OFTEN = PLAIN | {
    "num_ppo_epochs": 3,
    "num_mini_batches": 2,
    "max_steps": 12,
    "whiten_rewards": True,
    "missing_eos_penalty": 0.5,
    "kl_controller": "adaptive",
    "entropy_coef": 0.01,
}


def same(one: Trained, other: Trained) -> None:
    """Both did the same, to rounding: each parameter and each metric of each step."""
    assert len(one.rows) == len(other.rows) == len(one.tape.parameters)
    for expected, got in zip(one.rows, other.rows, strict=True):
        assert got == pytest.approx(expected, rel=2e-4, abs=2e-5)
    for name, parameter in one.tape.parameters[-1].items():
        torch.testing.assert_close(other.tape.parameters[-1][name], parameter, rtol=1e-4, atol=1e-5)


def test_gradient_accumulation_changes_nothing(run: Train, whole: Trained) -> None:
    for name in ("clip_fraction.token", "value_clip_fraction", "kl.reference.k3.sequence", "probability_ratio_max"):
        assert max(whole.column(name)) > 0.01  # or there was nothing to differ in
    assert any("value_head" in name for name in whole.tape.parameters[-1])
    same(whole, run(**OFTEN, gradient_accumulation_steps=4))


def test_the_order_of_completions_changes_nothing(run: Train) -> None:
    options = PLAIN | {"num_ppo_epochs": 3, "max_steps": 6, "top_k": 1, "shuffle_dataset": False}
    one, reversed_ = run(**options), run(**options, prompts=PROMPTS[::-1])
    assert one.rows[0]["reward_std.batch"] > 1 and one.rows[0]["eos_share"] > 0
    same(one, reversed_)


def test_the_policy_that_sampled_is_the_one_of_the_first_mini_batch(whole: Trained) -> None:
    for first in (whole.rows[0], whole.rows[6]):
        for name in ("kl.rollout.k1.token", "kl.rollout.k2.token"):
            assert first[name] == pytest.approx(0, abs=1e-5)
        for name in ("clip_fraction.token", "clip_fraction_low.token", "clip_fraction_high.token"):
            assert first[name] == first["value_clip_fraction"] == 0
        for name in ("probability_ratio_min", "probability_ratio_mean", "probability_ratio_max"):
            assert first[name] == pytest.approx(1, abs=1e-5)
    assert min(row["kl.rollout.k2.token"] for row in whole.rows[1:6]) > 1e-4
    before = whole.rows[0]
    assert [before[name] for name in ("kl.reference.k1.sequence", "kl.reference.k3.token")] == pytest.approx([0, 0])


def test_a_learning_rate_of_0_moves_nothing(run: Train) -> None:
    still = run(learning_rate=0.0, value_learning_rate=0.0, num_ppo_epochs=2, num_mini_batches=2, max_steps=8)
    assert len(still.tape.parameters) == 8 and all(equal(still.tape.start, later) for later in still.tape.parameters)
    assert still.column("value_mean") == [0.0, 0.0]
    for name in ("probability_ratio_min", "probability_ratio_mean", "probability_ratio_max"):
        assert still.column(name) == pytest.approx([1.0] * 8, abs=1e-5)
    assert still.column("kl.reference.k3.sequence") == pytest.approx([0.0] * 2, abs=1e-5)
    assert all(grad_norm > 0.1 for grad_norm in still.column("grad_norm"))  # for want of a step, not of a gradient


# ---- what does not count


def part_of(trained: Trained) -> dict[str, Any]:
    """A copy of a stored part of the last rollout."""
    (part, *_) = trained.trainer._buffered_inputs
    return {name: value.clone() if isinstance(value, Tensor) else value for name, value in part.items()}


def update(trained: Trained, part: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor], dict[str, float]]:
    """Loss, gradients and metrics of a part of a rollout."""
    trainer = trained.trainer
    trainer.model.train()
    trainer.meter.read(trainer._total)
    loss = trainer._compute_loss(trainer.model, part)
    loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in trainer.model.named_parameters()}
    trainer.model.zero_grad()
    trainer._end_update()
    return loss.detach(), gradients, trainer.meter.read(trainer._total)


def test_what_stands_at_masked_positions_reaches_neither_loss_nor_gradient_nor_metrics(whole: Trained) -> None:
    part = part_of(whole)
    unused = part["loss_mask"] == 0
    assert unused.any() and not unused.all()
    loss, gradients, metrics = update(whole, part)
    assert loss.isfinite() and all(g.isfinite().all() for g in gradients.values())
    assert any(g.any() for g in gradients.values())
    for garbage in (math.nan, math.inf, 1e30):
        spoilt = part | {name: part[name].masked_fill(unused, garbage) for name in STORED}
        spoilt["completion_ids"] = part["completion_ids"].masked_fill(unused, 5)
        spoilt["importance_sampling_ratio"] = torch.ones_like(part["values"]).masked_fill(unused, garbage)
        again, gradients_again, metrics_again = update(whole, spoilt)
        assert torch.equal(again, loss)
        assert equal(gradients, gradients_again)
        assert metrics_again == metrics


def test_the_order_within_a_part_changes_nothing(whole: Trained) -> None:
    part = part_of(whole)
    order = torch.arange(8).flip(0)
    turned = {name: v[order] if isinstance(v, Tensor) and v.dim() == 2 else v for name, v in part.items()}
    loss, gradients, _ = update(whole, part)
    again, gradients_again, _ = update(whole, turned)
    torch.testing.assert_close(again, loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[name], gradient, rtol=1e-4, atol=1e-6)


CREDIT = ("loss_mask", "values", "returns", "advantages")


def credit(trained: Trained, part: dict[str, Any], values: Tensor) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What is stored of a part that is taken as a rollout, and its metrics."""
    trainer, raw = trained.trainer, torch.linspace(-3, 3, 8)
    trainer.model.train()
    trainer.kl_controller.coef = 0.2
    trainer.meter.read(trainer._total)
    trainer._assign_credit(part, values, raw)
    return {name: part[name] for name in CREDIT}, trainer.meter.read(trainer._total)


def with_a_tool(trained: Trained) -> tuple[dict[str, Any], Tensor, Tensor]:
    """A part in which a tool wrote the third and fourth token and the last, its values, and where it wrote."""
    part = part_of(trained)
    part["completion_mask"] = torch.ones_like(part["completion_mask"])
    part["completion_ids"] = torch.full_like(part["completion_ids"], 3)
    part["tool_mask"] = torch.tensor([[1, 1, 0, 0, 1, 0]]).repeat(8, 1)
    return part, torch.linspace(-1, 1, 48).view(8, 6), part["tool_mask"] == 0


def test_what_a_tool_wrote_is_no_action(whole: Trained) -> None:
    part, values, by_tool = with_a_tool(whole)
    stored, told = credit(whole, part, values)
    assert torch.equal(stored["loss_mask"] == 0, by_tool)
    spoilt = part | {name: part[name].masked_fill(by_tool, math.nan) for name in STORED}
    stored_again, told_again = credit(whole, spoilt, values.masked_fill(by_tool, math.nan))
    assert equal(stored, stored_again) and told == told_again
    own = [0, 1, 4]  # as if the tool had never written
    short = {name: v[:, own] if isinstance(v, Tensor) and v.shape == (8, 6) else v for name, v in part.items()}
    kept, told_short = credit(whole, short, values[:, own])
    assert told_short == pytest.approx(told)
    for name, tensor in kept.items():
        torch.testing.assert_close(stored[name][:, own], tensor)
        assert not stored[name][by_tool].any()


def test_what_a_tool_wrote_reaches_neither_loss_nor_gradient(whole: Trained) -> None:
    part, values, by_tool = with_a_tool(whole)
    credit(whole, part, values)
    part["mini_batch_tokens"] = part["loss_mask"].sum()
    loss, gradients, metrics = update(whole, part)
    spoilt = part | {name: part[name].masked_fill(by_tool, math.nan) for name in STORED}
    again, gradients_again, metrics_again = update(whole, spoilt)
    assert loss.isfinite() and torch.equal(again, loss)
    assert equal(gradients, gradients_again) and metrics_again == metrics


def test_who_ended_a_completion_is_seen_at_its_end(whole: Trained) -> None:
    part, values, _ = with_a_tool(whole)
    part["completion_ids"][:4, 1] = 0  # a call of a tool ends as a completion does
    assert credit(whole, part, values)[1]["eos_share"] == 0
    part["completion_ids"][:2, 5] = 0
    assert credit(whole, part, values)[1]["eos_share"] == 2 / 8
