"""SIGKILL at random moments: of the study, of its worker, of both. What was finished stays, and resume ends the study.

Four kills in CI. For more: AUTOTUNE_KILLS=30 python -m pytest tests/autotune/test_kills.py
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from diagnostics.events import Outcome, RunEnded, Tail
from studies.log import read, trial_directory
from studies.record import State

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("AUTOTUNE_KILLS", "4"))
LONGEST = 12.0  # seconds to a kill: imports take most of them, a trial one or two
AUTOTUNE = [sys.executable, "-P", "-m", "autotune"]
PRESET = """
name = "short"
trials = 5
[trial]
task = "arithmetic"
completions = 640
batch_size = 64
max_completion_length = 6
eval_every = 2
[space]
learning_rate = { low = 1e-6, high = 1e-3, log = true }
temperature = { low = 0.5, high = 1.5 }
[start]
learning_rate = 1e-4
temperature = 1.0
"""


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """The study in `folder`, started or gone on with."""
    start = ["start", "short.toml", "--dir", str(folder), "--pruner", "none"]  # every trial runs to its end
    action = ["resume", str(folder)] if (folder / "study.jsonl").exists() else start
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            [*AUTOTUNE, "study", *action, "--plain"], cwd=folder.parent, stdout=log, stderr=log, start_new_session=True
        )


def descendants(pid: int) -> Iterator[int]:
    """The processes below `pid`: the worker and its trials."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                yield int(entry.name)
                yield from descendants(int(entry.name))


def kill(process: subprocess.Popen[bytes], target: str, rng: random.Random) -> None:
    """SIGKILL what `target` names; a worker is one of the processes below the study."""
    below = list(descendants(process.pid))
    pids = [] if target == "study" else [rng.choice(below)] if below and target == "worker" else below
    pids += [] if target == "worker" else [process.pid]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if process.pid in pids:
        process.wait()


def finished(folder: Path) -> dict[int, tuple[State, float | None]]:
    """What the record says of the trials that have ended."""
    if not (folder / "study.jsonl").exists() or not (folder / "study.jsonl").read_bytes().count(b"\n"):
        return {}
    return {t.number: (t.state, t.value) for t in read(folder).trials if t.state not in (State.RUNNING, State.FAILED)}


def check_whole(folder: Path) -> None:
    """Nothing lost, nothing doubled: in the record, in Optuna and in the trials' events."""
    study = read(folder)
    assert study.ended == "finished"
    done = [t for t in study.trials if t.state is not State.FAILED]
    assert len(done) == 5
    ends = Counter(
        line["trial"]
        for line in map(json.loads, filter(None, (folder / "study.jsonl").read_text().split("\n")))
        if line["type"] == "trial_ended"
    )
    assert set(ends.values()) == {1}
    for t in done:
        said = [e.event for e in Tail(trial_directory(folder, t.number) / "events.jsonl").poll()]
        assert sum(isinstance(e, RunEnded) and e.outcome is Outcome.FINISHED for e in said) == 1
        assert [e.step for e in t.evaluations] == sorted({e.step for e in t.evaluations})
    known = optuna.load_study(study_name="short", storage=f"sqlite:///{folder / 'study.db'}").trials
    assert {t.number: t.value for t in known if t.state.name == "COMPLETE"} == {t.number: t.value for t in done}
    assert not [t for t in known if t.state.name in ("RUNNING", "WAITING")]


def test_whatever_is_killed_two_studies_in_one_folder_end_whole(tmp_path: Path) -> None:
    rng = random.Random(0)
    (tmp_path / "short.toml").write_text(PRESET)
    folders = [tmp_path / "one", tmp_path / "two"]
    running = {folder: begin(folder) for folder in folders}
    for number in range(KILLS):
        folder, target = folders[number % 2], ("study", "worker", "both")[number % 3]
        if running[folder].poll() is not None:  # it ended meanwhile: the next moment is the other's, or a new study's
            if finished(folder) and read(folder).ended == "finished":
                check_whole(folder)
                folder = folders[number % 2] = tmp_path / f"again-{number}"
            running[folder] = begin(folder)
        time.sleep(rng.uniform(0, LONGEST))
        before = finished(folder)
        kill(running[folder], target, rng)
        after = finished(folder)
        assert before.items() <= after.items()
        if target != "worker":
            running[folder] = begin(folder)
    for folder in folders:
        deadline = time.monotonic() + 600  # against hanging
        while not ((folder / "study.jsonl").exists() and read(folder).ended == "finished"):
            assert time.monotonic() < deadline, (folder.parent / f"{folder.name}.log").read_text()
            if running[folder].poll() is not None:
                running[folder] = begin(folder)
            time.sleep(0.2)
        running[folder].wait()
        check_whole(folder)
