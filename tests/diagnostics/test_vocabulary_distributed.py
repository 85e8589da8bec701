"""OpenRLHF, NeMo-RL, SkyRL, prime-rl and others: the rows that their loggers write, read name for name."""

import pytest

from diagnostics.naming import settle


def row(*texts):
    """The names of a row; `a/{b,c}` stands for `a/b` and `a/c`."""
    names = []
    for text in " ".join(texts).split():
        head, brace, rest = text.partition("{")
        inner, _, tail = rest.partition("}")
        names += [f"{head}{part}{tail}" for part in inner.split(",")] if brace else [text]
    return names


def meant(naming):
    """The canonical metric of each name that has one, with its factor and summand where these are not 1 and 0."""
    units = {name: (m.metric, m.times, m.plus) for name, m in naming.metrics.items()}
    return {name: metric if unit == [1, 0] else (metric, *unit) for name, (metric, *unit) in units.items()}


# ---- OpenRLHF

OPENRLHF_0_4 = row("policy_loss kl reward return response_length total_length num_actions ptx_loss critic_loss values")
OPENRLHF_0_9 = row(
    "policy_loss actor_lr entropy_loss kl reward group_reward_std return response_length total_length",
    "response_clip_ratio ppo_clip_ratio ppo_kl vllm_kl critic_loss values critic_lr dynamic_filtering_pass_rate",
)
OPENRLHF_0_11 = [
    *row("policy_loss actor_lr actor_grad_norm entropy_loss kl logprobs_diff reward group_reward_std return ppo_kl"),
    *row("response_length total_length truncated ppo_clip_ratio vllm_kl is_filter_ratio critic_loss values"),
    *row("critic_lr critic_grad_norm rollout/{reward_mean,reward_std,response_length_mean,truncated_rate,num_samples}"),
    *row("timing/{make_experience,ppo_train,broadcast,generation,step_total}"),
]
OPENRLHF_METRICS = {
    "policy_loss": "policy_loss", "actor_lr": "learning_rate", "actor_grad_norm": "grad_norm",
    "entropy_loss": "entropy.token", "kl": "kl.reference.unknown.token", "logprobs_diff": "kl.reference.k1.token",
    "rollout/reward_mean": "reward_mean", "rollout/reward_std": "reward_std.batch",
    "group_reward_std": "reward_std.group", "ppo_kl": "kl.rollout.k1.token", "vllm_kl": "kl.sampler.k1.token",
    "ppo_clip_ratio": "clip_fraction.token", "rollout/response_length_mean": "completion_length_mean",
    "rollout/truncated_rate": "truncated_share", "critic_loss": "value_loss", "values": "value_mean",
    "critic_lr": "value_learning_rate", "critic_grad_norm": "value_grad_norm",
    "timing/step_total": "step_seconds", "timing/generation": "generation_seconds",
    "timing/ppo_train": "update_seconds",
}  # fmt: skip


def test_openrlhf_0_11_on_its_console():
    naming = settle(OPENRLHF_0_11)
    assert naming.recognised.startswith("openrlhf, by ")
    assert naming.unmapped == ()
    assert meant(naming) == OPENRLHF_METRICS
    assert not naming.metrics["kl"].zeros


def test_openrlhf_0_11_in_wandb():
    evaluated = row("eval/eval_math_pass{1,4} eval/eval_math_{response_length_mean,truncated_rate}")
    names = [*(f"train/{name}" for name in OPENRLHF_0_11), "train/global_step", "eval/global_step", *evaluated]
    naming = settle(names, packages={"openrlhf": "0.11.2"})
    assert naming.recognised.startswith("openrlhf 0.11.2, by ")
    assert naming.unmapped == ()
    assert meant(naming) == {f"train/{name}": metric for name, metric in OPENRLHF_METRICS.items()} | {
        "eval/eval_math_pass1": "eval_set_reward[math]", "eval/eval_math_pass4": "eval_set_best_of_n[math]",
    }  # fmt: skip
    assert naming.steps == ("train/global_step",)


