"""What a name that nobody knows may stand for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.metrics import is_metric, metrics
from diagnostics.naming import settle
from diagnostics.suggest import MOST, suggest


@pytest.mark.parametrize(
    ("name", "likeliest"),
    [
        ("my_kl_to_ref", "kl.reference.unknown"),
        ("KLDivergenceToBase", "kl.reference.unknown"),
        ("kl_old_vs_new", "kl.rollout.unknown"),
        ("policy_grad_norm_l2", "grad_norm"),
        ("resp_len_avg", "completion_length_mean"),
        ("avgRespLen", "completion_length_mean"),
        ("H_policy", "entropy"),
        ("entropy_loss", "entropy"),
        ("Rewards/mean_episodes", "reward_mean"),
        ("max_reward_in_group", "reward_max"),
        ("std_of_rewards", "reward_std"),
        ("actorClipFrac", "clip_fraction"),
        ("critic_regression_loss", "value_loss"),
        ("trunc_pct", "truncated_share"),
        ("ep_len", "episode_length_mean"),
        ("lr_now", "learning_rate"),
        ("heldout_reward_avg", "eval_reward"),
        ("explainedVar", "explained_variance"),
        ("advantage_sd", "advantage_std"),
        ("second_agent_mean_reward_raw", "reward_mean"),
        ("avg_return_per_prompt", "reward_mean"),
        ("kl_penalty_term", "kl.reference.unknown"),
    ],
)
def test_the_likeliest_metric_of_a_renamed_one(name, likeliest):
    assert suggest(name)[0] == likeliest


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("val_acc_top1", "eval_success_share"),
        ("LossPi", "policy_loss"),
        ("vf_error", "value_error"),
    ],
)
def test_a_metric_among_the_likely_ones(name, metric):
    assert metric in suggest(name)


@pytest.mark.parametrize(
    "name",
    ["", "x", "foo", "Fmt", "train/attention/early/mdi", "memory", "123", "奖励", "std", "eval", "eval_perplexity"],
)
def test_nothing_is_suggested_for_what_is_like_nothing(name):
    assert suggest(name) == ()


def test_one_word_of_many_is_not_enough():
    assert suggest("agent_reward") and not suggest("agent zeta quux plugh xyzzy wibble frotz reward")


def test_an_evaluation_is_only_likened_to_evaluations_and_a_spread_to_spreads():
    assert all(name.startswith(("eval_", "validation_", "test_")) for name in suggest("eval/mean_reward_greedy"))
    assert suggest("eval/mean_reward_greedy")
    assert all("std" in name for name in suggest("reward_std_of_groups"))
    assert not any(name.startswith("eval") for name in suggest("reward_of_today"))


@given(st.text(max_size=300))
def test_any_text_gets_at_most_three_metrics(name):
    found = suggest(name)
    assert len(set(found)) == len(found) <= MOST
    assert all(is_metric(metric) for metric in found)


@pytest.mark.parametrize("metric", [name for name, metric in metrics().items() if not metric.family])
def test_a_metrics_own_name_among_other_words_suggests_it(metric):
    """Every canonical metric can be found: its name, written by someone else, is likened to it or to its kin."""
    mapped = settle([f"my {metric.replace('.', ' ')}"]).metrics
    assert mapped == {}
    quantity = metric.partition(".")[0]
    assert any(name.partition(".")[0] == quantity for name in suggest(f"my {metric.replace('.', ' ')}"))
