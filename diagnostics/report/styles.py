"""How a severity looks in a terminal, in rich's words; apart from the report, so that nothing else comes with it."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostics.finding import Severity

STYLES: Mapping[Severity, str] = {
    Severity.FATAL: "bold reverse red",
    Severity.ERROR: "bold bright_red",
    Severity.WARNING: "bold yellow",
    Severity.INFO: "bold cyan",
}

# Of lines and marks, which a coloured ground would hide.
MARKS: Mapping[Severity, str] = {**STYLES, Severity.FATAL: "bold red"}
