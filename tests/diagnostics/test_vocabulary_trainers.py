"""Sets of names as trainers log them, version by version, and the canonical metric of every one of them."""

import pytest

from diagnostics.naming import settle

RLHF = {
    "objective/kl": "kl.reference.k1.sequence", "objective/entropy": "", "objective/non_score_reward":
    "kl_penalty_reward.sequence", "objective/rlhf_reward": "reward_total", "objective/scores": "reward_mean",
}  # fmt: skip
HF = {"loss": "total_loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate", "epoch": ""}
LENGTHS = {
    "completions/mean_length": "completion_length_mean", "completions/min_length": "completion_length_min",
    "completions/max_length": "completion_length_max", "completions/clipped_ratio": "truncated_share",
    "completions/mean_terminated_length": "completion_length_terminated_mean",
    "completions/min_terminated_length": "", "completions/max_terminated_length": "",
}  # fmt: skip
CLIPS = {
    "clip_ratio/region_mean": "clip_fraction.token", "clip_ratio/low_mean": "clip_fraction_low.token",
    "clip_ratio/high_mean": "clip_fraction_high.token", "clip_ratio/low_min": "", "clip_ratio/high_max": "",
}  # fmt: skip
GRPO = {"num_generations": 8, "scale_rewards": True}
RLOO = {"normalize_advantages": False, "reward_clip_range": None}
PPO = {"cliprange_value": 0.2, "num_ppo_epochs": 4}
OUR_PPO = (
    "kl.reference.k1.sequence", "kl.reference.k1.token", "kl.reference.k3.sequence", "kl.reference.k3.token", "kl_coef",
    "kl_controller_error", "kl_penalty_reward.sequence", "kl_penalty_reward.token", "kl.rollout.k1.token",
    "kl.rollout.k2.token", "probability_ratio_mean", "probability_ratio_min", "probability_ratio_max",
    "clip_fraction.token", "clip_fraction_low.token", "clip_fraction_high.token", "policy_loss.token", "value_loss",
    "value_clip_fraction", "value_mean", "value_error", "explained_variance", "return_mean", "return_var",
    "advantage_mean", "advantage_std", "entropy.token", "entropy.sequence", "reward_mean", "reward_std.batch",
    "reward_total", "eos_share", "unique_share", "completions_generated", "generation_seconds", "reward_seconds",
    "scoring_seconds",
)  # fmt: skip

