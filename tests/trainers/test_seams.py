"""What we use of TRL that TRL does not promise. A failure here says which wrapper to mend."""

from __future__ import annotations

import inspect

import pytest
from transformers import Trainer
from trl import GRPOConfig, GRPOTrainer

from diagnostics.vocabulary import parse_version, vocabulary


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("_generate", ["self", "prompts"]),
        ("_calculate_rewards", ["self", "inputs", "prompts", "completions", "completion_ids_list"]),
        ("_compute_loss", ["self", "model", "inputs"]),
        ("_get_per_token_logps_and_entropies", ["self", "model", "input_ids", "attention_mask", "logits_to_keep"]),
    ],
)
def test_the_wrapped_methods_take_what_the_wrappers_pass_on(method: str, parameters: list[str]) -> None:
    found = list(inspect.signature(getattr(GRPOTrainer, method)).parameters)
    assert found[: len(parameters)] == parameters


@pytest.mark.parametrize(
    ("caller", "calls"),
    [
        ("_generate_and_score_completions", "self._generate("),
        (
            "_generate_and_score_completions",
            "self._calculate_rewards(inputs, prompts, completions, completion_ids_list)",
        ),
        ("compute_loss", "self._compute_loss(model, inputs)"),
        ("_compute_loss", "self._get_per_token_logps_and_entropies("),
        ("_calculate_rewards", "rewards_per_func = gather(rewards_per_func)"),  # rewards of all processes
        ("_generate_and_score_completions", "* len(prompts)"),  # of which each process owns a slice, in its order
        ("_compute_loss", 'inputs.get("old_per_token_logps")'),
        ("_compute_loss", 'inputs["ref_per_token_logps"]'),
        ("_compute_loss", 'inputs["tool_mask"]'),
        ("_generate", "if self.model.training"),  # how TRL tells training from evaluation, and so do we
    ],
)
def test_trl_calls_them_from_where_we_listen(caller: str, calls: str) -> None:
    assert calls in inspect.getsource(getattr(GRPOTrainer, caller))


def test_generation_returns_ids_second_and_completions_fourth() -> None:
    assert "return prompt_ids, completion_ids, tool_mask, completions," in inspect.getsource(GRPOTrainer._generate)


def test_a_step_ends_before_it_is_logged_and_stops_after() -> None:
    source = inspect.getsource(Trainer._run_epoch)
    order = [source.index(part) for part in ("on_step_end", "_maybe_log_save_evaluate", "should_training_stop")]
    assert order == sorted(order)


def test_the_config_has_the_fields_that_a_trial_sets() -> None:
    words = vocabulary("trl-grpo")
    ours = [words.spoken(knob, parse_version("1.16.0")) for knob in ("kl_coef", "update_epochs", "batch_size")]
    assert ours == ["beta", "num_iterations", "generation_batch_size"]
    fields = GRPOConfig.__dataclass_fields__
    assert {*ours, "num_generations_eval", "steps_per_generation", "reward_weights", "lr_scheduler_type"} <= set(fields)