def test_openrlhf_0_9():
    settings = {
        "actor_learning_rate": 1e-6, "critic_learning_rate": 9e-6, "init_kl_coef": 0.01, "rollout_batch_size": 128,
        "kl_estimator": "k2", "max_epochs": 1, "num_episodes": 3, "n_samples_per_prompt": 8, "temperature": 1.0,
        "top_p": 1.0, "generate_max_len": 1024, "eps_clip": 0.2, "value_clip": 0.5, "max_norm": 1.0, "seed": 42,
        "entropy_loss_coef": None, "gamma": 1.0, "lambd": 0.95, "kl_target": None, "advantage_estimator": "gae",
    }  # fmt: skip
    naming = settle(OPENRLHF_0_9, settings=settings, packages={"openrlhf": "0.9.0"})
    assert naming.unmapped == ()
    assert meant(naming) == {
        "policy_loss": "policy_loss", "actor_lr": "learning_rate", "entropy_loss": "entropy.token",
        "kl": "kl.reference.k2.token", "reward": "reward_mean", "return": "reward_total",
        "group_reward_std": "reward_std.group", "response_length": "completion_length_mean",
        "response_clip_ratio": "truncated_share", "ppo_clip_ratio": "clip_fraction.token",
        "ppo_kl": "kl.rollout.k1.token", "vllm_kl": "kl.sampler.k1.token", "critic_loss": "value_loss",
        "values": "value_mean", "critic_lr": "value_learning_rate",
    }  # fmt: skip
    assert naming.settings == {
        "learning_rate": 1e-6, "value_learning_rate": 9e-6, "kl_coef": 0.01, "update_epochs": 1, "num_train_epochs": 3,
        "num_generations": 8, "temperature": 1.0, "top_p": 1.0, "max_completion_length": 1024, "clip_range": 0.2,
        "value_clip_range": 0.5, "max_grad_norm": 1.0, "gamma": 1.0, "gae_lambda": 0.95, "seed": 42,
    }  # fmt: skip


def test_openrlhf_0_4():
    naming = settle(OPENRLHF_0_4, packages={"openrlhf": "0.3.7"})
    assert naming.unmapped == ()
    assert meant(naming) == {
        "policy_loss": "policy_loss", "kl": "kl.reference.k1.token", "reward": "reward_mean",
        "response_length": "completion_length_mean", "critic_loss": "value_loss", "values": "value_mean",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "metric"),
    [
        ({"kl_estimator": "k1"}, "kl.reference.k1.token"),
        ({"kl_estimator": "k3"}, "kl.reference.k3.token"),
        ({"use_kl_estimator_k3": True}, "kl.reference.k3.token"),
        ({"use_kl_estimator_k3": False}, "kl.reference.k1.token"),
        ({}, "kl.reference.unknown.token"),
    ],
)
def test_openrlhf_kl_by_its_estimator(settings, metric):
    assert settle(row("actor_lr policy_loss kl"), settings=settings).metrics["kl"].metric == metric


