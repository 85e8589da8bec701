"""Asks a server of Weights & Biases, in its own API: GraphQL over HTTP, and files.

The SDK would do it, too, and was measured (0.31): it takes two seconds until its first answer, calls a server that is
down, or that answers 429 or 500, a bad login, fetches an export anew each time, and fetches it once more to read the
rows that came after it. What is asked here is what the SDK asks.
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.stores.patience import Answer, Refused, clean, opened, overloaded, patiently
from diagnostics.stores.store import Tell
from diagnostics.stores.wandb_names import CLOUD, host_of

NOWHERE = 0  # the status of what was not asked for
_CHUNK = 1 << 20


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
        except (ValueError, RecursionError):
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
        """The answer to `request`, with the login where it is `mine` to take. Refused for one of another status."""
        return opened(request, f"Basic {self._login}" if mine else "", lambda error: (self._said(error), ""))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        return patiently(ask, self.host, self.tell, self._unreachable)

    def in_words(self, refused: Refused) -> UserError:
        """What a person is told of it."""
        busy = overloaded(self.host, refused)
        if busy is not None:
            return busy
        if refused.status == 401:
            relogin = "wandb login --relogin" + ("" if self.base == CLOUD else f" --host={self.base}")
            old = " any more" if "expired" in refused.words.lower() else ""
            return UserError(f"{self.host} does not accept your API key{old} ({refused})", f"Log in anew: {relogin}")
        if refused.status == 403:
            return UserError(f"{self.host} does not let you read it ({refused})", "Ask its owner, or use another key.")
        if refused.status == 404 and refused.words:
            return UserError(f"{self.host} does not have it ({refused})", "Look at the name, and at what you may read.")
        return self._no_server(str(refused))

    def _no_server(self, why: str) -> UserError:
        return UserError(f"{self.base} does not answer as a server of wandb does: {why}", "Look at the address.")

    def _unreachable(self, reason: str) -> UserError:
        hint = "Look at the network and the address (WANDB_BASE_URL); your API key was not at fault."
        return UserError(f"{self.host} cannot be reached: {self._clean(reason)}", hint)

    def _said(self, error: urllib.error.HTTPError) -> str:
        try:
            return self._words(json.loads(error.read(1 << 16)))
        except (ValueError, RecursionError, OSError, http.client.HTTPException):
            return ""

    def _words(self, answer: Any) -> str:
        """The first message of the errors in `answer`, short and without the key, should it be in there."""
        errors = at(answer, "errors")
        first = errors[0] if isinstance(errors, list) and errors else errors
        message = at(first, "message") or first
        return self._clean(message if isinstance(message, str) else "")

    def _clean(self, text: str) -> str:
        return clean(text, self._key, self._login)


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
