"""What a run is judged by: our rules, those of others, and what the project changes of them.

Everything that diagnoses for a person asks `here()`; the engine, given nothing, takes ours as they are.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.own_rules import from_file, installed
from diagnostics.project import Project, check_files, find
from diagnostics.rule import Catalogue, Lint, Rule, Tuning, shipped

MOST = 1_000_000  # points that a threshold may count


def here(files: Iterable[str | Path] = (), diagnosed: Sequence[Path] = ()) -> Catalogue:
    """The catalogue in the current folder, with the rules in `files`, which a person names.

    `diagnosed` are the places of the logs: see `project.check_files`. UserError for whatever cannot be as it is said.
    """
    given = [Path(file) for file in files]
    asked = {file.resolve() for file in given}
    project = find(Path.cwd())
    project = replace(project, files=tuple(file for file in project.files if file.resolve() not in asked))
    check_files(project, diagnosed)
    return catalogue(replace(project, files=(*project.files, *given)))


def catalogue(project: Project) -> Catalogue:
    """Our rules, those of installed packages and in the files of `project`, changed as it says. UserError as above."""
    found = dict(shipped())
    for judge in installed():
        _add(found, judge)
    for file in {file.resolve(): file for file in project.files}.values():
        for judge in from_file(file):
            _add(found, judge)
    for code, table in project.rules.items():
        if code not in found:
            raise _unknown(f"{project.where}, [rules.{code}]: there is no rule {code}", code, found)
        found[code] = _tuned(found[code], table, project.where)
    return dict(sorted(found.items()))


def notes(rules: Catalogue) -> tuple[str, ...]:
    """What is not as it comes with autotune: a report must not be silently different."""
    changes = tuple(_change(judge, judge.tuning) for judge in rules.values() if judge.tuning and not judge.ignored)
    origins: dict[str, list[str]] = {}
    for judge in rules.values():
        if judge.origin is not None:
            origins.setdefault(judge.origin.where, []).append(judge.code)
    return changes + tuple(f"rules from {where}: {', '.join(codes)}" for where, codes in origins.items())


def digest(rules: Catalogue) -> str:
    """Changes with whatever is not as it comes with autotune; "" where everything is."""
    parts = [
        (judge.code, judge.origin and (judge.origin.where, judge.origin.digest), judge.tuning and repr(judge.tuning))
        for judge in rules.values()
        if judge.origin or judge.tuning
    ]
    return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest() if parts else ""


def _add(found: dict[str, Rule | Lint], judge: Rule | Lint) -> None:
    for other in found.values():
        for what, mine, its in (("code", judge.code, other.code), ("name", judge.name, other.name)):
            if mine == its:
                assert judge.origin is not None
                whose = other.origin.where if other.origin is not None else "autotune itself"
                raise UserError(
                    f"{judge.origin.where}: the {what} {mine} of {judge.code} {judge.name} is taken by "
                    f"{other.code} {other.name} of {whose}",
                    "Choose another, with letters of your own before the number.",
                )
    found[judge.code] = judge


def _tuned(judge: Rule | Lint, table: Mapping[str, Any], where: str) -> Rule | Lint:
    said = f"{where}, [rules.{judge.code}]"
    known = {"severity", "ignore", *judge.defaults}
    strange = next((key for key in table if key not in known), None)
    if strange is not None:
        raise _unknown(f"{said}: {judge.code} {judge.name} has no threshold {strange!r}", strange, known)
    thresholds = {
        key: _threshold(f"{said}: {key}", value, judge.defaults[key])
        for key, value in table.items()
        if key in judge.defaults
    }
    ignored = table.get("ignore", False)
    if not isinstance(ignored, bool):
        raise UserError(f"{said}: ignore is {ignored!r}", "It is true or false.")
    tuning = Tuning(where, thresholds, _severity(said, table.get("severity")), ignored)
    if isinstance(judge, Lint):
        return replace(judge, tuning=tuning)
    # A threshold that counts points reaches back further with them, and a step of a growing run must see as many.
    points = [
        value / judge.defaults[key]
        for key, value in thresholds.items()
        if isinstance(value, int) and judge.defaults[key]
    ]
    longer = max([1.0, *points])
    return replace(
        judge, tuning=tuning, warmup=math.ceil(judge.warmup * longer), lookback=math.ceil(judge.lookback * longer)
    )


def _threshold(said: str, value: Any, default: float) -> float:
    """`value` where it is one that the threshold may have: of the default's kind, and on its side of zero."""
    whole = isinstance(default, int)
    right = not isinstance(value, bool) and isinstance(value, int if whole else int | float)
    if not right or not math.isfinite(value) or abs(value) > MOST**2 or (whole and abs(value) > MOST):
        kind = f"a whole number up to {MOST:,}" if whole else "a finite number"
        raise UserError(f"{said} is {value!r}", f"It takes {kind}, such as the default {default:g}.")
    if default * value <= 0 and default:
        side = "above" if default > 0 else "below"
        raise UserError(f"{said} is {value!r}", f"It takes a number {side} 0, such as the default {default:g}.")
    return int(value) if whole else float(value)


def _severity(said: str, given: Any) -> Severity | None:
    if given is None:
        return None
    try:
        return Severity.parse(str(given))
    except ValueError as error:
        raise UserError(f"{said}: {error}") from None


def _unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    if not near and len(list(known)) > 9:
        return UserError(what, "See autotune rules for all of them.")
    return UserError(what, f"There {'is' if len(near) == 1 else 'are'} {', '.join(near or sorted(known))}.")


def _change(judge: Rule | Lint, tuning: Tuning) -> str:
    parts = [f"{name} = {value:g} instead of {judge.defaults[name]:g}" for name, value in judge.changed.items()]
    if tuning.severity is not None:
        parts.append(f"severity {judge.highest.name.lower()} instead of {judge.severity.name.lower()}")
    return f"{judge.code} is changed by {tuning.where}: {', '.join(parts) or 'nothing'}"
