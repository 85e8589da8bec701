"""Asks a server, once more while what went wrong may pass, and says in words what did not."""

from __future__ import annotations

import errno
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

from diagnostics.errors import UserError
from diagnostics.stores.store import Tell

Answer = TypeVar("Answer")

TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before the second try, doubled each time; and the most a server may ask
TIMEOUT = 30.0  # seconds without a byte
LONGEST = 200  # characters of what a server says of an error
LATER = "What was fetched is kept: run it again later."
_BUSY = {408, 429, 500, 502, 503, 504}  # which may pass
_CUT = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET}  # other errors are of the disk


class Refused(Exception):
    """An answer of another status than wanted: the server's words, its code, the seconds that it wants us to wait."""

    def __init__(self, status: int, words: str, code: str = "", wait: float = 0.0) -> None:
        super().__init__(": ".join(filter(None, (f"HTTP {status}" if status else "", words))))
        self.status, self.words, self.code, self.wait = status, words, code, wait


def opened(
    request: urllib.request.Request, login: str, said: Callable[[urllib.error.HTTPError], tuple[str, str]]
) -> http.client.HTTPResponse:
    """The answer to `request`, with `login` where there is one, which is not sent on to where it may be redirected.

    Refused for one of another status, with the words and the code that are `said` in it.
    """
    if login:
        request.add_unredirected_header("Authorization", login)
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            asked = error.headers.get("Retry-After") or ""
            wait = min(float(asked), LONGEST_WAIT) if asked.isdecimal() else 0.0
            words, code = said(error)
            raise Refused(error.code, words, code, wait) from None
    return answer


def patiently(ask: Callable[[], Answer], host: str, tell: Tell, unreachable: Callable[[str], UserError]) -> Answer:
    """What `ask` returns, tried again while what goes wrong may pass.

    Refused, UserError where it does not: `unreachable` says what to do about a server that is not there, and why.
    """
    wait = FIRST_WAIT
    for left in reversed(range(TRIES)):
        try:
            return ask()
        except Refused as refused:
            if refused.status not in _BUSY or not left:
                raise
            what, wait = f"answers HTTP {refused.status}", max(wait, refused.wait)
        except urllib.error.URLError as error:
            if left < TRIES - 1:  # it is tried once more: who misspelt a name or is offline shall not wait
                reason = error.reason
                raise unreachable(reason if isinstance(reason, str) else _named(reason)) from None
            what = "cannot be reached"
        except (http.client.HTTPException, OSError) as error:
            cut = isinstance(error, http.client.HTTPException | ConnectionError | TimeoutError | ssl.SSLError)
            if not cut and getattr(error, "errno", None) not in _CUT:
                raise
            if not left:
                raise UserError(f"the connection to {host} was cut ({_named(error)})", LATER) from None
            what = "broke the connection off"
        tell(f"{host} {what}: trying again in {wait:g} s")
        time.sleep(wait)
        wait *= 2
    raise AssertionError("the last try returns or raises")


def overloaded(host: str, refused: Refused) -> UserError | None:
    """What a person is told of a server that could not answer for now; None where it is something else."""
    if refused.status == 429:
        return UserError(f"{host} refuses so many requests ({refused}), also after {TRIES} tries", LATER)
    if refused.status in _BUSY or refused.status >= 500:
        return UserError(f"{host} has trouble of its own ({refused})", LATER)
    return None


def clean(text: str, *secrets: str) -> str:
    """What a server says in one line, short, and without the `secrets`, should they be in there."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return " ".join(text.split())[:LONGEST]


def _named(error: BaseException) -> str:
    """An exception in words; many of these have none of their own."""
    text = getattr(error, "strerror", None) or str(error)
    return text if text and not isinstance(error, http.client.IncompleteRead) else "it ended too early"
