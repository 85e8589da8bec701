"""verl, 0.1 to 0.9: the rows that its logger writes, read name for name, by version and by settings."""

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


VERL_DATA = row(
    "critic/score/{mean,max,min} critic/rewards/{mean,max,min} critic/advantages/{mean,max,min}",
    "critic/returns/{mean,max,min} response_length/{mean,max,min,clip_ratio} prompt_length/{mean,max,min,clip_ratio}",
)
VERL_CRITIC = row(
    "critic/values/{mean,max,min} critic/vf_explained_var critic/vf_loss critic/vf_clipfrac critic/vpred_mean",
    "critic/grad_norm critic/lr",
)
VERL_TIMES = row(
    "timing_s/{gen,ref,adv,update_actor,step} timing_per_token_ms/{gen,ref,update_actor} perf/total_num_tokens",
    "perf/time_per_step perf/throughput perf/mfu/actor",
)
TIMES = {
    "timing_s/step": "step_seconds", "timing_s/gen": "generation_seconds", "timing_s/update_actor": "update_seconds",
}  # fmt: skip
VERL_0_1 = [
    *(name for name in VERL_DATA if not name.endswith("clip_ratio")),
    *(n for n in VERL_CRITIC if n not in {"critic/lr", "critic/vf_explained_var"}),
    *row("critic/{kl,kl_coeff,lr(1e-4)} actor/{entropy_loss,pg_loss,pg_clipfrac,ppo_kl,grad_norm,lr(1e-4)}"),
    *row("timing/{gen,ref,values,adv,update_critic,update_actor,testing} val/test_score/openai/gsm8k"),
]
VERL_0_5 = [
    *VERL_DATA, *VERL_TIMES,
    *row("actor/{entropy,kl_loss,kl_coef,pg_loss,pg_clipfrac,ppo_kl,pg_clipfrac_lower,grad_norm,lr}"),
    *row("training/global_step training/epoch num_turns/{min,max,mean}"),
    *row("perf/{max_memory_allocated_gb,max_memory_reserved_gb}"),
    *row("global_seqlen/{min,max,minmax_diff,balanced_min,balanced_max,mean}"),
    *row("val-core/openai/gsm8k/reward/mean@1 val-aux/num_turns/{min,max,mean}"),
]  # fmt: skip
# Of the trainer that is the default from 0.9 on, with a critic, rollout correction and the penalty in the loss.
VERL_0_9 = [
    *VERL_DATA, *VERL_TIMES, *VERL_CRITIC,
    *row("actor/{entropy,entropy_loss,kl_loss,kl_coef,pg_loss,pg_clipfrac,ppo_kl,pg_clipfrac_lower,grad_norm,lr,loss}"),
    *row("actor/perf/{max_memory_allocated_gb,max_memory_reserved_gb,cpu_memory_used_gb} critic/loss perf/mfu/critic"),
    *row("training/global_step training/epoch training/num_turns/{mean,max,min} num_turns/{min,max,mean}"),
    *row("training/off_policy/trajectory_{spans,staleness,staleness_worst}/mean"),
    *row("training/off_policy/trajectory_{spans,staleness,staleness_worst}/max"),
    *row("training/rollout_probs_diff_{valid,max,mean,std} training/rollout_actor_probs_pearson_corr"),
    *row("response_length_non_aborted/{mean,max,min,clip_ratio} response/aborted_ratio"),
    *row("rollout_corr/{kl,k3_kl,training_ppl,rollout_ppl,ppl_ratio,chi2_token,rollout_is_mean,rollout_is_max}"),
    *row("global_seqlen/{min,max,minmax_diff,balanced_min,balanced_max,mean} tool_call_counts/{min,max,mean}"),
    *row("val-core/math/acc/mean@4 val-core/math/acc/best@4/{mean,std} val-core/math/acc/maj@4/{mean,std}"),
    *row("val-aux/math/acc/std@4 val-aux/math/acc/best@2/{mean,std} val-aux/math/reward/mean@4"),
]  # fmt: skip
VERL_SETTINGS = {
    "actor_rollout_ref": {
        "actor": {
            "optim": {"lr": 1e-6, "clip_grad": 1.0}, "kl_loss_coef": 0.001, "use_kl_loss": True, "ppo_epochs": 2,
            "kl_loss_type": "low_var_kl", "loss_agg_mode": "token-mean", "clip_ratio": 0.2, "clip_ratio_high": 0.28,
            "entropy_coeff": 0, "grad_clip": 0.5, "policy_loss": {"loss_mode": "vanilla"},
        },
        "rollout": {"temperature": 1.0, "top_p": 1, "top_k": -1, "n": 8},
    },
    "critic": {"optim": {"lr": 1e-5}, "cliprange_value": 0.5},
    "algorithm": {
        "adv_estimator": "grpo", "norm_adv_by_std_in_grpo": False, "use_kl_in_reward": False, "kl_penalty": "kl",
        "kl_ctrl": {"type": "fixed", "kl_coef": 0.1, "target_kl": 0.1}, "gamma": 1.0, "lam": 0.95,
    },
    "data": {"max_response_length": 512, "train_batch_size": 256},
    "trainer": {"total_epochs": 15, "total_training_steps": None, "use_v1": True},
}  # fmt: skip
DATA_METRICS = {
    "critic/score/mean": "reward_mean", "critic/score/max": "reward_max", "critic/score/min": "reward_min",
    "critic/rewards/mean": "reward_total", "critic/advantages/mean": "advantage_mean",
    "critic/advantages/max": "advantage_max", "critic/advantages/min": "advantage_min",
    "critic/returns/mean": "return_mean", "response_length/mean": "completion_length_mean",
    "response_length/max": "completion_length_max", "response_length/min": "completion_length_min",
}  # fmt: skip
CRITIC_METRICS = {
    "critic/values/mean": "value_mean", "critic/vf_loss": "value_loss", "critic/vf_clipfrac": "value_clip_fraction",
    "critic/grad_norm": "value_grad_norm",
}  # fmt: skip


