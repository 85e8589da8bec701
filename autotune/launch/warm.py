"""The launcher's end of a worker, `trainers.worker`: orders go in, answers come out, nothing ever waits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG_FILE = "trainer.log"


class Worker:
    """A warm process and the trials that run in forks of it.

    Trials may be ordered while it still imports: they begin once it is ready.
    """

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  # what its imports say; told only where they fail
        # A session of its own keeps Ctrl-C from reaching it before the loop has decided what to do about it.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,
            # Asked through NVML whether there is a GPU, torch does not touch it, and so can be forked.
            env=environment() | {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._rest = b""
        self._forks: dict[int, Fork] = {}  # that have not ended
        self._count = 0
        self._ready = self._gone = False

    @property
    def pid(self) -> int:
        """Of the worker itself."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it can still be given a trial."""
        self.listen()
        return not self._gone

    def run(self, directory: Path, attempt: int, variables: Mapping[str, str]) -> Fork:
        """Run the trial of `directory` in a fork, with these environment variables on top of the worker's."""
        order = {
            "trial": self._count,
            "directory": str(directory.absolute()),
            "cwd": str(Path.cwd()),
            "attempt": attempt,
            "log": LOG_FILE,
            "environment": dict(variables),
        }
        fork = self._forks[self._count] = Fork(self, self._count, directory)
        self._count += 1
        self._send(order)
        return fork

    def listen(self) -> None:
        """Take in what the worker has answered by now."""
        while not self._gone:
            try:
                chunk = os.read(self._answers.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not chunk:
                self._lost()
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def cancel(self, fork: Fork, status: int) -> bool:
        """Give the trial this status, if it cannot have begun because the worker still imports; whether it did."""
        if self._ready:
            return False
        self._send({"cancel": fork.number})
        del self._forks[fork.number]
        fork.status = status
        return True

    def kill(self) -> None:
        """End the worker with all its trials."""
        kill_group(self._process.pid, signal.SIGKILL)
        self._lost()

    def _send(self, order: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: there will be no answer, and that will be noticed
            os.write(self._orders.fileno(), json.dumps(order).encode() + b"\n")

    def _take(self, answer: Mapping[str, Any]) -> None:
        if "ready" in answer:
            self._ready = True
        elif answer["trial"] in self._forks:  # else it was cancelled
            fork = self._forks[answer["trial"]]
            if "pid" in answer:
                fork.begun(answer["pid"])
            else:
                fork.status = answer["status"]
                del self._forks[fork.number]

    def _lost(self) -> None:
        """The worker has died: so must its trials, since nobody would hear of them any more."""
        if self._gone:
            return
        self._gone = True
        kill_group(self._process.pid, signal.SIGKILL)  # one that merely closed its output ends, too
        status = self._process.wait() or 1
        self._words.seek(0)
        words = self._words.read()
        for fork in self._forks.values():
            if fork.pid is None:
                with contextlib.suppress(OSError), (fork.directory / LOG_FILE).open("ab") as log:
                    log.write(words)
                fork.status = status
            else:
                kill_group(fork.pid, signal.SIGKILL)
                fork.status = -signal.SIGKILL
        self._forks.clear()
        for file in (self._orders, self._answers, self._words):
            file.close()


class Fork:
    """A trial in a fork of a worker."""

    def __init__(self, worker: Worker, number: int, directory: Path) -> None:
        self.worker, self.number, self.directory = worker, number, directory
        self.pid: int | None = None
        self.status: int | None = None
        self._wanted: signal.Signals | None = None  # a signal for a process that nobody knows yet

    def poll(self) -> int | None:
        """The exit status, None while it runs or waits for the worker."""
        self.worker.listen()
        return self.status

    def begun(self, pid: int) -> None:
        """The worker has forked."""
        self.pid = pid
        if self._wanted is not None:
            kill_group(pid, self._wanted)

    def signal(self, number: signal.Signals) -> None:
        """Send it and its children a signal, which cancels it where the worker still imports."""
        if self.poll() is not None:
            return
        if self.pid is not None:
            kill_group(self.pid, number)
        elif not self.worker.cancel(self, -number):
            self._wanted = number

    def abandon(self) -> None:
        """It does not end, killed or not: the worker is stuck."""
        self.worker.kill()


def environment() -> dict[str, str]:
    """The environment of every trainer: ours, and one thread for computing on the CPU unless the user says otherwise.

    The last digits of a run depend on the number of threads, so it must not depend on how many trials run at once.
    """
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def kill_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to a process group that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)
