"""`python -P -m trainers DIR`: run the trial whose config.json lies in DIR."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from trainers.run import exit_status


def main() -> int:
    """The exit status of the trial."""
    parser = argparse.ArgumentParser(prog="python -m trainers", description="Run one trial.")
    parser.add_argument("directory", type=Path, help="the folder with the trial's config.json")
    parser.add_argument("--attempt", type=int, default=1, help="counts the times this trial was begun (default 1)")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one is gone")
    arguments = parser.parse_args()
    parent = os.getppid() if arguments.with_parent else None
    return exit_status(arguments.directory, attempt=arguments.attempt, parent=parent)


if __name__ == "__main__":
    sys.exit(main())
