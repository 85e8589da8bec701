"""What PPOTrainer overrides, calls and reads of TRL and transformers that they do not promise.

A failure says what has changed there, and by the name of the test which part of trainers/ppo.py, ppo_config.py or
value_head.py to mend.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, Trainer
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer.utils import shuffle_sequence_dict, split_tensor_dict

from trainers import ppo, ppo_config, ppo_limits
from trainers.seams import (
    FusedCausalLMOutput,
    GRPOConfig,
    GRPOTrainer,
    add_fused_lm_head,
    disable_gradient_checkpointing,
)

from .conftest import likes_a
from .small_ppo import PROMPTS

PARTS, ACCUMULATED, EPOCHS, BATCH = 4, 2, 2, 16


@dataclass
class Seen:
    """What a GRPOTrainer did, call by call."""

    rollouts: list[dict[str, Any]] = field(default_factory=list)
    buffers: list[list[dict[str, Any]]] = field(default_factory=list)  # as they were at each training step
    steps: list[int] = field(default_factory=list)  # `_step` as each training step found it
    synchronised: list[bool] = field(default_factory=list)
    losses: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # computed, and what came of it
    rewards: list[Tensor] = field(default_factory=list)
    scored: list[dict[str, Any]] = field(default_factory=list)  # how the model was asked for log-probabilities
    logs: list[tuple[bool, dict[str, float]]] = field(default_factory=list)


class Watched(GRPOTrainer):
    """Overrides what PPOTrainer does, and changes nothing."""

    seen: Seen

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        assert len(inputs) == BATCH and "prompt" in inputs[0]
        rollout: dict[str, Any] = super()._generate_and_score_completions(inputs)
        rollout["place"] = torch.arange(BATCH).unsqueeze(1).expand(rollout["completion_ids"].shape)
        rollout["first"] = rollout["completion_ids"][:, 0]
        self.seen.rollouts.append(rollout)
        return rollout

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        assert not kwargs
        self.seen.rewards.append(super()._calculate_rewards(*args))
        return self.seen.rewards[-1]

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        def asked(**inputs: Any) -> Any:
            assert inputs.pop("fused_lm_head") is True
            output = model(**inputs, fused_lm_head=True)
            self.seen.scored.append({"model": model, "output": output, "rows": len(args[0])})
            return output

        return super()._get_per_token_logps_and_entropies(asked, *args, **kwargs)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Tensor:
        self.seen.steps.append(self._step)
        self.seen.synchronised.append(self.accelerator.sync_gradients)
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.seen.buffers.append(self._buffered_inputs)
        self.seen.losses[-1] = (self.seen.losses[-1][0], loss)
        return loss

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any]) -> Tensor:
        loss: Tensor = super()._compute_loss(model, inputs)
        self.seen.losses.append((loss.detach(), loss))
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.seen.logs.append((self.model.training, dict(logs)))
        super().log(logs, start_time)


def make(model: Path, folder: Path, **options: Any) -> Watched:
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": BATCH // PARTS,
        "steps_per_generation": PARTS,
        "gradient_accumulation_steps": ACCUMULATED,
        "num_iterations": EPOCHS,
        "num_generations": 4,
        "max_completion_length": 6,
        "beta": 0.1,
        "max_steps": 2 * EPOCHS * PARTS // ACCUMULATED,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    trainer = Watched(
        model=str(model),
        reward_funcs=likes_a,
        args=GRPOConfig(**(settings | options)),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS)}),
    )
    trainer.seen = Seen()
    return trainer


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Two rollouts of four parts, two epochs over each."""
    trainer = make(tiny_model, tmp_path_factory.mktemp("seams"))
    trainer.train()
    return trainer


# What the tests below hold of the private parts of a GRPOTrainer.
HELD = {
    "_buffered_inputs", "_calculate_rewards", "_compute_loss", "_generate_and_score_completions", "_get_output_dir",
    "_get_per_token_logps_and_entropies", "_load_from_checkpoint", "_metrics", "_name", "_paper", "_prepare_inputs",
    "_save", "_save_checkpoint", "_step", "_tag_names",
}  # fmt: skip


def test_no_other_private_part_is_used(trained: Watched) -> None:
    nodes = list(ast.walk(ast.parse(inspect.getsource(ppo.PPOTrainer))))
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    named |= {node.id for node in nodes if isinstance(node, ast.Name)}
    private = {name for name in named if name.startswith("_") and not name.startswith("__")}
    assert {name for name in private if hasattr(trained, name)} == HELD


