"""What reading logs of others costs, next to the tools that people have: python tests/benchmarks/bench_readers.py

Each line is a fresh process, end to end: seconds by the clock and of the processor, and the most memory it had, the
median of `--repeats`; slow peers run once. Budgets are by the clock: measure on a machine that does nothing else.
`--peers PYTHON` is an environment with tbparse and tensorboard, which are no dependencies of ours; without it their
lines are left out. wandb and pandas are in our own.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install tbparse tensorboard

Ends with 1 where a budget is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import big_logs
import big_wandb

ROWS = 100_000
TENSORBOARD_ROWS = 10_000
CACHED = 0.5  # seconds for the second look at any of them
FOLLOWED = 0.02  # of a core
EVERY = 0.5  # seconds between the rows of a file that grows

BIN = Path(sys.executable).parent
ACCUMULATOR = """
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
run = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
run.Reload()
print(sum(len(run.Scalars(tag)) for tag in run.Tags()["scalars"]))
"""
TBPARSE = "import sys; from tbparse import SummaryReader; print(SummaryReader(sys.argv[1]).scalars.shape)"
STATE = """
import json, sys, pandas
print(pandas.DataFrame(json.load(open(sys.argv[1]))["log_history"]).shape)
"""
CSV = "import sys, pandas; print(pandas.read_csv(sys.argv[1]).shape)"
JSONL = "import sys, pandas; print(pandas.read_json(sys.argv[1], lines=True).shape)"


@dataclass(frozen=True)
class Peer:
    """Another tool that reads the same file; `code` runs in the peers' environment, or in ours."""

    name: str
    command: tuple[str, ...] = ()
    code: str = ""
    foreign: bool = False
    once: bool = False


@dataclass(frozen=True)
class Case:
    """A large log, what reading and judging it may cost (seconds, MB), and who else reads it."""

    name: str
    file: str
    write: Callable[[Path, int], None]
    rows: int
    seconds: float
    megabytes: float
    peers: tuple[Peer, ...]


CASES = (
    Case(
        "wandb", "run-big.wandb", big_wandb.write, ROWS, 6.0, 400.0,
        (Peer("wandb leet inspect --json", (str(BIN / "wandb"), "leet", "inspect", "--json"), once=True),),
    ),
    Case(
        "tensorboard", "events.out.tfevents.1700000000.host.1.0", big_logs.tensorboard, TENSORBOARD_ROWS, 1.0, 400.0,
        (Peer("tbparse", code=TBPARSE, foreign=True), Peer("EventAccumulator", code=ACCUMULATOR, foreign=True)),
    ),
    Case(
        "trainer_state", "trainer_state.json", big_logs.trainer_state, ROWS, 4.0, 2000.0,
        (Peer("json, pandas.DataFrame", code=STATE),),
    ),
    Case("csv", "metrics.csv", big_logs.csv, ROWS, 4.0, 400.0, (Peer("pandas.read_csv", code=CSV),)),
    Case("jsonl", "metrics.jsonl", big_logs.jsonl, ROWS, 4.0, 400.0, (Peer("pandas.read_json", code=JSONL),)),
)  # fmt: skip


class Cost(NamedTuple):
    """What a process took: seconds by the clock, seconds of the processor, peak memory (MB)."""

    seconds: float
    processor: float
    megabytes: float


class Table:
    """Prints lines as they are measured, and remembers whether all budgets were kept."""

    def __init__(self) -> None:
        self.kept = True
        print(f"{'what':<58} {'seconds':>8} {'processor':>10} {'MB':>6}  budget", flush=True)

    def line(self, what: str, cost: Cost, budget: tuple[float, float] | None = None) -> None:
        """One measurement, and the seconds and megabytes it may take."""
        said = ""
        if budget is not None:
            kept = cost.seconds <= budget[0] and cost.megabytes <= budget[1]
            self.kept &= kept
            limits = f"{budget[0]:g} s" + (f", {budget[1]:g} MB" if budget[1] < float("inf") else "")
            said = f"{limits}  {'kept' if kept else 'NOT KEPT'}"
        print(f"{what:<58} {cost.seconds:>8.2f} {cost.processor:>10.2f} {cost.megabytes:>6.0f}  {said}", flush=True)

    def share(self, what: str, share: float, limit: float) -> None:
        """A share of a core."""
        self.kept &= share <= limit
        said = "kept" if share <= limit else "NOT KEPT"
        print(f"{what:<58} {'':>8} {share:>10.2%} {'':>6}  {limit:.0%} of a core  {said}", flush=True)


