"""What a person's runs are judged by: our rules, or those of the project in the current folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.project import plain

if TYPE_CHECKING:
    from diagnostics.rule import Catalogue


def rules_here(files: Sequence[str], places: Sequence[str]) -> Catalogue | None:
    """What logs at `places` are judged by, with the rules in `files`; None where it is what comes with autotune.

    That is known before the rules are imported, so that a second look stays instant. UserError as of `catalogue.here`.
    """
    if not files and plain():
        return None
    from autotune.named import STDIN
    from diagnostics.catalogue import here

    return here(files, [Path(place) for place in places if place != STDIN])
