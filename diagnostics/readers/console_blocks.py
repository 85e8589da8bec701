"""Rows of a console that take several lines: boxes, bullets under a heading, printed dicts; and progress bars."""

from __future__ import annotations

import re
from typing import Any

from diagnostics.readers.console_lines import LONGEST_LEAD, Values, dicts, lead_step, postfix
from diagnostics.readers.console_settings import LONGEST, depth, literal, namespace
from diagnostics.readers.table import flat, number

LONGEST_LINE = 400  # characters of a line in a box or of a bullet
MOST_LINES = 2000  # of a printed dict
FEWEST_SETTINGS = 5  # in a printed dict that holds settings
FEWEST_BARS = 50  # with numbers, and nothing better, before they are taken for rows
MOST_BARS = 100_000
_RULE = re.compile(r"\s*-{10,}\s*$")
_CELL = re.compile(r"\s*\|(\s*)(\S.*?)\s*\|\s*(.*?)\s*\|\s*$")
_HEADING = re.compile(r"\s*=+ [Ss]tep (\d{1,12})(?:/\d+)? =+\s*$")
_BULLET = re.compile(r"\s*•\s+([^:]{1,80}):\s+([-+]?[\w.+-]+?)(s|%)?(?:\s+tokens|\s*\(.*\))?\s*$")
_OPENING = re.compile(r"\b(?:Namespace|\w+Config|\w+Arguments)\(|[{]['\"]|[{]\s*$")
_CONTINUING = re.compile(r"\s|['\"}\])]|\w+=")


class Box:
    """A table between two rules, as Stable-Baselines3 and OpenAI's baselines print it: a name and a value per line."""

    def __init__(self) -> None:
        self.values: Values = {}
        self._group = ""

    @staticmethod
    def is_rule(text: str) -> bool:
        """Whether a line is the upper or lower edge of a box."""
        return bool(_RULE.match(text))

    def take(self, text: str) -> bool:
        """Take a line; whether it belongs to the box."""
        cell = _CELL.match(text) if len(text) < LONGEST_LINE else None
        if cell is None:
            return False
        indent, name, value = cell.groups()
        if not value:
            self._group = name
        else:
            self.values[self._group + name if len(indent) > 2 else name] = value
        return True


class Bullets:
    """Lines `• Loss: 0.1` under `==== Step 3/100 ====`, as NeMo-RL prints them."""

    def __init__(self) -> None:
        self._values: Values = {}

    @staticmethod
    def begins(text: str) -> bool:
        """Whether a line is the heading of a step."""
        return bool(_HEADING.match(text))

    def begin(self, text: str) -> None:
        """Take the heading of a step."""
        heading = _HEADING.match(text)
        self._values = {"step": heading[1]} if heading else {}

    def take(self, text: str) -> bool:
        """Take a line; whether it is a bullet under a heading."""
        if not self._values or "•" not in text:
            return False
        bullet = _BULLET.match(text) if len(text) < LONGEST_LINE else None
        value = number(bullet[2]) if bullet else None
        if bullet and value is not None:
            self._values[bullet[1].strip()] = value / 100 if bullet[3] == "%" else value
        return True

    def end(self) -> Values:
        """What stood under the heading."""
        values, self._values = self._values, {}
        return values


class Printed:
    """A dict or a call that is printed in several lines, as pprint does."""

    def __init__(self, text: str, step: Values) -> None:
        self.text = text
        self._step = step
        self._lines = 1
        self._level = depth(text)

    @classmethod
    def beginning(cls, text: str, step: Values) -> Printed | None:
        """What begins in the line `text`, under what the line before said of the step; None where nothing does."""
        opening = _OPENING.search(text)
        if opening is None or opening.start() > LONGEST_LEAD or text.rstrip()[-1:] not in ",{([:'\"" or depth(text) < 1:
            return None
        return cls(text[opening.start() :], lead_step(text[: opening.start()]) or step)

    @property
    def whole(self) -> bool:
        """Whether all brackets are closed."""
        return self._level < 1

    def take(self, text: str) -> bool:
        """Take the next line; whether it can belong to what is printed."""
        self._lines += 1
        if self._lines > MOST_LINES or len(self.text) + len(text) > LONGEST or not _CONTINUING.match(text):
            return False
        self.text += "\n" + text
        self._level += depth(text)
        return True

    def row(self) -> Values:
        """The row that was printed, {} where it is none."""
        found = dicts(self.text)
        return self._step | found[0][1] if len(found) == 1 else {}


def printed_settings(text: str) -> dict[str, Any]:
    """The settings in a printed dict or call, {} where they are too few to be that."""
    found = literal(text) if text.startswith("{") else namespace(text)
    return found if found and len(dict(flat(found))) >= FEWEST_SETTINGS else {}


class Bars:
    """Progress bars with numbers behind them: one row for each place that a bar has reached.

    A bar that begins anew counts something inside of a step, and its place is then no step. `live` once they are taken
    for rows.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, Values]] = []
        self._given = 0
        self._anew = False
        self.live = False

    def add(self, place: float, text: str) -> None:
        """Take a bar at `place` with `text` at its end. One that is drawn again at its place counts once."""
        values = postfix(text)
        if not values or len(self._rows) >= MOST_BARS:
            return
        if self._rows and self._rows[-1][0] == int(place):
            if self._given < len(self._rows):
                self._rows[-1] = (int(place), self._rows[-1][1] | values)
            return
        if not self.live:
            self._anew = self._anew or bool(self._rows and self._rows[-1][0] > place)
        self._rows.append((int(place), values))

    def worth_it(self, *, better: bool) -> bool:
        """Whether they are taken for rows: there are many, and nothing `better` is there."""
        self.live = not better and (self.live or len(self._rows) >= FEWEST_BARS)
        return self.live

    def done(self) -> list[Values]:
        """The rows that are new and will not be drawn again."""
        return self._take(len(self._rows) - 1)

    def all(self) -> list[Values]:
        """All rows that are new."""
        return self._take(len(self._rows))

    def _take(self, until: int) -> list[Values]:
        new, self._given = self._rows[self._given : until], max(self._given, until)
        return [values if self._anew else {"step": str(place)} | values for place, values in new]