def measure(command: Sequence[str], environment: dict[str, str]) -> Cost:
    """What a process takes. RuntimeError where it fails; findings are no failure."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1) or (process.returncode == 1 and said):
        raise RuntimeError(f"{' '.join(command)}: {said.decode()[-500:]}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _environment(folder: Path) -> dict[str, str]:
    """A cache of its own; bytecode is kept, as it is for people."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"AUTOTUNE_CACHE": str(folder / "cache")}


def median(command: Sequence[str], environment: dict[str, str], repeats: int) -> Cost:
    """The medians of some runs."""
    runs = [measure(command, environment) for _ in range(repeats)]
    return Cost(*map(statistics.median, zip(*runs, strict=True)))


def whole(case: Case, folder: Path, table: Table, *, repeats: int, peers: str | None, rows: int | None) -> None:
    """One log, read and judged whole, by us and by others; then looked at once more."""
    file = folder / case.file
    n = rows or case.rows
    case.write(file, n)
    what = f"{case.name}, {n:,} rows, {file.stat().st_size / 1e6:.0f} MB"
    time.sleep(3)  # what was written just now is not remembered
    environment = _environment(folder)
    diagnose = [str(BIN / "autotune"), "diagnose", str(file)]
    measure([*diagnose, "--no-cache"], environment)  # compiles our code, as installing it does
    table.line(what, median([*diagnose, "--no-cache"], environment, repeats), (case.seconds, case.megabytes))
    measure(diagnose, environment)
    table.line("  second look", median(diagnose, environment, repeats), (CACHED, float("inf")))
    for peer in case.peers:
        if peer.foreign and peers is None:
            print(f"  {peer.name}: left out, see --peers", flush=True)
            continue
        python = peers if peer.foreign and peers is not None else sys.executable
        command = [*peer.command, str(file)] if peer.command else [python, "-c", peer.code, str(file)]
        table.line(f"  {peer.name}", median(command, environment, 1 if peer.once else repeats))
    file.unlink()


# ---- following


def followed(before: int, seconds: float, folder: Path) -> float:
    """The share of a core that following takes while two rows a second are added to a file that has `before`."""
    file = folder / "growing.jsonl"
    big_logs.jsonl(file, before)
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [str(BIN / "autotune"), "diagnose", "--follow", str(file)],
            stdout=said,
            stderr=said,
            env=_environment(folder),
        )
        try:
            _wait_until_idle(process.pid)
            began, spent = time.monotonic(), _processor_seconds(process.pid)
            with file.open("a") as out:
                for row in range(int(seconds / EVERY)):
                    values = dict.fromkeys(big_logs.NAMES[1:], 0.5 + row % 7 / 100)
                    out.write(json.dumps({"step": before + row} | values) + "\n")
                    out.flush()
                    time.sleep(max(0.0, began + (row + 1) * EVERY - time.monotonic()))
            share = (_processor_seconds(process.pid) - spent) / (time.monotonic() - began)
        finally:
            process.terminate()
            process.wait()
    return share


def _processor_seconds(pid: int) -> float:
    """What a process has used so far, of Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_until_idle(pid: int) -> None:
    """Until it has read what there is."""
    time.sleep(3)
    before = _processor_seconds(pid)
    while True:
        time.sleep(2)
        after = _processor_seconds(pid)
        if after - before < 0.1:
            return
        before = after


def main() -> int:
    """Measure and print; the exit code says whether all budgets were kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with tbparse and tensorboard")
    parser.add_argument("--only", metavar="NAME", action="append", help="wandb, tensorboard, ..., follow; repeatable")
    parser.add_argument("--rows", type=int, help="of each log (default: those of the budgets)")
    parser.add_argument("--seconds", type=float, default=60, help="to follow a growing file (default 60)")
    args = parser.parse_args()
    table = Table()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for case in CASES:
            if not args.only or case.name in args.only:
                whole(case, folder, table, repeats=args.repeats, peers=args.peers, rows=args.rows)
        for before in (20, args.rows or ROWS) if not args.only or "follow" in args.only else ():
            share = followed(before, args.seconds, folder)
            table.share(f"following a log of {before:,} rows, two more a second", share, FOLLOWED)
    load = os.getloadavg()[0]
    print(f"load of the machine at the end: {load:.1f}")
    return 0 if table.kept else 1


if __name__ == "__main__":
    sys.exit(main())
