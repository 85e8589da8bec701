"""Whether there is a terminal that the monitor can be drawn on; imports nothing that draws."""

from __future__ import annotations

import os
import sys


def can_draw() -> bool:
    """Whether a person sits at all three streams, and the terminal moves its cursor: one called dumb prints alone."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM") != "dumb"
