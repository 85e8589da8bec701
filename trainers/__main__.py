"""`python -P -m trainers DIR`: run the trial whose config.json lies in DIR."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from diagnostics.errors import UserError
from diagnostics.events import Outcome
from trainers.run import run_trial


def main() -> int:
    """0 where the trial finished or was stopped, 2 for an error of the user's, 130 where a person interrupted it."""
    parser = argparse.ArgumentParser(prog="python -m trainers", description="Run one trial.")
    parser.add_argument("directory", type=Path, help="the folder with the trial's config.json")
    parser.add_argument("--attempt", type=int, default=1, help="counts the times this trial was begun (default 1)")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one is gone")
    arguments = parser.parse_args()
    parent = os.getppid() if arguments.with_parent else None
    try:
        ended = run_trial(arguments.directory, attempt=arguments.attempt, parent=parent)
    except UserError as error:
        print(f"trainers: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 130 if ended.outcome is Outcome.INTERRUPTED else 0


if __name__ == "__main__":
    sys.exit(main())
