"""Runs anyone's command as a trial: starts it, follows what it logs, ends it when it is asked to or hangs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from autotune.launch import guard
from autotune.launch.local import gpus
from autotune.launch.script_log import DEPTH
from autotune.launch.translate import Translator
from autotune.launch.warm import LOG_FILE
from diagnostics.errors import UserError
from diagnostics.events import Outcome
from diagnostics.readers.files import files_below
from diagnostics.text import visible
from studies.command import CommandSpec, check_program, read

GRACE_SECONDS = 2.0  # between the question and the kill where everything must end at once: Ctrl-C has 3 s
PATIENCE_SECONDS = 60.0  # and where only this trial must: a script may save its model
BUDGET_SECONDS = 0.05  # of one poll
LEFT_SECONDS = 0.3  # for what is not translated yet when a trial must end at once
ALIVE_SECONDS = 5.0  # between two looks for a sign of life

_TAIL = 1 << 16  # bytes of a trial's output that are searched for its last words
_MOST = 300  # characters of last words
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PROGRESS = re.compile(r"\d\s*%|\d+/\d+|it/s|s/it")


class CommandLauncher:
    """Starts the command of each trial, up to `parallel` at once; a context manager that leaves no process behind.

    Where there are several GPUs, each of the `parallel` places has its own, which alone its trials see.
    """

    def __init__(self, parallel: int = 1) -> None:
        self._places: list[CommandTrial | None] = [None] * parallel
        self._gpus: list[str] | None = None

    def __enter__(self) -> CommandLauncher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [trial for trial in self._places if trial is not None]
        for trial in running:
            trial.ask_to_stop()
        for trial in running:
            trial.stop()

    def prepare(self) -> None:
        """Nothing can be made ready for a command."""

    def start(self, directory: Path, *, attempt: int = 1) -> CommandTrial:
        """Start the command of the trial in `directory`.

        UserError where its program is not there, or where two would log to one file. OSError where the folder cannot be
        written; RuntimeError where all places are taken.
        """
        spec = read(directory)
        check_program(spec, str(directory))
        running = [trial for trial in self._places if trial is not None and trial.poll() is None]
        if running and spec.shares_its_log():
            raise UserError(f"trials that run at once would share {spec.log}", "Put {dir} or {seed} in --log.")
        place = next((i for i, trial in enumerate(self._places) if trial not in running), None)
        if place is None:
            raise RuntimeError(f"{len(self._places)} trials are running, which is all that this launcher was made for")
        trial = self._places[place] = CommandTrial(directory, spec, attempt, self._gpu(place))
        return trial

    def _gpu(self, place: int) -> dict[str, str]:
        """What lets a trial see one GPU of several."""
        if len(self._places) == 1:
            return {}
        if self._gpus is None:
            self._gpus = gpus()
        return {"CUDA_VISIBLE_DEVICES": self._gpus[place % len(self._gpus)]} if len(self._gpus) > 1 else {}


class CommandTrial:
    """A command under way. Its exit status is told once all that it logged is among the trial's events."""

    def __init__(self, directory: Path, spec: CommandSpec, attempt: int, variables: dict[str, str]) -> None:
        self.directory, self._spec = directory, spec
        self._translator = Translator(directory, spec, attempt)
        self._output = directory / LOG_FILE
        with self._output.open("ab") as output:
            self._since = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *spec.arguments(directory, attempt)],
                cwd=spec.folder or None,
                stdin=subprocess.PIPE,  # its end tells the guard that we are gone
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_environment(directory, spec, attempt) | variables,
            )
        self._status: int | None = None
        self._asked: float | None = None
        self._paused = False
        self._why = ""  # it was asked to end
        self._failure = ""
        self._alive, self._looked, self._newest = time.monotonic(), time.monotonic(), 0.0

    @property
    def pid(self) -> int:
        """Of the process group of the command."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, None while it runs or while what it logged is not all told; takes a moment, never waits."""
        if self._status is not None:
            return self._status
        status = self._process.poll()
        done = self._translator.poll(time.monotonic() + BUDGET_SECONDS, ended=status is not None)
        if status is None:
            self._decide()
        elif done:
            self._end(status)
        return self._status

    def ask_to_stop(self) -> None:
        """Ask it to end (SIGTERM to all its processes); returns at once, may be called again."""
        if self._asked is None and self._status is None:
            self._asked = time.monotonic()
            self._why = self._why or "asked to stop"
            self._signal(signal.SIGTERM)
            self.go_on()  # what stands still would not hear of it

    def pause(self) -> None:
        """Stop all its processes where they are (SIGSTOP); returns at once, may be called again."""
        if not self._paused and self._asked is None:
            self._paused = True
            self._order(guard.PAUSE)

    def go_on(self) -> None:
        """Let all its processes go on after a pause; returns at once, may be called again."""
        if self._paused:
            self._paused, self._alive = False, time.monotonic()
            self._order(guard.GO_ON)

    def stop(self) -> int:
        """End it: ask, wait, then kill it with all its children. Returns the exit status."""
        if self._status is None:
            if self._process.poll() is None:
                self.ask_to_stop()
            asked = self._asked or time.monotonic()
            try:
                self._process.wait(max(0.0, asked + GRACE_SECONDS - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
            status = self._process.wait()
            self._translator.poll(time.monotonic() + LEFT_SECONDS, ended=True)
            self._end(status)
        assert self._status is not None
        return self._status

    def last_words(self) -> str:
        """What went wrong, or else the last line it wrote."""
        return self._failure or self._last_line() or "it wrote nothing"

    def _decide(self) -> None:
        """End it for a finding, for hanging, or for not ending when asked."""
        now = time.monotonic()
        if self._asked is not None:
            if now > self._asked + PATIENCE_SECONDS:
                self._signal(signal.SIGKILL)
            return
        limit = self._spec.stop_on
        found = next((f for f in self._translator.findings if limit is not None and f.severity >= limit), None)
        if found is not None:
            self._why = f"{found.code} {found.name} at step {found.raised_at}"
            self.ask_to_stop()
        elif not self._paused and now > self._looked + ALIVE_SECONDS:
            self._looked = now
            newest = self._last_sign()
            if newest != self._newest:
                self._newest, self._alive = newest, now
            elif now > self._alive + 60 * self._spec.stall_minutes:
                self._failure = f"it wrote nothing for {self._spec.stall_minutes:g} minutes and was taken to hang"
                self.ask_to_stop()

    def _last_sign(self) -> float:
        """When anything in its folder, or the log that it was said to write, was written last, by that file's clock."""
        written = 0.0
        log = self._spec.log_path(self.directory, 1)
        for path in [*files_below(self.directory, DEPTH), *([log] if log else [])]:
            with contextlib.suppress(FileNotFoundError):
                written = max(written, path.stat().st_mtime)
        return written

    def _end(self, status: int) -> None:
        self._signal(signal.SIGKILL)  # what it left behind
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._paused = False
        if not self._failure and not self._why:
            self._failure = self._translator.missing() if status == 0 else self._broken(status)
        if self._failure:
            self._translator.end(Outcome.FAILED, self._failure)
        else:
            self._translator.end(Outcome.STOPPED if self._why else Outcome.FINISHED, self._why)
        self._status = status

    def _broken(self, status: int) -> str:
        number = status - 128 if status > 128 else -status
        how = f"exit status {status}"
        if number in {s.value for s in signal.Signals}:
            how = f"ended by {signal.Signals(number).name}" + (" (out of memory?)" if number == signal.SIGKILL else "")
        return f"{how}: {self._last_line() or 'it wrote nothing'}"

    def _last_line(self) -> str:
        with self._output.open("rb") as file:
            file.seek(max(self._since, file.seek(0, os.SEEK_END) - _TAIL))
            return last_line(file.read().decode(errors="replace"))

    def _order(self, order: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the guard has ended, and the command with it
            os.write(self._process.stdin.fileno(), order)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def last_line(output: str) -> str:
    """The last line of `output` that says something: no progress bar, no colours, safe to show; empty where none does.

    A carriage return begins a line anew, which is how progress bars move; what they show last is passed over.
    """
    for line in reversed(_COLOURS.sub("", output).replace("\r\n", "\n").split("\n")):
        *overwritten, shown = [part for part in line.split("\r") if part.strip()] or [""]
        if shown.strip() and not ((overwritten or "\r" in line) and _PROGRESS.search(shown)):
            return visible(shown.strip())[:_MOST]
    return ""


def _environment(directory: Path, spec: CommandSpec, attempt: int) -> dict[str, str]:
    return {
        "PYTHONUNBUFFERED": "1",  # what it prints is a sign of life
        **os.environ,
        "AUTOTUNE_TRIAL_DIR": str(directory.absolute()),
        "AUTOTUNE_ATTEMPT": str(attempt),
        "AUTOTUNE_SEED": str(spec.seed),
    }
