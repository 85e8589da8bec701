"""Student's t against printed tables."""

import pytest

from diagnostics.student import bound, student


@pytest.mark.parametrize(
    ("t", "degrees", "chance"),  # printed tables of Student's t
    [
        (6.3138, 1, 0.05),
        (2.9200, 2, 0.05),
        (2.3534, 3, 0.05),
        (2.1318, 4, 0.05),
        (1.6973, 30, 0.05),
        (2.7764, 4, 0.025),
    ],
)
def test_students_t_is_that_of_the_tables(t: float, degrees: int, chance: float) -> None:
    assert student(t, degrees) == pytest.approx(chance, rel=1e-4)
    assert student(-t, degrees) == pytest.approx(1 - chance, rel=1e-4)
    assert student(0.0, degrees) == 0.5


@pytest.mark.parametrize(
    ("chance", "degrees", "t"), [(0.05, 1, 12.706), (0.05, 4, 2.7764), (0.002, 4, 7.1732), (0.002, 8, 4.5008)]
)
def test_bounds_are_those_of_the_tables(chance: float, degrees: int, t: float) -> None:
    assert bound(chance, degrees) == pytest.approx(t, rel=1e-4)
