"""Cuts a shell script into statements, and these into words, with the values of variables that are known."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from diagnostics.configs.arithmetic import evaluated
from diagnostics.configs.config import MOST_BYTES, NoConfig
from diagnostics.configs.words import CONTINUED, Word

_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_PARAMETER = re.compile(r"([A-Za-z_]\w*|[0-9]+|[@*])(\[[@*]\])?(?:(:?[-=])(.*))?", re.DOTALL)
_MOST_WORDS = 10_000  # of a variable
_BREAKS = "\n;&|()"
_HERE = re.compile(r"<<(-?)\s*(['\"]?)(\w+)\2")
_REDIRECTION = re.compile(r"\d*(?:&>>?|>>?&?|<&?)\s*(?:&?\d+|-)?")


class Lexer:
    """Reads statements one by one, so that each sees what those before it set.

    `arrays` holds the words of an array that is set, by the identity of the word that sets it, and `document` the text
    of the statement's here-document.
    """

    def __init__(self, text: str, variables: Mapping[str, list[Word]], line: int = 1) -> None:
        self._text, self._at, self._first = text.replace("\r\n", "\n"), 0, line
        self._ends = [match.start() for match in re.finditer("\n", self._text)]
        self._variables = variables
        self.arrays: dict[int, list[Word]] = {}
        self.document: list[Word] = []

    def statements(self) -> Iterator[list[Word]]:
        """The words of each statement."""
        while self._at < len(self._text):
            words, begin = self._statement(), self._at
            if words:
                yield words
            if self._at == begin and self._at < len(self._text):  # what ends a statement
                self._at += 1

    def _statement(self) -> list[Word]:
        self.arrays, self.document = {}, []
        words: list[Word] = []
        here: re.Match[str] | None = None
        while self._at < len(self._text):
            char = self._text[self._at]
            if self._text.startswith("\\\n", self._at):
                self._at += 2
            elif char in " \t":
                self._at += 1
            elif char == "#":
                self._comment()
            elif (found := _HERE.match(self._text, self._at)) is not None:
                here, self._at = found, found.end()
            elif (redirected := _REDIRECTION.match(self._text, self._at)) is not None and redirected.end() > self._at:
                self._at = redirected.end()
                if redirected[0].rstrip()[-1] in "<>":
                    self._blanks()
                    self._word()
            elif char == "\n" and here is not None:
                self._at += 1
                self.document = self._here(here)
                return words
            elif char in _BREAKS:
                return words
            else:
                words += self._word()
        return words

    def _comment(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def _blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _here(self, here: re.Match[str]) -> list[Word]:
        """The lines until the mark that ends them, variables replaced where the mark is not quoted."""
        line = self._line()
        begin, end = self._at, len(self._text)
        for match in re.finditer(r"^(.*)$", self._text[begin:], re.MULTILINE):
            if match[1].strip("\t" if here[1] else "") == here[3]:
                end = begin + match.start()
                break
        body = self._text[begin:end]
        self._at = min(len(self._text), end + len(here[3]) + 1)
        if here[2]:
            return [Word(body, line, "", True)]
        inner = Lexer(body, self._variables, line)
        text, unknown = inner._within("")
        return [Word(text, line, unknown, True)]

    def _word(self) -> list[Word]:
        """The word that begins here: none, or several, where it is a variable that holds as many."""
        line, text, unknown, quoted = self._line(), "", "", False
        spread: list[Word] | None = None
        begin = self._at
        while self._at < len(self._text):
            char = self._text[self._at]
            if self._text.startswith("\\\n", self._at):
                self._at += 2
                continue
            if char in " \t" or char in _BREAKS:
                if char == "(" and re.fullmatch(r"[A-Za-z_]\w*\+?=", text):
                    word = Word(text, line, "", True)
                    self.arrays[id(word)] = self._array()
                    return [word]
                break
            if char in "<>" and not text.endswith("$"):
                break
            if char == "\\":
                text += self._text[self._at + 1 : self._at + 2]
                self._at += 2
            elif char == "'" or self._text.startswith("$'", self._at):
                end = self._text.find("'", self._at + (1 if char == "'" else 2))
                end = len(self._text) if end < 0 else end
                text += self._text[self._at + (1 if char == "'" else 2) : end]
                self._at, quoted = end + 1, True
            elif char == '"':
                self._at += 1
                alone = self._array_here()
                if alone is not None:
                    spread = [*(spread or []), *alone]
                else:
                    part, why = self._within('"')
                    text, unknown, quoted = text + part, unknown or why, True
            elif char in "$`":
                start = self._at
                found = self._expanded()
                if start == begin and not text and found is not None:
                    spread = [*(spread or []), *(piece for word in found for piece in _pieces(word))]
                else:
                    joined = " ".join(word.text for word in found or ())
                    text += joined.replace(CONTINUED, "")
                    unknown = unknown or next((word.unknown for word in found or () if word.unknown), "")
            else:
                text += char
                self._at += 1
            _not_too_long(text, spread or ())
        if self._at == begin:
            self._at += 1
        if spread is not None and not text and not quoted:
            return spread
        if spread is not None:  # a variable with text right behind it
            text = " ".join(word.text for word in spread).replace(CONTINUED, "") + text
            unknown = unknown or next((word.unknown for word in spread if word.unknown), "")
        return [Word(text, line, unknown, quoted)] if text or quoted else []

    def _array(self) -> list[Word]:
        """The words between parentheses."""
        self._at += 1
        words: list[Word] = []
        while self._at < len(self._text) and self._text[self._at] != ")":
            char = self._text[self._at]
            if char == "#":
                self._comment()
            elif char in " \t\n":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            elif char in _BREAKS:
                self._at += 1
            else:
                words += self._word()
                _not_too_long("", words)
        self._at += 1
        return words

    def _array_here(self) -> list[Word] | None:
        """The words of an array that stands alone between quotes, `"${X[@]}"`; None for anything else."""
        match = re.compile(r'\$(?:\{(\w+)\[[@*]\]\}|\{?([@*])\}?)"').match(self._text, self._at)
        if match is None:
            return None
        line, self._at = self._line(), match.end()
        if match[2]:
            return []
        known = self._variables.get(match[1])
        return known if known is not None else [_not_set(match[1], line)]

    def _within(self, quote: str) -> tuple[str, str]:
        """The text until `quote`, or the end, variables replaced, and what of it is not known."""
        text, unknown = "", ""
        while self._at < len(self._text) and (not quote or self._text[self._at] != quote):
            char = self._text[self._at]
            if char == "\\" and self._text[self._at + 1 : self._at + 2] in ("\n", '"', "\\", "$", "`"):
                following = self._text[self._at + 1]
                text += CONTINUED if following == "\n" else following
                self._at += 2
            elif char in "$`":
                found = self._expanded() or []
                text += " ".join(word.text for word in found)
                unknown = unknown or next((word.unknown for word in found if word.unknown), "")
                _not_too_long(text)
            else:
                text += char
                self._at += 1
        self._at += 1
        return text, unknown

    def _expanded(self) -> list[Word] | None:
        """What stands for a `$...` or a command between backticks; None for nothing at all."""
        begin, line = self._at, self._line()
        text = self._text
        if text[begin] == "`":
            end = text.find("`", begin + 1)
            self._at = len(text) if end < 0 else end + 1
            return [_not_known(text[begin : self._at], line, "which a command prints")]
        if text.startswith("$((", begin):
            self._at = _closing(text, begin + 1, "()")
            return [self._number(text[begin + 3 : self._at - 2], text[begin : self._at], line)]
        if text.startswith("$(", begin):
            self._at = _closing(text, begin + 1, "()")
            return [_not_known(text[begin : self._at], line, "which a command prints")]
        if text.startswith("${", begin):
            self._at = _closing(text, begin + 1, "{}")
            return self._parameter(text[begin + 2 : self._at - 1], text[begin : self._at], line)
        match = _NAME.match(text, begin + 1)
        self._at = match.end() if match is not None else begin + 1
        if match is None:
            return [Word("$", line)]
        return self._parameter(match[0], match[0], line)

    def _parameter(self, inner: str, whole: str, line: int) -> list[Word] | None:
        match = _PARAMETER.fullmatch(inner)
        if match is None:
            return [_not_known(whole, line, "which is not worked out")]
        name, _, default, text = match.groups()
        if name in "@*":
            return []
        known = self._variables.get(name)
        if known is not None:
            return known
        if default is not None:
            value, unknown = Lexer(text, self._variables, line)._within("")
            return [Word(value, line, unknown)]
        if name.isdigit():
            return [_not_known(f"${name}", line, "an argument of the script")]
        return [_not_set(name, line)]

    def _number(self, expression: str, whole: str, line: int) -> Word:
        held = re.sub(
            r"\$?\{?([A-Za-z_]\w*)\}?",
            lambda m: " ".join(word.text for word in self._variables.get(m[1], [Word("?")])),
            expression,
        )
        value = evaluated(held)
        return Word(str(value), line) if value is not None else _not_known(whole, line, "which is not worked out")

    def _line(self) -> int:
        return self._first + bisect_left(self._ends, self._at)


def _not_too_long(text: str, words: Sequence[Word] = ()) -> None:
    """NoConfig where variables within variables make more of a script than any means."""
    if len(text) > MOST_BYTES or len(words) > _MOST_WORDS:
        raise NoConfig("has variables that grow without end")


def _pieces(word: Word) -> list[Word]:
    return word.split() if word.text.strip() else []


def _closing(text: str, begin: int, pair: str) -> int:
    """Behind the parenthesis that closes the one at `begin`; the end of the text where none does."""
    depth = 0
    for at in range(begin, len(text)):
        depth += (text[at] == pair[0]) - (text[at] == pair[1])
        if not depth:
            return at + 1
    return len(text)


def _not_known(text: str, line: int, why: str) -> Word:
    return Word(text, line, f"{text}, {why}")


def _not_set(name: str, line: int) -> Word:
    return _not_known(f"${name}", line, "which the script does not set")
