"""Each setting of PPO does what it says, and so does each way to train."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from trainers.models import lora
from trainers.ppo import PPOTrainer

from .small_ppo import Trained, equal, ppo, sharpened, state, train

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    def go(**options: Any) -> Trained:
        return train(tiny_model, tmp_path_factory.mktemp("ppo"), **options)

    return go


@pytest.fixture(scope="module")
def make(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    def go(model: Path = tiny_model, **options: Any) -> PPOTrainer:
        return ppo(model, tmp_path_factory.mktemp("ppo"), **options)

    return go


def stored(trained: Trained, name: str) -> Tensor:
    """What the parts of the last rollout hold under a name, one after another."""
    return torch.cat([part[name] for part in trained.trainer._buffered_inputs])


# ---- steps that are left out


def test_target_kl_leaves_out_the_rest_of_a_rollout(run: Make) -> None:
    trained = run(
        target_kl=0.01, learning_rate=5e-3, num_ppo_epochs=3, num_mini_batches=2, max_steps=18, weight_decay=0.1
    )
    for first in (0, 6, 12):  # the steps of a rollout; from the second on AdamW has momentum
        rows = trained.rows[first : first + 6]
        taken = [i for i, row in enumerate(rows) if "loss" in row]
        assert taken == list(range(len(taken))) and 1 < len(taken) < 6
        kls = [row["kl.rollout.k2.token"] for row in rows[: len(taken)]]
        assert kls[-1] > 1.5 * 0.01 >= max(kls[:-1])
        for row in rows[len(taken) :]:
            assert not {"loss", "grad_norm", "kl.rollout.k2.token", "value_loss", "probability_ratio_max"} & row.keys()
    parameters = trained.tape.parameters
    for i, row in enumerate(trained.rows[1:], 1):
        assert equal(parameters[i], parameters[i - 1]) == ("loss" not in row)


def test_a_step_above_the_ratio_threshold_changes_nothing(run: Make) -> None:
    trained = run(ratio_threshold=0.5, max_steps=2, num_ppo_epochs=2, weight_decay=0.1)  # not even this
    assert equal(trained.tape.start, trained.tape.parameters[-1])
    assert not trained.column("loss") + trained.column("grad_norm")
    assert trained.column("probability_ratio_mean") == pytest.approx([1.0, 1.0])
    allowed = run(ratio_threshold=1.5, max_steps=2, num_ppo_epochs=2)
    assert len(allowed.column("loss")) == 2 and not equal(*allowed.tape.parameters)


# ---- rewards


def three_or_nothing(prompts: list[str], completions: list[str], **_: Any) -> list[float | None]:
    """A reward of 3, and none for the half of the prompts."""
    return [3.0 if prompt[0] in "ab" else None for prompt in prompts]


def test_rewards_are_scaled_then_clipped_and_then_pay_for_a_missing_end(run: Make) -> None:
    trained = run(
        reward=lambda prompts, **_: [3.0 if prompt[0] in "ab" else 1.0 for prompt in prompts],
        reward_scale=0.5,
        reward_clip=1.0,
        missing_eos_penalty=0.25,
        kl_coef=0.0,
        lam=1.0,
    )
    ids, mask, returns = (stored(trained, name) for name in ("completion_ids", "loss_mask", "returns"))
    ended = (ids == 0).any(dim=1)
    assert 0 < ended.sum() < 16
    # 3 is scaled to 1.5 and clipped to 1, 1 is scaled to 0.5: the first letters a and b are tokens 3 and 4
    scores = torch.where(stored(trained, "prompt_ids")[:, 0] < 5, 1.0, 0.5)
    assert torch.equal(returns, (scores - 0.25 * ~ended).unsqueeze(1) * mask)
    (row,) = trained.rows
    assert row["eos_share"] == pytest.approx(ended.float().mean().item())
    assert row["reward_total"] == pytest.approx(0.75 - 0.25 * (1 - row["eos_share"]))
    assert row["reward_mean"] == 2.0


def test_a_reward_is_clipped_below_too(run: Make) -> None:
    trained = run(reward=lambda completions, **_: [-3.0] * len(completions), reward_clip=0.5, kl_coef=0.0, lam=1.0)
    assert stored(trained, "returns").min() == -0.5


def test_completions_without_a_score_do_not_count(run: Make) -> None:
    trained = run(reward=three_or_nothing, gradient_accumulation_steps=2)
    mask = stored(trained, "loss_mask")
    scored = mask.any(dim=1)
    assert scored.sum() == 8
    for name in ("advantages", "returns"):
        assert torch.equal(stored(trained, name) != 0, mask != 0)
    (row,) = trained.rows
    assert row["reward_mean"] == row["reward_total"] == 3.0
    assert row["value_error"] == pytest.approx(stored(trained, "returns").square().sum().item() / mask.sum().item())
    assert row["eos_share"] == (stored(trained, "completion_ids") == 0).any(dim=1)[scored].float().mean().item()
    assert {part["mini_batch_tokens"].item() for part in trained.trainer._buffered_inputs} == {mask.sum().item()}


def test_a_rollout_that_nobody_scored_changes_nothing_and_breaks_nothing(run: Make) -> None:
    trained = run(reward=lambda completions, **_: [None] * len(completions), max_steps=2, num_ppo_epochs=2)
    assert equal(trained.tape.start, trained.tape.parameters[-1])
    measured = [name for row in trained.rows for name in row if "ratio_m" in name or "value" in name or "kl." in name]
    assert not measured


def test_momentum_does_not_move_the_policy_where_nobody_scored(run: Make) -> None:
    told = iter([True])

    def scored_once(completions: list[str], **_: Any) -> list[float | None]:
        once = next(told, False)
        return [float(i) if once else None for i in range(len(completions))]

    start, first, second = (lambda t: (t.start, *t.parameters))(
        run(reward=scored_once, max_steps=2, num_ppo_epochs=1).tape
    )
    assert not equal(start, first)
    assert equal(first, second)


# ---- generations


def test_one_completion_of_a_prompt_has_no_group(run: Make) -> None:
    (row,) = run().rows
    of_groups = {"reward_best_of_n", "reward_worst_of_n", "reward_std.group", "zero_std_share", "unique_share"}
    assert not (of_groups | {"frac_reward_zero_std"}) & row.keys()
    (row,) = run(num_generations=4).rows
    assert of_groups | {"frac_reward_zero_std"} <= row.keys()
    assert row["reward_best_of_n"] > row["reward_mean"] > row["reward_worst_of_n"]


# ---- the value head


def of_head(trainer: PPOTrainer) -> set[str]:
    """The parameters of the value head."""
    return {name for name, _ in trainer.model.named_parameters() if name.startswith("value_head.")}


def reached(trainer: PPOTrainer) -> set[str]:
    """The parameters at which the value loss, by itself, has a gradient. The head has been updated, and is not 0."""
    (part,) = trainer._buffered_inputs
    trainer.model.train()
    trainer._compute_loss(trainer.model, part | {"advantages": torch.zeros_like(part["advantages"])}).backward()
    return {name for name, p in trainer.model.named_parameters() if p.grad is not None and p.grad.any()}


def test_a_detached_trunk_sees_nothing_of_the_value_loss(run: Make) -> None:
    attached, detached = (run(vf_coef=1.0, detach_value_trunk=detach).trainer for detach in (False, True))
    assert reached(attached) > of_head(attached) | {"transformer.h.0.attn.c_attn.weight"}
    assert reached(detached) == of_head(detached)


def test_the_value_head_has_a_learning_rate_of_its_own(run: Make) -> None:
    trained = run(value_learning_rate=0.1, learning_rate=0.0, num_ppo_epochs=2, max_steps=2)
    trainer, start, end = trained.trainer, trained.tape.start, trained.tape.parameters[-1]
    assert {name for name in start if not torch.equal(start[name], end[name])} == of_head(trainer)
    groups = trainer.optimizer.param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in trainer.model.parameters())
    head = {id(p) for p in trainer._policy.value_head.parameters()}
    for group in groups:
        own = [id(parameter) in head for parameter in group["params"]]
        assert all(own) or not any(own)
        assert group["lr"] == (0.1 if any(own) else 0.0)
    assert trained.column("learning_rate") == [0.0, 0.0]
    together = run(learning_rate=1e-3).trainer.optimizer.param_groups
    assert {group["lr"] for group in together} == {1e-3}


def test_vf_coef_weighs_the_value_loss(run: Make) -> None:
    (with_it,), (without,) = run(vf_coef=0.5).rows, run(vf_coef=0.0).rows
    assert with_it["value_loss"] == without["value_loss"] > 0.1
    assert with_it["loss"] == pytest.approx(without["loss"] + 0.5 * without["value_loss"], abs=1e-5)
    assert without["loss"] == pytest.approx(without["policy_loss.token"], abs=1e-5)


# ---- the KL


@pytest.mark.parametrize("estimator", ["k1", "k3", "abs"])
def test_the_kl_is_paid_for_by_the_estimator_that_was_asked_for(make: Make, estimator: str) -> None:
    trainer = make(kl_estimator=estimator, kl_coef=0.5, reward=lambda completions, **_: [0.0] * len(completions))
    trainer.train()
    (part,) = trainer._buffered_inputs
    part["ref_per_token_logps"] = part["old_per_token_logps"] + math.log(2)  # as if the reference liked all of it more
    trainer._assign_credit(part, torch.zeros_like(part["values"]), torch.zeros(16))
    each = {"k1": -math.log(2), "k3": 2 - 1 - math.log(2), "abs": math.log(2)}[estimator]
    told = trainer.meter.read(trainer._total)
    assert told["kl_penalty_reward.token"] == pytest.approx(-0.5 * each, rel=1e-5)
    assert told["kl.reference.k1.token"] == pytest.approx(-math.log(2), rel=1e-5)


def test_log_probabilities_at_a_temperature_that_was_not_sampled_at_make_the_kl_negative(
    tiny_model: Path, tmp_path: Path, make: Make
) -> None:
    model = sharpened(tiny_model, tmp_path / "sharp")
    for asked, scored in ((None, 0.5), (1.0, 1.0)):
        trainer = make(model, temperature=0.5, logprob_temperature=asked, per_device_train_batch_size=128)
        assert_scored_at(trainer, scored)
        with torch.no_grad():
            trainer._policy.transformer.ln_f.weight.mul_(0.7)  # the policy is less sure of itself than the reference
        trainer._prepare_inputs([{"prompt": f"{letter} b "} for letter in "abcdefgh" * 16])
        kl = trainer.meter.read(trainer._total)["kl.reference.k1.sequence"]
        assert kl > 0.05 if asked is None else kl < -0.05


def assert_scored_at(trainer: PPOTrainer, temperature: float) -> None:
    """Log-probabilities of a rollout are the model's at this temperature, and the KL at the start is 0."""
    trainer.model.train()
    rollout = trainer._prepare_inputs([{"prompt": f"{letter} b "} for letter in "abcdefgh" * 16])
    told = trainer.meter.read(trainer._total)
    assert told["kl.reference.k1.sequence"] == pytest.approx(0, abs=1e-5)
    ids = torch.cat([rollout["prompt_ids"], rollout["completion_ids"]], dim=1)
    mask = torch.cat([rollout["prompt_mask"], rollout["completion_mask"]], dim=1)
    with torch.no_grad():
        logits = trainer.model(input_ids=ids, attention_mask=mask).logits[:, :-1] / temperature
    logps = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)[:, -rollout["completion_ids"].shape[1] :]
    counts = rollout["loss_mask"] != 0
    torch.testing.assert_close(rollout["old_per_token_logps"][counts], logps[counts], rtol=1e-4, atol=1e-4)
    trainer._buffered_inputs = None


