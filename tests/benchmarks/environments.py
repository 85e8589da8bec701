"""Environments of their own for other tools."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path


def made(home: Path, requirements: Sequence[str]) -> Path:
    """The Python of the environment in `home`, made with `requirements` where there is none.

    CalledProcessError where pip cannot install them.
    """
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
        (home / "ready").touch()
    return python
