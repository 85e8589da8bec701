"""A server on loopback that speaks enough of W&B's API: runs, histories in parquet and in pages, files, and all errors.

The real SDK talks to it. What is asked of it is in `asked`, in order, each under the name of its GraphQL operation, or
`parquet` and `file`; `fail(name, *answers)` makes the next of these go wrong.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import math
import re
import socket
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789abcdef" * 2 + "loopback"  # 40 characters, as W&B's own have
CUT = "cut"  # an answer of which half is sent, before the connection is closed
SOME = 50  # runs in a page


@dataclass
class Run:
    """A run as the server knows it. Of `rows` the first `exported` are in parquet files of `each` rows."""

    id: str
    rows: list[dict[str, Any]]
    config: dict[str, Any] = field(default_factory=dict)
    state: str = "finished"
    exported: int = 0
    each: int = 1_000_000
    name: str = "a-run"
    sweep: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    notes: str | None = None
    created: str = "2026-01-01T00:00:00Z"
    parquet: list[bytes] = field(default_factory=list)  # made of `rows` where it is empty

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            row.setdefault("_step", i)

    def told(self) -> dict[str, Any]:
        """What the SDK's fragment of a run asks for."""
        last = self.rows[-1]["_step"] if self.rows else -1
        return {
            "id": base64.b64encode(f"Run:v1:{self.id}".encode()).decode(),
            "name": self.id, "displayName": self.name, "state": self.state, "tags": [], "group": None,
            "jobType": None, "commit": None, "readOnly": False, "createdAt": self.created,
            "heartbeatAt": f"2026-01-01T01:00:00.{len(self.rows):06d}Z", "description": None, "notes": self.notes,
            "historyLineCount": len(self.rows), "sweepName": self.sweep, "projectId": 7,
            "user": {"name": "somebody", "username": "somebody"},
            "config": json.dumps({name: {"value": value, "desc": None} for name, value in self.config.items()}),
            "summaryMetrics": json.dumps(self.summary), "systemMetrics": "{}",
            "historyKeys": {"lastStep": last, "sets": [], "keys": {}},
        }  # fmt: skip

    def exports(self) -> list[bytes]:
        """The parquet files."""
        if not self.parquet and self.exported:
            import pyarrow
            import pyarrow.parquet

            for i in range(0, self.exported, self.each):
                rows = self.rows[i : min(i + self.each, self.exported)]
                names = list(dict.fromkeys(name for row in rows for name in row))
                table = pyarrow.table({name: [row.get(name) for row in rows] for name in names})
                out = io.BytesIO()
                pyarrow.parquet.write_table(table, out)
                self.parquet.append(out.getvalue())
        return self.parquet


