"""Student's t distribution with whole degrees of freedom, without scipy."""

from __future__ import annotations

import math
from functools import cache


def student(t: float, degrees: int) -> float:
    """The chance that Student's t with so many degrees of freedom, at least 1, is `t` or more.

    The finite series for whole degrees: Abramowitz and Stegun 1964, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(odd + 2, degrees + 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (k - 1) / k
    inside = math.sin(angle) * total
    return 0.5 - ((angle + inside) / math.pi if odd else inside / 2)


@cache
def bound(chance: float, degrees: int) -> float:
    """What Student's t with so many degrees of freedom exceeds on either side with `chance`, in (0, 1)."""
    low, high = 0.0, 1.0
    while student(high, degrees) > chance / 2:
        high *= 2
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if student(middle, degrees) > chance / 2 else (low, middle)
    return high
