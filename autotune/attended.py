"""A study with a person before it: the loop in a process of its own, the monitor in the terminal.

The monitor may close, crash or be killed with its terminal: the loop is in a session of its own and goes on. What the
loop would have printed lies in `study.log` in the study's folder.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from autotune.cli import ExitStatus
from diagnostics.errors import UserError
from diagnostics.text import visible

LOG_FILE = "study.log"
# The loop ends its trials within 2 s of being asked (autotune.launch.local); then it writes its journal.
SECONDS_TO_END = 10.0


def attend(directory: Path) -> ExitStatus:
    """Run the study in `directory`, which is made already, behind the monitor; returns how it stands when that closes.

    UserError where the study ended in an error, in the loop's own words; where the project's rules cannot be read.
    """
    from autotune.journal import journal
    from autotune.judged_by import rules_here
    from tui.app import MonitorResult
    from tui.feed import Loop
    from tui.run import run_monitor

    rules = rules_here([], [str(directory)])
    with (directory / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "autotune", "study", "resume", str(directory), "--plain"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is the monitor's, and a closed terminal ends the monitor alone
        )
    loop = Loop(lambda: process.poll() is None, directory / LOG_FILE)
    result = run_monitor(directory, loop=loop, rules=rules, account=journal)
    if process.poll() is None and result is MonitorResult.LEFT:
        print(f"the study goes on: autotune monitor {directory}, autotune study stop {directory}")
        return ExitStatus.CLEAN
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print(f"autotune: interrupted; go on with: autotune study resume {directory}", file=sys.stderr)
        return ExitStatus.INTERRUPTED
    return _ended(directory, process.returncode)


def _ended(directory: Path, status: int) -> ExitStatus:
    """Say how the study ended, as it would have been said without a monitor."""
    if status == ExitStatus.CLEAN:
        from autotune.views.plain import closing
        from studies.log import read

        for line in closing(read(directory)):
            print(visible(line))
        return ExitStatus.CLEAN
    lines = (directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else f"it wrote nothing to {directory / LOG_FILE}"
    if status == ExitStatus.ERROR:
        raise UserError(last.removeprefix("autotune: error: "))
    raise UserError(f"the study ended with status {status}: {last}", f"See {directory / LOG_FILE}.")
