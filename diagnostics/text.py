"""Text from logs that others wrote, made safe to show."""

from __future__ import annotations

import re

# C0 and C1 controls (ANSI escapes begin with one), line separators, and the marks that turn the direction of writing.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` on one line, with characters that would move the cursor or colour the terminal written as escapes."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
