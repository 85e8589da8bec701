"""What a path holds: the logs in it, each told by its content."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from diagnostics.errors import UserError
from diagnostics.events import EVENTS_FILE
from diagnostics.readers.reader import HEAD

# Modules of `diagnostics.readers`, those first whose files cannot be taken for another's.
FORMATS = (
    "wandb", "tensorboard", "trackio", "trackio_parquet", "mlflow", "notebook", "trainer_state", "events", "csv_file",
    "jsonl", "json_document", "console",
)  # fmt: skip
STUDY, TRIALS = "study.jsonl", "trials"  # of studies.log
META, METRICS = "meta.yaml", "metrics"  # of diagnostics.readers.mlflow_folder
MOST_FILES = 10_000  # that are looked at in one folder
# What lies beside logs in great numbers and is none, so that a folder of a thousand sources is not read through.
_NO_LOGS = {
    ".bin", ".ckpt", ".css", ".gif", ".h5", ".html", ".ini", ".jpeg", ".jpg", ".js", ".lock", ".md", ".mp4",
    ".npy", ".npz", ".onnx", ".parquet", ".patch", ".pdf", ".pkl", ".png", ".pt", ".pth", ".py", ".pyc", ".rst",
    ".safetensors", ".sh", ".so", ".svg", ".toml", ".ts", ".whl", ".yaml", ".yml", ".zip",
}  # fmt: skip
_OF_SQLITE = ("-wal", "-shm", "-journal")  # files beside a database, which are read with it
NO_FOLDERS = {"node_modules", "site-packages", "__pycache__"}  # what is installed is nobody's run
_OF_WANDB = {"files", "logs", "tmp"}  # the folders beside a run file, which tell of the same run


@dataclass(frozen=True, slots=True)
class Source:
    """One log: its format (a module of `diagnostics.readers`), its files, which run in them, and how it is shown."""

    format: str
    paths: tuple[Path, ...]
    part: str
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """The logs at a path; of a folder also the files that are no logs, and those that could not be read, with why.

    Of a store `trouble` says why some of its runs did not come.
    """

    sources: tuple[Source, ...]
    others: tuple[Path, ...] = ()
    unreadable: tuple[tuple[Path, str], ...] = ()
    trouble: str = ""


class NoLog(UserError):
    """A file that is no log that we read."""


class NothingYet(NoLog):
    """An empty file, or a folder without a log: there may be one once a run has begun."""


def find(path: Path) -> Found:
    """The logs at `path`: a file, the folder of a run, a study, or a folder of many things.

    Links in a folder are not followed. UserError for what does not exist or cannot be read, NoLog for what is no log,
    NothingYet for what is empty or holds none.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"there is no {path}", _near(path)) from None
    except OSError as error:  # a name that is too long, or a folder that must not be entered
        raise UserError(f"cannot read {path}: {error.strerror}", "Give the path of a log.") from None
    if stat.S_ISDIR(mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise UserError(f"cannot read {path}: {os.strerror(errno.EACCES)}", "See that you may read it.")
        return _in_folder(path)
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is no file", "Give a file or a folder; `-` reads standard input.")
    try:
        sources = in_file(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "See that you may read it.") from None
    if sources is None:
        raise NothingYet(f"{path} is empty", "Has its writer begun?")
    if not sources:
        if _module("sqlite").is_damaged(path):
            what = f"{path} is a database that is damaged"
            raise UserError(what, f"Copy it anew, with {path.name}-wal where that lies beside it.")
        raise NoLog(f"{path} is no log that autotune reads", _reads())
    return Found(tuple(sources))


def _reads() -> str:
    return f"Autotune reads {', '.join(_module(name).FORMAT for name in (*FORMATS, 'mlflow_folder'))}."


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"diagnostics.readers.{name}")


def _near(path: Path) -> str:
    try:
        siblings = [p.name for p in path.parent.iterdir()]
    except OSError:
        siblings = []
    near = difflib.get_close_matches(path.name, siblings, n=1)
    return f"Did you mean {path.parent / near[0]}?" if near else "Check the spelling."