def test_verl_0_1():
    naming = settle(VERL_0_1)
    assert naming.recognised.startswith("verl before 0.2, by ")
    assert naming.unmapped == ()
    assert meant(naming) == DATA_METRICS | CRITIC_METRICS | {
        "critic/kl": "kl.reference.unknown.token", "critic/kl_coeff": "kl_coef",
        "critic/lr(1e-4)": ("value_learning_rate", 1e-4, 0), "actor/lr(1e-4)": ("learning_rate", 1e-4, 0),
        "actor/entropy_loss": "entropy.token", "actor/pg_loss": "policy_loss", "actor/grad_norm": "grad_norm",
        "actor/pg_clipfrac": "clip_fraction.token", "actor/ppo_kl": "kl.rollout.k1.token",
        "val/test_score/openai/gsm8k": "eval_set_reward[openai/gsm8k]",
    }  # fmt: skip
    assert not naming.metrics["critic/kl"].zeros  # 0 where there is no reference


def test_verl_0_5():
    naming = settle(VERL_0_5, settings=VERL_SETTINGS, packages={"verl": "0.5.0"})
    assert naming.recognised.startswith("verl 0.5.0, by ")
    assert naming.unmapped == ()
    assert meant(naming) == DATA_METRICS | TIMES | {
        "response_length/clip_ratio": "truncated_share", "actor/entropy": "entropy.token",
        "actor/kl_loss": "kl.reference.k3.token", "actor/kl_coef": "kl_coef", "actor/pg_loss": "policy_loss",
        "actor/pg_clipfrac": "clip_fraction.token", "actor/ppo_kl": "kl.rollout.k1.token",
        "actor/pg_clipfrac_lower": "dual_clip_fraction.token", "actor/grad_norm": "grad_norm",
        "actor/lr": "learning_rate", "val-core/openai/gsm8k/reward/mean@1": "eval_set_reward[openai/gsm8k/reward]",
    }  # fmt: skip
    assert naming.steps == ("training/global_step",)