def test_openrlhf_settings():
    older = {"actor_learning_rate": 1e-6, "kl_target": 6.0, "max_new_tokens": 512, "entropy_loss_coef": 0.01}
    assert settle(OPENRLHF_0_9, settings=older, packages={"openrlhf": "0.10.0"}).settings == {
        "learning_rate": 1e-6, "kl_controller_target": 6.0, "max_completion_length": 512, "entropy_coef": 0.01,
    }  # fmt: skip
    newer = {
        "actor": {"adam": {"lr": 1e-6}, "eps_clip": 0.2, "max_norm": 1.0, "entropy_coef": 0.01},
        "critic": {"adam": {"lr": 9e-6}, "value_clip": 0.5}, "train": {"max_epochs": 1, "num_episodes": 3, "seed": 42},
        "algo": {"kl": {"init_coef": 0.01, "target": 6.0}, "advantage": {"gamma": 1.0, "lambd": 0.95}},
        "rollout": {"n_samples_per_prompt": 8, "temperature": 0.9, "top_p": 1.0, "max_new_tokens": 1024},
    }  # fmt: skip
    assert settle(OPENRLHF_0_11, settings=newer, packages={"openrlhf": "0.11.2"}).settings == {
        "learning_rate": 1e-6, "clip_range": 0.2, "max_grad_norm": 1.0, "entropy_coef": 0.01,
        "value_learning_rate": 9e-6, "value_clip_range": 0.5, "update_epochs": 1, "num_train_epochs": 3, "seed": 42,
        "kl_coef": 0.01, "kl_controller_target": 6.0, "gamma": 1.0, "gae_lambda": 0.95, "num_generations": 8,
        "temperature": 0.9, "top_p": 1.0, "max_completion_length": 1024,
    }  # fmt: skip


def test_openrlhf_gspo_clips_whole_completions():
    naming = settle(OPENRLHF_0_9, settings={"policy_loss_type": "gspo"})
    assert naming.metrics["ppo_clip_ratio"].metric == "clip_fraction"


@pytest.mark.parametrize("n", [2, 4, 8, 16, 32])
def test_openrlhf_best_of_n_on_an_evaluation_set(n):
    naming = settle(["train/ppo_clip_ratio", f"eval/eval_math_pass{n}"])
    assert naming.metrics[f"eval/eval_math_pass{n}"].metric == "eval_set_best_of_n[math]"


# ---- NeMo-RL

NEMO = row(
    "train/{loss,grad_norm,reward,lr,wd,kl_penalty,approx_entropy,mean_prompt_length,total_num_tokens}",
    "train/{token_mult_prob_error,gen_kl_error,policy_kl_error,js_divergence_error,sampling_importance_ratio}",
    "train/{probs_ratio,probs_ratio_clamped,probs_ratio_min,probs_ratio_max,probs_ratio_clamped_min}",
    "train/{probs_ratio_clamped_max,num_valid_samples,global_valid_seqs,global_valid_toks,is_oob_ratio}",
    "train/baseline_reward/{pct_0,pct_1,pct_mixed,histogram} train/advantages/{mean,max,min,sum,histogram}",
    "train/{total_turns,avg_turns_per_sample,max_turns_per_sample,natural_termination_rate,truncation_rate}",
    "train/{max_turns_reached_rate,mean_total_tokens_per_sample,mean_gen_tokens_per_sample}",
    "train/{max_gen_tokens_per_sample,mean_env_tokens_per_sample,max_seq_mult_prob_error}",
    "train/{mean_seq_mult_prob_error_after_mask,num_masked_seqs_by_logprob_error,masked_correct_pct}",
    "timing/train/{total_step_time,policy_training,generation} performance/tokens_per_sec_per_gpu",
    "timing/validation/total_validation_time validation/{accuracy,avg_length} ray/node.0.gpu.0.util",
)
NEMO_SETTINGS = {
    "grpo": {
        "num_prompts_per_step": 32, "num_generations_per_prompt": 16, "max_num_steps": 500, "max_num_epochs": 1,
        "normalize_rewards": True, "seed": 42,
    },
    "loss_fn": {
        "reference_policy_kl_penalty": 0.01, "reference_policy_kl_type": "k3", "ratio_clip_min": 0.2,
        "ratio_clip_max": 0.28, "use_on_policy_kl_approximation": False,
    },
    "policy": {
        "optimizer": {"name": "torch.optim.AdamW", "kwargs": {"lr": 5e-6}}, "max_grad_norm": 1.0,
        "megatron_cfg": {"enabled": False, "optimizer": {"lr": 1e-3}},
        "generation": {"temperature": 1.0, "top_p": 1.0, "top_k": None, "max_new_tokens": 512},
    },
}  # fmt: skip


