import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.errors import UserError
from studies.space import Choices, Range, middle, parse_knob, parse_space, space_from_text, write_space

RATE = Range(1e-6, 1e-2, log=True)
EPOCHS = Range(1, 4, integer=True)
GROUPS = Choices((2, 4, 8, 16))
SPACE = {"learning_rate": RATE, "update_epochs": EPOCHS, "num_generations": GROUPS}


def test_middle_is_geometric_where_ratios_matter() -> None:
    assert RATE.middle(1e-5, 1e-3) == pytest.approx(1e-4)
    assert Range(0, 10).middle(2, 4) == 3
    assert GROUPS.middle(2, 8) == 4


def test_distance_is_a_share_of_the_space() -> None:
    assert RATE.distance(1e-5, 1e-3) == pytest.approx(0.5)
    assert EPOCHS.distance(1, 4) == 1
    assert GROUPS.distance(4, 16) == pytest.approx(2 / 3)


@given(st.floats(-1e9, 1e9))
def test_nearest_is_inside(value: float) -> None:
    for space in SPACE.values():
        assert space.nearest(value) in space


def test_nearest_of_choices_is_by_ratio() -> None:
    assert GROUPS.nearest(5) == 4  # 5/4 < 8/5
    assert GROUPS.nearest(6) == 8  # 8/6 < 6/4
    assert GROUPS.nearest(1e9) == 16


@pytest.mark.parametrize("value", [True, "1e-3", math.nan, math.inf, 0.0, 1.0])
def test_what_is_not_inside(value: object) -> None:
    assert value not in RATE


@pytest.mark.parametrize("space", SPACE.values())
def test_written_and_read_again(space: Range | Choices) -> None:
    assert parse_space("k", write_space(space), "here") == space


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"choices": []}, "space.k.choices is []"),
        ({"low": 1}, "space.k.high is None"),
        ({"low": 2, "high": 1}, "space.k is empty"),
        ({"low": 0, "high": 1, "log": True}, "begins above 0"),
    ],
)
def test_bad_spaces_say_where(table: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_space("k", table, "my.toml")
    assert "my.toml" in str(error.value)
    assert said in str(error.value)


def test_a_knob_as_typed() -> None:
    assert parse_knob("learning_rate=1e-4", SPACE, "--start") == ("learning_rate", 1e-4)
    knob, value = parse_knob("update_epochs=2", SPACE, "--start")
    assert (knob, value, type(value)) == ("update_epochs", 2, int)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rate", "is not knob=value"),
        ("learning_rat=1e-4", "Did you mean learning_rate?"),
        ("learning_rate=1", "outside its space. It takes 1e-06 to 0.01 (log)"),
        ("learning_rate=fast", "outside its space"),
        ("update_epochs=1.5", "outside its space"),
        ("num_generations=3", "It takes one of 2, 4, 8, 16"),
    ],
)
def test_bad_knobs_say_what_to_do(text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_knob(text, SPACE, "--start")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1e-6..1e-3:log", Range(1e-6, 1e-3, log=True)),
        ("a=1..4:int", Range(1, 4, integer=True)),
        ("a=1..64:log:int", Range(1, 64, log=True, integer=True)),
        ("a=-1..0.5", Range(-1, 0.5)),
        ("a=16,4,8", Choices((4, 8, 16))),
        ("a=grpo,dapo", Choices(("grpo", "dapo"))),
    ],
)
def test_a_space_as_it_is_typed(text, expected):
    assert space_from_text(text, "--space") == ("a", expected)


@pytest.mark.parametrize(
    "text",
    ["a", "a=", "=1..2", "a=1..", "a=2..1", "a=0..1:log", "a=1..2:lin", "a=1..2:log:log", "a=1.5..2:int", "a=x..y"],
)
def test_what_is_no_space_is_one_clear_line(text):
    with pytest.raises(UserError, match=r"^--space: "):
        space_from_text(text, "--space")


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Range(1e-6, 1e-2, log=True), 1e-4),
        (Range(0.001, 0.1), 0.01),  # over two powers of ten ratios matter
        (Range(1, 4, integer=True), 2),
        (Range(0, 1), 0.5),
        (Choices((4, 8, 16)), 8),
        (Choices(("a", "b")), "a"),
    ],
)
def test_the_middle_of_a_space(space, expected):
    assert middle(space) == (pytest.approx(expected) if isinstance(expected, float) else expected)