def in_file(path: Path) -> list[Source] | None:
    """The logs in one file, none where it is of no format that is known; None where it is empty."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return None
    for name in FORMATS:
        parts = _module(name).parts(path, head)
        if parts is not None:
            return [Source(name, (path,), part, f"{path} [{part}]" if part else str(path)) for part in parts]
    return []


def _in_folder(folder: Path) -> Found:
    if folder.name != TRIALS and (folder / STUDY).is_file() and not _trials(folder):
        raise UserError(f"the study {folder} has no trials yet", "Wait for its first trial to start.")
    sources: list[Source] = []
    others: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    looked_at = 0
    for run_or_file in _walk(folder, unreadable):
        looked_at += 1
        if looked_at > MOST_FILES:
            raise UserError(f"{folder} holds more than {MOST_FILES:,} files", "Give a folder nearer to the runs.")
        if run_or_file.is_dir():
            run = _run(run_or_file)
            if run is None:
                unreadable.append((run_or_file, "was deleted in MLflow"))
            else:
                sources.append(run)
            continue
        if not run_or_file.is_file():  # opening a pipe would wait for ever
            unreadable.append((run_or_file, "is no file"))
            continue
        try:
            found = in_file(run_or_file)
        except OSError as error:
            unreadable.append((run_or_file, error.strerror or str(error)))
            continue
        if found is None:
            unreadable.append((run_or_file, "empty"))
        elif found:
            sources += found
        else:
            others.append(run_or_file)
    if not sources:
        files = f"none of its {len(others)} files is a" if len(others) > 1 else "its only file is no"
        what = f"{files} log that autotune reads" if others else "it holds no log"
        more = (
            f", and {len(unreadable)} could not be read ({unreadable[0][0].name}: {unreadable[0][1]})"
            if unreadable
            else ""
        )
        raise NothingYet(f"nothing to diagnose in {folder}: {what}{more}", _reads())
    return Found(tuple(_grouped(sources, folder)), tuple(others), tuple(unreadable))


def _walk(folder: Path, unreadable: list[tuple[Path, str]]) -> Iterator[Path]:
    """The files below `folder` that may be logs, and the folders of runs, ours and MLflow's, by their names."""

    def refused(error: OSError) -> None:
        unreadable.append((Path(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=refused):
        here = Path(parent)
        if not os.access(here, os.X_OK):  # its files are named, but none of them can be looked at
            unreadable.append((here, os.strerror(errno.EACCES)))
            folders.clear()
            continue
        folders.sort(key=_natural)
        if EVENTS_FILE in names and _may_be_ours(here / EVENTS_FILE):
            folders.clear()
            yield here
            continue
        if META in names and METRICS in folders and _module("mlflow_folder").described(here):
            folders.clear()
            yield here
            continue
        if TRIALS in folders and (STUDY in names or _trials(here)):
            folders.clear()
            yield from _trials(here)
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NO_FOLDERS]
        # Of a run that was killed early there may be nothing but what it printed, in one of these folders.
        if any(name.endswith(".wandb") and _has_content(here / name) for name in names):
            folders[:] = [name for name in folders if name not in _OF_WANDB]
        for name in sorted(names, key=_natural):
            file = here / name
            no_log = Path(name).suffix.lower() in _NO_LOGS or name.startswith(".") or name.endswith(_OF_SQLITE)
            if not no_log and not file.is_symlink():
                yield file


def _run(folder: Path) -> Source | None:
    """The run that is this folder, of ours or of MLflow; None for one that was deleted in MLflow."""
    meta = _module("mlflow_folder").described(folder)
    if meta is None:
        return Source("events", (folder,), "", str(folder))
    if meta["lifecycle_stage"] == "deleted":
        return None
    name = meta.get("run_name")
    return Source("mlflow_folder", (folder,), "", f"{folder} [{name}]" if name else str(folder))


def _may_be_ours(log: Path) -> bool:
    """Whether the file may hold our events: other programs call theirs `events.jsonl`, too."""
    try:
        with log.open("rb") as file:
            lines = file.read(HEAD).split(b"\n")
    except OSError:  # whoever reads it will say why it cannot be read
        return True
    return len(lines) == 1 or any(_module("events").parts(log, line) is not None for line in lines)


def _has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:  # gone by now
        return False


def _trials(study: Path) -> list[Path]:
    """The folders of the trials of a study, in the order of their numbers, those that have not begun among them."""
    trials = study / TRIALS
    if trials.is_symlink() or not trials.is_dir():
        return []
    runs = [path for path in trials.iterdir() if path.name.isdecimal() and path.is_dir() and not path.is_symlink()]
    return sorted(runs, key=lambda path: _natural(path.name))


def _natural(name: str) -> tuple[int, int, str]:
    """Trials and checkpoints in the order of their numbers."""
    digits = "".join(filter(str.isdecimal, name))
    return (0, int(digits[:18]), name) if name.isdecimal() and digits else (1, 0, name)


def _grouped(sources: Sequence[Source], folder: Path) -> Iterator[Source]:
    """Files of one run as one source, where the format spreads runs over files; nothing outside of `folder`."""
    for name in dict.fromkeys(source.format for source in sources):
        mine = [source for source in sources if source.format == name]
        group = getattr(_module(name), "group", None)
        if group is None:
            yield from mine
            continue
        for paths in group([source.paths[0] for source in mine]):
            inside = tuple(path for path in paths if path.is_relative_to(folder))
            yield Source(name, inside, "", str(_shown(inside)))


def _shown(paths: Sequence[Path]) -> Path:
    """The file of a run, or the folder of its files."""
    files = [path for path in paths if not path.is_dir()]
    return files[0] if len(files) == 1 else Path(os.path.commonpath(files))
