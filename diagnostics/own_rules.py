"""Rules that are not ours: in a file that a person names, or in an installed package.

Both are code that is run, as it is when Python runs it. So nothing is loaded that nobody asked for by name: a file is
given on the command line, in a call, or by the project's own configuration, and a package was installed.

A package names the module with its rules as an entry point:

    [project.entry-points."autotune.rules"]
    acme = "acme.rules"
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from diagnostics.contract import broken
from diagnostics.errors import UserError, described
from diagnostics.project import GROUP, called
from diagnostics.rule import Lint, Origin, Rule, judges

_START = "See CONTRIBUTING.md of autotune for how a rule is written."


def from_file(path: Path) -> list[Rule | Lint]:
    """The rules in a Python file. UserError where it cannot be run, holds no rule, or one breaks its contract."""
    where = called(path)
    try:
        digest = blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}", "Give the Python file with your rules.") from None
    name = f"autotune_rules_{path.stem}_{digest}"
    loader = _Fresh(name, str(path.absolute()))
    module = importlib.util.module_from_spec(ModuleSpec(name, loader, origin=loader.path))
    module.__file__ = loader.path
    sys.modules[name] = module  # where dataclasses look for it
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:  # it may do anything
        del sys.modules[name]
        raise UserError(f"{where} cannot be loaded: {described(error, str(path.absolute()))}", "Mend it.") from error
    return _kept(judges(module), Origin(where, digest))


def installed() -> Iterator[Rule | Lint]:
    """The rules of installed packages. UserError as above."""
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        where = f"the package {point.dist.name}" if point.dist is not None else f"the entry point {point.name}"
        try:
            module = importlib.import_module(point.module)
            found, digest = judges(module), _digest(module)
        except (Exception, SystemExit) as error:
            raise UserError(
                f"{where} has rules in {point.module}, which cannot be loaded: {described(error)}",
                "Mend it, or uninstall it.",
            ) from error
        yield from _kept(found, Origin(where, digest))


class _Fresh(SourceFileLoader):
    """Runs what the file holds now: bytecode of a second ago may be of what was there before, and none is left."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _kept(found: Sequence[Rule | Lint], origin: Origin) -> list[Rule | Lint]:
    if not found:
        raise UserError(f"{origin.where} holds no rule", f"Decorate a function with @rule or @lint. {_START}")
    for judge in found:
        fault = broken(judge)
        if fault:
            raise UserError(f"{origin.where}: {judge.name} {fault}", _START)
    return [replace(judge, origin=origin) for judge in found]


def _digest(module: ModuleType) -> str:
    """Of the source of a module or, for a package, of all that is in its folder."""
    file = Path(module.__file__ or "")
    files = sorted(file.parent.rglob("*.py")) if hasattr(module, "__path__") else [file]
    digest = blake2b(digest_size=16)
    for one in files:
        digest.update(one.read_bytes() + b"\0")
    return digest.hexdigest()
