"""Starts the command line, unless a folder of the user's hides one of our packages.

The folder names are common words, and a `trainers/` in the current folder or on PYTHONPATH comes before ours. The check
stands apart from `autotune.cli` because that one already imports `diagnostics`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("autotune", "diagnostics", "studies", "trainers", "tui")


def main() -> int:
    """Run `autotune` on `sys.argv`; returns the exit status."""
    hidden = shadowed()
    if hidden is not None:
        name, folder = hidden
        print(
            f"autotune: error: {folder} hides autotune's own package {name}. "
            "Start autotune from another folder, rename that one, or take it off PYTHONPATH.",
            file=sys.stderr,
        )
        return 2
    from autotune import cli

    return cli.main()


def shadowed() -> tuple[str, Path] | None:
    """The first of our packages that another folder stands before, and that folder."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve().parent != home / name:
            return name, Path(spec.origin).parent
    return None


if __name__ == "__main__":
    sys.exit(main())
