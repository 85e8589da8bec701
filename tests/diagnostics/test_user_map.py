"""A person's own map of names, from the command line and from a file."""

import pytest

from diagnostics.errors import UserError
from diagnostics.user_map import MOST_BYTES, UserMap, from_arguments, from_file


def test_arguments_map_metrics_and_settings():
    assert from_arguments(["H=entropy", "a=b=kl_coef", " lr now = learning_rate ", "top=top_p"]) == UserMap(
        {"H": "entropy", "a=b": "kl_coef", "lr now": "learning_rate"},
        {"a=b": "kl_coef", "lr now": "learning_rate", "top": "top_p"},
    )
    assert from_arguments([]) == UserMap()
    assert from_arguments(["a=reward_component_mean[x]"]).metrics == {"a": "reward_component_mean[x]"}


def test_the_last_word_counts():
    assert from_arguments(["a=entropy", "a=value_loss"]).metrics == {"a": "value_loss"}
    both = UserMap({"a": "entropy", "b": "entropy"}) | UserMap({"a": "value_loss"}, {"c": "top_p"})
    assert both == UserMap({"a": "value_loss", "b": "entropy"}, {"c": "top_p"})


@pytest.mark.parametrize(
    ("argument", "message", "hint"),
    [
        ("reward", "'reward' maps nothing", "NAME=metric"),
        ("=entropy", "'=entropy' maps nothing", "NAME=metric"),
        ("a=", "'a=' maps nothing", "NAME=metric"),
        ("a=reward_men", "a=reward_men: there is no metric or setting 'reward_men'", "reward_mean"),
        ("a=zzz", "there is no metric or setting 'zzz'", "such as reward_mean"),
        (
            "a=reward_component_mean",
            "reward_component_mean has one series for each component",
            "reward_component_mean[name]",
        ),
        ("a=kl.reference.k3", "there is no metric or setting 'kl.reference.k3'", "kl.reference.k3.token"),
    ],
)
def test_an_argument_that_maps_to_nothing_is_told(argument, message, hint):
    with pytest.raises(UserError) as error:
        from_arguments([argument])
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_file_has_tables_of_metrics_and_settings(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(
        '[metrics]\n"my/kl" = "kl.reference.unknown"\nH = "entropy"\n[settings]\n"actor.lr" = "learning_rate"\n'
    )
    assert from_file(path) == UserMap({"my/kl": "kl.reference.unknown", "H": "entropy"}, {"actor.lr": "learning_rate"})
    path.write_text("")
    assert from_file(path) == UserMap()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[metrics\n", "is no TOML"),
        ("a = 1\n", "has 'a', which is no table of a map"),
        ("metrics = 3\n", "metrics in"),
        ("[metrics]\na = 3\n", "maps 'a' to no name"),
        ("[metrics]\na.b = 'entropy'\n", "maps 'a' to no name"),
        ("[metrics]\na = 'top_p'\n", "there is no metric or setting 'top_p'"),
        ("[settings]\na = 'entropy'\n", "there is no metric or setting 'entropy'"),
        ("[settings]\na = 'reward_component_mean[x]'\n", "there is no metric or setting"),
        ("[[metrics]]\n", "metrics in"),
        ("x = " + "[" * 5000, "is no TOML"),
        ("#" * (MOST_BYTES + 1), "is no map of names"),
    ],
)
def test_a_file_that_is_no_map_is_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"map\.toml") as error:
        from_file(path)
    assert message in error.value.message
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        from_file(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        from_file(tmp_path)
    path = tmp_path / "map.toml"
    path.write_bytes(b"\xff\xfe[metrics]")
    with pytest.raises(UserError, match="is no TOML"):
        from_file(path)