# Framework, what else of the log tells it, and the metric of each name; "" is for names that need none.
CASES = {
    "trl-ppo-classic 0.11.4": ("trl-ppo-classic", {}, {
        "env/reward_mean": "reward_mean", "env/reward_std": "reward_std.batch", "objective/kl":
        "kl.reference.k1.sequence", "objective/kl_coef": "kl_coef", "objective/entropy": "entropy.sequence",
        "ppo/mean_non_score_reward": "kl_penalty_reward.token", "ppo/policy/approxkl": "kl.rollout.k2.token",
        "ppo/policy/policykl": "kl.rollout.k1.token", "ppo/policy/clipfrac": "clip_fraction.token",
        "ppo/policy/entropy": "entropy.token", "ppo/policy/advantages_mean": "advantage_mean",
        "ppo/loss/policy": "policy_loss.token", "ppo/loss/value": "value_loss", "ppo/loss/total": "total_loss",
        "ppo/val/clipfrac": "value_clip_fraction", "ppo/val/var_explained": "explained_variance",
        "ppo/val/vpred": "value_mean", "ppo/val/error": "value_error", "ppo/val/mean": "", "ppo/val/var": "",
        "ppo/returns/mean": "return_mean", "ppo/returns/var": "return_var", "ppo/learning_rate": "learning_rate",
        "tokens/responses_len_mean": "completion_length_mean", "tokens/responses_len_std": "completion_length_std",
        "tokens/queries_len_mean": "", "tokens/queries_len_std": "", "time/ppo/total": "",
    }),
    "trl-ppo 0.9.6": ("trl-ppo", {"settings": PPO}, {
        **RLHF, "eps": "", "policy/approxkl_avg": "kl.rollout.k2.token", "policy/clipfrac_avg": "clip_fraction.token",
        "loss/policy_avg": "policy_loss.token", "loss/value_avg": "value_loss",
        "val/clipfrac_avg": "value_clip_fraction", "policy/entropy_avg": "entropy", "val/ratio":
        "probability_ratio_mean", "val/ratio_var": "", "val/num_eos_tokens": "eos_tokens", "lr": "learning_rate",
        "episode": "", "epoch": "",
    }),
    "trl-ppo 1.12 with k3": ("trl-ppo", {"settings": PPO | {"kl_estimator": "k3"}}, {
        **RLHF, "objective/kl": "kl.reference.k3.sequence", "loss/value_avg": "value_loss", "val/num_eos_tokens":
        "eos_tokens",
    }),
    "trl-rloo 0.9.6": ("trl-rloo", {"settings": {"rloo_k": 2}}, {
        **RLHF, "policy/approxkl_avg": "kl.rollout.k2.sequence", "policy/clipfrac_avg": "clip_fraction.sequence",
        "loss/policy_avg": "policy_loss", "policy/entropy_avg": "entropy", "val/clipfrac_avg": "",
        "val/num_eos_tokens": "eos_tokens", "val/ratio": "probability_ratio_mean", "lr": "learning_rate",
    }),
    "trl-rloo 0.22.2": ("trl-rloo", {"settings": RLOO, "packages": {"trl": "0.22.2"}}, {
        **HF, **LENGTHS, "reward": "reward_total", "kl": "kl.reference.k1.token", "frac_reward_zero_std": "",
        "entropy": "entropy.token", "clip_ratio/region_mean": "clip_fraction.sequence", "clip_ratio/low_mean": "",
        "rewards/a/mean": "reward_component_mean[a]", "rewards/a/std": "reward_component_std[a]", "num_tokens": "",
    }),
    "trl-rloo 1.16.0": ("trl-rloo", {"settings": RLOO, "packages": {"trl": "1.16.0"}}, {
        **HF, **LENGTHS, "reward": "reward_mean", "reward_std": "reward_std.batch", "kl": "kl.reference.k1.token",
    }),
    "trl-grpo 0.14.0": ("trl-grpo", {}, {
        **HF, "completion_length": "completion_length_mean", "reward": "reward_mean", "reward_std":
        "reward_std.group", "kl": "kl.reference.k3.token", "rewards/a": "reward_component_mean[a]",
    }),
    "trl-grpo 0.16.1": ("trl-grpo", {}, {
        **HF, "completion_length": "completion_length_mean", "reward": "reward_mean", "reward_std":
        "reward_std.group", "kl": "kl.reference.k3.token", "rewards/a": "reward_component_mean[a]",
        "clip_ratio": "clip_fraction.token", "num_tokens": "",
    }),
    "trl-grpo 0.17.0": ("trl-grpo", {"settings": GRPO, "packages": {"trl": "0.17.0"}}, {
        **HF, **LENGTHS, **CLIPS, "reward": "reward_mean", "reward_std": "reward_std.group", "kl":
        "kl.reference.k3.token", "rewards/a/mean": "reward_component_mean[a]", "rewards/a/std":
        "reward_component_std[a]", "num_tokens": "", "eval_reward": "eval_reward", "eval_completions/mean_length": "",
    }),
    "trl-grpo 0.26.2": ("trl-grpo", {"settings": GRPO, "packages": {"trl": "0.26.2"}}, {
        **HF, **LENGTHS, **CLIPS, "reward": "reward_mean", "reward_std": "reward_std.group", "frac_reward_zero_std":
        "zero_std_share", "kl": "kl.reference.k3.token", "entropy": "entropy.token", "step_time": "step_seconds",
        "sampling/sampling_logp_difference/mean": "sampler_logprob_diff_mean",
        "sampling/sampling_logp_difference/max": "sampler_logprob_diff_max",
        "sampling/importance_sampling_ratio/mean": "", "tools/call_frequency": "",
    }),
    "trl-grpo 1.16.0": ("trl-grpo", {"settings": GRPO, "packages": {"trl": "1.16.0"}}, {
        **HF, **LENGTHS, **CLIPS, "reward": "reward_mean", "reward_std": "reward_std.batch", "frac_reward_zero_std":
        "zero_std_share", "kl": "kl.reference.unknown.token", "policy_loss": "policy_loss", "entropy_coef": "",
        "aux_loss": "", "vespo/phi_seq_mean": "",
    }),
    "trl-grpo in wandb": ("trl-grpo", {"settings": GRPO}, {
        "train/loss": "total_loss", "train/reward": "reward_mean", "train/completions/clipped_ratio":
        "truncated_share", "train/global_step": "", "_step": "", "_runtime": "", "_timestamp": "", "train/epoch": "",
        "eval/reward": "eval_reward", "eval/loss": "eval_loss", "eval/kl": "", "train/rewards/a/mean":
        "reward_component_mean[a]", "profiling/Time taken: GRPOTrainer._prepare_inputs": "",
    }),
    "unsloth": ("unsloth", {}, {
        **HF, **LENGTHS, "completion_length": "", "reward": "reward_mean", "kl": "kl.reference.unknown.token",
        "frac_reward_zero_std": "zero_std_share",
    }),
    "autotune-ppo": ("autotune-ppo", {}, {
        **HF, **LENGTHS, **{name: name for name in OUR_PPO}, "reward": "", "reward_std": "", "frac_reward_zero_std": "",
        "rewards/a/mean": "reward_component_mean[a]", "num_tokens": "", "step_time": "step_seconds",
    }),
    "autotune-ppo in wandb": ("autotune-ppo", {"settings": GRPO | PPO | {"kl_controller": "fixed"}}, {
        **{f"train/{name}": name for name in OUR_PPO}, "train/loss": "total_loss", "train/completions/clipped_ratio":
        "truncated_share", "train/global_step": "", "_runtime": "", "eval/reward": "eval_reward", "train/reward": "",
    }),
    "trl-online-dpo 1.16": ("trl-online-dpo", {}, {
        **HF, **RLHF, "objective/scores_margin": "", "rewards/chosen": "", "rewards/rejected": "",
        "rewards/accuracies": "", "rewards/margins": "", "logps/chosen": "", "logps/rejected": "",
        "val/contain_eos_token": "truncated_share", "beta": "",
    }),
    "torchtune PPO 0.6.1": ("torchtune", {}, {
        "scores": "reward_mean", "num_stop_tokens": "", "rlhf_reward": "reward_total", "kl":
        "kl.reference.k1.sequence", "kl_reward": "kl_penalty_reward.sequence", "loss": "total_loss",
        "policy_loss": "policy_loss", "value_loss": "value_loss", "clipfrac": "clip_fraction.token", "ratios":
        "probability_ratio_mean", "approx_policy_kl": "kl.rollout.k2.token", "response_lengths":
        "completion_length_mean", "tokens_per_second_per_gpu_ppo": "", "tokens_per_second_per_gpu_trajectory": "",
    }),
    "torchtune GRPO 0.6.1": ("torchtune", {}, {
        "rewards": "reward_mean", "successes": "success_share", "num_stop_tokens": "", "loss": "total_loss",
        "policy_loss": "policy_loss", "kl_loss": "kl.reference.k3.token", "clipfrac": "clip_fraction.token",
        "ratios": "probability_ratio_mean", "approx_policy_kl": "kl.rollout.k2.token", "response_lengths":
        "completion_length_mean", "lr": "learning_rate",
    }),
    "trlx 0.7": ("trlx", {}, {
        "rollout_scores/mean": "reward_mean", "rollout_scores/std": "reward_std.batch",
        "rollout_scores/running_mean": "", "policy/sqrt_kl": "kl.reference.unknown.sequence", "policy/kl_per_token":
        "kl.reference.unknown.token", "kl_ctl_value": "kl_coef", "losses/total_loss": "total_loss",
        "losses/policy_loss": "policy_loss.token", "losses/value_loss": "value_loss", "values/mean": "value_mean",
        "values/values_error": "value_error", "values/clipfrac": "value_clip_fraction", "old_values/mean": "",
        "returns/mean": "return_mean", "returns/std": "return_std", "policy/approx_kl": "kl.rollout.k3.token",
        "policy/clipfrac": "clip_fraction.token", "ratio": "probability_ratio_mean", "padding_percentage": "",
        "reward/mean": "eval_reward", "time/forward": "", "learning_rate_group_0": "learning_rate",
    }),
    "stable-baselines3 2.9 progress.csv": ("stable-baselines3", {}, {
        "time/fps": "", "time/iterations": "", "time/time_elapsed": "", "time/total_timesteps": "",
        "rollout/ep_rew_mean": "reward_mean", "rollout/ep_len_mean": "episode_length_mean", "rollout/success_rate":
        "success_share", "train/approx_kl": "kl.rollout.k3.action", "train/clip_fraction": "clip_fraction.action",
        "train/clip_range": "", "train/entropy_loss": "entropy.action", "train/explained_variance":
        "explained_variance", "train/learning_rate": "learning_rate", "train/loss": "total_loss", "train/n_updates":
        "", "train/policy_gradient_loss": "policy_loss", "train/value_loss": "value_loss", "train/std": "",
        "eval/mean_reward": "eval_reward", "eval/mean_ep_length": "", "eval/success_rate": "eval_success_share",
    }),
    "cleanrl": ("cleanrl", {}, {
        "charts/learning_rate": "learning_rate", "charts/SPS": "", "charts/episodic_return": "reward_mean",
        "charts/episodic_length": "episode_length_mean", "losses/value_loss": "value_loss", "losses/policy_loss":
        "policy_loss", "losses/entropy": "entropy.action", "losses/old_approx_kl": "kl.rollout.k1.action",
        "losses/approx_kl": "kl.rollout.k3.action", "losses/clipfrac": "clip_fraction.action",
        "losses/explained_variance": "explained_variance", "global_step": "",
    }),
    "trl-grpo, profiled": ("trl-grpo", {"settings": GRPO}, {
        "reward": "reward_mean", "frac_reward_zero_std": "zero_std_share", "step_time": "step_seconds",
        "profiling/Time taken: GRPOTrainer.transformers.generate": "generation_seconds",
        "profiling/Time taken: GRPOTrainer._calculate_rewards": "reward_seconds",
        "profiling/Time taken: GRPOTrainer.compute_loss": "",
    }),
    "cleanrl, early": ("cleanrl", {}, {
        "charts/SPS": "", "losses/value_loss": "value_loss", "losses/approx_kl": "kl.rollout.unknown",
    }),
    "deepspeed-chat 2023": ("deepspeed-chat", {}, {
        "epoch": "", "step": "", "ppo_ep": "", "act_loss": "policy_loss", "cri_loss": "value_loss",
        "unsuper_loss": "", "average reward score": "reward_mean",
    }),
    "deepspeed-chat TensorBoard": ("deepspeed-chat", {}, {
        "reward": "reward_mean", "actor_loss": "policy_loss", "actor_loss_sum": "", "critic_loss": "value_loss",
        "critic_loss_sum": "",
    }),
    "minimind GRPO": ("minimind-grpo", {}, {
        "Reward": "reward_mean", "KL_ref": "kl.reference.k1.token", "Adv Std": "advantage_std", "Adv Mean": "",
        "Actor Loss": "total_loss", "Avg Response Len": "completion_length_mean", "Learning Rate": "learning_rate",
    }),
    "minimind PPO, before Approx KL": ("minimind-ppo", {}, {
        "Actor Loss": "policy_loss", "Critic Loss": "value_loss", "Aux Loss": "", "Reward": "reward_mean", "KL": "",
        "KL_ref": "kl.reference.k1.sequence", "Avg Response Len": "completion_length_mean", "Actor LR":
        "learning_rate", "Critic LR": "value_learning_rate",
    }),
    "minimind PPO": ("minimind-ppo", {}, {
        "Reward": "reward_mean", "KL_ref": "kl.reference.unknown", "Approx KL": "kl.rollout.unknown", "ClipFrac":
        "clip_fraction", "Critic Loss": "value_loss", "Avg Response Len": "completion_length_mean",
    }),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_name_of_a_trainer_is_known(case):
    framework, told, names = CASES[case]
    naming = settle(list(names), **told)
    assert naming.framework == framework
    assert naming.unmapped == ()
    found = {name: naming.metrics[name].metric if name in naming.metrics else "" for name in names}
    assert found == names


@pytest.mark.parametrize("case", CASES)
def test_the_x_axis_and_the_clock_of_wandb_need_no_metric(case):
    _, told, names = CASES[case]
    clocks = ["step", "global_step", "_step", "_runtime", "_timestamp"]
    assert set(clocks) <= settle([*names, *clocks], **told).understood


SETTINGS = {
    "trl-ppo": (PPO | {"kl_coef": 0.05, "lam": 0.95, "vf_coef": 0.1, "response_length": 53}, {
        "value_clip_range": 0.2, "update_epochs": 4, "kl_coef": 0.05, "gae_lambda": 0.95, "vf_coef": 0.1,
        "max_completion_length": 53,
    }),
    "stable-baselines3": ({"n_epochs": 10, "ent_coef": 0.0, "target_kl": None, "clip_range": "<function>"}, {
        "update_epochs": 10, "entropy_coef": 0.0,
    }),
    "deepspeed-chat": ({"actor_learning_rate": "9.65e-6", "critic_learning_rate": 5e-6, "ppo_epochs": 1}, {
        "learning_rate": 9.65e-6, "value_learning_rate": 5e-6, "update_epochs": 1,
    }),
    "cleanrl": ({"clip_coef": 0.2, "ent_coef": 0.01, "anneal_lr": True}, {"clip_range": 0.2, "entropy_coef": 0.01}),
    "torchtune": ({"optimizer": {"lr": 1e-6}, "loss": {"epsilon": 0.2}}, {"learning_rate": 1e-6, "clip_range": 0.2}),
    "plain": ({"lr": 1e-6, "clip_eps": 0.2, "beta": 0.1}, {"learning_rate": 1e-6, "clip_range": 0.2}),
}  # fmt: skip


@pytest.mark.parametrize("framework", SETTINGS)
def test_settings_of_a_trainer(framework):
    raw, expected = SETTINGS[framework]
    assert settle([], framework=framework, settings=raw).settings == expected
