"""Asks a tracking server of MLflow, in its own REST API.

MLflow's client would do it, too, and brings thirty packages with it; what is asked here has been the same for all its
versions.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from diagnostics.errors import UserError
from diagnostics.stores.patience import Refused, clean, opened, overloaded, patiently
from diagnostics.stores.store import Tell

URI, USERNAME, PASSWORD, TOKEN = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
LARGEST = 1 << 28  # bytes of an answer
_NOWHERE = {"RESOURCE_DOES_NOT_EXIST"}  # what MLflow says with HTTP 404, which other servers say of anything


class Missing(UserError):
    """The server does not have what it was asked for."""


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
        try:
            answer = patiently(lambda: self._answer(request), self.host, self.tell, self._unreachable)
        except Refused as refused:
            if refused.code in _NOWHERE:
                raise Missing(f"{self.host} answers: {refused.words}", "Look at the name.") from None
            raise self._in_words(refused) from None
        except (ValueError, RecursionError):
            raise self._no_server("what it answers is no JSON") from None
        if not isinstance(answer, dict):
            raise self._no_server("what it answers is no object")
        return answer

    def _answer(self, request: urllib.request.Request) -> Any:
        with opened(request, self._login, self._said) as answer:
            text = answer.read(LARGEST)
            if answer.length:  # bytes that did not come, which `read` of a size does not say
                raise http.client.IncompleteRead(b"")
        return json.loads(text)

    def _said(self, error: urllib.error.HTTPError) -> tuple[str, str]:
        """MLflow's words of an error and its code, where the answer has them."""
        try:
            answer = json.loads(error.read(1 << 16))
        except (ValueError, RecursionError, OSError, http.client.HTTPException):
            return "", ""
        told = answer if isinstance(answer, dict) else {}
        return self._clean(str(told.get("message") or "")), str(told.get("error_code") or "")

    def _unreachable(self, reason: str) -> UserError:
        hint = f"Is it running? Look at the network and the address ({URI})."
        return UserError(f"{self.host} cannot be reached: {self._clean(reason)}", hint)

    def _in_words(self, refused: Refused) -> UserError:
        busy = overloaded(self.host, refused)
        if busy is not None:
            return busy
        if refused.status == 401:
            if self._login:
                return UserError(f"{self.host} does not accept your login ({refused})", "Look at name and password.")
            hint = f"Set {URI}={self.base}, and {USERNAME} and {PASSWORD} or {TOKEN}: no other server is told them."
            return UserError(f"{self.host} wants a login ({refused})", hint)
        if refused.status == 403:
            return UserError(
                f"{self.host} does not let you read it ({refused})", "Ask its owner, or log in as another."
            )
        if refused.code:
            return UserError(f"{self.host} answers: {refused.words}", "Look at the name, and at --filter.")
        return self._no_server(str(refused))

    def _no_server(self, why: str) -> UserError:
        return UserError(f"{self.base} does not answer as a server of MLflow does: {why}", "Look at the address.")

    def _clean(self, text: str) -> str:
        return clean(text, self._login.partition(" ")[2])


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
