"""The TRL that the trainers are made for. Imports nothing heavy; `trainers.callback`, which takes any, does not ask."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from diagnostics.errors import UserError
from diagnostics.vocabulary import parse_version

# From here on, and below there: one minor series, since private parts of TRL are overridden and called. What they are,
# tests/trainers/test_seams.py and test_ppo_seams.py say. The extra `train` asks for the same.
TRL = ((1, 16), (1, 17))


def require_trl() -> None:
    """UserError where another TRL is installed, or none."""
    since, until = (".".join(map(str, end)) for end in TRL)
    install = f"Install it: pip install 'trl>={since},<{until}'; AutotuneCallback works beside others, too."
    try:
        found = version("trl")
    except PackageNotFoundError:
        raise UserError(f"the trainers need TRL {since}, and none is installed", install) from None
    if not TRL[0] <= parse_version(found) < TRL[1]:
        raise UserError(f"the trainers need TRL {since}, and {found} is installed", install)