def test_nemo_rl():
    naming = settle(NEMO, settings=NEMO_SETTINGS)
    assert naming.recognised.startswith("nemo-rl, by ")
    assert naming.unmapped == ()
    assert meant(naming) == {
        "train/reward": "reward_mean", "train/loss": "total_loss", "train/grad_norm": "grad_norm",
        "train/lr": "learning_rate", "train/kl_penalty": "kl.reference.k3.token",
        "train/approx_entropy": "entropy.token", "train/gen_kl_error": "kl.sampler.k3.token",
        "train/probs_ratio_min": "probability_ratio_min", "train/probs_ratio_max": "probability_ratio_max",
        "train/baseline_reward/pct_mixed": ("zero_std_share", -0.01, 1), "train/advantages/mean": "advantage_mean",
        "train/advantages/max": "advantage_max", "train/advantages/min": "advantage_min",
        "train/truncation_rate": "truncated_share", "train/mean_gen_tokens_per_sample": "completion_length_mean",
        "train/max_gen_tokens_per_sample": "completion_length_max", "validation/accuracy": "eval_reward",
        "timing/train/total_step_time": "step_seconds", "timing/train/generation": "generation_seconds",
        "timing/train/policy_training": "update_seconds",
    }  # fmt: skip
    assert naming.settings == {
        "learning_rate": 5e-6, "kl_coef": 0.01, "clip_range": 0.2, "clip_range_high": 0.28, "num_generations": 16,
        "scale_rewards": "group", "max_steps": 500, "num_train_epochs": 1, "seed": 42, "max_grad_norm": 1.0,
        "temperature": 1.0, "top_p": 1.0, "max_completion_length": 512,
    }  # fmt: skip


def test_nemo_rl_with_its_gym():
    gym = row("train/gen_kl_error train/total_reward/{mean,max,min,stddev,p25}",
              "train/gen_tokens_per_sample/{mean,max,min} train/turns_per_sample/mean",
              "train/max_gen_tokens_per_turn/p95 train/avg_trajectory_age",
              "train/critic/explained_var")  # fmt: skip
    naming = settle(gym)
    assert naming.unmapped == ()
    assert meant(naming) == {
        "train/gen_kl_error": "kl.sampler.unknown.token", "train/total_reward/mean": "reward_mean",
        "train/total_reward/max": "reward_max", "train/total_reward/min": "reward_min",
        "train/total_reward/stddev": "reward_std", "train/gen_tokens_per_sample/mean": "completion_length_mean",
        "train/gen_tokens_per_sample/max": "completion_length_max", "train/avg_trajectory_age": "staleness_mean",
        "train/gen_tokens_per_sample/min": "completion_length_min", "train/critic/explained_var": "explained_variance",
    }  # fmt: skip


def test_nemo_rl_counts_groups_in_percent_of_those_that_are_mixed():
    meaning = settle(NEMO).metrics["train/baseline_reward/pct_mixed"]
    assert [meaning.times * percent + meaning.plus for percent in (0.0, 25.0, 100.0)] == [1.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("loss", "metric"),
    [
        ({"reference_policy_kl_type": "k1"}, "kl.reference.k1.token"),
        ({"reference_policy_kl_type": "k2"}, "kl.reference.k2.token"),
        ({"use_on_policy_kl_approximation": True}, "kl.reference.unknown.token"),  # weighted by the ratio
    ],
)
def test_nemo_rl_kl_by_its_settings(loss, metric):
    naming = settle(NEMO, settings=NEMO_SETTINGS | {"loss_fn": NEMO_SETTINGS["loss_fn"] | loss})
    assert naming.metrics["train/kl_penalty"].metric == metric
    assert not naming.metrics["train/kl_penalty"].zeros
    if not metric.endswith("k2.token"):  # of which there is none for the sampler
        assert naming.metrics["train/gen_kl_error"].metric == metric.replace("reference", "sampler")


