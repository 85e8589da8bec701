"""Trials as processes: each has its log, the next one is ready, and none is left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.launch.local import LOG_FILE, LocalLauncher, LocalTrial

pytestmark = pytest.mark.slow  # each process imports torch and TRL


def ended(trial: LocalTrial) -> int:
    while (status := trial.poll()) is None:
        time.sleep(0.1)
    return status


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def folder(root: Path, name: str) -> Path:
    """A trial that ends at once: its config is of another version."""
    (root / name).mkdir()
    (root / name / "config.json").write_text('{"v": 99}')
    return root / name


def test_each_trial_has_its_own_log_whether_it_was_waited_for_or_stood_ready(tmp_path: Path) -> None:
    with LocalLauncher() as launcher:
        for name in ("first", "second"):
            trial = launcher.start(folder(tmp_path, name))
            launcher.prepare()
            assert ended(trial) == 2
            assert trial.last_words().startswith("trainers: error: ")
            assert f"{name}/config.json has version 99" in trial.last_words()


def test_a_ready_process_that_died_is_replaced(tmp_path: Path) -> None:
    with LocalLauncher() as launcher:
        launcher.prepare()
        ready = launcher._ready
        assert ready is not None
        ready.kill()
        ready.wait()
        trial = launcher.start(folder(tmp_path, "second"))
        assert ended(trial) == 2
        assert "second/config.json has version 99" in (tmp_path / "second" / LOG_FILE).read_text()


def test_a_ready_process_ends_with_the_launcher_and_with_whoever_started_it() -> None:
    with LocalLauncher() as launcher:
        launcher.prepare()
        ready = launcher._ready
        assert ready is not None and ready.poll() is None
    assert ready.poll() == -signal.SIGKILL

    code = (
        "import time; from autotune.launch.local import LocalLauncher; launcher = LocalLauncher(); "
        "launcher.prepare(); print(launcher._ready.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while alive(orphan) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive(orphan)
