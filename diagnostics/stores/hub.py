"""Folders of checkpoints on the Hugging Face hub, and what trackio syncs to it: what tells of runs, and no weights.

`huggingface_hub` fetches into its own cache, with the token that it knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from diagnostics.errors import UserError
from diagnostics.readers import tensorboard
from diagnostics.readers.trainer_state import STATE_FILE
from diagnostics.sources import Found, Source, in_file
from diagnostics.stores.store import Tell, Wanted, address
from diagnostics.text import count

NAME = "the Hugging Face hub"
PREFIX = "hf://"
_HOSTS = {"huggingface.co", "hf.co", "www.huggingface.co"}
_TYPES = {"datasets": "dataset", "spaces": "space", "models": "model"}  # as names begin that are not of models
_PAGES = {"tree", "blob", "resolve"}  # behind them a revision, and a path
_PART = re.compile(r"\w[\w.-]*", re.ASCII)
_CHECKPOINT = re.compile(r"checkpoint-(\d+)|last-checkpoint")  # the newest, where Trainer keeps one on the hub
_ADAPTER = "adapter_config.json"  # tells that a state is of an adapter
_EXPORT = ".parquet"
_EVENTS = "tfevents"  # in the names of TensorBoard's files


@dataclass(frozen=True, slots=True)
class Where:
    """A repository of a `type`, at a `revision` ("" for the newest), and the folder or file `within` it."""

    type: str
    repo: str
    revision: str = ""
    within: str = ""

    @property
    def shown(self) -> str:
        """What a person calls it."""
        kind = next(name for name, type in _TYPES.items() if type == self.type)
        kinds = "" if self.type == "model" else f"{kind}/"
        return f"{PREFIX}{kinds}{self.repo}{f'@{self.revision}' if self.revision else ''}"


def owns(name: str) -> bool:
    """Whether `name` is a repository on the hub, or the address of its page."""
    return name.startswith(PREFIX) or located(name) is not None


def located(name: str, environment: Mapping[str, str] = os.environ) -> Where | None:
    """What `name` names, None where it can be the name of nothing there."""
    if name.startswith(PREFIX):
        parts = name.removeprefix(PREFIX).split("/")
    else:
        page = address(name)
        hosts = {*_HOSTS, urlsplit(environment.get("HF_ENDPOINT", "")).netloc}
        if page is None or page.netloc not in hosts:
            return None
        parts = page.path.split("/")
    parts = [unquote(part) for part in parts if part]
    type = _TYPES[parts.pop(0)] if parts and parts[0] in _TYPES else "model"
    if len(parts) < 2:
        return None
    last, _, revision = parts[1].partition("@")
    within = parts[2:]
    if not revision and len(within) > 1 and within[0] in _PAGES:
        revision, within = within[1], within[2:]
    if not _PART.fullmatch(parts[0]) or not _PART.fullmatch(last):
        return None
    return Where(type, f"{parts[0]}/{last}", revision, "/".join(within))


def fetch(name: str, wanted: Wanted, folder: Path, tell: Tell) -> Found:
    """The logs in the repository that `name` names: newest states, files of TensorBoard, exports of trackio.

    UserError where there is none, and for all that may go wrong on the way.
    """
    where = located(name)
    if where is None:
        raise UserError(f"{name} names no repository", f"Write {PREFIX}user/repo, or {PREFIX}datasets/user/repo.")
    if wanted.filters or wanted.last:
        raise UserError(f"{where.shown} is one repository", "--filter and --last are for projects and experiments.")
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise UserError("huggingface_hub is not installed", "pip install 'autotune-rl[hub]'") from None
    files = _fetched(where, tell)
    sources = [*_states(where, files), *_events(where, files), *_exports(where, files)]
    if not sources:
        below = f" below {where.within}" if where.within else ""
        hint = "Trainer puts them there with hub_strategy='checkpoint', or with report_to='tensorboard'."
        raise UserError(
            f"{where.shown} holds no {STATE_FILE}, no file of TensorBoard and no export of trackio{below}", hint
        )
    return Found(tuple(sources))


def telling(files: Sequence[str], within: str = "") -> list[str]:
    """Those of a repository's `files` in the folder `within` that tell of its runs.

    Of states those in the folder of a run and in its newest checkpoint, which holds the whole history.
    """
    paths = [PurePosixPath(file) for file in files]
    paths = [p for p in paths if not p.is_absolute() and ".." not in p.parts and p.is_relative_to(within)]
    newest: dict[PurePosixPath, PurePosixPath] = {}
    kept = [path for path in paths if _EVENTS in path.name]
    for path in (path for path in paths if path.name == STATE_FILE):
        of_run = _folder_of_run(path)
        if of_run == path.parent:
            kept.append(path)
        elif of_run not in newest or _rank(path) > _rank(newest[of_run]):
            newest[of_run] = path
    kept += newest.values()
    beside = {path.parent / _ADAPTER for path in kept if path.name == STATE_FILE}
    for path in (path for path in paths if path.suffix == _EXPORT):
        settings = _settings(path) & set(paths)
        if settings:
            kept.append(path)
            beside |= settings
    return [str(path) for path in (*kept, *sorted(beside & set(paths)))]


def _settings(export: PurePosixPath) -> set[PurePosixPath]:
    """Where trackio puts the settings of the runs in an export, which tells that it is one."""
    beside = {export.with_name(f"{export.stem}_configs{_EXPORT}")}
    return beside | ({export.parent / "aux" / f"configs{_EXPORT}"} if export.stem == "metrics" else set())


def _folder_of_run(state: PurePosixPath) -> PurePosixPath:
    return state.parent.parent if _CHECKPOINT.fullmatch(state.parent.name) else state.parent


def _rank(state: PurePosixPath) -> float:
    """How late a checkpoint is among those of its run."""
    number = state.parent.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else float("inf")


def _states(where: Where, files: Mapping[str, Path]) -> Iterator[Source]:
    """The states, those of one run together."""
    runs: dict[PurePosixPath, list[str]] = {}
    for name in files:
        if PurePosixPath(name).name == STATE_FILE:
            runs.setdefault(_folder_of_run(PurePosixPath(name)), []).append(name)
    for folder, names in runs.items():
        shown = names[0] if len(names) == 1 else str(folder).removeprefix(".")
        paths = tuple(files[name] for name in names)
        if any(in_file(path) for path in paths):
            yield Source("trainer_state", paths, "", f"{where.shown}/{shown}".rstrip("/"))


def _events(where: Where, files: Mapping[str, Path]) -> Iterator[Source]:
    """TensorBoard's files, those of one folder together."""
    names = {path: name for name, path in files.items() if _EVENTS in path.name}
    read = [path for path in names if any(source.format == "tensorboard" for source in in_file(path) or ())]
    for paths in tensorboard.group(read):
        yield Source("tensorboard", paths, "", f"{where.shown}/{PurePosixPath(names[paths[0]]).parent}")