def test_verl_0_9():
    naming = settle(VERL_0_9, settings=VERL_SETTINGS)
    assert naming.recognised.startswith("verl 0.9 or newer, by ")
    assert naming.unmapped == ()
    assert meant(naming) == DATA_METRICS | CRITIC_METRICS | TIMES | {
        "critic/vf_explained_var": "explained_variance", "critic/lr": "value_learning_rate",
        "actor/entropy": "entropy.token", "actor/kl_loss": "kl.reference.k3.token", "actor/kl_coef": "kl_coef",
        "actor/pg_loss": "policy_loss", "actor/loss": "total_loss", "actor/pg_clipfrac": "clip_fraction.token",
        "actor/pg_clipfrac_lower": "dual_clip_fraction.token", "actor/ppo_kl": "kl.rollout.k1.token",
        "actor/grad_norm": "grad_norm", "actor/lr": "learning_rate",
        "training/off_policy/trajectory_staleness/mean": "staleness_mean",
        "training/off_policy/trajectory_staleness/max": "staleness_max",
        "training/rollout_probs_diff_mean": "sampler_prob_diff_mean",
        "training/rollout_probs_diff_max": "sampler_prob_diff_max",
        "training/rollout_actor_probs_pearson_corr": "sampler_prob_correlation",
        "rollout_corr/kl": "kl.sampler.k1.token", "rollout_corr/k3_kl": "kl.sampler.k3.token",
        "val-core/math/acc/mean@4": "eval_set_reward[math/acc]",
        "val-core/math/acc/best@4/mean": "eval_set_best_of_n[math/acc]",
    }  # fmt: skip
    assert "actor/entropy_loss is not read: actor/entropy is read as the same metric" in naming.notes


ESTIMATORS = {"kl": "k1", "mse": "k2", "low_var_kl": "k3", "abs": "unknown", None: "unknown"}


def loss_kl(version, estimator, aggregation="token-mean"):
    actor = {k: v for k, v in {"kl_loss_type": estimator, "loss_agg_mode": aggregation}.items() if v}
    names = row("critic/score/mean response_length/mean actor/kl_loss")
    naming = settle(names, settings={"actor_rollout_ref": {"actor": actor}}, packages={"verl": version})
    return naming.metrics["actor/kl_loss"].metric


@pytest.mark.parametrize(("logged", "estimator"), ESTIMATORS.items())
def test_verl_loss_kl_by_version_and_settings(logged, estimator):
    assert loss_kl("0.3.0", logged, None) == f"kl.reference.{estimator}.token"
    per_token = "kl.reference.unknown" if estimator == "unknown" else f"kl.reference.{estimator}.token"
    assert loss_kl("0.5.0", logged) == loss_kl("0.9.1", logged) == per_token
    assert loss_kl("0.5.0", logged, "seq-mean-token-mean") == per_token
    assert loss_kl("0.6.1", logged) == "kl.reference.unknown"  # a part of it, by how many micro-batches there are
    assert loss_kl("0.7.1", logged) == "kl.reference.unknown"  # a multiple of it
    for version in ("0.5.0", "0.9.1"):
        assert loss_kl(version, logged, "seq-mean-token-sum") == "kl.reference.unknown"
        assert loss_kl(version, logged, None) == "kl.reference.unknown"


def test_verl_loss_kl_with_straight_through_gradients_has_the_same_value():
    assert loss_kl("0.9.1", "k3+") == "kl.reference.k3.token"


@pytest.mark.parametrize(("logged", "estimator"), ESTIMATORS.items())
@pytest.mark.parametrize("name", ["critic/kl", "actor/reward_kl_penalty"])
def test_verl_reward_kl_by_its_estimator(name, logged, estimator):
    naming = settle(row("actor/pg_clipfrac", name), settings={"algorithm": {"kl_penalty": logged}})
    assert naming.metrics[name].metric == f"kl.reference.{estimator}.token"


def test_verl_entropy_by_the_aggregation_of_its_loss():
    def entropy(name, version, **actor):
        settings = {"actor_rollout_ref": {"actor": actor}}
        return (
            settle(row("actor/pg_clipfrac", name), settings=settings, packages={"verl": version}).metrics[name].metric
        )

    assert entropy("actor/entropy_loss", "0.3.0") == "entropy.token"
    for name in ("actor/entropy", "actor/entropy_loss"):
        assert entropy(name, "0.9.1", loss_agg_mode="token-mean") == "entropy.token"
        assert entropy(name, "0.9.1", loss_agg_mode="seq-mean-token-sum") == "entropy"
        assert entropy(name, "0.9.1") == "entropy"


