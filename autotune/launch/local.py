"""Runs trials on this machine: in forks of a warm worker, or, where that cannot be, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

from autotune.launch.warm import LOG_FILE as LOG_FILE
from autotune.launch.warm import Worker, environment, kill_group
from diagnostics.errors import UserError
from studies import trial as trial_file
from studies.trial import PAUSE_FILE

GRACE_SECONDS = 2.0  # what a trainer gets to end its step and write its last event; Ctrl-C must end within 3 s
KILL_SECONDS = 0.5  # until a killed trial is known to be dead; then the worker is taken to be stuck


class LocalLauncher:
    """Starts trials, up to `parallel` at once; a context manager that leaves no process behind.

    All trials run in forks of one warm worker, which has paid the imports (torch, transformers, TRL: 5 to 9 s). A
    worker that dies takes its trials with it, which are seen to have ended, and the next trial gets a new one.

    A trial that asks for vLLM gets a process of its own: vLLM starts processes and touches the GPU while it is
    imported. So does every trial outside Linux, where forking a process that has loaded the system's libraries is not
    safe. Where there are several GPUs, each of the `parallel` places has its own, which alone its trials see.
    """

    def __init__(self, parallel: int = 1) -> None:
        self._worker: Worker | None = None
        self._places: list[LocalTrial | None] = [None] * parallel
        self._gpus: list[str] | None = None

    def __enter__(self) -> LocalLauncher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [trial for trial in self._places if trial is not None]
        for trial in running:
            trial.ask_to_stop()
        for trial in running:
            trial.stop()
        if self._worker is not None:
            self._worker.kill()

    @property
    def worker(self) -> int | None:
        """The process id of the warm worker, None where there is none."""
        return self._worker.pid if self._worker is not None and self._worker.alive() else None

    def prepare(self) -> None:
        """Make a worker ready, where there is none."""
        if sys.platform == "linux":
            self._warm()

    def start(self, directory: Path, *, attempt: int = 1) -> LocalTrial:
        """Start the trial of `directory`. OSError where it cannot be written; RuntimeError where all places are taken.

        It begins once the worker has made its imports, which may be seconds later.
        """
        (directory / LOG_FILE).open("ab").close()
        (directory / PAUSE_FILE).unlink(missing_ok=True)  # of an attempt that was killed while it was paused
        place = next((i for i, trial in enumerate(self._places) if trial is None or trial.poll() is not None), None)
        if place is None:
            raise RuntimeError(f"{len(self._places)} trials are running, which is all that this launcher was made for")
        process: _Process
        if sys.platform != "linux" or _needs_its_own(directory):
            process = _Own(directory, attempt, self._gpu(place))
        else:
            process = self._warm().run(directory, attempt, self._gpu(place))
        trial = self._places[place] = LocalTrial(directory, process)
        return trial

    def _warm(self) -> Worker:
        if self._worker is None or not self._worker.alive():
            self._worker = Worker()
        return self._worker

    def _gpu(self, place: int) -> dict[str, str]:
        """What lets a trial see one GPU of several."""
        if self._gpus is None:
            self._gpus = gpus()
        return {"CUDA_VISIBLE_DEVICES": self._gpus[place % len(self._gpus)]} if len(self._gpus) > 1 else {}


class LocalTrial:
    """A trial under way."""

    def __init__(self, directory: Path, process: _Process) -> None:
        self.directory, self._process = directory, process
        self._asked: float | None = None  # when

    @property
    def pid(self) -> int | None:
        """Of the process that trains and of its process group, None before it has begun."""
        self._process.poll()
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, None while it runs; negative where a signal ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Ask it to end after its step; returns at once, may be called again."""
        if self._asked is None and self.poll() is None:
            self._asked = time.monotonic()
            self._process.signal(signal.SIGTERM)

    def pause(self) -> None:
        """Have it stand still after its step; returns at once, may be called again."""
        (self.directory / PAUSE_FILE).touch()

    def go_on(self) -> None:
        """Have it go on after a pause; returns at once, may be called again."""
        (self.directory / PAUSE_FILE).unlink(missing_ok=True)

    def stop(self) -> int:
        """End it: ask, wait until GRACE_SECONDS after it was asked first, then kill it with its children.

        Returns the exit status.
        """
        self.ask_to_stop()
        killed: float | None = None
        while (status := self.poll()) is None:
            assert self._asked is not None
            now = time.monotonic()
            if killed is None and now > self._asked + GRACE_SECONDS:
                self._process.signal(signal.SIGKILL)
                killed = now
            if killed is not None and now > killed + KILL_SECONDS:
                self._process.abandon()
            time.sleep(0.01)
        self.go_on()
        return status

    def last_words(self) -> str:
        """The last line the trainer wrote, which for an error is what went wrong; or the signal that ended it."""
        status = self.poll()
        if status is not None and status < 0 and self._asked is None:
            hint = ": was there too little memory?" if status == -signal.SIGKILL else ""
            return f"it was ended by {signal.Signals(-status).name}{hint}"
        lines = (self.directory / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


def gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that may be used. Asks the driver's own tool, which holds no GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return [str(i) for i, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


class _Process(Protocol):
    """How a trial runs: a `Fork`, or `_Own`."""

    @property
    def pid(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def signal(self, number: signal.Signals) -> None: ...

    def abandon(self) -> None: ...


class _Own:
    """A trial in a process of its own."""

    def __init__(self, directory: Path, attempt: int, variables: dict[str, str]) -> None:
        # -P keeps the current folder off the path, so that a user's own `trainers/` cannot take the place of ours; the
        # trainer itself appends it for the user's reward function.
        command = [sys.executable, "-P", "-m", "trainers", str(directory), "--attempt", str(attempt), "--with-parent"]
        with (directory / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment() | variables,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            kill_group(self._process.pid, number)

    def abandon(self) -> None:
        """Nothing is left to do but wait for the kernel."""


def _needs_its_own(directory: Path) -> bool:
    try:
        return bool(trial_file.read(directory).trl.get("use_vllm"))
    except UserError:
        return False  # the trainer says what is wrong with it
