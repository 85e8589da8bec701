"""A person's own map: what the names of their log mean, from the command line or a TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostics import metrics as canonical
from diagnostics.errors import UserError

MOST_BYTES = 1 << 20  # of a map's file


@dataclass(frozen=True, slots=True)
class UserMap:
    """Names in a log, each with the canonical metric or setting that a person says it is. A name can be both."""

    metrics: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: UserMap) -> UserMap:
        """Both maps; `other` has the last word."""
        return UserMap({**self.metrics, **other.metrics}, {**self.settings, **other.settings})


def from_options(options: Iterable[str]) -> UserMap:
    """The map that options say, each `NAME=metric` or the path of a TOML file; later ones win. UserError as below."""
    mine = UserMap()
    for option in options:
        mine |= from_arguments([option]) if "=" in option else from_file(Path(option))
    return mine


def from_arguments(arguments: Iterable[str]) -> UserMap:
    """The map that `NAME=metric` and `NAME=setting` spell; later ones win. UserError for what is none of these."""
    metrics, settings = {}, {}
    for argument in arguments:
        name, equals, means = (part.strip() for part in argument.rpartition("="))
        if not (name and equals and means):
            raise UserError(f"{argument!r} maps nothing", "Write NAME=metric, such as my_reward=reward_mean.")
        is_metric, is_setting = canonical.is_metric(means), means in canonical.settings()
        if not (is_metric or is_setting):
            raise _unknown(means, f"{name}={means}", [*canonical.metrics(), *canonical.settings()])
        if is_metric:
            metrics[name] = means
        if is_setting:
            settings[name] = means
    return UserMap(metrics, settings)


def from_file(path: Path) -> UserMap:
    """The map in a TOML file with tables `[metrics]` and `[settings]`, `"name in the log" = "canonical name"` in each.

    UserError where it cannot be read, is no TOML, or has anything else in it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"{path} is no map of names: it is larger than a megabyte")
        tables = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "Give the TOML file that maps names.") from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise UserError(f"{path} is no TOML: {error}", 'Write [metrics], then lines "name" = "metric".') from None
    strange = [name for name in tables if name not in ("metrics", "settings")]
    if strange:
        raise UserError(f"{path} has {strange[0]!r}, which is no table of a map", "There are [metrics] and [settings].")
    return UserMap(
        _table(tables, "metrics", path, canonical.metrics()), _table(tables, "settings", path, canonical.settings())
    )


def _table(tables: Mapping[str, Any], kind: str, path: Path, known: Iterable[str]) -> dict[str, str]:
    table = tables.get(kind, {})
    if not isinstance(table, dict):
        raise UserError(f"{kind} in {path} is no table", f'Write [{kind}], then lines "name" = "canonical name".')
    for name, means in table.items():
        if not isinstance(means, str):
            raise UserError(f"{path} maps {name!r} to no name", 'Names with dots or slashes need quotes: "a/b".')
        if not (canonical.is_metric(means) if kind == "metrics" else means in known):
            raise _unknown(means, f"{path}, [{kind}]", known)
    return dict(table)


def _unknown(means: str, where: str, known: Iterable[str]) -> UserError:
    names = list(known)
    base = means.partition("[")[0]
    metric = canonical.metrics().get(base)
    if metric is not None and metric.family and base in names:
        return UserError(f"{where}: {base} has one series for each component", f"Write {base}[name].")
    near = difflib.get_close_matches(base, names, n=3, cutoff=0.5)
    hint = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "Write a canonical name, such as reward_mean or kl.reference.unknown."
    )
    return UserError(f"{where}: there is no metric or setting {means!r}", hint)
