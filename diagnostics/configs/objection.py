"""What a framework itself has against settings: it would stop with them, or do something else without saying so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Objection:
    """`what` is wrong, `remedy` what to set, and `names` the settings it is about, the first first.

    `refused` says whether the framework stops with it, or goes on and does something else.
    """

    what: str
    remedy: str
    names: tuple[str, ...]
    refused: bool = True