def test_nemo_rl_learning_rate_is_of_the_backend_that_trains():
    megatron = {"enabled": True, "optimizer": {"lr": 1e-3}}
    policy = {"optimizer": {"kwargs": {"lr": 5e-6}}, "megatron_cfg": megatron}
    assert settle(NEMO, settings={"policy": policy}).settings["learning_rate"] == 1e-3
    assert settle(NEMO, settings={"policy": policy | {"megatron_cfg": {"enabled": False}}}).settings == {
        "learning_rate": 5e-6
    }


# ---- SkyRL

SKYRL = row(
    "trainer/epoch trainer/global_step trainer/tokens_per_second_per_gpu reward/avg_pass_at_5 reward/avg_raw_reward",
    "reward/mean_positive_reward loss/{avg_final_rewards,avg_raw_advantages,avg_raw_advantages_abs,avg_kl,avg_kl_max}",
    "loss/kl_loss_coef policy/{final_loss,policy_loss,policy_entropy,response_length,policy_lr,policy_kl,grad_norm}",
    "policy/loss_metrics/{clip_ratio,tis_token_clip_high_ratio} policy/minibatch_rollout_logprobs_abs_diff_mean",
    "policy/rollout_train_logprobs_abs_diff_{max,min,mean,std} critic/{critic_loss,values_mean,values_clipfrac}",
    "critic/{critic_lr,grad_norm} generate/{avg,min,max,std}_num_tokens generate/avg_tokens_non_zero_rewards",
    "generate/avg_assistant_tokens generate/batch_num_seq environment/turns timing/{generate,step,policy_train}",
    "eval/all/avg_score eval/openai_gsm8k/avg_score eval/all/pass_at_1 eval/all/mean_positive_reward vllm/train/tokens",
    "eval/all/generate/avg_num_tokens async/{staleness_mean,staleness_max,staleness_min,staleness_ratio}",
)
SKYRL_SETTINGS = {
    "trainer": {
        "policy": {"optimizer_config": {"lr": 1e-6, "max_grad_norm": 1.0}},
        "critic": {"optimizer_config": {"lr": 5e-6}},
        "algorithm": {
            "kl_estimator_type": "k3", "use_kl_loss": True, "use_kl_in_reward": False, "kl_loss_coef": 0.001,
            "policy_loss_type": "dual_clip", "eps_clip_low": 0.2, "eps_clip_high": 0.28, "value_clip": 0.2,
            "use_entropy_loss": False, "entropy_loss_coef": 0.01, "grpo_norm_by_std": True, "gamma": 1.0, "lambd": 1.0,
        },
        "update_epochs_per_batch": 1, "epochs": 20, "max_training_steps": None, "seed": 42, "train_batch_size": 1024,
    },
    "generator": {
        "n_samples_per_prompt": 5,
        "sampling_params": {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "max_generate_length": 1024},
    },
}  # fmt: skip


