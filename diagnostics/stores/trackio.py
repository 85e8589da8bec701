"""Projects of trackio by their names: they lie on this machine, each a database in trackio's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "trackio:"


def database(name: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where the project `trackio:NAME` lies, if it is there; trackio's folder for `trackio:`, None for other names."""
    if not name.startswith(PREFIX) or Path(name).exists():
        return None
    project = name.removeprefix(PREFIX)
    if not project:
        return folder(environment)
    known = "".join(c for c in project if c.isalnum() or c in "-_")  # what trackio keeps of a name
    return folder(environment) / f"{known or 'default'}.db"


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of all projects: `TRACKIO_DIR`, else `trackio` in the hub's own."""
    if given := environment.get("TRACKIO_DIR"):
        return Path(given)
    caches = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{caches}/huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "trackio"
