"""Reports that were made before, so that a second look at a log that has not changed is instant.

A report is kept under a digest of all that it follows from: what the log is called and holds, the user's own map, our
own code with the rules and their thresholds, and rules of others with what the project changes. What a file holds is
remembered by its inode, size and times, with the care that git takes ("racy git"): a file that was changed just before
it was read may change again within the same tick of the clock, so it is read anew the next time.

Entries are JSON with a checksum: a damaged one is as good as none. That the folder cannot be written is no error.
Imports no numpy.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from typing import Any

from diagnostics.cause import Explained, cause_from_json
from diagnostics.events import EVENTS_FILE
from diagnostics.excerpt import Excerpt
from diagnostics.finding import Json, Report, Skip, finding_from_json, finding_to_json
from diagnostics.readers.sqlite import wal
from diagnostics.report.json import report_to_json
from diagnostics.sources import Source
from diagnostics.user_map import UserMap

FOLDER, FETCHED = "diagnoses", "fetched"
CONTENTS = "contents"  # what is remembered of files
SUFFIX = ".json"
MOST_ENTRIES, MOST_BYTES, MOST_CONTENTS = 2000, 50 << 20, 4000
# What readers look at beside a log, where it is there.
BESIDE = (
    "adapter_config.json", "files/config.yaml", "files/requirements.txt", "files/output.log", "config.yaml",
    "requirements.txt", "{stem}_configs.parquet", "aux/configs.parquet",
)  # fmt: skip
RACY_SECONDS = 2.0  # the coarsest clock of a file system in use, that of FAT
_CHUNK = 1 << 20


def default_folder(what: str = FOLDER) -> Path | None:
    """Where reports are kept, or runs that were fetched (`FETCHED`): in `AUTOTUNE_CACHE`, else in the user's cache.

    None where there is none.
    """
    given = os.environ.get("AUTOTUNE_CACHE")
    if given:
        return Path(given) / what
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:  # the standard says that a relative path is to be ignored
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "autotune" / what
    except RuntimeError:  # nobody's home
        return None


@dataclass(frozen=True, slots=True)
class Key:
    """What a report is kept under, and the files that it follows from with their identities at that moment."""

    digest: str
    files: tuple[Path, ...]
    identities: tuple[str, ...]


class Cache:
    """The reports kept in `folder`; with None nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._contents: dict[str, Json] | None = None
        self._learned = self._put = False  # since it was saved

    def logs(self, path: Path) -> tuple[Source, ...] | None:
        """The logs that an earlier look found in the file `path`; None where there was none, or the file is another."""
        with suppress(OSError):
            if wal(path).exists():  # of a database with one, the file does not tell whether it has changed
                return None
            logs = self._known().get(_identity(path.stat()), {}).get(str(path))
            return logs and tuple(Source(format, (path,), part, name) for format, part, name in logs)
        return None

    def key(self, source: Source, mine: UserMap, rules: str = "") -> Key | None:
        """The key of the report on `source`, its names read by the user's map `mine`, judged by rules of this digest.

        None where nothing is kept, or its files cannot be read or are being written just now.
        """
        if self._folder is None:
            return None
        files = _files(source)
        if not files:  # a run of many files in a folder, as MLflow's, is read as fast as they are compared
            return None
        try:
            known = [(_identity(file.stat()), self._digest(file)) for file in files]
        except OSError:
            return None
        names = [source.format, source.part, source.name, *map(str, files)]
        parts = [
            ours(),
            names,
            [digest for _, digest in known],
            sorted(mine.metrics.items()),
            sorted(mine.settings.items()),
            rules,
        ]
        digest = blake2b(json.dumps(parts).encode(), digest_size=32).hexdigest()
        key = Key(digest, files, tuple(identity for identity, _ in known))
        return key if _unchanged(key) else None

    def get(self, key: Key | None) -> Report | None:
        """The report kept under `key`, None where there is none that is whole."""
        if key is None or self._folder is None:
            return None
        data = self._read(key.digest + SUFFIX)
        if data is None:
            return None
        with suppress(OSError):
            os.utime(self._folder / (key.digest + SUFFIX))  # what is looked at is dropped last
        return report_from_json(data)

    def put(self, key: Key | None, report: Report) -> None:
        """Keep `report`, unless one of the files has changed since `key` was made."""
        if key is not None and _unchanged(key):
            self._write(key.digest + SUFFIX, kept_to_json(report))
            self._put = True

    def remember(self, path: Path, logs: Sequence[Source]) -> None:
        """That the file `path` holds just these logs."""
        with suppress(OSError):
            stat = path.stat()
            if self._folder is not None and S_ISREG(stat.st_mode):
                self._note(stat, str(path), [(log.format, log.part, log.name) for log in logs])

    def save(self) -> None:
        """Keep what was learned of files, and drop what is too much: once for all logs of a look."""
        if self._learned:
            self._write(CONTENTS + SUFFIX, {"ours": ours(), "files": self._known()})
        if self._put:
            self._trim()
        self._learned = self._put = False

    def _digest(self, file: Path) -> str:
        stat = file.stat()
        known = self._known().get(_identity(stat), {}).get("")
        if known is not None:
            return str(known)
        digest = blake2b(digest_size=32)
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                digest.update(chunk)
        self._note(stat, "", digest.hexdigest())
        return digest.hexdigest()

    def _known(self) -> dict[str, Json]:
        """What is remembered of files by their identities: a digest under "", the logs under the path."""
        if self._contents is None:
            data = (self._read(CONTENTS + SUFFIX) or {}) if self._folder is not None else {}
            self._contents = data["files"] if data.get("ours") == ours() else {}
        return self._contents

    def _note(self, stat: os.stat_result, what: str, value: Any) -> None:
        """Remember something of a file, unless it was changed so lately that its next change might not show."""
        if time.time() - max(stat.st_mtime, stat.st_ctime) > RACY_SECONDS:
            known = self._known()
            known[_identity(stat)] = {**known.pop(_identity(stat), {}), what: value}
            if len(known) > MOST_CONTENTS:
                del known[next(iter(known))]
            self._learned = True

    def _read(self, name: str) -> Json | None:
        assert self._folder is not None
        try:
            head, _, body = (self._folder / name).read_bytes().partition(b"\n")
        except OSError:
            return None
        if head != _checksum(body):
            return None
        data: Json = json.loads(body)
        return data

    def _write(self, name: str, data: Mapping[str, Any]) -> None:
        assert self._folder is not None
        body = json.dumps(data).encode()
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, made = tempfile.mkstemp(dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_checksum(body) + b"\n" + body)
                Path(made).replace(self._folder / name)
            except OSError:
                Path(made).unlink()
                raise

    def _trim(self) -> None:
        """Drop the entries that were not looked at for longest."""
        assert self._folder is not None
        with suppress(OSError):
            entries = sorted(
                ((s.st_mtime, s.st_size, p) for p in self._folder.glob(f"*{SUFFIX}") for s in [p.stat()]), reverse=True
            )
            size = 0
            for n, (_, length, path) in enumerate(entries):
                size += length
                if n >= MOST_ENTRIES or size > MOST_BYTES:
                    path.unlink()


