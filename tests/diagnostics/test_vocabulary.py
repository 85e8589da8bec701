from itertools import combinations
from pathlib import Path

import pytest

import diagnostics.vocabulary as package
from diagnostics.metrics import metrics, settings
from diagnostics.vocabulary import FIRST, LAST, Name, Vocabulary, parse_version, vocabulary

FRAMEWORKS = sorted(path.stem for path in Path(package.__file__).parent.glob("*.toml"))
METRICS = [(f, name) for f in FRAMEWORKS for name in vocabulary(f).metrics]
SETTINGS = [(f, name) for f in FRAMEWORKS for name in vocabulary(f).settings]


@pytest.mark.parametrize(("framework", "entry"), METRICS, ids=lambda value: getattr(value, "name", value))
def test_a_metric_name_means_one_that_exists(framework: str, entry: Name) -> None:
    assert entry.means in metrics()
    assert metrics()[entry.means].family == ("*" in entry.name)
    assert entry.name.count("*") <= 2
    assert entry.since < entry.until


@pytest.mark.parametrize(("framework", "entry"), SETTINGS, ids=lambda value: getattr(value, "name", value))
def test_a_setting_name_means_one_that_exists(framework: str, entry: Name) -> None:
    assert entry.means in settings()
    assert entry.since < entry.until


def overlap(a: Name, b: Name) -> bool:
    return a.since < b.until and b.since < a.until


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("kind", ["metrics", "settings"])
def test_in_one_version_a_name_means_one_thing(framework: str, kind: str) -> None:
    for a, b in combinations(getattr(vocabulary(framework), kind), 2):
        if overlap(a, b) and a.name == b.name:
            assert a.where != b.where


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_name_that_needs_no_metric_has_none_in_some_version(framework: str) -> None:
    for name in vocabulary(framework).understood:
        named = [entry for entry in vocabulary(framework).metrics if entry.name == name]
        assert all(entry.where or (entry.since, entry.until) != (FIRST, LAST) for entry in named)


SHARP = Vocabulary(
    "sharp",
    (
        Name("kl", "kl.reference.k3.token", where=(("estimator", frozenset({"k3"})),)),
        Name("kl", "kl.reference.unknown.token"),
        Name("kl", "kl_coef", since=(2,), where=(("estimator", frozenset({"k3"})), ("new", frozenset({"True"})))),
        Name("clip", "clip_fraction.token", where=(("estimator", frozenset({"k3"})),), until=(2,)),
        Name("clip", "clip_fraction", since=(2,)),
    ),
    (Name("a", "kl_coef", where=(("use", frozenset({"a"})),)), Name("b", "kl_coef")),
    frozenset(),
)


def test_what_a_name_means_may_depend_on_the_runs_settings() -> None:
    assert SHARP.given({}).metric("kl", (1,)) == "kl.reference.unknown.token"
    assert SHARP.given({"estimator": "k1"}).metric("kl", (1,)) == "kl.reference.unknown.token"
    assert SHARP.given({"estimator": None}).metric("kl", (1,)) == "kl.reference.unknown.token"
    assert SHARP.given({"estimator": "k3"}).entries("kl") == [(SHARP.metrics[0], "kl.reference.k3.token")]
    assert len(SHARP.given({"estimator": "k3", "new": True}).entries("kl")) == 2
    assert SHARP.given({"estimator": "k3"}).metric("clip", (3,)) == "clip_fraction"  # asked for in other versions only
    assert [entry.name for entry in SHARP.given({}).settings] == ["b"]
    assert [entry.name for entry in SHARP.given({"use": "a"}).settings] == ["a", "b"]


def test_a_name_itself_goes_before_a_family() -> None:
    words = Vocabulary(
        "both", (Name("eval/*/score", "eval_set_reward"), Name("eval/all/score", "eval_reward")), (), frozenset()
    )
    assert words.metric("eval/all/score", ()) == words.metric_between("eval/all/score", FIRST, LAST) == "eval_reward"
    assert words.metric("eval/gsm8k/score", ()) == "eval_set_reward[gsm8k]"


def test_a_name_that_is_logged_without_a_meaning_in_other_versions_tells_no_version() -> None:
    names = (Name("a", "kl_coef", until=(2,)), Name("b/c", "kl_coef", until=(3,)))
    words = Vocabulary("old", names, (), frozenset({"a", "b/*"}))
    assert words.versions(["a"]) == (FIRST, LAST)
    assert words.versions(["a", "b/c"]) == (FIRST, (3,))


@pytest.mark.parametrize(
    ("pattern", "name", "component"),
    [
        ("val-core/*/mean@*", "val-core/openai/gsm8k/acc/mean@4", "openai/gsm8k/acc"),
        ("val-core/*/mean@*", "val-core/openai/gsm8k/acc/mean@", None),
        ("val-core/*/mean@*", "val-core/mean@4", None),
        ("val-core/*/mean@*", "val-core//mean@4", None),
        ("val-core/*/best@*/mean", "val-core/a/best@2/mean", "a"),
        ("val-core/*/best@*/mean", "val-core/a/best@2/std", None),
        ("val-core/*/best@*/mean", "val-core/a/best@/mean", None),
        ("eval/*/*@*", "eval/a/b@c", None),  # a third one is a star
    ],
)
def test_a_second_star_is_any_text(pattern: str, name: str, component: str | None) -> None:
    assert Name(pattern, "eval_set_reward").component(name) == component


