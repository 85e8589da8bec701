"""The monitor ends with its terminal, also where no signal tells it that it is gone."""

import os
import pty
import subprocess
import sys
from pathlib import Path


def test_a_monitor_whose_terminal_is_gone_ends(stage) -> None:
    stage.running()
    master, slave = pty.openpty()
    # Of a session without a controlling terminal, as under some containers: nobody sends it SIGHUP.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "autotune", "monitor", str(Path("st").absolute())],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    shown = b""
    while b"Trial" not in shown:
        shown += os.read(master, 4096)
    os.close(master)
    try:
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