def test_verl_rewards_of_several_parts_and_the_coefficient_in_the_reward():
    naming = settle(row("actor/pg_clipfrac gdpo/format/{mean,std,min,max} actor/reward_kl_penalty_coeff"))
    assert naming.unmapped == ()
    assert meant(naming) == {
        "actor/pg_clipfrac": "clip_fraction.token", "gdpo/format/mean": "reward_component_mean[format]",
        "gdpo/format/std": "reward_component_std[format]", "actor/reward_kl_penalty_coeff": "kl_coef",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "clip", "kl"),
    [
        ("vanilla", "clip_fraction.token", "kl.rollout.k1.token"),
        ("gspo", "clip_fraction", "kl.rollout.k1.token"),
        ("kl_cov", "clip_fraction.token", "kl.rollout.unknown.token"),
    ],
)
def test_verl_by_its_policy_loss(mode, clip, kl):
    actor = {"policy_loss": {"loss_mode": mode}}
    naming = settle(row("actor/pg_clipfrac actor/ppo_kl"), settings={"actor_rollout_ref": {"actor": actor}})
    assert meant(naming) == {"actor/pg_clipfrac": clip, "actor/ppo_kl": kl}


def test_verl_counts_truncation_until_0_9_and_later_where_it_pads():
    names = row("actor/pg_clipfrac response_length/clip_ratio")

    def clipped(version, **trainer):
        naming = settle(names, settings={"trainer": trainer}, packages={"verl": version})
        return meant(naming).get("response_length/clip_ratio"), naming.unmapped

    assert clipped("0.8.0") == ("truncated_share", ())
    assert clipped("0.9.1") == (None, ())
    assert clipped("0.9.1", use_v1=True) == (None, ())
    assert clipped("0.9.1", use_v1=False) == ("truncated_share", ())


def test_verl_settings():
    naming = settle(VERL_0_9, settings=VERL_SETTINGS)
    assert naming.settings == {
        "learning_rate": 1e-6, "value_learning_rate": 1e-5, "kl_coef": 0.001, "kl_controller_adaptive": False,
        "update_epochs": 2, "temperature": 1.0, "top_p": 1, "top_k": 0, "num_generations": 8, "clip_range": 0.2,
        "clip_range_high": 0.28, "entropy_coef": 0, "max_grad_norm": 0.5, "value_clip_range": 0.5, "gamma": 1.0,
        "gae_lambda": 0.95, "scale_rewards": "none", "max_completion_length": 512, "num_train_epochs": 15,
        "group_baseline": True,
    }  # fmt: skip
    in_reward = {"use_kl_in_reward": True, "kl_ctrl": {"type": "adaptive", "kl_coef": 0.1, "target_kl": 6.0}}
    naming = settle(VERL_0_9, settings={"algorithm": in_reward, "actor_rollout_ref": {"actor": {"use_kl_loss": False}}})
    assert naming.settings == {"kl_coef": 0.1, "kl_controller_adaptive": True, "kl_controller_target": 6.0}


@pytest.mark.parametrize("names", [VERL_0_1, VERL_0_5, VERL_0_9])
def test_no_kl_to_another_policy_is_read_as_one_to_the_reference(names):
    for name, meaning in settle(names).metrics.items():
        if any(part in name for part in ("ppo_kl", "rollout_corr/", "rollout_probs_diff")):
            assert not meaning.metric.startswith("kl.reference")


@pytest.mark.parametrize(
    ("version", "settings", "kl_coef"),
    [
        ("0.1", {}, 0.1),
        ("0.3.0", {"use_kl_loss": False}, 0.1),
        ("0.3.0", {"use_kl_loss": True, "kl_loss_coef": 0.001}, 0.001),
        ("0.5.0", {"use_kl_loss": False, "kl_loss_coef": 0.001}, None),  # in neither
    ],
)
def test_verl_kl_coef_is_of_the_penalty_that_there_is(version, settings, kl_coef):
    settings = {"actor_rollout_ref": {"actor": settings}, "algorithm": {"kl_ctrl": {"kl_coef": 0.1}}}
    naming = settle(row("actor/pg_clipfrac"), settings=settings, packages={"verl": version})
    assert naming.settings.get("kl_coef") == kl_coef


def test_verl_settings_of_its_newer_workers():
    settings = {"actor_rollout_ref": {"actor": {"optim": {"clip_grad": 2.0}}}, "trainer": {"total_training_steps": 100}}
    assert settle(VERL_0_9, settings=settings).settings == {"max_grad_norm": 2.0, "max_steps": 100}
