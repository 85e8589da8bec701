"""Records study.tar.xz: a study of the preset arithmetic-grpo, with what a person asks of it while it runs.

python tests/data/record_study.py; eight trials take some minutes. docs/images/make.py replays it.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from studies.log import STUDY_FILE, StudyFollower
from studies.record import StudyRecord
from studies.requests import REQUESTS, Action, ask

KEPT = Path(__file__).with_name("study.tar.xz")
NAME = "arithmetic-grpo-1"
# What follows from the rest, or is of no use to the monitor.
LEFT_OUT = ("study.db", "journal.md", "report.json", "checkpoints", "trainer.log")


def steps(study: StudyRecord, number: int) -> int:
    """How many steps the trial of that number has made, -1 before it begins."""
    return next((trial.steps for trial in study.trials if trial.number == number), -1)


ASKED: list[tuple[Callable[[StudyRecord], bool], dict[str, object]]] = [
    (lambda s: steps(s, 2) > 20, {"action": Action.NOTE, "trial": 1, "text": "learns at once: the start was too hot"}),
    (lambda s: steps(s, 3) > 20, {"action": Action.TRY, "trial": 1, "knobs": {"update_epochs": 2}}),
    (lambda s: steps(s, 4) > 40, {"action": Action.PAUSE, "trial": 4}),
    (lambda s: any(t.paused for t in s.trials), {"action": Action.CONTINUE, "trial": 4}),
]


def record(folder: Path) -> None:
    """Run the study in `folder` and ask what is asked of it."""
    command = [sys.executable, "-m", "autotune", "study", "start", "--dir", NAME, "--plain"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "LOGNAME": "ada"}
    os.environ["LOGNAME"] = "ada"
    with subprocess.Popen(command, cwd=folder, env=environment) as running:
        while not (folder / NAME / STUDY_FILE).exists():
            time.sleep(1)
        follower, left = StudyFollower(folder / NAME), list(ASKED)
        while running.poll() is None:
            follower.poll()
            study = follower.record()
            if study and left and left[0][0](study):
                ask(folder / NAME, **left.pop(0)[1])
                time.sleep(8)
            time.sleep(1)
    assert not left, "the study ended before all was asked"


def pack(study: Path) -> None:
    """Keep the files of the study that a monitor reads; they say nothing of the machine it was recorded on."""
    with tarfile.open(KEPT, "w:xz") as archive:
        for path in sorted(study.rglob("*")):
            inside = path.relative_to(study)
            if path.is_dir() or inside.parts[0] == REQUESTS or set(inside.parts) & set(LEFT_OUT):
                continue
            text = path.read_text(encoding="utf-8")
            for place in (str(study.parent), str(Path.home())):
                text = text.replace(place, "~")
            about = tarfile.TarInfo(f"{NAME}/{inside}")
            about.size = len(text.encode())
            archive.addfile(about, io.BytesIO(text.encode()))


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        record(Path(made))
        pack(Path(made) / NAME)