def _identity(stat: os.stat_result) -> str:
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _files(source: Source) -> tuple[Path, ...]:
    """The files that a report on `source` follows from."""
    logs = [path / EVENTS_FILE if source.format == "events" and path.is_dir() else path for path in source.paths]
    logs = [path for path in logs if not path.is_dir()]  # where checkpoints appear
    beside = [wal(log) for log in logs] + [log.parent / name.format(stem=log.stem) for log in logs for name in BESIDE]
    return tuple(logs + [path for path in dict.fromkeys(beside) if path.is_file()])


def _unchanged(key: Key) -> bool:
    try:
        return tuple(_identity(file.stat()) for file in key.files) == key.identities
    except OSError:
        return False


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode()


@cache
def ours() -> str:
    """A digest of our own code: readers, vocabulary, rules and their thresholds are all in it."""
    digest = blake2b(digest_size=32)
    home = Path(__file__).parent
    for path in sorted(p for p in home.rglob("*") if p.suffix in (".py", ".toml")):
        digest.update(str(path.relative_to(home)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def kept_to_json(report: Report) -> Json:
    """All of `report`, what other programs need not know included."""
    return report_to_json(report) | {
        "raised": [finding_to_json(finding) for finding in report.raised],
        "excerpts": [
            {"code": e.code, "segment": e.segment, "metric": e.metric, "steps": e.steps, "values": e.values}
            for e in report.excerpts
        ],
    }


def report_from_json(data: Mapping[str, Any]) -> Report:
    """The inverse of `kept_to_json`."""
    return Report(
        source=data["source"],
        framework=data["framework"],
        steps=data["steps"],
        findings=tuple(finding_from_json(finding) for finding in data["findings"]),
        raised=tuple(finding_from_json(finding) for finding in data["raised"]),
        skips=tuple(Skip(**skip) for skip in data["skips"]),
        unmapped=tuple(data["unmapped"]),
        notes=tuple(data["notes"]),
        segments=data["segments"],
        format=data["format"],
        version=data["framework_version"],
        recognised=data["recognised_by"],
        names=data["names"],
        suggestions={name: tuple(metrics) for name, metrics in data["suggestions"].items()},
        rules=data["rules"],
        excerpts=tuple(
            Excerpt(e["code"], e["segment"], e["metric"], tuple(e["steps"]), tuple(e["values"]))
            for e in data["excerpts"]
        ),
        causes=tuple(cause_from_json(cause) for cause in data["causes"]),
        explained=tuple(Explained(**explained) for explained in data["explained"]),
    )
