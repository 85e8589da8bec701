"""The points of a curve, kept for as long as a study runs: two machine numbers each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import overload

from diagnostics.thin import POINTS, divided, extremes

Point = tuple[int, float]  # a step and the value there


class Points(Sequence[Point]):
    """Points in the order in which they were told, in an eighth of the memory of a list of pairs."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self.steps, self.values = array("q"), array("d")
        for point in points:
            self.append(point)

    def append(self, point: Point) -> None:
        """Take in one more."""
        self.steps.append(point[0])
        self.values.append(point[1])

    def pop(self) -> Point:
        """Take out the last."""
        return self.steps.pop(), self.values.pop()

    def thin(self, stretches: int) -> None:
        """Keep what can be seen of the points on so many stretches of steps; they are in the order of these then."""
        if len(self) > POINTS * stretches:
            steps, values = zip(*sorted(self, key=itemgetter(0)), strict=True)
            by = divided(steps, stretches)
            self.steps, self.values = by.steps, extremes(values, by)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Point]:
        return zip(self.steps, self.values, strict=True)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> list[Point]: ...
    def __getitem__(self, index: int | slice) -> Point | list[Point]:
        if isinstance(index, slice):
            return [*zip(self.steps[index], self.values[index], strict=True)]
        return self.steps[index], self.values[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"Points({[*self]})"