# ---- ways to train


def test_an_evaluation_is_no_part_of_training(run: Make) -> None:
    trainer = run(kl_controller="adaptive", max_steps=2, num_ppo_epochs=2, missing_eos_penalty=1.0).trainer
    before = trainer.kl_controller.coef, trainer.meter.generated, state(trainer.model)
    row = trainer.evaluate(trainer.train_dataset)
    assert math.isfinite(row["eval_loss"])
    assert (trainer.kl_controller.coef, trainer.meter.generated) == before[:2]
    assert equal(before[2], state(trainer.model))
    assert trainer.meter.read(trainer._total) == {"completions_generated": 16.0} and not trainer._update


def saved(trained: Trained, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The final model as anyone loads it, and what did not fit; its value head lies beside it."""
    trained.trainer.save_model(str(folder))
    head = load_file(folder / "value_head.safetensors")
    assert equal(head, state(trained.trainer._policy.value_head)) and not any(
        weight.isnan().any() for weight in head.values()
    )
    return AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)


def logits(model: Any) -> Tensor:
    """Of a few tokens."""
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[3, 2, 4, 2, 5]])).logits.float()


def test_gradient_checkpointing_changes_nothing(run: Make, tmp_path: Path) -> None:
    options = {"optim": "sgd", "learning_rate": 0.3, "num_ppo_epochs": 2, "max_steps": 4}
    plain, saving = run(**options), run(**options, gradient_checkpointing=True)
    assert saving.trainer.model.is_gradient_checkpointing and not plain.trainer.model.is_gradient_checkpointing
    for expected, got in zip(plain.rows, saving.rows, strict=True):
        assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for name, parameter in plain.tape.parameters[-1].items():
        torch.testing.assert_close(saving.tape.parameters[-1][name], parameter, rtol=1e-5, atol=1e-6)
    loaded, misfits = saved(saving, tmp_path)
    assert not any(misfits.values())
    torch.testing.assert_close(logits(loaded), logits(saving.trainer.model))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_an_adapter(run: Make, make: Make, tiny_model: Path, tmp_path: Path, checkpointing: bool) -> None:
    trained = run(
        peft_config=lora(2), num_ppo_epochs=2, max_steps=4, learning_rate=1e-2, gradient_checkpointing=checkpointing
    )
    first, *_, second, _ = trained.rows
    assert first["kl.reference.k3.sequence"] < 1e-6 < second["kl.reference.k3.sequence"]
    assert first["probability_ratio_max"] == pytest.approx(1, abs=1e-5) and second["value_mean"] != 0
    assert trained.trainer.ref_model is None
    plain = make().model.state_dict()
    for name, weight in trained.trainer.model.get_base_model().state_dict().items():
        if "lora" not in name and "value_head" not in name:
            assert torch.equal(weight, plain[name.replace(".base_layer", "")]), name
    trained.trainer.save_model(str(tmp_path))
    assert not [name for name in load_file(tmp_path / "adapter_model.safetensors") if "value_head" in name]
    assert equal(load_file(tmp_path / "value_head.safetensors"), state(trained.trainer._policy.value_head))
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path)
    torch.testing.assert_close(logits(loaded), logits(trained.trainer.model))


@pytest.mark.parametrize(
    "options", [{"bf16": True}, {"model_init_kwargs": {"dtype": "bfloat16"}}], ids=["autocast", "weights"]
)
def test_bf16(run: Make, tmp_path: Path, options: dict[str, Any]) -> None:
    trained = run(**options, num_ppo_epochs=2, max_steps=4, learning_rate=1e-2)
    policy = trained.trainer._policy
    weights = torch.float32 if "bf16" in options else torch.bfloat16
    assert {p.dtype for n, p in policy.named_parameters() if "value_head" not in n} == {weights}
    assert {p.dtype for p in policy.value_head.parameters()} == {torch.float32}
    assert all(math.isfinite(value) for row in trained.rows for value in row.values())
    for first in (trained.rows[0], trained.rows[2]):
        assert first["probability_ratio_max"] == pytest.approx(1, abs=0.02)
        assert first["clip_fraction.token"] == 0
    assert trained.rows[1]["kl.rollout.k2.token"] > 1e-3
    assert stored(trained, "values").dtype == torch.float32
    loaded, misfits = saved(trained, tmp_path)
    assert not any(misfits.values()) and loaded.dtype == weights
    torch.testing.assert_close(logits(loaded), logits(policy.to(weights)), rtol=0.02, atol=0.02)