# ---- the rollout


def test_a_rollout_has_the_tensors_that_credit_is_assigned_on(trained: Watched) -> None:
    first, _ = trained.seen.rollouts
    shape = (BATCH, first["completion_ids"].shape[1])
    for name in ("completion_ids", "completion_mask", "old_per_token_logps", "ref_per_token_logps"):
        assert first[name].shape == shape, name
    assert first["prompt_ids"].shape == first["prompt_mask"].shape
    assert len(first["prompt_ids"]) == BATCH


def test_old_log_probabilities_are_left_out_where_a_rollout_is_one_step(tiny_model: Path, tmp_path: Path) -> None:
    one = {"per_device_train_batch_size": BATCH, "steps_per_generation": 1, "gradient_accumulation_steps": 1}
    trainer = make(tiny_model, tmp_path, **one, num_iterations=1, max_steps=1, beta=0.0)
    trainer.train()
    (rollout,) = trainer.seen.rollouts
    assert not {"old_per_token_logps", "ref_per_token_logps"} & rollout.keys()
    assert trainer.ref_model is None


def test_a_rollout_is_scored_by_the_policy_then_by_the_reference_and_without_gradient(trained: Watched) -> None:
    policy, reference, loss = (trained.seen.scored[n * PARTS : (n + 1) * PARTS] for n in range(3))
    assert all(call["model"] is trained.model for call in policy)
    assert all(call["model"] is trained.ref_model for call in reference)
    assert [call["rows"] for call in (*policy, *reference)] == [BATCH] * 2 * PARTS  # all at once, in parts of a batch
    assert not any(call["output"].log_probs.requires_grad for call in (*policy, *reference))
    assert all(call["output"].log_probs.requires_grad for call in loss)


def test_rewards_are_a_column_for_each_function_of_all_completions(trained: Watched) -> None:
    assert [tuple(rewards.shape) for rewards in trained.seen.rewards] == [(BATCH, 1)] * 2
    assert isinstance(trained.reward_weights, Tensor) and trained.reward_weights.shape == (1,)


def test_what_a_rollout_has_more_is_shuffled_and_split_with_the_rest(trained: Watched) -> None:
    rollout, parts = trained.seen.rollouts[0], trained.seen.buffers[0]
    assert len(parts) == PARTS
    places = torch.cat([part["place"][:, 0] for part in parts])
    assert places.sort().values.tolist() == list(range(BATCH))
    assert torch.equal(torch.cat([part["first"] for part in parts]), rollout["first"][places])
    mixed = shuffle_sequence_dict({"values": torch.arange(8).view(4, 2), "returns": torch.arange(8).view(4, 2)})
    assert torch.equal(mixed["values"], mixed["returns"])
    assert [part["values"].shape for part in split_tensor_dict(mixed, 2)] == [(2, 2)] * 2


def test_a_buffer_is_a_new_list_for_each_rollout_and_the_same_one_between(trained: Watched) -> None:
    each = PARTS * EPOCHS
    one, other = trained.seen.buffers[:each], trained.seen.buffers[each:]
    assert len(other) == each
    assert all(buffer is one[0] for buffer in one) and all(buffer is other[0] for buffer in other)
    assert one[0] is not other[0]


def test_what_is_no_text_goes_by_the_names_of_the_forward_pass() -> None:
    parameters = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    plain = ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size", "compute_entropy"]
    assert parameters[: len(plain) + 1] == [*plain, "compute_aux_loss"]
    assert tuple(parameters[len(plain) + 1 :]) == ppo._OF_PICTURES
    kept = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert all(f'output["{name}"]' in kept for name in ppo._OF_PICTURES)


def test_the_loss_has_each_of_them_from_the_rollout() -> None:
    source = inspect.getsource(GRPOTrainer._compute_loss)
    assert all(f'{name}=inputs.get("{name}")' in source for name in ppo._OF_PICTURES)


# ---- the update


def test_steps_are_counted_by_one_for_each_part_of_each_epoch(trained: Watched) -> None:
    assert trained.seen.steps == list(range(2 * EPOCHS * PARTS))
    assert trained._step == 2 * EPOCHS * PARTS


def test_gradients_are_synchronised_in_the_last_part_of_a_mini_batch(trained: Watched) -> None:
    assert trained.seen.synchronised == [False, True] * (EPOCHS * PARTS)


