import math

import pytest

from diagnostics.text import sparkline, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, übergroß, 漢字, ▁█", "plain, übergroß, 漢字, ▁█"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\tc\r\x00\x7f\x9b", r"a\nb\tc\r\x00\x7f\x9b"),
        ("\u202egnp.exe\u2066\u2028\u200f", r"\u202egnp.exe\u2066\u2028\u200f"),
        ("\ud800", r"\ud800"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("values", "cells", "line"),
    [
        ([], 8, ""),
        ([5.0], 8, "▁"),
        ([2.0, 2.0, 2.0], 8, "▁▁▁"),
        (list(range(8)), 8, "▁▂▃▄▅▆▇█"),
        ([7.0, 0.0], 8, "█▁"),
        ([0.0, 0.0, 7.0, 7.0], 2, "▁█"),
        ([0.0, math.nan, math.inf, 7.0], 8, "▁××█"),
        ([math.nan] * 3, 8, "×××"),
    ],
)
def test_sparkline(values, cells, line):
    assert sparkline(values, cells) == line
