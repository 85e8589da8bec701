"""A real study that a second terminal acts on, and of which now the study, now a trial is killed."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotune.launch.local import LOG_FILE
from studies.log import read, trial_directory
from studies.record import Origin, State, StudyRecord

from .test_kills import AUTOTUNE, descendants

pytestmark = pytest.mark.slow

PRESET = """
name = "short"
trials = 4
[trial]
task = "arithmetic"
completions = 6400
batch_size = 64
max_completion_length = 6
eval_every = 50
[space]
learning_rate = { low = 1e-6, high = 1e-2, log = true }
temperature = { low = 0.5, high = 1.5 }
[start]
learning_rate = 1e-4
temperature = 1.0
"""


class Terminal:
    """A study in `folder` that runs in one terminal; `say` types into another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, folder.parent / "study.log"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *words: str) -> None:
        with self.said.open("ab") as log:
            self.process = subprocess.Popen(
                [*AUTOTUNE, "study", *words, "--plain"],
                cwd=self.folder.parent, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def say(self, *words: str) -> tuple[int, str]:
        """The exit status and the last line of what is said to `autotune study`; the folder stands before options."""
        options = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
        done = subprocess.run(
            [*AUTOTUNE, "study", *words[:options], str(self.folder), *words[options:]],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]

    def until(self, so: Callable[[StudyRecord], object]) -> StudyRecord:
        deadline = time.monotonic() + 240  # against hanging
        while not ((self.folder / "study.jsonl").exists() and so(study := read(self.folder))):
            assert time.monotonic() < deadline, self.said.read_text()
            assert self.process is not None and self.process.poll() is None, self.said.read_text()
            time.sleep(0.1)
        return study

    def still(self, number: int) -> None:
        """The trial stands still after the step it was at."""
        events = trial_directory(self.folder, number) / "events.jsonl"
        time.sleep(1.0)
        before = events.stat().st_size
        time.sleep(1.0)
        assert events.stat().st_size == before


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "short.toml").write_text(PRESET)
    made = Terminal(tmp_path / "one")
    yield made
    if made.process is not None and made.process.poll() is None:
        for pid in (made.process.pid, *descendants(made.process.pid)):
            os.kill(pid, signal.SIGKILL)
        made.process.wait()


def trains(number: int, attempt: int) -> Callable[[StudyRecord], bool]:
    """When that attempt at the trial has made a step."""
    return lambda s: (t := s.trial(number)) is not None and t.attempt == attempt and t.steps > 0 and not t.paused


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_from_a_second_terminal_whatever_is_killed_meanwhile(terminal: Terminal) -> None:
    folder, say, until = terminal.folder, terminal.say, terminal.until
    terminal.run("start", "short.toml", "--dir", str(folder), "--review", "--parallel", "2")
    until(lambda s: len(s.waiting) == 2)
    assert say("pause") == (2, "autotune: error: no trial is running")
    assert say("accept") == (2, "autotune: error: trials 0 and 1 wait for an answer: say which is meant")
    assert say("accept", "--trial", "0") == (0, "trial 0 begins")
    until(trains(0, 1))
    assert say("pause") == (0, "trial 0 is paused once the step is over")
    terminal.still(0)

    # The study is killed while a trial is paused and a proposal waits: nothing of it stays behind.
    assert terminal.process is not None
    below = list(descendants(terminal.process.pid))
    os.kill(terminal.process.pid, signal.SIGKILL)
    terminal.process.wait()
    assert say("continue")[0] == 2
    assert "no process runs the study" in say("continue")[1]
    terminal.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    until(lambda _: not any(map(alive, below)))
    terminal.process.kill()
    terminal.run("resume", str(folder))
    study = until(trains(0, 2))
    assert [t.number for t in study.waiting] == [1]
    assert say("continue", "--trial", "0") == (2, "autotune: error: trial 0 is not paused")

    # A trial is killed while it is paused: it is tried again.
    assert say("pause", "--trial", "0")[0] == 0
    terminal.still(0)
    training = max(descendants(terminal.process.pid))
    os.kill(training, signal.SIGKILL)
    until(trains(0, 3))

    assert say("pause")[0] == 0
    assert say("refuse", "--trial", "1", "--because", "too warm")[0] == 0
    until(lambda s: s.trial(2) in s.waiting)
    assert say("try", "temperature=7") == (2, "autotune: error: temperature 7 is outside 0.5 to 1.5")
    assert say("try", "temperature=0.7", "--from-trial", "0") == (
        0,
        "tried next: learning_rate 0.0001, temperature 0.7",
    )
    until(trains(3, 1))
    assert say("note", "mine now", "--trial", "3") == (0, "noted: mine now")
    assert say("continue") == (0, "trial 0 goes on")
    assert say("stop", "--trial", "0") == (0, "trial 0 ends after its step")
    until(lambda s: s.trials[0].state is State.PRUNED)
    assert say("stop", "--after-trial")[0] == 0
    assert terminal.process.wait(240) == 0

    study = read(folder)
    assert study.ended == "stopped"
    assert [t.state for t in study.trials] == [State.PRUNED, State.REFUSED, State.WAITING, State.COMPLETE]
    first, refused, _, mine = study.trials
    assert (first.attempt, first.paused) == (3, False)
    assert first.reason.startswith("a person stopped it at step ")
    assert refused.reason.endswith(" refused it: too warm")
    assert (mine.proposal.origin, mine.proposal.parent) == (Origin.PERSON, 0)
    journal = (folder / "journal.md").read_text(encoding="utf-8")
    for told in (
        "asked to pause trial 0: trial 0 is paused once the step is over.",
        "- trial 0 goes on after a pause of ",
        "asked to stop trial 0: trial 0 ends after its step.",
        "refused, ",
        "asked for these settings.",
        "asked to stop the study after the trials that run: no new trial begins; the study ends with trial 3.",
        "notes: mine now.",
        "- trial 0 was begun again (attempt 2): the study ended while it ran.",
        "- trial 0 was begun again (attempt 3): it was ended by SIGKILL",
        "| 2 | ",
    ):
        assert told in journal, "\n".join(journal.splitlines()[-90:])
    assert (
        "waits for an answer"
        in subprocess.run([*AUTOTUNE, "study", "show", str(folder)], capture_output=True, text=True, check=True).stdout
    )
    exported = subprocess.run([*AUTOTUNE, "study", "export", str(folder)], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert [row["state"] for row in rows] == ["pruned", "refused", "waiting", "complete"]
    assert "notes: mine now" in rows[3]["people"]
    assert "Traceback" not in terminal.said.read_text()
    assert "Traceback" not in (trial_directory(folder, 0) / LOG_FILE).read_text()