def test_nobody_divides_the_loss_by_the_parts_that_are_accumulated(trained: Watched) -> None:
    assert trained.loss_is_scaled_for_ga is True and trained.compute_loss_func is None
    for computed, came_out in trained.seen.losses:
        assert computed == came_out


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("_generate_and_score_completions", ["self", "inputs"]),
        ("_prepare_inputs", ["self", "generation_batch"]),
        ("training_step", ["self", "model", "inputs", "num_items_in_batch"]),
        ("_compute_loss", ["self", "model", "inputs"]),
        ("create_optimizer", ["self", "model"]),
        ("log", ["self", "logs", "start_time"]),
        ("_save", ["self", "output_dir", "state_dict"]),
        ("_save_checkpoint", ["self", "model", "trial"]),
        ("_load_from_checkpoint", ["self", "resume_from_checkpoint", "model"]),
        ("_get_output_dir", ["self", "trial"]),
    ],
)
def test_what_is_overridden_takes_what_it_took(method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(GRPOTrainer, method)).parameters) == parameters


@pytest.mark.parametrize(
    ("caller", "calls"),
    [
        (Trainer.training_step, "self._prepare_inputs(inputs)"),
        (Trainer.training_step, "model.train()"),  # which a step that is left out does not do
        (Trainer._run_epoch, "self.training_step(model, inputs, num_items_in_batch)"),
        (GRPOTrainer._prepare_inputs, "if self._step % generate_every == 0 or self._buffered_inputs is None"),
        (GRPOTrainer._prepare_inputs, "self._buffered_inputs[self._step % self.args.steps_per_generation]"),
        (GRPOTrainer.prediction_step, "self._prepare_inputs(inputs)"),  # evaluation has the same way in
        (GRPOTrainer._compute_loss, 'completion_mask * inputs["tool_mask"]'),
        (GRPOTrainer._compute_loss, 'inputs["importance_sampling_ratio"]'),
        (GRPOTrainer._generate_and_score_completions, 'output["importance_sampling_ratio"]'),
        (GRPOTrainer._generate_and_score_completions, 'self._metrics[mode]["frac_reward_zero_std"]'),
        (Trainer.create_optimizer, "if self.optimizer is None"),
        (Trainer.create_optimizer, "opt_model.named_parameters()"),
    ],
)
def test_trl_calls_and_fills_what_ppo_relies_on(caller: Any, calls: str) -> None:
    assert calls in inspect.getsource(caller)


def test_a_trainer_has_what_the_loss_reads(trained: Watched) -> None:
    assert (trained.epsilon_low, trained.epsilon_high) == (trained.args.epsilon, trained.args.epsilon)
    assert trained.entropy_coef == 0.0 and trained.aux_loss_enabled is False and trained.router_aux_loss_coef == 0.0
    assert all(isinstance(token, int) for token in trained.eos_token_ids) and trained.eos_token_ids
    assert (trained.num_iterations, trained.num_generations, trained.use_vllm) == (EPOCHS, 4, False)
    assert trained.ref_model is not None and trained.ref_model is not trained.model
    assert set(trained._metrics) == {"train", "eval"}


def test_steps_are_logged_with_a_learning_rate_and_the_summary_without(trained: Watched) -> None:
    *steps, (_, summary) = trained.seen.logs
    assert len(steps) == trained.state.max_steps
    for training, logs in steps:
        assert training and {"loss", "grad_norm", "learning_rate"} <= logs.keys()
    assert "train_runtime" in summary and "learning_rate" not in summary


# ---- the settings


@pytest.mark.parametrize("name", [*ppo_limits.OF_GRPO, *ppo_limits.ALIASES.values()])
def test_grpos_config_has_what_ppo_sets_or_refuses(name: str) -> None:
    assert name in GRPOConfig.__dataclass_fields__


@pytest.mark.parametrize("name", ppo_config.PPOConfig.__annotations__)
def test_what_ppo_adds_is_nothing_of_grpos(name: str) -> None:
    assert (name in GRPOConfig.__dataclass_fields__) == (name in {"num_generations", "disable_dropout"})


def test_grpos_config_refuses_one_completion_for_each_prompt(tmp_path: Path) -> None:
    # Where it does not any more, what PPOConfig does around it may go.
    with pytest.raises(ValueError, match="at least 2 generations"):
        GRPOConfig(output_dir=str(tmp_path), num_generations=1, per_device_train_batch_size=8, use_cpu=True, bf16=False)


