"""Runs on a tracking server of MLflow: one, those of an experiment, or those of all experiments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from diagnostics.errors import UserError
from diagnostics.sources import Found, Source
from diagnostics.stores.kept import trim
from diagnostics.stores.mlflow_client import URI, Client, Missing, base, inside, listed
from diagnostics.stores.mlflow_run import fetch_run
from diagnostics.stores.store import Tell, Wanted, address, safe

NAME = "MLflow"
PREFIX, RUNS = "mlflow:", "runs:/"
FOLDER = "mlflow"
LAST = 10  # runs of an experiment, unless it was said how many
_PER_PAGE = 100
_ID = re.compile(r"[0-9a-f]{32}")
_PAGE = re.compile(r"/experiments/([^/?]+)(?:/runs/([^/?]+))?")  # behind the # of an address
_PAGES = ("", "experiments", "models")  # those of a whole server
_FILTER = re.compile(r"\s*([\w.@/:` -]+?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_ATTRIBUTES = {"state": "attributes.status", "status": "attributes.status", "name": "attributes.run_name"}


@dataclass(frozen=True, slots=True)
class Where:
    """A run, an experiment by its name or id, or all experiments, on the server at `address`."""

    address: str
    experiment: str = ""
    run: str = ""

    @property
    def shown(self) -> str:
        """What a person calls it."""
        host = urlsplit(base(self.address)).netloc
        if self.run:
            return f"run {self.run} on {host}"
        return f"experiment {self.experiment} on {host}" if self.experiment else host


def owns(name: str) -> bool:
    """Whether `name` is a run or an experiment of MLflow, or the address of its server or of a page there."""
    if name.startswith((PREFIX, RUNS)):
        return True
    shown = address(name)
    if shown is None:
        return False
    return bool(_PAGE.match(shown.fragment)) or (not shown.path.strip("/") and shown.fragment.strip("/") in _PAGES)


def fetch(name: str, wanted: Wanted, folder: Path, tell: Tell) -> Found:
    """The logs of the runs that `name` names, the oldest first; of experiments the `LAST` to begin.

    UserError where there is none, and for all that may go wrong on the way.
    """
    where = located(name, os.environ)
    client = Client(where.address, tell)
    try:
        runs = [_described(client, where, wanted)] if where.run else _listed(client, where, wanted)
    except Missing as missing:
        hint = f"Look at the spelling, or at what is there: autotune diagnose {client.base}"
        raise UserError(f"there is no {where.shown}: {missing.message}", hint) from None
    sources: list[Source] = []
    trouble = ""
    for i, run in enumerate(runs):
        try:
            sources.append(fetch_run(client, run, folder / FOLDER / safe(client.host)))
        except UserError as error:
            if not sources:
                raise
            trouble = f"{len(runs) - i} of {len(runs)} runs of {where.shown} are missing: {error}"
            break
    trim(folder / FOLDER, {source.paths[0].parent for source in sources})
    return Found(tuple(sources), trouble=trouble)


def located(name: str, environment: Mapping[str, str]) -> Where:
    """Where `name` lies. UserError where it does not say the server, and nothing else does."""
    if not name.startswith((PREFIX, RUNS)):
        page = _PAGE.match(urlsplit(name).fragment)
        address = name.partition("#")[0]
        return Where(address, *(unquote(part or "") for part in page.groups())) if page else Where(address)
    server = environment.get(URI, "")
    if urlsplit(server).scheme not in ("http", "https"):
        local = "set to what is no server" if server else "not set"
        hint = "Set it to http://HOST:PORT; what lies here is given by its path, such as mlflow.db or mlruns."
        raise UserError(f"{name} is on a server of MLflow, and {URI} is {local}", hint)
    what = name.removeprefix(PREFIX).removeprefix(RUNS).strip("/")
    if name.startswith(RUNS) or _ID.fullmatch(what):
        return Where(server, run=what.partition("/")[0])
    return Where(server, experiment=what)


def _described(client: Client, where: Where, wanted: Wanted) -> dict[str, Any]:
    if wanted.filters or wanted.last:
        raise UserError(f"{where.shown} is one run", "--filter and --last are for experiments.")
    return inside(client.ask("runs/get", run_id=where.run), "run")


def _listed(client: Client, where: Where, wanted: Wanted) -> list[dict[str, Any]]:
    """The runs that are wanted, the oldest first."""
    most = wanted.last or LAST
    given: dict[str, Any] = {
        "experiment_ids": list(_experiments(client, where.experiment)),
        "filter": " and ".join(map(_filter, wanted.filters)),
        "order_by": ["attributes.start_time DESC"],
    }
    found, token = list[dict[str, Any]](), ""
    while len(found) <= most:  # one more says whether there are more
        page = client.ask("runs/search", max_results=_PER_PAGE, **given, **({"page_token": token} if token else {}))
        found += (new := listed(page, "runs"))
        token = str(page.get("next_page_token") or "")
        if not token or not new:
            break
    if not found:
        such = f" for which {' and '.join(wanted.filters)}" if wanted.filters else ""
        raise UserError(f"there is no run in {where.shown}{such}", "Look at it in the browser, or ask for others.")
    if len(found) > most and not wanted.last:
        client.tell(f"the last {most} runs of {where.shown}; --last N takes more")
    return found[:most][::-1]


def _experiments(client: Client, wanted: str) -> Iterator[str]:
    """The ids of the experiments that are wanted."""
    if wanted:
        try:
            found = client.ask("experiments/get-by-name", experiment_name=wanted)
        except Missing:
            if not wanted.isdecimal():
                raise
            found = client.ask("experiments/get", experiment_id=wanted)
        yield str(inside(found, "experiment").get("experiment_id"))
        return
    token = ""
    while True:
        page = client.ask("experiments/search", max_results=1000, **({"page_token": token} if token else {}))
        experiments = listed(page, "experiments")
        yield from (str(experiment.get("experiment_id")) for experiment in experiments)
        token = str(page.get("next_page_token") or "")
        if not token or not experiments:
            return


def _filter(text: str) -> str:
    """A filter as MLflow takes it, from `name=value`. UserError for what is none."""
    found = _FILTER.fullmatch(text)
    if found is None:
        raise UserError(f"{text} is no filter", "Write NAME=VALUE: state=failed, params.beta=0.04, metrics.reward<0.5.")
    name, operator, value = found.groups()
    value = value.strip("'\"")
    if name.startswith("config."):
        name = f"params.{name.removeprefix('config.')}"
    name = _ATTRIBUTES.get(name, name)
    if name == "attributes.status":
        value = value.upper()
    kind, dot, rest = name.partition(".")
    if dot and kind != "attributes":
        name = f"{kind}.`{rest.strip('`')}`"
    quote = "" if kind == "metrics" else "'"
    return f"{name} {operator} {quote}{value}{quote}"
