"""The one kind of error that is the user's to mend."""

from __future__ import annotations

import traceback

from diagnostics.text import visible


class UserError(Exception):
    """Something a person can put right: shown as one line on stderr, exit code 2, never with a traceback.

    `message` says what is wrong and where, `hint` what to do about it; a message that another process has already put
    into these words comes without.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}. {hint}" if hint else message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        """On one line, whatever is in the names of files and metrics: Python shows it as it is."""
        return visible(" ".join(super().__str__().splitlines()))


def described(error: BaseException, file: str = "") -> str:
    """An exception of somebody's code in one line, with the last line of `file` that it came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    text = str(error)
    if isinstance(error, SyntaxError) and error.filename == file:
        lines, text = [error.lineno], error.msg
    what = ": ".join(filter(None, (type(error).__name__, " ".join(text.split()))))
    return f"line {lines[-1]}: {what}" if lines else what
