"""Asks a server of Weights & Biases, in its own API: GraphQL over HTTP, and files.

The SDK would do it, too, and was measured (0.31): it takes two seconds until its first answer, calls a server that is
down, or that answers 429 or 500, a bad login, fetches an export anew each time, and fetches it once more to read the
rows that came after it. What is asked here is what the SDK asks.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from diagnostics.errors import UserError
from diagnostics.stores.store import Tell
from diagnostics.stores.wandb_names import CLOUD, host_of

Answer = TypeVar("Answer")

TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds before the second try, doubled each time; and the most a server may ask
NOWHERE = 0  # the status of what was not asked for
TIMEOUT = 30.0  # seconds without a byte
LONGEST = 200  # characters of what a server says of an error
_CHUNK = 1 << 20
LATER = "What was fetched is kept: run it again later."
_BUSY = {408, 429, 500, 502, 503, 504}  # which may pass


class Refused(Exception):
    """An answer of another status than wanted, with the server's words, and how many seconds it wants us to wait."""

    def __init__(self, status: int, words: str, wait: float = 0.0) -> None:
        super().__init__(": ".join(filter(None, (f"HTTP {status}" if status else "", words))))
        self.status, self.words, self.wait = status, words, wait


class Client:
    """Asks the server at `base` with an API key, which is told to nobody else."""

    def __init__(self, base: str, key: str, tell: Tell) -> None:
        self.base, self.tell = base, tell
        self.host = host_of(base)
        self._key = key
        self._login = base64.b64encode(f"api:{key}".encode()).decode()

    def ask(self, query: str, **given: Any) -> dict[str, Any]:
        """The data that a GraphQL operation gets. UserError where there is none."""
        body = json.dumps({"query": query, "variables": given}).encode()

        def post() -> Any:
            request = urllib.request.Request(f"{self.base}/graphql", body, {"Content-Type": "application/json"})
            with self._open(request) as answer:
                return json.loads(answer.read())

        try:
            answer = self._patiently(post)
        except Refused as refused:
            raise self.in_words(refused) from None
        except ValueError:
            raise self._no_server("what it answers is no JSON") from None
        if at(answer, "errors"):
            hint = "Look at the name, and at what you may read."
            raise UserError(f"{self.host} answers: {self._words(answer)}", hint)
        data = at(answer, "data")
        if not isinstance(data, dict):
            raise self._no_server("it answers without data")
        return data

    def download(self, url: str, file: Path, told: Callable[[int, int], None]) -> None:
        """Write what is at `url` to `file`, after what an earlier, cut download left of it in `file`.part.

        `told` takes the bytes that are there, and how many there will be. Refused, UserError where it does not come.
        """
        if not url.startswith(("https://", "http://")):  # a server may say anything
            raise Refused(NOWHERE, "it is at no address of the web")
        part = file.with_name(f"{file.name}.part")

        def get() -> None:
            done = part.stat().st_size if part.exists() else 0
            try:
                request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
                answer = self._open(request, mine=url.startswith(f"{self.base}/"))
            except Refused as refused:
                if refused.status != 416:
                    raise
                part.unlink()  # it is longer than what is there: another file by now
                raise http.client.HTTPException("begun anew") from None
            except ValueError:
                raise Refused(NOWHERE, "it is at no address of the web") from None
            with answer, part.open("ab" if answer.status == 206 else "wb") as out:
                done = out.tell()
                size = done + (answer.length or 0)
                while chunk := answer.read(_CHUNK):
                    out.write(chunk)
                    done += len(chunk)
                    told(done, size)
            if done < size:  # which `read` of a size does not say
                raise http.client.IncompleteRead(b"")

        self._patiently(get)
        part.replace(file)

    def _open(self, request: urllib.request.Request, *, mine: bool = True) -> http.client.HTTPResponse:
        """The answer to `request`. Refused for one of another status."""
        if mine:  # not sent on to where it may be redirected
            request.add_unredirected_header("Authorization", f"Basic {self._login}")
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            with error:
                asked = error.headers.get("Retry-After") or ""
                wait = float(asked) if asked.isdecimal() else 0.0
                raise Refused(error.code, self._said(error), min(wait, LONGEST_WAIT)) from None
        return answer

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` returns, tried again while what goes wrong may pass. Refused, UserError where it does not."""
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
                    raise self._unreachable(error) from None
                what = "cannot be reached"
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                if not left:
                    raise UserError(f"the connection to {self.host} was cut ({_named(error)})", LATER) from None
                what = "broke the connection off"
            self.tell(f"{self.host} {what}: trying again in {wait:g} s")
            time.sleep(wait)
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def in_words(self, refused: Refused) -> UserError:
        """What a person is told of it."""
        status = str(refused)
        if refused.status == 429:
            return UserError(f"{self.host} refuses so many requests ({status}), also after {TRIES} tries", LATER)
        if refused.status in _BUSY or refused.status >= 500:
            return UserError(f"{self.host} has trouble of its own ({status})", LATER)
        if refused.status == 401:
            relogin = "wandb login --relogin" + ("" if self.base == CLOUD else f" --host={self.base}")
            old = " any more" if "expired" in refused.words.lower() else ""
            return UserError(f"{self.host} does not accept your API key{old} ({status})", f"Log in anew: {relogin}")
        if refused.status == 403:
            return UserError(f"{self.host} does not let you read it ({status})", "Ask its owner, or use another key.")
        if refused.status == 404 and refused.words:
            return UserError(f"{self.host} does not have it ({status})", "Look at the name, and at what you may read.")
        return self._no_server(status)

    def _no_server(self, why: str) -> UserError:
        return UserError(f"{self.base} does not answer as a server of wandb does: {why}", "Look at the address.")

    def _unreachable(self, error: urllib.error.URLError) -> UserError:
        reason = error.reason if isinstance(error.reason, str) else _named(error.reason)
        hint = "Look at the network and the address (WANDB_BASE_URL); your API key was not at fault."
        return UserError(f"{self.host} cannot be reached: {self._clean(reason)}", hint)

    def _said(self, error: urllib.error.HTTPError) -> str:
        try:
            return self._words(json.loads(error.read(1 << 16)))
        except (ValueError, OSError, http.client.HTTPException):
            return ""

    def _words(self, answer: Any) -> str:
        """The first message of the errors in `answer`, short and without the key, should it be in there."""
        errors = at(answer, "errors")
        first = errors[0] if isinstance(errors, list) and errors else errors
        message = at(first, "message") or first
        return self._clean(message if isinstance(message, str) else "")

    def _clean(self, text: str) -> str:
        for secret in (self._key, self._login):
            text = text.replace(secret, "***")
        return " ".join(text.split())[:LONGEST]


def at(answer: Any, *names: str) -> Any:
    """What is below these names in an answer, which may be of any shape; None where there is nothing."""
    for name in names:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def whole(value: Any, otherwise: int) -> int:
    """`value` where it is a whole number."""
    return value if isinstance(value, int) else otherwise


def nodes(connection: Any) -> list[dict[str, Any]]:
    """The nodes of a list as GraphQL has them, less what is none."""
    edges = at(connection, "edges")
    found = [at(edge, "node") for edge in edges] if isinstance(edges, list) else []
    return [node for node in found if isinstance(node, dict)]


def _named(error: BaseException) -> str:
    """An exception in words; many of these have none of their own."""
    text = getattr(error, "strerror", None) or str(error)
    return text if text and not isinstance(error, http.client.IncompleteRead) else "it ended too early"
