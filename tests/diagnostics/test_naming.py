"""What the names of a log mean: frameworks told by their names, versions, people's own maps, names told as they come."""

from diagnostics.naming import Names, settle
from diagnostics.vocabulary import vocabulary

# What TRL 1.16 logs for a step of GRPO, without the version.
TRL = {
    "loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5, "reward": 0.5, "reward_std": 0.2, "frac_reward_zero_std": 0.1,
    "kl": 0.01, "entropy": 0.7, "clip_ratio/region_mean": 0.05, "completions/mean_length": 9.0,
    "completions/clipped_ratio": 0.0, "rewards/exact/mean": 0.4, "num_tokens": 100.0, "mine": 3.0,
}  # fmt: skip


def meant(names, **more):
    """The canonical metric of each name that has one."""
    return {name: meaning.metric for name, meaning in settle(list(names), **more).metrics.items()}


def test_names_of_a_framework_are_mapped_when_its_signature_is_among_them():
    mapped, unmapped = Names().canonical(TRL)
    assert mapped == {
        "total_loss": 0.1, "grad_norm": 1.0, "learning_rate": 1e-5, "reward_mean": 0.5, "zero_std_share": 0.1,
        "kl.reference.unknown.token": 0.01, "entropy.token": 0.7, "completion_length_mean": 9.0, "truncated_share": 0.0,
        "reward_component_mean[exact]": 0.4,
        "reward_std": 0.2,  # of the group until 0.27, of the batch from then on
        "clip_fraction": 0.05,  # of tokens in GRPO, of sequences in RLOO
    }  # fmt: skip
    assert unmapped == {"mine": 3.0}


def test_a_name_that_means_something_else_by_version_is_settled_by_the_versions_that_can_have_logged_it():
    words = vocabulary("trl-grpo")
    assert words.versions(["reward", "rewards/a/mean"]) == ((), (1_000_000,))
    assert words.versions(["clip_ratio/low_mean", "entropy"]) == ((0, 20, 0), (1_000_000,))
    assert words.versions(["completion_length"]) == ((), (0, 17, 0))
    assert words.metric_between("reward_std", (), (0, 17, 0)) == "reward_std.group"
    assert words.metric_between("reward_std", (0, 20), (1_000_000,)) == "reward_std"
    assert words.metric_between("kl", (), (0, 17, 0)) == "kl.reference.k3.token"
    assert words.metric_between("kl", (0, 20), (1_000_000,)) == "kl.reference.unknown.token"
    assert words.metric_between("rewards/a/mean", (0, 17, 0), (1_000_000,)) == "reward_component_mean[a]"
    assert set(words.meanings("kl")) == {"kl.reference.k3.token", "kl.reference.unknown.token"}