def test_skyrl():
    naming = settle(SKYRL, settings=SKYRL_SETTINGS)
    assert naming.recognised.startswith("skyrl, by ")
    assert naming.unmapped == ()
    assert meant(naming) == {
        "reward/avg_raw_reward": "reward_mean", "loss/avg_final_rewards": "reward_total",
        "loss/avg_raw_advantages": "advantage_mean", "loss/avg_kl": "kl.reference.k3.token",
        "loss/kl_loss_coef": "kl_coef", "policy/final_loss": "total_loss", "policy/policy_loss": "policy_loss",
        "policy/policy_entropy": "entropy.token", "policy/policy_lr": "learning_rate", "policy/grad_norm": "grad_norm",
        "policy/loss_metrics/clip_ratio": "clip_fraction.token",
        "policy/rollout_train_logprobs_abs_diff_mean": "sampler_logprob_diff_mean",
        "policy/rollout_train_logprobs_abs_diff_max": "sampler_logprob_diff_max", "critic/critic_loss": "value_loss",
        "critic/values_mean": "value_mean", "critic/values_clipfrac": "value_clip_fraction",
        "critic/critic_lr": "value_learning_rate", "critic/grad_norm": "value_grad_norm",
        "generate/avg_num_tokens": "completion_length_mean", "generate/min_num_tokens": "completion_length_min",
        "generate/max_num_tokens": "completion_length_max", "generate/std_num_tokens": "completion_length_std",
        "eval/all/avg_score": "eval_reward", "eval/openai_gsm8k/avg_score": "eval_set_reward[openai_gsm8k]",
        "async/staleness_mean": "staleness_mean", "async/staleness_max": "staleness_max",
        "timing/step": "step_seconds", "timing/generate": "generation_seconds", "timing/policy_train": "update_seconds",
    }  # fmt: skip
    assert naming.steps == ("trainer/global_step",)
    assert naming.settings == {
        "learning_rate": 1e-6, "value_learning_rate": 5e-6, "kl_coef": 0.001, "update_epochs": 1,
        "num_train_epochs": 20, "max_grad_norm": 1.0, "clip_range": 0.2, "clip_range_high": 0.28,
        "value_clip_range": 0.2, "scale_rewards": "group", "gamma": 1.0, "gae_lambda": 1.0, "seed": 42,
        "num_generations": 5, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_completion_length": 1024,
    }  # fmt: skip


def test_skyrl_by_its_settings():
    def algorithm(**settings):
        return settle(row("policy/policy_entropy policy/policy_kl policy/loss_metrics/clip_ratio"),
                      settings={"trainer": {"algorithm": settings}})  # fmt: skip

    assert algorithm(kl_estimator_type="k1").metrics["policy/policy_kl"].metric == "kl.reference.k1.token"
    assert algorithm(kl_estimator_type="abs").metrics["policy/policy_kl"].metric == "kl.reference.unknown.token"
    assert not algorithm(kl_estimator_type="k3").metrics["policy/policy_kl"].zeros
    assert algorithm(policy_loss_type="gspo").metrics["policy/loss_metrics/clip_ratio"].metric == "clip_fraction"
    assert "kl_coef" not in algorithm(kl_loss_coef=0.001, use_kl_loss=False, use_kl_in_reward=False).settings
    assert algorithm(kl_loss_coef=0.001, use_kl_in_reward=True).settings["kl_coef"] == 0.001


@pytest.mark.parametrize("name", ["policy/policy_kl", "loss/avg_kl"])
@pytest.mark.parametrize("logged", ["k1", "k2", "k3", "abs"])
def test_skyrl_kl_by_its_estimator(name, logged):
    settings = {"trainer": {"algorithm": {"kl_estimator_type": logged}}}
    estimator = "unknown" if logged == "abs" else logged
    naming = settle(row("policy/policy_entropy", name), settings=settings)
    assert naming.metrics[name].metric == f"kl.reference.{estimator}.token"


def test_skyrl_of_older_names():
    names = row("reward/avg_raw_reward policy/{ppo_clip_ratio,raw_grad_norm,policy_update_steps}")
    assert meant(settle(names)) == {
        "reward/avg_raw_reward": "reward_mean", "policy/ppo_clip_ratio": "clip_fraction",
        "policy/raw_grad_norm": "grad_norm",
    }  # fmt: skip


# ---- prime-rl