def _exports(where: Where, files: Mapping[str, Path]) -> Iterator[Source]:
    """The runs of projects of trackio."""
    for name, path in files.items():
        for source in (in_file(path) or ()) if path.suffix == _EXPORT else ():
            run = f" [{source.part}]" if source.part else ""
            yield replace(source, name=f"{where.shown}/{name}{run}")


def _fetched(where: Where, tell: Tell) -> dict[str, Path]:
    """The files that tell of runs, by their names in the repository. UserError where they cannot be had."""
    from huggingface_hub import HfApi, constants, errors, is_offline_mode
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if is_offline_mode():
        return _cached(where)
    disable_progress_bars()
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    host = urlsplit(endpoint).netloc.rpartition("@")[2]
    api = HfApi(endpoint=endpoint)
    try:
        info: Any = api.repo_info(where.repo, repo_type=where.type, revision=where.revision or None)
        names = telling([sibling.rfilename for sibling in info.siblings or ()], where.within)
        if names:
            tell(f"fetching {count(len(names), 'file')} of {where.shown}")
        at = {"repo_type": where.type, "revision": info.sha}
        return {name: Path(api.hf_hub_download(where.repo, name, **at)) for name in names}
    except errors.GatedRepoError:
        hint = f"Ask for access at {urlsplit(endpoint).scheme}://{host}/{where.repo}, and log in: hf auth login"
        raise UserError(f"{where.shown} is gated, and you have no access", hint) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{where.shown} has no such revision", "Look at its branches, or leave it out.") from None
    except errors.RepositoryNotFoundError:
        hint = "Look at the spelling; if it is private, log in: hf auth login"
        raise UserError(f"there is no {where.shown} at {host} that you may read", hint) from None
    except errors.HfHubHTTPError as error:
        raise _in_words(host, error.response.status_code) from None
    except errors.LocalEntryNotFoundError as error:  # of a file: what went wrong with it stands behind this
        cause = error.__cause__ or error
        if isinstance(cause, errors.HfHubHTTPError):
            raise _in_words(host, cause.response.status_code) from None
        raise (_no_hub(host) if isinstance(cause, errors.FileMetadataError) else _unreachable(host, cause)) from None
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # of the package that it asks with
        raise _unreachable(host, error) from None
    except ValueError:
        raise _no_hub(host) from None
    except OSError as error:
        raise UserError(f"cannot keep {where.shown}: {_named(error)}", "See that there is room in HF_HOME.") from None


def _cached(where: Where) -> dict[str, Path]:
    """What an earlier fetch left in the hub's cache, where it is told not to ask: of the revision, or the last."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repos = [repo for repo in scan_cache_dir().repos if (repo.repo_type, repo.repo_id) == (where.type, where.repo)]
    except CacheNotFound:
        repos = []
    wanted = where.revision
    found = [r for repo in repos for r in repo.revisions if wanted in ("", r.commit_hash, *r.refs)]
    if not found:
        hint = "Unset it, or fetch it once where there is a network."
        raise UserError(f"HF_HUB_OFFLINE is set, and {where.shown} was never fetched", hint)
    newest = max(found, key=lambda revision: revision.last_modified)
    files = {file.file_path.relative_to(newest.snapshot_path).as_posix(): file.file_path for file in newest.files}
    return {name: files[name] for name in telling(sorted(files), where.within)}


def _in_words(host: str, status: int) -> UserError:
    if status == 401:
        return UserError(f"{host} does not accept your token (HTTP 401)", "Log in anew: hf auth login")
    if status == 403:
        return UserError(f"{host} does not let you read it (HTTP 403)", "Ask its owner, or use another token.")
    if status == 429:
        return UserError(f"{host} refuses so many requests (HTTP 429)", "Log in (hf auth login), or try it later.")
    if status >= 500:
        return UserError(f"{host} has trouble of its own (HTTP {status})", "Try it again later.")
    return UserError(f"{host} answers HTTP {status}", "Look at the name, and at HF_ENDPOINT.")


def _no_hub(host: str) -> UserError:
    return UserError(f"{host} does not answer as the hub does", "Look at HF_ENDPOINT.")


def _unreachable(host: str, error: BaseException) -> UserError:
    hint = "Look at the network, or at HF_ENDPOINT; HF_HUB_OFFLINE=1 takes what was fetched before."
    return UserError(f"{host} cannot be reached: {_named(error)}", hint)


def _named(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return " ".join(text.split())[:200]
