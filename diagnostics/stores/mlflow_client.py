"""Asks a tracking server of MLflow, in its own REST API.

MLflow's client would do it, too, and brings thirty packages with it; what is asked here has been the same for all its
versions.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from diagnostics.errors import UserError
from diagnostics.stores.store import Tell

URI, USERNAME, PASSWORD, TOKEN = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before the second try, doubled each time; and the most a server may ask
TIMEOUT = 30.0  # seconds without a byte
LONGEST = 200  # characters of what a server says of an error
LARGEST = 1 << 28  # bytes of an answer
LATER = "What was fetched is kept: run it again later."
_BUSY = {408, 429, 500, 502, 503, 504}  # which may pass
_NOWHERE = {"RESOURCE_DOES_NOT_EXIST"}  # what MLflow says with HTTP 404, which other servers say of anything


class Missing(UserError):
    """The server does not have what it was asked for."""


class Refused(Exception):
    """An answer of another status than wanted, with MLflow's code and words, and how long it wants us to wait."""

    def __init__(self, status: int, code: str, words: str, wait: float) -> None:
        super().__init__(status, code, words)
        self.status, self.code, self.words, self.wait = status, code, words, wait


class Client:
    """Asks the server at `address`, which may hold a name and a password; those are told to nobody else."""

    def __init__(self, address: str, tell: Tell, environment: Mapping[str, str] = os.environ) -> None:
        self.base = base(address)
        self.host = urlsplit(self.base).netloc
        self.tell = tell
        self._login = login(address, environment)

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        """What the server says to `what`: a search where that is its last word, else a question with parameters.

        Missing where it has no such thing, UserError for all else that can go wrong.
        """
        url, body = f"{self.base}/api/2.0/mlflow/{what}", None
        if what.endswith("search"):
            body = json.dumps(given).encode()
        elif given:
            url += f"?{urlencode(given)}"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
        if self._login:  # not sent on to where it may be redirected
            request.add_unredirected_header("Authorization", self._login)
        try:
            answer = self._patiently(request)
        except Refused as refused:
            if refused.code in _NOWHERE:
                raise Missing(f"{self.host} answers: {self._clean(refused.words)}", "Look at the name.") from None
            raise self._in_words(refused) from None
        except ValueError:
            raise self._no_server("what it answers is no JSON") from None
        if not isinstance(answer, dict):
            raise self._no_server("what it answers is no object")
        return answer

    def _patiently(self, request: urllib.request.Request) -> Any:
        """The answer to `request`, tried again while what goes wrong may pass."""
        wait = FIRST_WAIT
        for left in reversed(range(TRIES)):
            try:
                return _answer(request)
            except Refused as refused:
                if refused.status not in _BUSY or not left:
                    raise
                what, wait = f"answers HTTP {refused.status}", max(wait, refused.wait)
            except urllib.error.URLError as error:
                if left < TRIES - 1:  # it is tried once more: who misspelt a name or is offline shall not wait
                    reason = self._clean(error.reason if isinstance(error.reason, str) else _named(error.reason))
                    hint = f"Is it running? Look at the network and the address ({URI})."
                    raise UserError(f"{self.host} cannot be reached: {reason}", hint) from None
                what = "cannot be reached"
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                if not left:
                    raise UserError(f"the connection to {self.host} was cut ({_named(error)})", LATER) from None
                what = "broke the connection off"
            self.tell(f"{self.host} {what}: trying again in {wait:g} s")
            time.sleep(wait)
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def _in_words(self, refused: Refused) -> UserError:
        words = self._clean(refused.words)
        status = f"HTTP {refused.status}: {words}" if words else f"HTTP {refused.status}"
        if refused.status == 429:
            return UserError(f"{self.host} refuses so many requests ({status}), also after {TRIES} tries", LATER)
        if refused.status in _BUSY or refused.status > 500:
            return UserError(f"{self.host} has trouble of its own ({status})", LATER)
        if refused.status == 401:
            if self._login:
                return UserError(f"{self.host} does not accept your login ({status})", "Look at name and password.")
            hint = f"Set {URI}={self.base}, and {USERNAME} and {PASSWORD} or {TOKEN}: no other server is told them."
            return UserError(f"{self.host} wants a login ({status})", hint)
        if refused.status == 403:
            return UserError(f"{self.host} does not let you read it ({status})", "Ask its owner, or log in as another.")
        if refused.code:
            return UserError(f"{self.host} answers: {words}", "Look at the name, and at --filter.")
        return self._no_server(status)

    def _no_server(self, why: str) -> UserError:
        return UserError(f"{self.base} does not answer as a server of MLflow does: {why}", "Look at the address.")

    def _clean(self, text: str) -> str:
        """What a server says in one line, short, and without the login, should it be in there."""
        secret = self._login.partition(" ")[2]
        return " ".join((text.replace(secret, "***") if secret else text).split())[:LONGEST]


def inside(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under `name` in what a server says, which may be anything."""
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def listed(answer: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in the list under `name` in what a server says, which may be anything."""
    value = answer.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def base(address: str) -> str:
    """The address of the server without name and password, and without the page that it shows."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def login(address: str, environment: Mapping[str, str]) -> str:
    """What the server at `address` is told of who asks, "" for nothing.

    What is set for the server that `MLFLOW_TRACKING_URI` names belongs to that one: no other is told it.
    """
    parts = urlsplit(address)
    configured = environment.get(URI, "")
    mine = base(configured) == base(address)
    if mine and not parts.username:
        parts = urlsplit(configured)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if mine and not user:
        user, password = environment.get(USERNAME, ""), environment.get(PASSWORD, "")
    if user:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    token = environment.get(TOKEN, "") if mine else ""
    return f"Bearer {token}" if token else ""


def _answer(request: urllib.request.Request) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read(LARGEST)
            if answer.length:  # bytes that did not come, which `read` of a size does not say
                raise http.client.IncompleteRead(b"")
    except urllib.error.HTTPError as error:
        with error:
            asked = error.headers.get("Retry-After") or ""
            wait = min(float(asked), LONGEST_WAIT) if asked.isdecimal() else 0.0
            raise Refused(error.code, *_said(error), wait) from None
    return json.loads(text)


def _said(error: urllib.error.HTTPError) -> tuple[str, str]:
    """MLflow's code of an error and its words, where the answer has them."""
    try:
        answer = json.loads(error.read(1 << 16))
    except (ValueError, OSError, http.client.HTTPException):
        return "", ""
    told = answer if isinstance(answer, dict) else {}
    return str(told.get("error_code") or ""), str(told.get("message") or "")


def _named(error: BaseException) -> str:
    """An exception in words; many of these have none of their own."""
    text = getattr(error, "strerror", None) or str(error)
    return text if text and not isinstance(error, http.client.IncompleteRead) else "it ended too early"