PRIME_TRAINER = row(
    "step entropy/all/{mean,std,max} mismatch_kl/all/{mean,std,max} entropy/math/mean mismatch_kl/math/mean",
    "kl_ent_ratio/mean loss/{mean,std,max} masked_mismatch_kl/mean unmasked_mismatch_kl/mean is_masked/mean",
    "is_masked_low/mean is_masked_high/mean masked_advantage_positive/mean optim/{lr,grad_norm,zero_grad_ratio}",
    "perf/{throughput,mfu,peak_memory} time/{step,wait_for_batch,forward_backward} system/ckpt_disk_free_gib",
)
PRIME_ORCHESTRATOR = row(
    "step reward/all/{mean,max,min} reward/math/mean solve_none/all solve_all/all effective_batch_size/all",
    "seq_len/all/{mean,max,min} prefill_len/all/mean decode_len/all/{mean,max,min} is_truncated/all/{mean,max}",
    "num_turns/all/mean samples_per_rollout/all/mean stop_condition/all/generation_truncated batch/math",
    "progress/{tokens,samples,problems,total_tokens} timing/all/total/mean time/step filters/all/is_filtered",
    "metrics/math/correct_answer pre_filters/all/dropped_rate eval/aime/avg@4 eval/aime/pass@4",
)
PRIME_2026 = row(
    "step train/agg/all/agent/{reward/mean,reward/std,solved_none,solved_all,solved_some,is_truncated/mean}",
    "train/agg/all/agent/{num_output_tokens/mean,has_error/mean} train/agg/effective/agent/reward/mean",
    "train/agg/effective/agent/is_truncated/mean train/agg/effective/num_output_tokens/mean",
    "train/math/effective/agent/metrics/correct/mean off_policy/{mean,max}",
    "eval/aime/effective/agent/{avg@4,pass@4} dispatcher/inflight/train curriculum/math/admitted",
)


def test_prime_rl_trainer():
    naming = settle(PRIME_TRAINER, settings={"optim": {"lr": 1e-6, "max_norm": 1.0}, "max_steps": 200})
    assert naming.recognised.startswith("prime-rl, by mismatch_kl/all/mean")
    assert naming.unmapped == ()
    assert meant(naming) == {
        "entropy/all/mean": "entropy.token", "mismatch_kl/all/mean": "kl.sampler.k3.token", "loss/mean": "total_loss",
        "optim/lr": "learning_rate", "optim/grad_norm": "grad_norm",
    }  # fmt: skip
    assert naming.settings == {"learning_rate": 1e-6, "max_grad_norm": 1.0, "max_steps": 200}
    assert naming.steps == ("step",)


def test_prime_rl_orchestrator():
    settings = {"rollouts_per_example": 16, "sampling": {"temperature": 1.0, "max_tokens": 2048}}
    naming = settle(PRIME_ORCHESTRATOR, settings=settings)
    assert naming.unmapped == ()
    assert meant(naming) == {
        "reward/all/mean": "reward_mean", "effective_batch_size/all": ("zero_std_share", -1, 1),
        "decode_len/all/mean": "completion_length_mean", "is_truncated/all/mean": "truncated_share",
        "eval/aime/avg@4": "eval_set_reward[aime]",
    }  # fmt: skip
    assert naming.settings == {"num_generations": 16, "temperature": 1.0, "max_completion_length": 2048}


def test_prime_rl_of_2026():
    naming = settle([*PRIME_2026, *PRIME_TRAINER])
    assert naming.unmapped == ()
    assert meant(naming) == {
        "train/agg/all/agent/reward/mean": "reward_mean",  # of all rollouts, not of those that are trained on
        "train/agg/all/agent/solved_some": ("zero_std_share", -1, 1),
        "train/agg/all/agent/is_truncated/mean": "truncated_share",
        "train/agg/all/agent/num_output_tokens/mean": "completion_length_mean",
        "eval/aime/effective/agent/avg@4": "eval_set_reward[aime/effective/agent]", "off_policy/mean": "staleness_mean",
        "off_policy/max": "staleness_max", "entropy/all/mean": "entropy.token",
        "mismatch_kl/all/mean": "kl.sampler.k3.token", "loss/mean": "total_loss", "optim/lr": "learning_rate",
        "optim/grad_norm": "grad_norm",
    }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [OPENRLHF_0_9, OPENRLHF_0_11, NEMO, SKYRL, PRIME_TRAINER, PRIME_ORCHESTRATOR],
)
def test_no_kl_to_another_policy_is_read_as_one_to_the_reference(names):
    other = (
        "ppo_kl",
        "rollout_corr/",
        "vllm_kl",
        "gen_kl_error",
        "mismatch_kl",
        "logprobs_abs_diff",
        "rollout_probs_diff",
    )
    for name, meaning in settle(names).metrics.items():
        if any(part in name for part in other):
            assert not meaning.metric.startswith("kl.reference")


