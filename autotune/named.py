"""The places that a person names on the command line: paths, standard input, and runs in a store elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from diagnostics.errors import UserError
from diagnostics.finding import Report
from diagnostics.sources import Found, find
from diagnostics.stores import trackio
from diagnostics.stores.store import Store, exists, store_of
from diagnostics.stores.wandb_names import PREFIX, parsed

STDIN = "-"
UNREADABLE = "standard input, which is copied to a file, cannot be read to its end: {}"
SOME = 6  # names that a message lists


@dataclass(frozen=True, slots=True)
class Named:
    """A path, and what it is called: standard input is a file of our own that nobody knows.

    What lies in a `store` has no path until it is fetched.
    """

    path: Path
    shown: str
    store: Store | None = None

    def find(self) -> Found:
        """The logs there, called as they were named. UserError where there is none that can be read."""
        if self.store is not None:
            what = f"{self.shown} is nothing here, and what lies in {self.store.NAME} cannot be followed"
            raise UserError(what, "Look at it with autotune diagnose: a second look fetches what is new only.")
        try:
            found = find(self.path)
        except UserError as error:
            also = "" if exists(self.shown) else self._elsewhere()
            raise UserError(self._said(error.message), f"{self._said(error.hint)} {also}".strip()) from None
        return replace(found, sources=tuple(replace(s, name=self._said(s.name)) for s in found.sources))

    def _elsewhere(self) -> str:
        """Where else than here the name of something that is not here may have been meant to lead."""
        if self.shown.startswith(PREFIX):
            return f"Runs of wandb go by {PREFIX}entity/project/run, or {PREFIX}entity/project."
        if self.shown.startswith(trackio.PREFIX):
            return f"Projects of trackio are looked for in {self.path.parent} (TRACKIO_DIR)."
        if "://" in self.shown:
            return "Of addresses, those of wandb, of a server of MLflow and of the hub (hf://user/repo) are known."
        return f"A run of wandb would be {PREFIX}{self.shown}." if parsed(self.shown) is not None else ""

    def can_be_read(self) -> bool:
        """Whether there is something that may hold a log, now or later."""
        if self.store is not None:
            return False
        return (self.path.is_file() or self.path.is_dir()) and os.access(self.path, os.R_OK)

    def _said(self, text: str) -> str:
        return text.replace(str(self.path), self.shown)


def named(argument: str, stdin: Path) -> Named:
    """What `argument` names; the contents of standard input are in the file `stdin`.

    UserError for an empty one, and as of `store_of`.
    """
    if not argument:  # a variable that is not set, which must not mean the current folder
        raise UserError("the path of a log is empty", "Give a file or a folder; `-` reads standard input.")
    if argument == STDIN:
        return Named(stdin, "standard input")
    local = trackio.database(argument)
    if local is not None:
        return Named(local, argument if local.suffix else str(local))  # all projects go by their own names
    store = store_of(argument)
    if store is not None:
        return Named(Path(), argument, store)
    return Named(Path(argument), argument if "://" in argument else str(Path(argument)))


@contextmanager
def spooling(arguments: Sequence[str]) -> Iterator[Path]:
    """A file to copy standard input to, for as long as it is needed; in no folder where `arguments` do not name it.

    UserError where there is no standard input.
    """
    if STDIN not in arguments:
        yield Path(os.devnull)
        return
    if sys.stdin is None:  # closed by the shell (`<&-`)
        raise UserError("standard input is closed", "Pipe a log into autotune, or name a file.")
    with tempfile.TemporaryDirectory(prefix="autotune-") as folder:
        yield Path(folder) / "stdin"


def nothing_judged(report: Report) -> str:
    """One line on a log that no rule could judge, and what to do about it."""
    if report.steps >= 0:  # so it was for lack of what the rules asked for need
        from diagnostics.choice import LEFT_OUT

        lacking = [f"{skip.code} {skip.reason}" for skip in report.skips if not skip.reason.startswith(LEFT_OUT)]
        why = "; ".join(lacking[:SOME]) or "all of them are left out"
        return f"none of the rules asked for could be checked in {report.source}: {why}. Ask for others with --only."
    if not report.unmapped:
        why = f": {'; '.join(report.notes)}." if report.notes else ". Has its run begun?"
        return f"{report.source} logged no metric{why}"
    some = ", ".join(report.unmapped[:SOME])
    more = f" and {len(report.unmapped) - SOME} more" if len(report.unmapped) > SOME else ""
    return (
        f"nothing could be checked in {report.source}: none of its names is known ({some}{more}). "
        "Say what they mean with --map NAME=metric, such as --map avg_return=reward_mean."
    )
