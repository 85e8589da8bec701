"""Which steps are shown: whole runs, parts that follow the newest step, and parts that stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.look import LEAST, Look, Reach

RUN = Reach(0, 400, 1000)  # a run at step 400 that is to have 1000


def test_at_first_the_whole_run_is_shown_as_far_as_it_is_planned() -> None:
    assert Look().shown(RUN) == (0, 1000)


def test_zooming_in_shows_the_newest_steps_and_follows_them() -> None:
    look = Look().zoomed(RUN, 0.25)
    assert (look.span, look.end) == (250, None)
    assert look.shown(RUN) == (150, 400)
    assert look.shown(Reach(0, 450, 1000)) == (200, 450)


def test_a_part_around_the_cursor_stays_where_it_is_and_the_cursor_keeps_its_place() -> None:
    look = Look().zoomed(RUN, 0.25, 200)
    assert look.shown(RUN) == (150, 400)  # it reaches the newest step, which it follows from now on
    look = look.zoomed(RUN, 0.4, 200)
    assert look.shown(RUN) == (180, 280)
    assert (200 - 150) / (400 - 150) == (200 - 180) / (280 - 180)
    assert look.shown(Reach(0, 900, 1000)) == (180, 280)


def test_zooming_out_ends_with_the_whole_run() -> None:
    look = Look(span=600, end=700)
    assert look.zoomed(RUN, 2) == Look()
    assert look.zoomed(RUN, 2, 500) == Look()


def test_a_short_run_is_not_made_longer() -> None:
    assert Look(span=200).shown(Reach(0, 30, 100)) == (0, 100)
    assert Look().zoomed(Reach(5, 5, 5), 0.5) == Look()


reaches = st.lists(st.integers(0, 10**6), min_size=3, max_size=3).map(sorted).map(lambda steps: Reach(*steps))


@given(reaches, st.lists(st.tuples(st.sampled_from([0.5, 0.7, 2.0]), st.none() | st.integers(0, 10**6)), max_size=12))
def test_whatever_is_shown_lies_in_the_run(reach: Reach, zooms: list[tuple[float, int | None]]) -> None:
    look = Look()
    for factor, at in zooms:
        look = look.zoomed(reach, factor, at)
        first, last = look.shown(reach)
        assert reach.first <= first <= last <= reach.last
        assert last - first >= min(LEAST, reach.last - reach.first)


@pytest.mark.parametrize(("first", "last", "follows"), [(100, 300, False), (300, 400, True), (350, 380, False)])
def test_a_part_that_was_dragged_follows_where_it_reaches_the_newest_step(first: int, last: int, follows: bool) -> None:
    look = Look().between(RUN, first, last)
    assert look.shown(RUN) == (first, last)
    assert (look.end is None) == follows
