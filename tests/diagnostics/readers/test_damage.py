"""Damaged and hostile logs of all formats, through the whole path; `damage.py` says what must be so.

`AUTOTUNE_DAMAGE=10000 .venv/bin/pytest -s tests/diagnostics/readers/test_damage.py` has more of them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = int(os.environ.get("AUTOTUNE_DAMAGE", "500"))
SCRIPT = Path(__file__).with_name("damage.py")


@pytest.mark.slow
def test_no_damage_does_harm_and_what_is_lost_is_said(tmp_path):
    # A process of its own, so that memory is this script's alone.
    command = [sys.executable, SCRIPT, str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=COUNT * 2)
    *wrong, figures = done.stdout.splitlines() or [""]
    print(figures)
    assert not wrong, "\n".join(wrong) + done.stderr
    assert done.returncode == 0, done.stderr
    said = json.loads(figures)
    assert said["cases"] == COUNT
    assert said["kinds"] > 100  # ways of damage, over all formats
    assert list(tmp_path.iterdir()) == []
