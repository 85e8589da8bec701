"""Runs on a server of Weights & Biases: one, those of a project, or those of a sweep."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.finding import Json, Report
from diagnostics.sources import Found, Source
from diagnostics.stores import wandb_annotate
from diagnostics.stores.kept import trim
from diagnostics.stores.store import Tell, Wanted, near_a_path, safe
from diagnostics.stores.wandb_client import Client, at, nodes, whole
from diagnostics.stores.wandb_names import PREFIX, Where, host_of, key_for, parsed, plain
from diagnostics.stores.wandb_run import fetch_run

NAME = "Weights & Biases"
LAST = 10  # runs of a project or a sweep, unless it was said how many
PER_PAGE = 50
FOLDER = "wandb"

# As the SDK asks.
_FIELDS = """fragment RunFragment on Run {
    id name displayName state config createdAt heartbeatAt historyLineCount historyKeys notes summaryMetrics
}"""
_RUN = f"""query Run($project: String!, $entity: String!, $name: String!) {{
    project(name: $project, entityName: $entity) {{ run(name: $name) {{ ...RunFragment }} }}
}}
{_FIELDS}"""
_RUNS = f"""query Runs($project: String!, $entity: String!, $cursor: String, $perPage: Int = 50, $order: String,
        $filters: JSONString) {{
    project(name: $project, entityName: $entity) {{
        runCount(filters: $filters)
        runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {{
            edges {{ node {{ ...RunFragment }} cursor }}
            pageInfo {{ endCursor hasNextPage }}
        }}
    }}
}}
{_FIELDS}"""
_FILTER = re.compile(r"\s*([\w.@/-]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)
_OPERATORS = {"!=": "$ne", ">=": "$gte", "<=": "$lte", ">": "$gt", "<": "$lt"}


def owns(name: str) -> bool:
    """Whether `name` can be that of a run, a project or a sweep of wandb, and is not rather a misspelt path."""
    return parsed(name) is not None and not (plain(name) and near_a_path(name))


def fetch(name: str, wanted: Wanted, folder: Path, tell: Tell) -> Found:
    """The logs of the runs that `name` names, the oldest first; of a project or a sweep the `LAST` to begin.

    UserError where there is none, and for all that may go wrong on the way.
    """
    where = parsed(name)
    assert where is not None
    filters = list(map(_filter, wanted.filters))
    if where.run and (filters or wanted.last):
        raise UserError(f"{where.shown} is one run", "--filter and --last are for projects and sweeps.")
    try:
        client = connect(where, tell)
        runs = [described(client, where)] if where.run else _listed(client, where, filters, wanted.last)
    except UserError as error:
        if plain(name):
            raise UserError(f"there is no {name} here, and {error.message}", error.hint) from None
        raise
    if not runs:
        such = f" for which {' and '.join(wanted.filters)}" if filters else ""
        raise UserError(f"there is no run in {where.shown} at {client.host}{such}", "Look at it in the browser.")
    return _fetched(client, where, runs, folder)


def annotate(name: str, report: Report, tell: Tell) -> str:
    """Write `report`, on a run that `name` names, back to it; what was written, in a line. UserError where not."""
    asked = parsed(name)
    assert asked is not None
    entity, project, run_id = report.source.split("/", 2)
    where = Where(asked.base, entity, project, run=run_id)
    client = connect(where, tell)
    return wandb_annotate.annotate(client, where, described(client, where), report)


def connect(where: Where, tell: Tell) -> Client:
    """A client of the server of `where`. UserError where there is no key for it."""
    key = key_for(where.base)
    if not key:
        host = host_of(where.base)
        login = "wandb login" if host == "api.wandb.ai" else f"wandb login --host={where.base}"
        raise UserError(
            f"there is no API key to ask {host} for {where.shown}",
            f"If it is a run of wandb: {login}, or set WANDB_API_KEY; if it is a path: look at its spelling.",
        )
    return Client(where.base, key, tell)


def described(client: Client, where: Where) -> Json:
    """What the server says of the run `where`. UserError where there is none."""
    data = client.ask(_RUN, entity=where.entity, project=where.project, name=where.run)
    run = at(data, "project", "run")
    if not isinstance(run, dict):
        hint = f"Look at the spelling, or list what you see: autotune diagnose {PREFIX}{where.entity}/{where.project}"
        raise UserError(f"there is no run {where.shown} at {client.host} that your API key may read", hint)
    return run


def _fetched(client: Client, where: Where, runs: Sequence[Mapping[str, Any]], folder: Path) -> Found:
    """The runs that the server describes, as far as they come. UserError where none does."""
    sources: list[Source] = []
    trouble = ""
    for told in runs:
        run = Where(where.base, where.entity, where.project, run=str(told.get("name")))
        try:
            sources.append(fetch_run(client, run, told, _folder(folder, run)))
        except UserError as error:
            if not sources:
                raise
            left = len(runs) - len(sources)
            trouble = f"{left} of {len(runs)} runs of {where.shown} are missing: {error}"
            break
    trim(folder / FOLDER, {source.paths[0].parent for source in sources})
    return Found(tuple(sources), trouble=trouble)


def _listed(client: Client, where: Where, filters: Sequence[Json], last: int | None) -> list[Json]:
    """The runs of a project or a sweep for which all of `filters` hold, the `last` of them, the oldest first."""
    most = last or LAST
    every = [*filters, *([{"sweep": where.sweep}] if where.sweep else [])]
    given = {"filters": json.dumps({"$and": every} if every else {}), "order": "-created_at"}
    given |= {"entity": where.entity, "project": where.project}
    found: list[Json] = []
    count, cursor, more = 0, None, True
    while more and len(found) < most:
        data = client.ask(_RUNS, **given, cursor=cursor, perPage=min(PER_PAGE, most - len(found)))
        if data.get("project") is None:
            what = f"there is no project {where.entity}/{where.project} at {client.host} that your API key may read"
            raise UserError(what, "Look at the spelling.")
        runs = at(data, "project", "runs")
        found += nodes(runs)
        count = whole(at(data, "project", "runCount"), 0)
        cursor = at(runs, "pageInfo", "endCursor")
        more = bool(nodes(runs)) and at(runs, "pageInfo", "hasNextPage") is True
    if count > len(found) and last is None:
        client.tell(f"the last {len(found)} of {count:,} runs of {where.shown}; --last N takes more")
    return found[::-1]


def _filter(text: str) -> Json:
    """A filter as wandb's API takes it, from JSON as it is, or from `name=value`. UserError for what is neither."""
    if text.lstrip().startswith("{"):
        try:
            given = json.loads(text)
        except ValueError as error:
            raise UserError(
                f"the filter {text} is no JSON: {error}", "Write name=value, such as state=failed."
            ) from None
        return dict(given)
    match = _FILTER.fullmatch(text)
    if match is None:
        raise UserError(f"the filter {text!r} says nothing", "Write name=value: state=failed, or config.lr>1e-5.")
    name, operator, value = match.groups()
    try:
        wanted = json.loads(value)
    except ValueError:
        wanted = value
    return {name: wanted if operator == "=" else {_OPERATORS[operator]: wanted}}


def _folder(folder: Path, where: Where) -> Path:
    return folder / FOLDER / Path(*map(safe, (host_of(where.base), where.entity, where.project, where.run)))
