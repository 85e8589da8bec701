"""The one kind of error that is the user's to mend."""

from __future__ import annotations

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
