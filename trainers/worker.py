"""`python -P -m trainers.worker`: a warm process that pays the imports once and forks for each trial it is told to run.

A trial begins as the worker is after its imports: no tensor was computed, no random number drawn, no GPU touched. So it
gives the numbers of a fresh process with the same seed, whatever ran before it, and nothing it does (memory, settings
of torch, an exception, a segmentation fault) reaches the worker or the next trial. So a worker need not be replaced
after an exception, nor for another precision.

Of the threads that imports start, a fork has none: pyarrow's allocator and the OpenBLAS of numpy, which have some,
prepare themselves for forks; torch starts its own at the first computation.

Standard input brings orders, standard output takes answers, one line of JSON each:

    order    {"trial": 3, "directory": "/...", "attempt": 1, "log": "trainer.log", "cwd": "/...", "environment": {...}}
             {"cancel": 3}
    answers  {"ready": true}, once; {"trial": 3, "pid": 4711} when it has begun; {"trial": 3, "status": 0} when it ended

A status is what `subprocess` would give: negative for a signal. Each trial leads a process group of its own; what it
leaves running is killed. The worker ends when its standard input does; a trial notices that its parent is gone and ends
after its step.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from diagnostics.errors import UserError
from trainers.run import exit_status, require_training_extra

# What takes time to import: all that a trial of GRPO needs, but no model's own code.
HEAVY = (
    "diagnostics.watch",
    "trainers.data",
    "trainers.evaluate",
    "trainers.build",
    "trainers.rewards",
    "trainers.tasks.arithmetic",
    "trainers.tasks.boolean_query",
    "trainers.tasks.short_query",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen2.tokenization_qwen2",
)
REAP_SECONDS = 0.05  # between two looks for trials that have ended


def main() -> int:
    """In the worker: 0 once its orders end, 2 for an error of the user's. In each trial: the trial's exit status."""
    orders, answers = os.dup(0), os.dup(1)  # out of the way of what is imported, and of the trials
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        require_training_extra()
    except UserError as error:
        print(f"trainers: error: {error}", file=sys.stderr)
        return 2
    for module in HEAVY:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # the collector of a trial leaves these objects alone, and their pages stay shared
    return _Worker(orders, answers).serve()


class _Worker:
    """Orders are read from one file descriptor, answers are written to another."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders, self._answers = orders, answers
        self._trials: dict[int, int] = {}  # of each process that runs

    def serve(self) -> int:
        """Fork for each order until there can be no more. Returns in the worker and, with its status, in each trial."""
        self._answer({"ready": True})
        rest = b""
        while True:
            # A pipe and the end of a child cannot be waited for together everywhere, and looking costs next to nothing.
            readable, _, _ = select.select([self._orders], [], [], REAP_SECONDS if self._trials else None)
            if readable:
                chunk = os.read(self._orders, 1 << 16)
                if not chunk:
                    return 0
                *lines, rest = (rest + chunk).split(b"\n")
                orders = [json.loads(line) for line in lines]
                cancelled = {order["cancel"] for order in orders if "cancel" in order}
                for order in orders:
                    if "trial" in order and order["trial"] not in cancelled:
                        status = self._start(order)
                        if status is not None:
                            return status
                self._cancel(cancelled)
            self._reap()

    def _start(self, order: Mapping[str, Any]) -> int | None:
        """Run the order in a fork; there it returns the trial's exit status, here None."""
        worker = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(self._orders)
            os.close(self._answers)
            return _run(order, worker)
        os.setpgid(pid, pid)  # by the worker, so that the group is there before anyone hears of it
        self._trials[pid] = order["trial"]
        self._answer({"trial": order["trial"], "pid": pid})
        return None

    def _cancel(self, trials: Set[int]) -> None:
        """Kill those of these trials that began before this was asked for."""
        for pid, trial in self._trials.items():
            if trial in trials:
                os.killpg(pid, signal.SIGKILL)  # it was not waited for yet, so the id is its own

    def _reap(self) -> None:
        """Tell of the trials that have ended."""
        for pid, trial in list(self._trials.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            with contextlib.suppress(ProcessLookupError):  # its children; until it is waited for, the id is its own
                os.killpg(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            del self._trials[pid]
            self._answer({"trial": trial, "status": os.waitstatus_to_exitcode(status)})

    def _answer(self, answer: Mapping[str, Any]) -> None:
        os.write(self._answers, json.dumps(answer).encode() + b"\n")


def _run(order: Mapping[str, Any], worker: int) -> int:
    """The exit status of the trial of an order; all its output goes to its log."""
    os.environ.update(order["environment"])
    directory = Path(order["directory"])
    log = os.open(directory / order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.chdir(order["cwd"])  # where the user's reward function is looked for
    return exit_status(directory, attempt=order["attempt"], parent=worker)


if __name__ == "__main__":
    sys.exit(main())
