"""The one kind of error that is the user's to mend."""


class UserError(Exception):
    """Something a person can put right: shown as one line on stderr, exit code 2, never with a traceback.

    `message` says what is wrong and where, `hint` what to do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}")
        self.message, self.hint = message, hint
