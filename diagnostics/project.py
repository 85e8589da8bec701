"""What the project in whose folder someone works says of rules: `autotune.toml`, or `[tool.autotune]` in
`pyproject.toml`.

    rule_files = ["my_rules.py"]    # below the folder of this file

    [rules.KL002]
    token_limit = 1.0               # any threshold that `autotune rules KL002` shows
    severity = "warning"            # in place of the rule's highest one
    ignore = true                   # or leave it out

The file of the current folder counts, or of its nearest parent that has one; of two in one folder `autotune.toml`. It
is never looked for beside a log. Imports no numpy.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError

FILE, PYPROJECT = "autotune.toml", "pyproject.toml"
GROUP = "autotune.rules"  # of the entry points of installed packages that have rules
MOST_BYTES = 1 << 20
_KEYS = ("rules", "rule_files")
_GIVE = "Give a file of rules that you trust with --rules."


@dataclass(frozen=True, slots=True)
class Project:
    """The file that says it, the tables of `rules` by code as they stand there, and the files with rules of its own."""

    file: Path | None = None
    rules: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def where(self) -> str:
        """The file, as it is called from the current folder."""
        return called(self.file) if self.file is not None else ""


def called(path: Path) -> str:
    """What `path` is called from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def plain() -> bool:
    """Whether neither the project of the current folder nor an installed package says anything of rules."""
    from importlib.metadata import entry_points

    return find(Path.cwd()).file is None and not entry_points(group=GROUP)


def find(folder: Path) -> Project:
    """The project of `folder`, an empty one where there is none.

    UserError where its file cannot be read, is no TOML, or has a key that is none. Files of rules are not looked at.
    """
    for parent in (folder, *folder.parents):
        for name in (FILE, PYPROJECT):
            table = _table(parent / name)
            if table is not None:
                return _project(parent / name, table)
    return Project()


def check_files(project: Project, diagnosed: Iterable[Path] = ()) -> None:
    """UserError where a file of rules that the project names is not one to be run without being asked.

    It must lie below the project's folder, and it and the project's file must belong to whoever runs this: a folder
    that others write to, such as /tmp, may hold anything. Nor is it run where the project's file lies in a folder that
    is `diagnosed`, or beside a log that is: logs are of others, and what comes with them is not run.
    """
    if project.file is None or not project.files:
        return
    home = project.file.parent.resolve()
    said = f"{project.where}: rule_files"
    for file in project.files:
        if not file.resolve().is_relative_to(home):
            raise UserError(f"{said}: {file} is not below {home}", _GIVE)
        if not file.is_file():
            raise UserError(f"{said}: there is no file {file}", "Mend the path; it is relative to the project's file.")
        for one in (project.file, file):
            if not _is_ours(one):
                raise UserError(f"{said}: {one} belongs to another user, so no rule of it is run", _GIVE)
    for path in diagnosed:
        place = (path if path.is_dir() else path.parent).resolve()
        if home.is_relative_to(place):
            raise UserError(
                f"{said}: it lies in {place}, which is diagnosed, and code that comes with logs is not run",
                f"If these rules are yours: {' '.join(f'--rules {file}' for file in project.files)}.",
            )


def _table(path: Path) -> Mapping[str, Any] | None:
    """What `path` says to autotune; None where it is not there, or does not mention it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "See that you may read it.") from None
    of_others = path.name == PYPROJECT
    if of_others and b"autotune" not in data:  # which need not even be TOML
        return None
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is larger than a megabyte", "It is not read.")
    try:
        tables = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise UserError(f"{path} is no TOML: {error}", "Mend the file.") from None
    tool = tables.get("tool", {}) if of_others else {"autotune": tables}
    table = tool.get("autotune") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise UserError(f"{path}: tool.autotune is no table", "Write [tool.autotune.rules.KL002] and what to change.")
    return table


def _project(path: Path, table: Mapping[str, Any]) -> Project:
    said = Project(path).where
    strange = [key for key in table if key not in _KEYS]
    if strange:
        raise UserError(f"{said}: there is no key {strange[0]!r}", f"There are {' and '.join(_KEYS)}.")
    rules, files = table.get("rules", {}), table.get("rule_files", [])
    if not isinstance(rules, dict) or not all(isinstance(one, dict) for one in rules.values()):
        raise UserError(f"{said}: rules has something else than tables", "Write [rules.KL002] and what to change.")
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise UserError(f"{said}: rule_files is no list of files", 'Write rule_files = ["my_rules.py"].')
    return Project(path, rules, tuple(path.parent / file for file in files))


def _is_ours(path: Path) -> bool:
    """Whether `path` belongs to the user who runs this, or to the administrator; always where there are no owners."""
    return not hasattr(os, "geteuid") or path.stat().st_uid in (os.geteuid(), 0)