@pytest.mark.parametrize(
    ("name", "version", "metric"),
    [
        ("reward", "1.16.0", "reward_mean"),
        ("reward_std", "0.26.2", "reward_std.group"),  # the meaning changed in 0.27 and the name did not
        ("reward_std", "0.27.0", "reward_std.batch"),
        ("kl", "1.9.2", "kl.reference.k3.token"),
        ("kl", "1.10.0", "kl.reference.unknown.token"),  # multiplied by the ratio before it is logged
        ("rewards/format/mean", "1.16.0", "reward_component_mean[format]"),
        ("rewards/a/b/mean", "1.16.0", "reward_component_mean[a/b]"),
        ("rewards/format", "0.16.0", "reward_component_mean[format]"),
        ("rewards/format", "1.16.0", None),
        ("rewards//mean", "1.16.0", None),
        ("rewards/mean", "1.16.0", None),
        ("entropy", "0.19.0", None),
        ("train/reward", "1.16.0", "reward_mean"),  # as wandb and TensorBoard get it
        ("eval/kl", "1.16.0", None),
        ("train/eval_reward", "1.16.0", None),
        ("my/reward", "1.16.0", None),  # never by suffix
        ("my_reward", "1.16.0", None),
    ],
)
def test_trl_grpo_names(name: str, version: str, metric: str | None) -> None:
    assert vocabulary("trl-grpo").metric(name, parse_version(version)) == metric


@pytest.mark.parametrize(
    ("name", "version", "metric"),
    [
        ("kl", "1.16.0", "kl.reference.k1.token"),  # the log ratio itself, not GRPO's estimator
        ("objective/kl", "0.21.0", "kl.reference.k1.sequence"),
        ("reward", "0.26.2", "reward_total"),  # less the KL penalty
        ("policy/clipfrac_avg", "0.21.0", "clip_fraction.sequence"),
        ("reward", "0.27.0", "reward_mean"),
        ("frac_reward_zero_std", "1.16.0", None),  # of the reward less the KL penalty, in every version
        ("clip_ratio/region_mean", "1.16.0", "clip_fraction.sequence"),
        ("lr", "0.21.0", "learning_rate"),
    ],
)
def test_trl_rloo_names(name: str, version: str, metric: str | None) -> None:
    assert vocabulary("trl-rloo").metric(name, parse_version(version)) == metric


def test_a_plain_trainer_knows_no_reward() -> None:
    plain = vocabulary("transformers")
    names = ("loss", "grad_norm", "learning_rate", "eval_loss")
    assert [plain.metric(name, (5, 23)) for name in names] == ["total_loss", "grad_norm", "learning_rate", "eval_loss"]
    assert plain.metric("reward", (5, 23)) is None and plain.metric("entropy", (5, 23)) is None


def test_settings_are_translated_both_ways() -> None:
    trl = vocabulary("trl-grpo")
    raw = {"beta": 0.04, "scale_rewards": True, "num_iterations": 2, "output_dir": "x"}
    assert trl.canonical_settings(raw, (1, 16)) == {"kl_coef": 0.04, "scale_rewards": "group", "update_epochs": 2}
    assert trl.spoken("kl_coef") == "beta"
    assert trl.spoken("vf_coef") == "vf_coef"


@pytest.mark.parametrize(
    ("text", "version"),
    [("1.16.0", (1, 16, 0)), ("1.16.0.dev0", (1, 16, 0)), ("0.9rc1", (0,)), ("main", ()), ("", ())],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_until_is_exclusive_and_since_inclusive() -> None:
    words = Vocabulary("x", (Name("a", "reward_mean", (1, 2), (1, 4)),), (), frozenset())
    assert [words.metric("a", v) for v in [(1, 1), (1, 2), (1, 3, 9), (1, 4)]] == [
        None, "reward_mean", "reward_mean", None,
    ]  # fmt: skip


def test_an_unknown_framework_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="trl-grpo"):
        vocabulary("nanochat")


def test_what_depends_on_settings_does_not_hold_where_none_are_known() -> None:
    assert [means for _, means in vocabulary("trl-ppo").entries("objective/kl")] == ["kl.reference.k1.sequence"]
    told = vocabulary("trl-ppo").given({"kl_estimator": "k3"})
    assert [means for _, means in told.entries("objective/kl")] == ["kl.reference.k3.sequence"]


def test_a_vocabulary_that_extends_another_has_the_last_word() -> None:
    trl, unsloth = vocabulary("trl-grpo"), vocabulary("unsloth")
    assert [entry.until for entry, _ in trl.entries("completion_length")] == [(0, 17, 0)]
    assert [entry.until for entry, _ in unsloth.entries("completion_length")] == [LAST]
    assert unsloth.entries("entropy") == trl.entries("entropy")
    assert {mark.name for mark in unsloth.marks} == {mark.name for mark in trl.marks} != set()
    assert unsloth.spoken("kl_coef") == "beta" and unsloth.spoken("learning_rate") == "learning_rate"
    assert unsloth.understands("num_tokens") and unsloth.understands("train/epoch")