class Server:
    """Serves `runs` of the project `team/project`; `url` is where."""

    def __init__(self, *runs: Run, port: int = 0) -> None:
        self.runs = {run.id: run for run in runs}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.alerts: list[dict[str, Any]] = []
        self.keys: set[tuple[str, str]] = set()  # what was asked for, and with which key
        self.retry_after = "0"
        self.moved: dict[str, str] = {}  # paths, and the addresses that they are redirected to
        self._failures: dict[str, deque[int | str]] = defaultdict(deque)
        self._always: dict[str, int | str] = {}
        server = self
        self._http = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (Handler,), {"server_state": server}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def fail(self, what: str, *answers: int | str, always: bool = False) -> None:
        """Answer the next `what` (an operation, or `all`) with these statuses, or `CUT`; or every one with the one."""
        if always:
            self._always[what] = answers[0]
        else:
            self._failures[what].extend(answers)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._failures.clear()
        self._always.clear()

    def count(self, what: str) -> int:
        """How often it was asked for."""
        return sum(name == what for name, _ in self.asked)

    def fault(self, what: str) -> int | str | None:
        """What goes wrong with the next `what`."""
        for name in (what, "all"):
            if self._failures[name]:
                return self._failures[name].popleft()
            if name in self._always:
                return self._always[name]
        return None

    def __enter__(self) -> Server:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, operation: str, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data that a GraphQL operation gets."""
        match operation:
            case "Viewer" | "GetDefaultEntity":
                who = {"id": "VXNlcjox", "entity": "team", "username": "somebody", "email": "", "flags": "{}"}
                return {"viewer": {**who, "teams": {"edges": []}}}
            case "UpsertBucket":
                return {"upsertBucket": {"bucket": self._changed(given).told()}}
            case "NotifyScriptableRunAlert":
                self.alerts.append(given)
                return {"notifyScriptableRunAlert": {"success": True}}
            case "Runs":
                return {"project": self._project(given) and {**self._project(given), **self._listed(given)}}
        project = self._project(given)
        run = self.runs.get(given.get("name") or given.get("run") or given.get("runName") or "") if project else None
        return {"project": project and {**project, "run": run and {**run.told(), **self._of(run, operation, given)}}}

    def _project(self, given: dict[str, Any]) -> dict[str, Any] | None:
        known = (given.get("entity"), given.get("project")) == ("team", "project")
        return {"id": "p", "internalId": "7", "name": "project", "readOnly": False} if known else None

    def _of(self, run: Run, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "RunParquetHistory":
                urls = [f"{self.url}/parquet/{run.id}/{i}" for i in range(len(run.exports()))]
                live = [{"_step": row["_step"]} for row in run.rows[run.exported :]]
                return {"parquetHistory": {"parquetUrls": urls, "liveData": live}}
            case "HistoryPage":
                low, high = given["minStep"], given["maxStep"]
                rows = [row for row in run.rows if low <= row["_step"] < high][: given["pageSize"]]
                return {"history": [json.dumps(_spelt(row)) for row in rows]}
            case "RunFiles":
                nodes = [
                    {"id": name, "name": name, "url": f"{self.url}/file/{run.id}/{name}", "directUrl": "",
                     "sizeBytes": len(text), "mimetype": "", "updatedAt": None, "md5": ""}
                    for name, text in run.files.items() if name in given.get("fileNames", ())
                ]  # fmt: skip
                edges = [{"node": node, "cursor": node["name"]} for node in nodes]
                return {"fileCount": len(run.files), "files": _page(edges, more=False)}
        return {}

    def _listed(self, given: dict[str, Any]) -> dict[str, Any]:
        """Runs by filters of equality, newest first or last, page by page."""
        runs = [run for run in self.runs.values() if _holds(json.loads(given.get("filters") or "{}"), run)]
        runs.sort(key=lambda run: run.created, reverse=(given.get("order") or "").startswith("-"))
        after = int(given.get("cursor") or 0)
        per_page = min(given.get("perPage") or SOME, SOME)
        shown = runs[after : after + per_page]
        edges = [{"node": run.told(), "cursor": str(after + i + 1)} for i, run in enumerate(shown)]
        return {"runCount": len(runs), "runs": _page(edges, more=after + len(shown) < len(runs))}

    def _changed(self, given: dict[str, Any]) -> Run:
        name = base64.b64decode(given["id"]).decode().rpartition(":")[2]
        run = self.runs[name]
        if given.get("summaryMetrics") is not None:
            run.summary = json.loads(given["summaryMetrics"])
        if given.get("notes") is not None:
            run.notes = given["notes"]
        return run


def _spelt(value: Any) -> Any:
    """`value` as it stands in strict JSON."""
    if isinstance(value, dict):
        return {name: _spelt(inner) for name, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _page(edges: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    end = edges[-1]["cursor"] if edges else None
    return {"edges": edges, "pageInfo": {"endCursor": end, "hasNextPage": more}}


def _holds(filters: dict[str, Any], run: Run) -> bool:
    for name, wanted in filters.items():
        if name == "$and":
            if not all(_holds(one, run) for one in wanted):
                return False
            continue
        known = {"state": run.state, "sweep": run.sweep, "name": run.id, "displayName": run.name}
        value = run.config.get(name.removeprefix("config.").removesuffix(".value"), known.get(name))
        if isinstance(wanted, dict):
            operator, limit = next(iter(wanted.items()))
            compared = {"$ne": lambda a, b: a != b, "$gt": lambda a, b: a is not None and a > b}
            if not compared[operator](value, limit):
                return False
        elif value != wanted:
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """GraphQL; anything else, such as telemetry, is taken."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/graphql":
            self._send(b"{}")
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        asked = json.loads(body)
        query, given = asked["query"], asked.get("variables") or {}
        named = re.search(r"(?:query|mutation)\s+(\w+)", query)
        operation = named[1] if named else "?"
        if self._refused(operation, given):
            return
        answer = {"data": self.server_state.answer(operation, query, given)}
        self._send(json.dumps(answer).encode(), operation)

    def do_GET(self) -> None:
        """Parquet files, in ranges where they are asked for, and files of runs."""
        if self.path in self.server_state.moved:
            self._send(b"", "", 302, {"Location": self.server_state.moved[self.path]})
            return
        kind, run_id, name = self.path.lstrip("/").split("/", 2)
        if self._refused(kind, {"run": run_id, "name": name, "range": self.headers.get("Range")}):
            return
        run = self.server_state.runs[run_id]
        data = run.exports()[int(name)] if kind == "parquet" else run.files[name].encode()
        asked = re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._send(data, kind)
            return
        first = int(asked[1]) if asked[1] else len(data) - int(asked[2])
        last = int(asked[2]) if asked[1] and asked[2] else len(data) - 1
        self._send(data[first : last + 1], kind, 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    def _refused(self, what: str, given: dict[str, Any]) -> bool:
        """Whether it was answered with an error already: a wrong key, or what was to go wrong."""
        state = self.server_state
        state.asked.append((what, given))
        key = self._key()
        state.keys.add((what, key))
        if what not in ("parquet", "file") and key != KEY:
            self._error(401, "API key has expired" if key.startswith("expired") else "user is not logged in")
            return True
        self._fault = state.fault(what)
        if isinstance(self._fault, int):
            self._error(self._fault, {429: "rate limit exceeded"}.get(self._fault, "something went wrong"))
            return True
        return False

    def _key(self) -> str:
        scheme, _, given = (self.headers.get("Authorization") or "").partition(" ")
        with contextlib.suppress(ValueError):
            return base64.b64decode(given).decode().partition(":")[2] if scheme == "Basic" else ""
        return ""

    def _error(self, status: int, message: str) -> None:
        headers = {"Retry-After": self.server_state.retry_after, "RateLimit-Remaining": "0"} if status == 429 else {}
        self._fault = None
        self._send(json.dumps({"errors": [{"message": message}]}).encode(), "", status, headers)

    def _send(self, data: bytes, what: str = "", status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if what and self._fault == CUT:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(data)


@contextlib.contextmanager
def serving(*runs: Run) -> Iterator[Server]:
    """A server of these runs."""
    with Server(*runs) as server:
        yield server
