"""`python -P -m trainers DIR`: run the trial whose config.json lies in DIR."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path

from diagnostics.errors import UserError
from diagnostics.events import Outcome
from trainers.run import require_training_extra, run_trial

# What takes seconds to import.
HEAVY = ("trainers.callback", "trainers.evaluate", "trainers.grpo", "trainers.tasks.arithmetic")


def main() -> int:
    """0 where the trial finished or was stopped, 2 for an error of the user's, 130 where a person interrupted it."""
    parser = argparse.ArgumentParser(prog="python -m trainers", description="Run one trial.")
    parser.add_argument("directory", type=Path, nargs="?", help="the folder with the trial's config.json")
    parser.add_argument("--attempt", type=int, default=1, help="counts the times this trial was begun (default 1)")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one is gone")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="import all that is needed, then wait for a line of JSON on standard input that says the directory, the "
        "attempt and the name of the log in that directory",
    )
    arguments = parser.parse_args()
    if arguments.wait == (arguments.directory is not None):
        parser.error("give a directory, or --wait")
    parent = os.getppid() if arguments.with_parent else None
    directory, attempt = arguments.directory, arguments.attempt
    try:
        if arguments.wait:
            order = _await_order()
            if order is None:
                return 0
            directory, attempt = order
        ended = run_trial(directory, attempt=attempt, parent=parent)
    except UserError as error:
        print(f"trainers: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 130 if ended.outcome is Outcome.INTERRUPTED else 0


def _await_order() -> tuple[Path, int] | None:
    """Directory and attempt, None where whoever would have sent them is gone; from then on all output is in the log."""
    require_training_extra()
    for module in HEAVY:
        importlib.import_module(module)
    line = sys.stdin.readline()
    if not line:
        return None
    order = json.loads(line)
    directory = Path(order["directory"])
    log = os.open(directory / order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    return directory, order["attempt"]


if __name__ == "__main__":
    sys.exit(main())
