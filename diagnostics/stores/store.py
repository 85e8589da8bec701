"""What a store's module has, and which store a name belongs to.

A store is where runs lie that are no files here: a server, a hub. Its module has

- `NAME`: what it is called, for a person ("Weights & Biases");
- `owns(name) -> bool`: whether `name`, which is nothing that exists here, is the name of something in it. Told by its
  spelling alone: nobody is asked;
- `fetch(name, wanted, folder, tell) -> Found`: the logs of the runs that it names, as files below `folder` that the
  readers read like any other, with `Source.name` as a person names the run. What an earlier fetch left in `folder` is
  used again. `tell` takes a line for a person who waits. UserError, in one line, for all that can go wrong: what is
  not there, no key or a wrong one, a server that does not answer, a package that is not installed;
- `annotate(name, report, tell) -> str`, where the store can hold reports: writes one on a run that `name` names back to
  it, and returns what was written, in a line. UserError where it cannot.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import SplitResult, urlsplit

from diagnostics.errors import UserError
from diagnostics.sources import Found

STORES = (
    "hub",
    "mlflow",
    "wandb",
)  # modules of `diagnostics.stores`, those first whose names cannot be taken for another's

LONGEST = 100  # characters of a name that are kept of it as a file's

_ONE_SLASH = re.compile(r"^(hf|https?):/(?=[^/])")  # what a path makes of an address

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs of many: those that each of `filters` holds for (`state=failed`), of these the `last` to begin.

    With None all of them.
    """

    filters: tuple[str, ...] = ()
    last: int | None = None


EVERYTHING = Wanted()


class Store(Protocol):
    """A module of `diagnostics.stores`."""

    NAME: str

    def owns(self, name: str) -> bool:
        """Whether `name` is the name of something in the store."""

    def fetch(self, name: str, wanted: Wanted, folder: Path, tell: Tell) -> Found:
        """The logs of the runs that `name` names, as files below `folder`. UserError where there are none."""


def store_of(name: str) -> Store | None:
    """The store that `name` belongs to; None for a path, which is all that exists here or looks like one.

    UserError for an address with a password in it.
    """
    if not name or exists(name):
        return None
    name = _ONE_SLASH.sub(r"\1://", name)
    for module in STORES:
        store = cast(Store, importlib.import_module(f"diagnostics.stores.{module}"))
        if store.owns(name):
            web = address(name)
            if web is not None and web.password is not None:
                hint = "Leave it out: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD hold it for MLflow."
                raise UserError("an address with a password in it would be shown in reports", hint)
            return store
    return None


def address(name: str) -> SplitResult | None:
    """`name` as an address of the web; None for what is none."""
    try:
        parts = urlsplit(name)
        parts.port  # noqa: B018, as what is no number is told only here
    except ValueError:  # such as brackets around what is no address
        return None
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def exists(name: str) -> bool:
    """Whether there is something called so here; not for what may not be looked at, or can be no path."""
    return os.path.exists(name)  # noqa: PTH110, as Path.exists raises there


def near_a_path(name: str) -> bool:
    """Whether `name` begins like something in the current folder, so that it is rather a path with a misspelling."""
    first = name.partition("/")[0]
    if exists(first):
        return True
    try:
        here = [path.name for path in Path().iterdir()]
    except OSError:  # a folder that is gone, or that may not be read
        here = []
    return bool(difflib.get_close_matches(first, here, n=1, cutoff=0.8))


def safe(part: str) -> str:
    """`part` of a name, which a server may have chosen, as the name of one file or folder."""
    plain = re.sub(r"[^A-Za-z0-9._=-]", lambda match: f"%{ord(match[0]):X}", part)
    if len(plain) > LONGEST:
        plain = f"{plain[:LONGEST]}%{blake2b(part.encode(errors='replace'), digest_size=8).hexdigest()}"
    return plain if plain.strip(".") else f"%{plain}"
