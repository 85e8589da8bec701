"""A word of a command line, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

CONTINUED = "\ue000"  # stands for a line's end that the shell takes away, so that lines can be counted

_PARTS = re.compile(rf"[\n{CONTINUED}]|[^\s{CONTINUED}]+")


@dataclass(frozen=True, slots=True)
class Word:
    """What stands there, the line, and what of it cannot be known, "" where all can."""

    text: str
    line: int = 0
    unknown: str = ""
    quoted: bool = False

    def split(self) -> list[Word]:
        """The words that the shell makes of this one where it is not quoted, each with its line."""
        found, line = [], self.line
        for part in _PARTS.findall(self.text):
            if part in ("\n", CONTINUED):
                line += 1
            else:
                found.append(Word(part, line, self.unknown if "$" in part or "`" in part else ""))
        return found

    def whole(self) -> Word:
        """This word as one, without the marks of lines that go on."""
        return Word(self.text.replace(CONTINUED, ""), self.line, self.unknown, self.quoted)


def of(arguments: Iterable[str]) -> list[Word]:
    """The words of a command line that a shell has read already."""
    return [Word(argument, quoted=True) for argument in arguments]
