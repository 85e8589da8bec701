"""Writes what was found back to the runs it was found in, where they lie in a store that can hold it."""

from __future__ import annotations

from autotune.cli import say
from autotune.looking import Looked
from diagnostics.errors import UserError


def annotate(looked: Looked) -> list[str]:
    """Write each report on a run in a store back to it, and say so; why some could not be written, one line each."""
    errors = []
    for store, name, report in looked.remote:
        write = getattr(store, "annotate", None)
        try:
            if not report.judged:
                raise UserError("nothing could be checked in it", "Look at what is said of it.")
            if write is None:
                raise UserError(f"{store.NAME} holds no reports", "--annotate is for runs of wandb.")
            say(write(name, report, say))
        except UserError as error:
            errors.append(f"{report.source} was not annotated: {error}")
    stored = {report.source for _, _, report in looked.remote}
    others = [report.source for report in looked.reports if report.source not in stored]
    if others:
        say(f"not annotated, as it is no run on a server: {', '.join(others)}")
    return errors
