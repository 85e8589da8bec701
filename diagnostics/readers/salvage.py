"""Objects of JSON out of text that is not whole: cut off, overwritten, or two writers in one line."""

from __future__ import annotations

import json
from typing import Any

MOST_BAD = 200  # places that cannot be read after which nothing more is tried
MOST_TRIED = 1 << 26  # characters that were tried in vain after which nothing more is
LOOK_BACK = 100  # characters, of which all but one are blanks
INSIDE = ":,["  # what stands before an object that is a value of another


def salvaged(text: str, at: int = 0, *, inside: str = INSIDE) -> tuple[list[dict[str, Any]], int]:
    """The objects in `text` from `at` on that are not inside of others, and how many places could not be read.

    An object that follows one of the characters `inside` is a part of the one that could not be read.
    """
    found, bad, tried, decoder = [], 0, 0, json.JSONDecoder()
    while (at := text.find("{", at)) >= 0:
        before = text[max(0, at - LOOK_BACK) : at].rstrip()
        if bad and before and before[-1] in inside:
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
            found.append(value)
        except (ValueError, RecursionError) as error:
            bad += 1
            tried += (error.pos if isinstance(error, json.JSONDecodeError) else len(text)) - at
            at += 1
            if bad > MOST_BAD or tried > MOST_TRIED:
                break
    return found, bad
