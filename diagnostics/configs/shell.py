"""A shell script, read as far as its commands are known without running it: quotes, variables, arrays, here-documents.

Variables have a value where the script sets them once outside of branches and loops, or gives a default (`${X:-1}`).
What a command prints, what the environment has and what a branch sets is not known, and each such word says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from diagnostics.configs import command
from diagnostics.configs.config import Config, NoConfig
from diagnostics.configs.lexer import Lexer
from diagnostics.configs.words import CONTINUED, Word

_BEGIN = {"if", "for", "while", "until", "case", "{", "select"}
_END = {"fi", "done", "esac", "}"}
_BETWEEN = {"then", "else", "elif", "do", "!", "time", "function"}
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)", re.DOTALL)
_ARGUMENT = re.compile(r"--[a-z]|\+{0,2}[a-z_]\w*(\.\w+)+=")
_SETTING = {"export", "declare", "local", "readonly", "typeset"}
_SHELLS = {"bash", "sh", "zsh"}


def read(text: str, path: Path) -> list[Config]:
    """A configuration for each training that a script starts; NoConfig where it starts none."""
    found = []
    for words in _Script(text).commands():
        config = command.read(words, str(path), (path.parent,))
        if config is not None and config.given:
            found.append(config)
        elif found and _ARGUMENT.match(words[0].text) and not found[-1].lost:
            found[-1] = replace(found[-1], lost=words[0].line)
    if not found:
        raise NoConfig("starts no training that is known: a Python script or module with arguments")
    return found


class _Script:
    """Goes through the statements of a script in their order."""

    def __init__(self, text: str, variables: dict[str, list[Word]] | None = None, line: int = 1) -> None:
        self._variables: dict[str, list[Word]] = variables if variables is not None else {}
        self._lexer = Lexer(text, self._variables, line)
        self._depth = 0

    def commands(self) -> Iterator[list[Word]]:
        """The words of each command, variables replaced where they are known."""
        for words in self._lexer.statements():
            while words and words[0].text in _BEGIN | _END | _BETWEEN and not words[0].quoted:
                keyword, *words = words
                self._depth += (keyword.text in _BEGIN) - (keyword.text in _END)
                if keyword.text == "for" and words:
                    self._loop(words)
                    words = []
            words = self._assigned(words)
            if not words:
                continue
            inner = self._inner(words)
            if inner is not None:
                text = inner.text.replace(CONTINUED, "\\\n")  # so that its lines are counted
                several = [word for word in words if word.text in command.SEVERAL]
                for found in _Script(text, self._variables, inner.line).commands():
                    yield [*several, *found]
            else:
                yield words

    def _assigned(self, words: list[Word]) -> list[Word]:
        """Take in what a statement sets; the words of its command, if it has one."""
        setting = bool(words) and words[0].text in _SETTING
        if words and words[0].text == "read":
            self._set(words[-1].text, self._lexer.document)
            return []
        at = 1 if setting else 0
        while at < len(words):
            match = _ASSIGNMENT.fullmatch(words[at].text)
            if match is None and not setting:
                break
            if match is not None:
                name, more, value = match.groups()
                array = self._lexer.arrays.get(id(words[at]))
                held = array if array is not None else [Word(value, words[at].line, words[at].unknown, True)]
                self._set(name, [*self._variables.get(name, []), *held] if more and array is not None else
                          _joined(self._variables.get(name, []), held) if more else held)  # fmt: skip
            at += 1
        return [] if setting else words[at:]

    def _set(self, name: str, value: list[Word]) -> None:
        if self._depth:
            line = value[0].line if value else 0
            value = [Word(f"${name}", line, f"${name}, which a branch or a loop sets in line {line}", True)]
        self._variables[name] = value

    def _loop(self, words: list[Word]) -> None:
        name, values = words[0].text, [word for word in words[2:] if word.text]
        known = len(values) == 1 and not values[0].unknown
        self._variables[name] = values if known else [Word(f"${name}", words[0].line, f"${name}, which a loop sets")]

    @staticmethod
    def _inner(words: list[Word]) -> Word | None:
        """The script behind `bash -c`."""
        for i in range(len(words) - 2):
            if words[i].text in _SHELLS and words[i + 1].text in ("-c", "-lc", "-ic"):
                return words[i + 2]
        return None


def _joined(before: list[Word], held: list[Word]) -> list[Word]:
    """A variable with text added at its end."""
    if not before:
        return held
    first, added = before[0], held[0]
    unknown = first.unknown or added.unknown
    return [Word(first.text + added.text, first.line, unknown, True)]
