"""What the names of a log mean: frameworks told by their names, versions, people's own maps, plain words."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.metrics import is_metric, metrics, settings
from diagnostics.naming import PLAINLY, Meaning, Names, Naming, settle
from diagnostics.user_map import UserMap
from diagnostics.vocabulary import frameworks, vocabulary

# What TRL 1.16 logs for a step of GRPO, without the version.
TRL = {
    "loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5, "reward": 0.5, "reward_std": 0.2, "frac_reward_zero_std": 0.1,
    "kl": 0.01, "entropy": 0.7, "clip_ratio/region_mean": 0.05, "completions/mean_length": 9.0,
    "completions/clipped_ratio": 0.0, "rewards/exact/mean": 0.4, "num_tokens": 100.0, "mine": 3.0,
}  # fmt: skip
PPO = ["objective/kl", "objective/scores", "val/num_eos_tokens", "loss/policy_avg", "policy/clipfrac_avg", "lr"]


def meant(names, **more):
    """The canonical metric of each name that has one."""
    return {name: meaning.metric for name, meaning in settle(list(names), **more).metrics.items()}


# ---- which framework, which version


def test_a_framework_is_recognised_by_its_names_and_says_by_which():
    naming = settle(list(TRL))
    assert naming.framework == "trl-grpo"
    assert naming.versions == ((0, 20, 0), (1_000_000,))
    assert naming.recognised == "trl-grpo 0.20.0 or newer, by frac_reward_zero_std, completions/clipped_ratio"
    assert naming.unmapped == ("mine",)
    assert naming.understood == {"num_tokens"}


@pytest.mark.parametrize(
    ("names", "framework"),
    [
        (["train/frac_reward_zero_std", "train/kl"], "trl-grpo"),
        (["completion_length", "reward_std", "rewards/a", "kl"], "trl-grpo"),
        (["completion_length", "reward_std", "kl"], "plain"),  # anybody may call them so
        ([*TRL, "completion_length"], "unsloth"),  # no version of TRL logs both lengths
        ([*PPO, "loss/value_avg"], "trl-ppo"),
        (PPO, "trl-rloo"),  # the value loss is logged in all versions of PPO
        (["val/contain_eos_token", "objective/scores", "rewards/chosen"], "trl-online-dpo"),
        (["ppo/mean_scores", "objective/kl"], "trl-ppo-classic"),
        (["critic/score/mean", "response_length/mean"], "verl"),
        (["rollout/ep_rew_mean", "train/loss"], "stable-baselines3"),
        (["losses/old_approx_kl", "charts/SPS"], "cleanrl"),
        (["policy/sqrt_kl", "reward/mean"], "trlx"),
        (["approx_policy_kl", "scores", "kl"], "torchtune"),
        (["act_loss", "cri_loss", "reward"], "deepspeed-chat"),
        (["Reward", "KL_ref", "Adv Std"], "minimind-grpo"),
        (["Reward", "KL_ref", "Critic Loss", "Avg Response Len"], "minimind-ppo"),
        (["reward", "kl", "loss"], "plain"),
        ([], "plain"),
    ],
)
def test_frameworks_are_told_apart(names, framework):
    assert settle(names).framework == framework


SIGNATURES = [(f, sorted(signature)) for f in frameworks() for signature in vocabulary(f).signature]


@pytest.mark.parametrize(("framework", "signature"), SIGNATURES)
def test_each_signature_tells_its_framework_by_itself(framework, signature):
    names = [name.replace("*", "x") for name in signature]
    assert settle(names).framework == framework


@pytest.mark.parametrize("framework", frameworks())
def test_a_signature_and_what_is_doubtful_are_names_of_the_framework(framework):
    words = vocabulary(framework)
    for name in {*words.doubtful, *(name for signature in words.signature for name in signature)}:
        assert words.knows(name.replace("*", "x"))


def test_settings_tell_better_than_names():
    ppo = [*PPO, "loss/value_avg", "policy/approxkl_avg"]
    guess = meant(ppo)
    assert (guess["policy/clipfrac_avg"], guess["policy/approxkl_avg"]) == ("clip_fraction", "kl.rollout.unknown")
    sure = meant(ppo, settings={"cliprange_value": 0.2, "num_ppo_epochs": 4})
    assert (sure["policy/clipfrac_avg"], sure["policy/approxkl_avg"]) == ("clip_fraction.token", "kl.rollout.k2.token")
    other = meant(ppo, settings={"rloo_k": 4})
    assert other["policy/clipfrac_avg"] == "clip_fraction.sequence"
    assert settle(ppo, settings={"rloo_k": 4}).recognised == (
        "trl-rloo before 0.22.0, by policy/clipfrac_avg, val/num_eos_tokens, rloo_k"
    )
    assert meant(TRL, settings={"scale_rewards": "group", "num_generations": 8})["clip_ratio/region_mean"] == (
        "clip_fraction.token"
    )
    assert meant(TRL, settings={"normalize_advantages": False, "reward_clip_range": None})["kl"] == (
        "kl.reference.k1.token"
    )


def test_the_version_of_a_package_settles_what_names_leave_open():
    assert meant(TRL)["reward_std"] == "reward_std"
    assert meant(TRL, packages={"trl": "0.26.2"})["reward_std"] == "reward_std.group"
    assert meant(TRL, packages={"trl": "1.16.0.dev0"})["reward_std"] == "reward_std.batch"
    assert meant(TRL, packages={"trl": "0.27"})["reward_std"] == "reward_std.batch"  # 0.27 is 0.27.0
    assert settle(list(TRL), packages={"trl": "0.26.2"}).recognised.startswith("trl-grpo 0.26.2, by ")


def test_settings_that_only_some_versions_have_tell_the_version():
    old = settle(list(TRL), settings={"wandb_log_unique_prompts": None})
    assert old.versions == ((0, 20, 0), (0, 27, 0))
    assert old.metrics["reward_std"].metric == "reward_std.group"
    assert meant(TRL, settings={"multi_objective_aggregation": "sum"})["reward_std"] == "reward_std.batch"
    both = {"wandb_log_unique_prompts": None, "multi_objective_aggregation": "sum"}
    assert settle(list(TRL), settings=both).versions == ((0, 27, 0), (1_000_000,))
    unsloth = settle([*TRL, "completion_length"], settings={"wandb_log_unique_prompts": None})
    assert unsloth.metrics["reward_std"].metric == "reward_std.group"


def test_a_name_of_ones_own_that_another_version_logs_does_not_hide_the_version():
    naming = settle([*TRL, "rewards/total", "rewards/a/mean"])
    assert naming.versions == ((0, 20, 0), (1_000_000,))
    assert naming.metrics["rewards/a/mean"].metric == "reward_component_mean[a]"
    assert "rewards/total" in naming.unmapped
    old = settle(["completion_length", "reward_std", "rewards/a", "entropy"])  # TRL logs entropy from 0.20 on
    assert old.versions == ((), (0, 17, 0))
    assert old.metrics["rewards/a"].metric == "reward_component_mean[a]"
    assert old.metrics["reward_std"].metric == "reward_std.group"


def test_a_version_that_cannot_have_logged_the_names_is_not_believed():
    naming = settle(list(TRL), packages={"trl": "0.16.0"})
    assert naming.versions == ((0, 20, 0), (1_000_000,))
    assert naming.notes == ("the log tells trl 0.16.0, which does not log these names",)
    assert meant(TRL, packages={"trl": "main"}) == meant(TRL)


def test_what_a_name_means_may_depend_on_a_setting():
    assert meant(TRL)["kl"] == "kl.reference.unknown.token"
    new = {"packages": {"trl": "1.12.0"}}
    assert meant(TRL, **new, settings={"use_bias_correction_kl": False})["kl"] == "kl.reference.k3.token"
    classic = ["ppo/mean_scores", "objective/kl"]
    assert meant(classic)["objective/kl"] == "kl.reference.k1.sequence"
    nested = {"trl_ppo_trainer_config": {"kl_penalty": "full", "init_kl_coef": 0.2, "adap_kl_ctrl": True}}
    assert meant(classic, settings=nested)["objective/kl"] == "kl.reference.unknown.sequence"
    assert settle(classic, settings=nested).settings == {"kl_coef": 0.2, "kl_controller_adaptive": True}


def test_a_format_may_tell_the_framework_and_names_tell_it_better():
    assert settle(["loss", "epoch"], framework="transformers").recognised == "transformers, by the format of the log"
    assert settle(list(TRL), framework="transformers").framework == "trl-grpo"
    assert meant(["r", "l", "t"], framework="stable-baselines3") == {"r": "reward_mean", "l": "episode_length_mean"}
    assert settle(["r", "l", "t"]).framework == "plain"


def test_frameworks_that_fit_alike_and_read_names_differently_are_none():
    both = ["KL_ref", "Adv Std", "Critic Loss", "Avg Response Len"]
    naming = settle(both[:2] + both[3:])
    assert naming.framework == "minimind-grpo"
    tie = settle(both)
    assert tie.framework == "plain"
    assert tie.notes[0] == "the names fit minimind-grpo and minimind-ppo alike, which mean different things by them"


# ---- what peers got wrong


@pytest.mark.parametrize(
    ("names", "name", "metric"),
    [
        # the exact table first, then the prefix; that of an evaluation is never taken off
        ([*TRL, "train/reward"], "reward", "reward_mean"),
        (["train/frac_reward_zero_std", "train/reward"], "train/reward", "reward_mean"),
        ([*TRL, "eval/kl"], "eval/kl", None),
        ([*TRL, "eval_reward"], "eval_reward", "eval_reward"),
        (["train/frac_reward_zero_std", "eval/reward"], "eval/reward", "eval_reward"),
        ([*TRL, "val/reward"], "val/reward", None),
        ([*TRL, "test/reward"], "test/reward", None),
        # tails are no names
        ([*TRL, "my/mean"], "my/mean", None),
        ([*TRL, "other/reward"], "other/reward", None),
        ([*TRL, "reward/std"], "reward/std", None),
        # what is not a KL to the reference
        (["actor/ppo_kl", "critic/score/mean"], "actor/ppo_kl", "kl.rollout.k1.token"),
        (["rollout/ep_rew_mean", "train/approx_kl"], "train/approx_kl", "kl.rollout.k3.action"),
        (["ppo/mean_scores", "ppo/policy/policykl"], "ppo/policy/policykl", "kl.rollout.k1.token"),
        # sums are no means
        (["ppo/mean_scores", "objective/kl"], "objective/kl", "kl.reference.k1.sequence"),
        (["ppo/mean_scores", "objective/entropy"], "objective/entropy", "entropy.sequence"),
        ([*PPO, "loss/value_avg"], "objective/kl", "kl.reference.k1.sequence"),
        # DPO's rewards are none
        (["val/contain_eos_token", "rewards/chosen"], "rewards/chosen", None),
    ],
)
def test_names_are_read_exactly(names, name, metric):
    naming = settle(names)
    assert (naming.metrics[name].metric if name in naming.metrics else None) == metric


def test_signs_complements_and_roots_are_undone():
    sb3 = settle(["rollout/ep_rew_mean", "train/entropy_loss"]).metrics["train/entropy_loss"]
    assert sb3 == Meaning("entropy.action", times=-1)
    ended = settle(["val/contain_eos_token"]).metrics["val/contain_eos_token"]
    assert ended == Meaning("truncated_share", times=-1, plus=1)
    root = settle(["policy/sqrt_kl"]).metrics["policy/sqrt_kl"]
    assert root == Meaning("kl.reference.unknown.sequence", power=2)
    minimind = settle(["KL_ref", "Adv Std"]).metrics["KL_ref"]  # log(reference / policy)
    assert minimind == Meaning("kl.reference.k1.token", times=-1)
    numbers = np.array([0.0, 0.25, math.nan, math.inf])
    assert ended.of(numbers).tolist()[:2] == [1.0, 0.75]
    assert np.isnan(ended.of(numbers)[2]) and ended.of(numbers)[3] == -math.inf
    assert root.of(np.array([3.0, 1e300])).tolist() == [9.0, math.inf]
    same = Meaning("reward_mean")
    assert same.of(numbers) is numbers


def test_a_metric_that_a_framework_logs_twice_is_read_once():
    naming = settle([*TRL, "completion_length"])
    assert naming.metrics["completions/mean_length"].metric == "completion_length_mean"
    assert "completion_length" in naming.understood
    assert naming.notes == ("completion_length is not read: completions/mean_length is read as the same metric",)


def test_zeros_that_are_no_measurements():
    assert settle(list(TRL)).metrics["kl"].zeros is False
    assert settle(list(TRL)).metrics["reward"].zeros is True
    names = Names()
    assert "kl.reference.unknown.token" not in names.canonical(TRL | {"kl": 0.0})[0]
    assert names.canonical(TRL)[0]["kl.reference.unknown.token"] == 0.01
    assert names.canonical(TRL | {"kl": 0.0})[0]["kl.reference.unknown.token"] == 0.0  # measured before, so measured


# ---- plain words


def test_where_no_framework_is_recognised_plain_words_are_read_and_it_says_so():
    names = ["step", "Mean Reward", "train/kl_div", "policy-loss", "Actual memory GB", "vibes", "eval/reward"]
    naming = settle(names)
    assert naming.framework == "plain"
    assert naming.recognised == PLAINLY
    assert meant(names) == {
        "Mean Reward": "reward_mean", "train/kl_div": "kl.reference.unknown", "policy-loss": "policy_loss",
        "eval/reward": "eval_reward",
    }  # fmt: skip
    assert naming.unmapped == ("vibes",)


@pytest.mark.parametrize(
    "name", ["entropy_loss", "kl_loss", "total_reward", "mean_return", "clip_ratio", "mean_length"]
)
def test_words_that_people_mean_differently_are_not_plain(name):
    assert settle([name]).unmapped == (name,)


def test_two_plain_words_for_one_metric_are_two_things():
    naming = settle(["score", "reward_mean", "reward"])
    assert {name: meaning.metric for name, meaning in naming.metrics.items()} == {"reward_mean": "reward_mean"}
    assert naming.unmapped == ("score", "reward")
    assert "score is not read: reward_mean is read as the same metric" in naming.notes


def test_beside_a_framework_without_rewards_plain_words_are_read_and_beside_others_not():
    assert meant(["loss", "kl", "reward"], framework="transformers") == {
        "loss": "total_loss", "kl": "kl.reference.unknown", "reward": "reward_mean",
    }  # fmt: skip
    assert settle(["loss", "kl"], framework="transformers").notes == (
        "kl is no name of transformers: it is read as a plain word",
    )
    assert "mean_reward" not in meant([*TRL, "mean_reward"])


def test_names_that_are_canonical_mean_themselves():
    assert meant(["kl.reference.k1.token", "unique_share", "reward_component_mean[a]", "kl.reference"]) == {
        name: name for name in ["kl.reference.k1.token", "unique_share", "reward_component_mean[a]"]
    }


# ---- settings


def test_settings_are_canonical_numbers_and_those_that_cannot_be_are_told():
    raw = {
        "learning_rate": "1e-5", "beta": 0.04, "max_steps": -1, "num_iterations": "many", "scale_rewards": False,
        "temperature": None, "output_dir": "x", "num_generations": 8,
    }  # fmt: skip
    naming = settle(list(TRL), settings=raw)
    assert naming.settings == {"learning_rate": 1e-5, "kl_coef": 0.04, "scale_rewards": "none", "num_generations": 8}
    assert naming.notes == ("the setting num_iterations is left out: it should be a whole number from 1",)


def test_nested_settings_are_joined():
    naming = settle(["policy/sqrt_kl"], settings={"method": {"init_kl_coef": 0.1, "gen_kwargs": {"top_p": 0.9}}})
    assert naming.settings == {"kl_coef": 0.1, "top_p": 0.9}


# ---- a person's own map


def test_a_persons_map_goes_first_and_what_it_names_in_vain_is_told():
    mine = UserMap({"mine": "reward_mean", "gone": "value_loss", "entropy": "entropy.sequence"}, {"b": "kl_coef"})
    naming = settle(list(TRL), settings={"beta": 0.04, "b": 0.1}, mine=mine)
    assert naming.metrics["mine"].metric == "reward_mean"
    assert naming.metrics["entropy"].metric == "entropy.sequence"
    assert "reward" not in naming.metrics and "reward" in naming.understood
    assert naming.settings["kl_coef"] == 0.1
    assert "there is no gone in this log, which is mapped" in naming.notes
    assert "reward is not read: mine is read as the same metric" in naming.notes


# ---- whatever the names


POOL = sorted({entry.name.replace("*", "x") for f in frameworks() for entry in vocabulary(f).metrics})
NAMES = st.lists(st.sampled_from(POOL) | st.text(max_size=8), max_size=12, unique=True)


@given(NAMES, st.sampled_from(["", *frameworks()]), st.randoms(use_true_random=False))
def test_every_name_is_in_one_place_and_each_metric_is_read_once(names, framework, chance):
    naming = settle(names, framework=framework)
    places = [*naming.metrics, *naming.understood, *naming.unmapped]
    assert sorted(places) == sorted(names)
    read = [meaning.metric for meaning in naming.metrics.values()]
    assert len(set(read)) == len(read)
    assert all(is_metric(metric) for metric in read)
    assert naming.recognised
    _same_in_another_order(naming, names, framework, chance)


def _same_in_another_order(naming: Naming, names: list[str], framework: str, chance: random.Random) -> None:
    other = settle(chance.sample(names, len(names)), framework=framework)
    assert (other.framework, other.versions, other.metrics) == (naming.framework, naming.versions, naming.metrics)
    assert (other.understood, set(other.unmapped)) == (naming.understood, set(naming.unmapped))


EVALUATED = {name for name in metrics() if name.startswith(("eval_", "validation_", "test_"))}


@pytest.mark.parametrize("framework", frameworks())
@pytest.mark.parametrize("prefix", ["eval/", "val/", "test/", "validation/", "eval_", "val_", "train/eval_"])
def test_what_is_of_an_evaluation_is_never_read_as_of_training(framework, prefix):
    words = vocabulary(framework)
    tabled = {entry.name for entry in words.metrics}
    for name in {entry.name for entry in words.metrics if "*" not in entry.name}:
        if prefix + name not in tabled:
            found = settle([prefix + name], framework=framework).metrics
            assert {meaning.metric.partition("[")[0] for meaning in found.values()} <= EVALUATED, name


@pytest.mark.parametrize("framework", frameworks())
def test_the_framework_of_a_hint_reads_its_own_settings(framework):
    words = vocabulary(framework)
    for entry in words.settings_between((), (1_000_000,)):
        setting = settings()[entry.means]
        if setting.kind in ("number", "integer") and not entry.values:
            assert settle([], framework=framework, settings={entry.name: 1}).settings.get(entry.means) == 1


# ---- names told as they come


def test_names_of_rows_are_mapped_when_a_signature_is_among_them():
    mapped, unmapped = Names().canonical(TRL)
    assert mapped == {
        "total_loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5, "reward_mean": 0.5, "zero_std_share": 0.1,
        "kl.reference.unknown.token": 0.01, "entropy.token": 0.7, "completion_length_mean": 9.0, "truncated_share": 0.0,
        "reward_component_mean[exact]": 0.4,
        "reward_std": 0.2,  # of the group until 0.27, of the batch from then on
        "clip_fraction": 0.05,  # of tokens in GRPO, of sequences in RLOO
    }  # fmt: skip
    assert unmapped == {"mine": 3.0}


def test_rows_are_read_anew_when_a_framework_shows():
    names = Names()
    assert names.canonical({"kl": 8.0, "odd": 1.0}) == ({"kl.reference.unknown": 8.0}, {"odd": 1.0})
    assert names.framework is None
    assert names.canonical(TRL)[0]["kl.reference.unknown.token"] == 0.01
    assert names.framework is vocabulary("trl-grpo")


def test_what_a_name_in_rows_means_stays_when_later_names_tell_the_version():
    names = Names()
    first = {name: value for name, value in TRL.items() if name not in ("entropy", "reward_std")}
    names.canonical(first | {"reward_std": 0.2})
    assert names.canonical(TRL | {"completion_lengths": 1.0})[0]["reward_std"] == 0.2


def test_rows_of_a_framework_that_the_format_tells():
    names = Names(vocabulary("transformers"))
    assert names.canonical({"loss": 1.0, "kl": 0.1, "epoch": 0.5}) == (
        {"total_loss": 1.0, "kl.reference.unknown": 0.1}, {},
    )  # fmt: skip
    names.canonical(TRL)
    assert names.framework is vocabulary("trl-grpo")


def test_rows_undo_signs():
    row = {"rollout/ep_rew_mean": 1.0, "train/entropy_loss": -0.5}
    assert Names().canonical(row)[0] == {"reward_mean": 1.0, "entropy.action": 0.5}


def test_names_as_the_tables_of_notebooks_show_them():
    shown = ["Training Loss", "Validation Loss", "reward", "completions / mean_length", "completions / clipped_ratio",
             "rewards / check_answer / mean", "clip_ratio / region_mean"]  # fmt: skip
    naming = settle(shown, settings={"scale_rewards": "group", "num_generations": 8})
    assert naming.framework == "trl-grpo"
    assert {name: meaning.metric for name, meaning in naming.metrics.items()} == {
        "Training Loss": "total_loss",
        "Validation Loss": "eval_loss",
        "reward": "reward_mean",
        "completions / mean_length": "completion_length_mean",
        "completions / clipped_ratio": "truncated_share",
        "rewards / check_answer / mean": "reward_component_mean[check_answer]",
        "clip_ratio / region_mean": "clip_fraction.token",
    }