# ---- ms-swift and tinker-cookbook

SWIFT = row(
    "loss grad_norm learning_rate reward reward_std frac_reward_zero_std rewards/Format/{mean,std} kl num_turns",
    "completions/{mean_length,min_length,max_length,clipped_ratio} clip_ratio/{low_mean,low_min,high_mean,high_max}",
    "clip_ratio/region_mean entropy/{mean,max,min} rollout_correction/{kl,k3_kl,training_ppl,is_weight_mean,ess}",
    "epoch memory(GiB) train_speed(s/it) step",
)
TINKER = row(
    "step progress/batch progress/done_frac optim/{lr,entropy,kl_sample_train_v1,kl_sample_train_v2} kl_policy_base",
    "env/all/{reward/total,ac_tokens_per_turn,ob_tokens_per_turn,turns_per_episode,total_episodes,correct}",
    "env/all/by_group/{frac_mixed,frac_all_good,frac_all_bad} time/total test/env/all/{reward/total,correct}",
)


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({}, {}),
        (
            {"scale_rewards": "group", "kl_in_reward": False, "importance_sampling_level": "token"},
            {
                "reward_std": "reward_std.group", "kl": "kl.reference.k3.token",
                "clip_ratio/region_mean": "clip_fraction.token", "clip_ratio/low_mean": "clip_fraction_low.token",
                "clip_ratio/high_mean": "clip_fraction_high.token",
            },
        ),
        (
            {"scale_rewards": "batch", "kl_in_reward": True, "importance_sampling_level": "sequence"},
            {"reward_std": "reward_std.batch", "kl": "kl.reference.k1.sequence"},
        ),
    ],
)  # fmt: skip
def test_ms_swift_by_its_settings(settings, changed):
    naming = settle(SWIFT, settings=settings)
    assert naming.recognised.startswith("ms-swift, by ")
    assert naming.unmapped == ()
    assert meant(naming) == {
        "loss": "total_loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate", "reward": "reward_mean",
        "reward_std": "reward_std", "frac_reward_zero_std": "zero_std_share", "kl": "kl.reference.unknown",
        "rewards/Format/mean": "reward_component_mean[Format]", "rewards/Format/std": "reward_component_std[Format]",
        "completions/mean_length": "completion_length_mean", "completions/min_length": "completion_length_min",
        "completions/max_length": "completion_length_max", "completions/clipped_ratio": "truncated_share",
        "clip_ratio/region_mean": "clip_fraction", "clip_ratio/low_mean": "clip_fraction_low",
        "clip_ratio/high_mean": "clip_fraction_high", "entropy/mean": "entropy.token",
        "rollout_correction/kl": "kl.sampler.k1.token", "rollout_correction/k3_kl": "kl.sampler.k3.token",
    } | changed  # fmt: skip


def test_tinker_cookbook():
    naming = settle(TINKER, settings={"learning_rate": 4e-5, "kl_penalty_coef": 0.0, "num_substeps": 1})
    assert naming.recognised.startswith("tinker-cookbook, by ")
    assert naming.unmapped == ()
    assert meant(naming) == {
        "env/all/reward/total": "reward_mean", "env/all/by_group/frac_mixed": ("zero_std_share", -1, 1),
        "test/env/all/reward/total": "eval_reward", "kl_policy_base": "kl.reference.k1.token",
        "optim/kl_sample_train_v1": "kl.sampler.k1.token", "optim/entropy": "entropy.token",
        "optim/lr": "learning_rate",
    }  # fmt: skip
    assert naming.settings == {"learning_rate": 4e-5, "kl_coef": 0.0}
