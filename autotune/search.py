"""What a study searches with, by the names that its user gives: --sampler, --pruner and --storage."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotune.extras import require
from diagnostics.errors import UserError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

    from studies.record import Search

OURS = "autotune"
SAMPLERS = (OURS, "tpe", "random", "gp", "cmaes")
PRUNERS = (OURS, "median", "none")
SERVERS = ("mysql", "postgresql")
SCHEMES = ("sqlite", *SERVERS, "journal")
# The package that brings a database driver, where it has another name than the module.
DRIVERS = {"MySQLdb": "mysqlclient", "psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}


def check(how: Search) -> None:
    """UserError where no sampler, pruner or storage of these names can be had; nothing is opened."""
    sampler(how.sampler, seed=0)
    pruner(how.pruner)
    if how.storage:
        _dialect(how.storage)


def sampler(name: str, seed: int, *, trials: int | None = None, objective: str = "objective") -> BaseSampler:
    """The sampler called `name`: autotune, tpe, random, gp, cmaes, or `module:Class` of the user's own.

    Ours is told how many `trials` the study will have, and what to call its objective. All others are as Optuna sets
    them up. UserError where there is none of that name, or its package is missing.
    """
    from optuna import samplers

    match name:
        case "autotune":
            from autotune.sampler import FindingsSampler

            return FindingsSampler(seed=seed, trials=trials, objective=objective)
        case "tpe":
            return samplers.TPESampler(seed=seed)
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "gp":
            require("scipy", "torch")
            return samplers.GPSampler(seed=seed)
        case "cmaes":
            require("cmaes")
            # It draws knobs with choices at random, which it would say again for each of them in every trial.
            return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case _:
            made: BaseSampler = _own(name, "sampler", SAMPLERS, samplers.BaseSampler, seed=seed)
            return made


def pruner(name: str) -> BasePruner:
    """The pruner called `name`: autotune, median, none, or `module:Class` of the user's own.

    UserError where there is none of that name.
    """
    from optuna import pruners

    match name:
        case "autotune":
            from autotune.pruner import CannotCatchUp

            return CannotCatchUp()
        case "median":
            return pruners.MedianPruner()
        case "none":
            return pruners.NopPruner()
        case _:
            made: BasePruner = _own(name, "pruner", PRUNERS, pruners.BasePruner)
            return made


def _own(name: str, kind: str, known: Iterable[str], base: type, **offered: Any) -> Any:
    """An object of the user's class `module:Class`, which is given those of `offered` that it takes.

    The current folder is searched last: a user's `trainers/` must not hide ours.
    """
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon and class_name):
        raise UserError(
            f"unknown {kind} {name!r}", f"{_meant(name, known)}There are {', '.join(known)}; module:Class works too."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"the {kind} {name} cannot be imported: {error}", f"Is {module_name} in {here} or installed?"
        ) from None
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        classes = [n for n, value in vars(module).items() if inspect.isclass(value)]
        raise UserError(
            f"{module.__file__ or module_name} has no class {class_name}",
            f"{_meant(class_name, classes)}Name the {kind} as module:Class.",
        )
    if not issubclass(found, base) or inspect.isabstract(found):
        raise UserError(f"{name} is no {kind}", f"It has to implement optuna's {base.__name__}.")
    taken = {key: value for key, value in offered.items() if key in inspect.signature(found).parameters}
    try:
        inspect.signature(found).bind(**taken)
    except TypeError as error:
        raise UserError(
            f"the {kind} {name} cannot be made: {error}",
            f"Give its other arguments defaults; it is called with {', '.join(taken) or 'none'}.",
        ) from None
    return found(**taken)


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]}? " if near else ""


# ---- storages


def storage(url: str) -> BaseStorage:
    """Optuna's storage at `url`: sqlite:///FILE, mysql://..., postgresql://..., or journal:FILE for Optuna's journal.

    SQLite is for one machine; the journal, one file that is only ever appended to, is safe on a network folder.
    UserError where the URL is none, a driver is missing, or the storage cannot be opened.
    """
    from optuna.exceptions import StorageInternalError
    from optuna.storages import JournalStorage, RDBStorage, get_storage
    from sqlalchemy.exc import SQLAlchemyError

    where = hide_password(url)
    dialect, rest = _dialect(url)
    try:
        if dialect == "journal":
            return JournalStorage(_journal(Path(rest)))
        # A server drops connections that were idle for hours: each is tried before it is used, and opened again.
        return get_storage(RDBStorage(url, engine_kwargs={"pool_pre_ping": True} if dialect in SERVERS else None))
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or dialect
        raise UserError(
            f"{where} needs the package {missing}", f"Install it: pip install '{DRIVERS.get(missing, missing)}'"
        ) from None
    except ValueError:  # the port; Python's message would show a piece of a password with a colon in it
        raise UserError(
            f"{where} is no URL", "The port is a number; write an @ or : in a password as %40 or %3A."
        ) from None
    except (
        SQLAlchemyError,
        StorageInternalError,
        OSError,
        RuntimeError,
    ) as error:  # RuntimeError: tables of another version of Optuna
        raise UserError(f"cannot open the storage {where}: {_cause(error)}", _hint(dialect)) from None


def _dialect(url: str) -> tuple[str, str]:
    """The kind of storage that `url` names, and what stands behind its colon."""
    where = hide_password(url)
    scheme, colon, rest = url.partition(":")
    dialect = scheme.partition("+")[0]
    if not colon or dialect not in SCHEMES:
        near = _meant(dialect, SCHEMES) or ("Did you mean sqlite:///" + url + "? " if not colon else "")
        raise UserError(
            f"{where} is no storage", f"{near}Give sqlite:///FILE, mysql://..., postgresql://... or journal:FILE."
        )
    if dialect == "sqlite" and rest.removeprefix("///") in ("", "//", ":memory:"):
        raise UserError(f"{where} is forgotten when the study ends", "Give a file: sqlite:///FILE.")
    return dialect, rest


def absolute(url: str) -> str:
    """`url` with the path of its file made absolute, so that a study goes on from any folder."""
    relative = re.fullmatch(r"(sqlite(?:\+\w+)?:///|journal:)([^/:].*)", url)
    return f"{relative[1]}{Path(relative[2]).absolute()}" if relative else url


def hide_password(url: str) -> str:
    """`url` as it may be shown: without its password."""
    shown = re.sub(r"(://[^:/@]*:).*(?=@)", r"\1***", url)
    return re.sub(r"([?&][^=&]*passw(?:or)?d=)[^&]*", r"\1***", shown)


@contextmanager
def plainly(where: str) -> Iterator[None]:
    """Within it, a storage that fails or goes away is a UserError; `where` is its URL, or its file."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(
            f"the storage {hide_password(where)} failed: {_cause(error)}",
            "See that it is there and can be written, then go on with `autotune study resume`.",
        ) from error
    except KeyError as error:
        if error.args != ("Record does not exist.",):  # optuna.storages.*.NOT_FOUND_MSG
            raise
        raise UserError(
            f"the study is no longer in the storage {hide_password(where)}", "Was it deleted while it ran?"
        ) from error


def _cause(error: BaseException) -> str:
    """What went wrong in the words of the database itself, in one line."""
    cause = error.__cause__ or error
    text = str(getattr(cause, "orig", None) or cause).strip()
    return text.splitlines()[0].rstrip(". ") if text else type(cause).__name__


def _hint(dialect: str) -> str:
    if dialect in SERVERS:
        return "Does the server run, with a database, a user and a password as in the URL?"
    return "Give a file in a folder that exists and can be written; a file that exists must be a storage of Optuna's."


def _journal(path: Path) -> Any:
    """The file of Optuna's journal; what fails there is a StorageInternalError, as it is for databases."""
    from optuna.exceptions import StorageInternalError
    from optuna.storages.journal import JournalFileBackend

    class Backend(JournalFileBackend):
        def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
            try:
                yield from super().read_logs(log_number_from)
            except (OSError, ValueError) as error:  # ValueError: a line that is no JSON
                raise StorageInternalError(f"cannot read {path}") from error

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            try:
                super().append_logs(logs)
            except OSError as error:
                raise StorageInternalError(f"cannot write {path}") from error

    return Backend(str(path))
