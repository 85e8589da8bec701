"""What runs, projects and sweeps of Weights & Biases are called, and which API key is told to which server."""

from __future__ import annotations

import configparser
import netrc
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

PREFIX = "wandb:"  # before a name that could be a path
CLOUD = "https://api.wandb.ai"
# One service under several names: those of its pages and of its API.
_CLOUD_HOSTS = {
    "wandb.ai", "www.wandb.ai", "app.wandb.ai", "api.wandb.ai", "forge.coreweave.com", "api.forge.coreweave.com",
}  # fmt: skip
_APP_PATH = "wandb"  # before the entity, in the addresses of Forge
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_LOGIN = re.compile(r"(?<=://)[^/]*@")  # in an address; wandb takes none, and what is shown must hold none
_URL = re.compile(r"https?:/+(?=[^/])")  # as a path, an address has one slash
# What a file is called that is no run: a name that ends so is a misspelt path.
_FILES = re.compile(
    r"\.(wandb|jsonl?|csv|tsv|log|txt|out|ipynb|parquet|toml|ya?ml|gz|zip|db|sqlite|py|[\w.]*tfevents.*)$"
)
_KINDS = {"runs", "sweeps"}


@dataclass(frozen=True, slots=True)
class Where:
    """A run, a sweep or all runs of a project, on the server at `base`."""

    base: str
    entity: str
    project: str
    run: str = ""
    sweep: str = ""

    @property
    def shown(self) -> str:
        """What a person calls it."""
        last = self.run or (f"sweeps/{self.sweep}" if self.sweep else "")
        return "/".join(filter(None, (self.entity, self.project, last)))


def parsed(name: str) -> Where | None:
    """What `name` names, None where it can be the name of nothing there."""
    if _URL.match(name):
        return _of_address(name)
    parts = name.removeprefix(PREFIX).split("/")
    if not name.startswith(PREFIX) and (_FILES.search(name.lower()) or not all(map(_NAME.fullmatch, parts))):
        return None
    return _of_parts(configured(), parts)


def plain(name: str) -> bool:
    """Whether `name` could as well be a path."""
    return not name.startswith(PREFIX) and not _URL.match(name)


def configured(environment: Mapping[str, str] = os.environ) -> str:
    """The address of the server that wandb is set up for: `WANDB_BASE_URL`, its settings file, else the cloud's."""
    given = environment.get("WANDB_BASE_URL")
    if not given:
        folder = environment.get("WANDB_CONFIG_DIR") or Path(environment.get("HOME", "/"), ".config", "wandb")
        settings = configparser.ConfigParser(interpolation=None)
        try:
            settings.read(Path(folder, "settings"), encoding="utf-8")
            given = settings.get("default", "base_url", fallback="")
        except (configparser.Error, OSError, UnicodeDecodeError):
            given = ""
    base = _LOGIN.sub("", given or CLOUD).rstrip("/")
    return CLOUD if host_of(base) in _CLOUD_HOSTS else base


def key_for(base: str, environment: Mapping[str, str] = os.environ) -> str:
    """The API key for the server at `base`, "" where none is known.

    That in `WANDB_API_KEY` belongs to the server that wandb is set up for: no other one is told it.
    """
    if base == configured(environment) and environment.get("WANDB_API_KEY"):
        return environment["WANDB_API_KEY"].strip()
    home = Path(environment.get("HOME", "/"))
    given = environment.get("NETRC")
    files = [Path(given).expanduser()] if given else [home / ".netrc", home / "_netrc"]
    hosts = sorted(_CLOUD_HOSTS) if base == CLOUD else [host_of(base)]
    for file in files:
        try:
            known = netrc.netrc(file)
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
        for host in hosts:
            login = known.authenticators(host)
            if login is not None and login[2]:
                return login[2]
    return ""


def host_of(address: str) -> str:
    """The host in an address, with its port; "" where there is none."""
    return address.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _of_address(name: str) -> Where | None:
    """What the page at an address shows; None for a page that is not wandb's."""
    try:
        address = urlsplit(_URL.sub(lambda match: match[0].rstrip("/") + "//", name))
    except ValueError:  # brackets around what is no address
        return None
    if address.hostname in _CLOUD_HOSTS:
        base = CLOUD
    else:
        base = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
    parts = [unquote(part) for part in address.path.split("/") if part]
    if parts[:1] == [_APP_PATH] and address.hostname in _CLOUD_HOSTS:
        parts = parts[1:]
    theirs = base in (CLOUD, configured()) or (address.hostname or "").endswith((".wandb.io", ".wandb.ai"))
    if not theirs and parts[2:3] not in (["runs"], ["sweeps"]):
        return None
    if len(parts) > 2 and parts[2] not in _KINDS:  # its workspace, its table of runs, ...
        parts = parts[:2]
    return _of_parts(base, parts[:4])


def _of_parts(base: str, parts: list[str]) -> Where | None:
    match parts:
        case [_, _, *_] if not all(part.strip(". ") for part in parts) or "/" in "".join(parts):
            return None
        case [entity, project, "runs" | "sweeps"] | [entity, project]:
            return Where(base, entity, project)
        case [entity, project, "sweeps", sweep]:
            return Where(base, entity, project, sweep=sweep)
        case [entity, project, "runs", run] | [entity, project, run]:
            return Where(base, entity, project, run=run)
    return None