def test_a_rollout_is_derived_from_its_parts(tmp_path: Path) -> None:
    config = GRPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=8, steps_per_generation=3, use_cpu=True, bf16=False
    )
    assert (config.generation_batch_size, config.steps_per_generation) == (24, 3)


# ---- the heads


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def test_a_head_that_is_added_later_is_the_one_that_is_asked(policy: Any) -> None:
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 3]])
    with torch.no_grad():
        logits = policy(input_ids=ids).logits[:, :-1]
    for temperature in (1.0, 0.5):
        add_fused_lm_head(policy, temperature=temperature, cast_lm_head_to_fp32=False, outputs=("log_probs", "entropy"))
        output = policy(input_ids=ids, labels=ids, fused_lm_head=True)
        expected = torch.log_softmax(logits / temperature, dim=-1)
        assert isinstance(output, FusedCausalLMOutput)
        torch.testing.assert_close(output.log_probs, expected.gather(2, ids[:, 1:, None]).squeeze(2))
        torch.testing.assert_close(output.entropy, -(expected.exp() * expected).sum(dim=-1))


def test_the_backbone_is_called_as_a_module_and_says_its_last_states(policy: Any) -> None:
    states: list[Tensor] = []
    hook = policy.base_model.register_forward_hook(lambda _, __, output: states.append(output.last_hidden_state))
    ids = torch.tensor([[3, 4, 5]])
    add_fused_lm_head(policy, outputs=("log_probs", "entropy"))
    policy(input_ids=ids, labels=ids, fused_lm_head=True)
    hook.remove()
    assert [tuple(state.shape) for state in states] == [(1, 3, policy.config.get_text_config().hidden_size)]


def test_an_output_is_a_dataclass_and_a_dict_of_what_is_there() -> None:
    output = FusedCausalLMOutput(log_probs=torch.zeros(1, 2))
    assert list(output) == ["log_probs"] and output["log_probs"] is output.log_probs
    assert {"entropy", "aux_loss"} <= set(FusedCausalLMOutput.__dataclass_fields__)


def test_gradient_checkpointing_is_switched_off_for_a_while(policy: Any) -> None:
    assert list(inspect.signature(disable_gradient_checkpointing).parameters) == [
        "model",
        "gradient_checkpointing_kwargs",
    ]
    with disable_gradient_checkpointing(policy, None):
        pass


# ---- checkpoints


@pytest.mark.parametrize(
    ("method", "order"),
    [
        (Trainer._save_checkpoint, ["self.save_model(", "_save_optimizer_and_scheduler(", "self.state.save_to_json("]),
        (
            Trainer._save_checkpoint,
            ["PREFIX_CHECKPOINT_DIR}-{self.state.global_step}", "_get_output_dir(trial=trial)"],
        ),
        (Trainer.train, ["self._load_from_checkpoint(resume_from_checkpoint)", "return inner_training_loop("]),
        (Trainer._run_epoch, ["_set_sync_gradients(do_sync_step)", "self.training_step(", "self.optimizer.step()"]),
    ],
)
def test_things_come_in_this_order(method: Any, order: list[str]) -> None:
    source = inspect.getsource(method)
    places = [source.index(part) for part in order]
    assert places == sorted(places)


def test_the_prompts_are_drawn_after_a_checkpoint_was_loaded() -> None:
    assert "self.get_train_dataloader()" not in inspect.getsource(Trainer.train)
    assert "self.get_train_dataloader()" in inspect.getsource(Trainer._inner_training_loop)


def test_a_sampler_can_be_brought_to_its_place_in_later_epochs(trained: Watched) -> None:
    sampler = trained._get_train_sampler()
    assert sampler.shuffle and sampler.num_samples == len(PROMPTS) and isinstance(sampler.generator, torch.Generator)
    assert (
        inspect.getsource(type(sampler).__iter__).count("torch.randperm(self.num_samples, generator=self.generator)")
        == 1
    )


# ---- vLLM, which is not installed where tests run


def test_vllm_is_given_the_weights_that_the_model_has_then() -> None:
    for method in (GRPOTrainer._generate, GRPOTrainer._generate_single_turn):
        assert "self.vllm_generation.sync_weights()" in inspect.getsource(method)
    assert "self._iter_named_params()" in inspect.getsource(VLLMGeneration.sync_weights)
    assert "model.named_parameters()" in inspect.getsource(VLLMGeneration._iter_named_params)
