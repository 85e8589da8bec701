"""Findings for people: a line for the terminal, and alerts and a summary on wandb where a run of it is active.

wandb is never imported here: where it is not, no run of it can be active.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from diagnostics.finding import Finding, Severity

_LEVELS = {Severity.WARNING: "WARN", Severity.ERROR: "ERROR", Severity.FATAL: "ERROR"}


def line(finding: Finding) -> str:
    """A finding in one line."""
    return f"{finding.severity.name} {finding.code} {finding.name} at step {finding.raised_at}: {finding.message}"


def alert(finding: Finding) -> None:
    """Send an alert, which wandb passes on as mail or to Slack; not for what is worth knowing only (INFO)."""
    run = _active_run()
    if run is not None and finding.severity in _LEVELS:
        # wandb holds back a title that comes again within `wait_duration` seconds, a minute where that is 0. A rise in
        # severity has a title of its own, and is told once.
        title = f"{finding.severity.name} {finding.code} {finding.name}"
        run.alert(title, line(finding), level=_LEVELS[finding.severity], wait_duration=1)


def summarise(findings: Iterable[Finding]) -> None:
    """Set the summary's `autotune/worst`, `autotune/findings` (how many) and `autotune/CODE` for each, a line."""
    run = _active_run()
    if run is not None:
        found = sorted(findings, key=lambda f: (-f.severity, f.code))
        run.summary["autotune/worst"] = found[0].severity.name.lower() if found else "none"
        run.summary["autotune/findings"] = len(found)
        for finding in reversed(found):  # of several with one code the worst stays
            run.summary[f"autotune/{finding.code}"] = line(finding)


def _active_run() -> Any:
    return getattr(sys.modules.get("wandb"), "run", None)
