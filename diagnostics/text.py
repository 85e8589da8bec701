"""Text for a terminal: what others wrote made safe to show, numbers of things, and curves of one line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

# C0 and C1 controls (ANSI escapes begin with one), line separators, and the marks that turn the direction of writing.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

BLOCKS = "▁▂▃▄▅▆▇█"
NOT_FINITE = "×"


def visible(text: str) -> str:
    """`text` on one line, with characters that would move the cursor or colour the terminal written as escapes."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def count(n: int, thing: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def times(n: int) -> str:
    """`once`, `2 times`."""
    return "once" if n == 1 else f"{n} times"


def sparkline(values: Sequence[float], cells: int) -> str:
    """`values` as at most `cells` blocks, each the mean of its stretch, `×` where one of a stretch is not finite."""
    n = min(cells, len(values))
    stretches = [values[len(values) * i // n : len(values) * (i + 1) // n] for i in range(n)]
    # Halves, so that the distance of the lowest and the highest float has a size.
    means = [sum(value / len(stretch) / 2 for value in stretch) for stretch in stretches]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    top = len(BLOCKS) - 1
    return "".join(
        BLOCKS[round((m - low) / (high - low) * top) if high > low else 0] if math.isfinite(m) else NOT_FINITE
        for m in means
    )
