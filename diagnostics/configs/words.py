"""A word of a command line, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CONTINUED = "\ue000"  # stands for a line's end that the shell takes away, so that lines can be counted


@dataclass(frozen=True, slots=True)
class Word:
    """What stands there, the line, and what of it cannot be known, "" where all can."""

    text: str
    line: int = 0
    unknown: str = ""
    quoted: bool = False

    def split(self) -> list[Word]:
        """The words that the shell makes of this one where it is not quoted, each with its line."""
        found, begin = [], 0
        for end in range(len(self.text) + 1):
            if end < len(self.text) and not self.text[end].isspace() and self.text[end] != CONTINUED:
                continue
            if end > begin:
                line = self.line + sum(self.text.count(mark, 0, begin) for mark in ("\n", CONTINUED))
                part = self.text[begin:end]
                found.append(Word(part, line, self.unknown if "$" in part or "`" in part else ""))
            begin = end + 1
        return found

    def whole(self) -> Word:
        """This word as one, without the marks of lines that go on."""
        return Word(self.text.replace(CONTINUED, ""), self.line, self.unknown, self.quoted)


def of(arguments: Iterable[str]) -> list[Word]:
    """The words of a command line that a shell has read already."""
    return [Word(argument, quoted=True) for argument in arguments]
