"""One run of a server of wandb in a folder of its own: what was fetched of it before, and what is fetched of it now.

The folder looks like that of a run on the machine where it ran: `run.json` for the run file, and `files/`. The history
lies in the files that the server exports (parquet), and in `rows.jsonl`, what came after them; both grow at their ends
only, so that a fetch that was cut goes on where it stopped, and of a run that goes on only new rows are fetched.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.readers import wandb_parquet
from diagnostics.readers.wandb_folder import FILES, OUTPUT, REQUIREMENTS
from diagnostics.readers.wandb_remote import ROWS, RUN, STEP
from diagnostics.sources import Source
from diagnostics.stores.kept import alone
from diagnostics.stores.patience import Refused
from diagnostics.stores.wandb_client import Client, at, nodes, whole
from diagnostics.stores.wandb_names import Where

TOLD = ("name", "displayName", "state", "config", "createdAt", "heartbeatAt", "historyLineCount")  # what is kept of it
PAGE = 1000  # steps, and so rows at most, of a page: what the SDK asks for
MANY = 20_000  # rows that are fetched sooner in files that the server exports anew than in pages
LONGEST_FILE = 1 << 24  # bytes
SECONDS = 2.0  # between two lines for a person who waits

# As the SDK asks.
_EXPORTS = """query RunParquetHistory($entity: String!, $project: String!, $runName: String!, $liveKeys: [String!]!) {
    project(name: $project, entityName: $entity) {
        run(name: $runName) { parquetHistory(liveKeys: $liveKeys) { parquetUrls } }
    }
}"""
_PAGE = """query HistoryPage($entity: String!, $project: String!, $run: String!, $minStep: Int64!, $maxStep: Int64!,
        $pageSize: Int!) {
    project(name: $project, entityName: $entity) {
        run(name: $run) { history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) }
    }
}"""
_FILES = """query RunFiles($project: String!, $entity: String!, $name: String!, $fileNames: [String] = []) {
    project(name: $project, entityName: $entity) {
        run(name: $name) { files(names: $fileNames) { edges { node { name url sizeBytes } } } }
    }
}"""


def fetch_run(client: Client, where: Where, told: Mapping[str, Any], folder: Path) -> Source:
    """The run that the server describes by `told`, in `folder`. UserError where it does not come whole."""
    with alone(folder, where.shown, client.tell):
        fetch = _Fetch(client, where, told, folder)
        fetch.run()
        paths = (folder / RUN, *fetch.exports(), *folder.glob(ROWS))
    return Source("wandb_remote", paths, "", where.shown)


class _Fetch:
    """Brings a folder up to date with the server."""

    def __init__(self, client: Client, where: Where, told: Mapping[str, Any], folder: Path) -> None:
        self._client, self._where, self._told, self._folder = client, where, told, folder
        self._names = {"entity": where.entity, "project": where.project}
        self._spans: dict[Path, tuple[int, int]] = {}
        self._told_at = time.monotonic()
        self._last = whole(at(told, "historyKeys", "lastStep"), -1)  # the step of the last row
        self._lines = whole(told.get("historyLineCount"), 0)

    def run(self) -> None:
        """Fetch what is new, if anything is."""
        about = self._about()
        told = {name: self._told.get(name) for name in TOLD}
        if about and about["told"] == told:
            return
        notes: list[str] = []
        try:
            kept = self._last_kept()
        except (ValueError, KeyError, TypeError):  # somebody was there
            kept = self._last + 1
        many = about and self._lines - about["rows"] > MANY
        if many or kept > self._last:  # or the run was rewound
            self._forget()
            about, kept = {}, -1
        if self._lines and not about:
            kept = self._fetch_exports(notes)
        self._fetch_pages(kept + 1)
        for name in (REQUIREMENTS,) if self._lines else (REQUIREMENTS, OUTPUT):
            self._fetch_file(name, notes)
        part = self._folder / f"{RUN}.part"
        part.write_text(json.dumps({"told": told, "rows": self._lines, "notes": notes}), encoding="utf-8")
        part.replace(self._folder / RUN)

    def exports(self) -> list[Path]:
        """The files of the history that were fetched, in the order of their steps. ValueError for a damaged one."""
        return sorted(self._folder.glob("*.parquet"), key=self._steps)

    def _steps(self, export: Path) -> tuple[int, int]:
        """The first and the last step in an export."""
        if export not in self._spans:
            self._spans[export] = wandb_parquet.steps(export, STEP)
        return self._spans[export]

    def _last_kept(self) -> int:
        """The step of the last row that was fetched, -1 where there is none. ValueError for what cannot be read."""
        exports, rows = self.exports(), _lines(self._folder / ROWS)
        exported = self._steps(exports[-1])[1] if exports else -1
        return max(exported, _step(rows[-1])) if rows else exported

    def _about(self) -> dict[str, Any]:
        """What was written when all of the run was there; empty where that has never been."""
        with suppress(OSError, ValueError):
            about: dict[str, Any] = json.loads((self._folder / RUN).read_text(encoding="utf-8"))
            return about
        return {}

    def _forget(self) -> None:
        """Begin anew, so that no row is between what was there and what will be."""
        for path in (self._folder / RUN, self._folder / ROWS, *self._folder.glob("*.parquet*")):
            path.unlink(missing_ok=True)
        self._spans.clear()

    def _fetch_exports(self, notes: list[str]) -> int:
        """Fetch the files that the server has made of the history; the last step that is there then."""
        if importlib.util.find_spec("pyarrow") is None:
            self._client.tell("fetching page by page; pip install 'autotune-rl[wandb]' fetches whole exports, and fast")
            return self._last_kept()
        urls = at(self._ask(_EXPORTS, runName=self._where.run, liveKeys=[STEP]), "parquetHistory", "parquetUrls")
        listed = urls if isinstance(urls, list) else []
        # An address is another one each time, by its signature; what is before that is the file's.
        files = {self._folder / f"{_digest(url.partition('?')[0])}.parquet": url for url in map(str, listed)}
        try:
            for i, (file, url) in enumerate(files.items()):
                if not file.exists():
                    self._client.download(url, file, partial(self._tell_bytes, f"export {i + 1} of {len(files)}"))
                self._steps(file)
        except Refused as refused:
            notes.append(f"wandb's export could not be fetched ({refused}): rows were fetched page by page")
            self._forget()
        except ValueError:
            notes.append("wandb's export is damaged: rows were fetched page by page")
            self._forget()
        exports, rows = self.exports(), _lines(self._folder / ROWS)
        if set(exports) - files.keys():  # of a fetch that was cut, when there were other ones
            self._forget()
        elif rows and exports and _step(rows[0]) <= self._steps(exports[-1])[1]:
            (self._folder / ROWS).unlink()  # they are in the exports by now
        return self._last_kept()

    def _fetch_pages(self, first: int) -> None:
        """Fetch the rows from step `first` on."""
        width = PAGE
        with (self._folder / ROWS).open("ab") as file:
            file.truncate(sum(map(len, _lines(self._folder / ROWS))))  # of a fetch that was cut, less a torn line
            while first <= self._last:
                until = min(first + width, self._last + 1)
                rows = self._page(first, until)
                if len(rows) >= PAGE and until - first > PAGE:  # it may have left some out
                    width = max(PAGE, width // 2)
                    continue
                file.write(b"".join(rows))
                file.flush()
                first = until
                if 4 * len(rows) < PAGE:  # steps are sparse
                    width *= 2
                self._tell(f"page by page, step {first - 1:,} of {self._last:,}")
        if not (self._folder / ROWS).stat().st_size:
            (self._folder / ROWS).unlink()

    def _page(self, first: int, until: int) -> list[bytes]:
        """The rows of the steps from `first` on, before `until`, as lines."""
        given = {"run": self._where.run, "minStep": first, "maxStep": until, "pageSize": PAGE}
        rows = at(self._ask(_PAGE, **given), "history")
        try:
            read = [json.loads(row) if isinstance(row, str) else row for row in rows or ()]
            if all(whole(at(row, STEP), -1) >= 0 for row in read):
                return [json.dumps(row).encode() + b"\n" for row in read]
        except (TypeError, ValueError, RecursionError):
            pass
        raise UserError(f"{self._client.host} answers with rows that are none", "Try again later.")

    def _fetch_file(self, name: str, notes: list[str]) -> None:
        """Fetch one of the files of the run, if there is one."""
        found = nodes(at(self._ask(_FILES, name=self._where.run, fileNames=[name]), "files"))
        found = [node for node in found if node.get("name") == name]
        if not found or whole(found[0].get("sizeBytes"), 0) > LONGEST_FILE:
            return
        file = self._folder / FILES / name
        file.parent.mkdir(exist_ok=True)
        try:
            self._client.download(str(found[0].get("url")), file, partial(self._tell_bytes, name))
        except Refused as refused:
            notes.append(f"{name} could not be fetched ({refused})")

    def _ask(self, query: str, **given: Any) -> dict[str, Any]:
        """What the server says of the run."""
        data = self._client.ask(query, **self._names, **given)
        run = at(data, "project", "run")
        if not isinstance(run, dict):
            raise UserError(f"{self._where.shown} is gone from {self._client.host}", "Was it deleted?")
        return run

    def _tell_bytes(self, what: str, done: int, size: int) -> None:
        self._tell(f"{what}, {done / 1e6:.0f} of {size / 1e6:.0f} MB")

    def _tell(self, what: str) -> None:
        """Say how far it is, if that was not said just now."""
        now = time.monotonic()
        if now - self._told_at >= SECONDS:
            self._told_at = now
            self._client.tell(f"fetching {self._where.shown}: {what}")


def _lines(file: Path) -> list[bytes]:
    """The whole lines of `file`, none where there is none."""
    data = file.read_bytes() if file.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def _step(line: bytes) -> int:
    return int(json.loads(line)[STEP])
