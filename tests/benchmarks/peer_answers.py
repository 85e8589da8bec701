"""Runs handed to ours and to other tools, each in an environment of its own, and what they say of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import planted
import table_planted
from environments import made
from labels import Label
from peer_runs import Case, healthy, rows, settings
from peers import FINISHED, ITS_OWN, LIVE, PEERS

from diagnostics.engine import diagnose
from diagnostics.finding import Severity
from diagnostics.rule import all_lints, all_rules
from diagnostics.series import RunHistory
from diagnostics.watch import Watch

ADAPTER = Path(__file__).with_name("peers.py")
OURS = "ours"
TIMES = 3
TIMED = 5  # healthy runs that the speed is measured on
LONG = 5_000  # rows of the run that shows how the speed scales


class Alarm(NamedTuple):
    """What a tool said: codes that it may stand for, any of them."""

    detector: str
    codes: frozenset[str]
    severity: Severity
    step: int
    segment: int


@dataclass(slots=True)
class Heard:
    """What one tool said when it was asked in one way, how fast, and what it could not answer."""

    tool: str
    way: str
    claims: frozenset[str]
    alarms: dict[str, list[Alarm]] = field(default_factory=lambda: defaultdict(list))
    speed: dict[str, float] = field(default_factory=dict)  # rows a second, by what was timed
    broken: dict[str, str] = field(default_factory=dict)  # by case

    @property
    def name(self) -> str:
        """Tool and way; both ways of ours say the same, which tests/corpus/test_live.py holds them to."""
        return self.tool if self.tool == OURS else f"{self.tool}, {self.way}"


def environment(folder: Path, tool: str) -> Path:
    """The Python of the environment with `tool`, made where there is none."""
    peer = PEERS[tool]
    package = f"{peer.package}[{peer.extra}]" if peer.extra else peer.package
    return made(folder / f"{peer.package}-{peer.version}", [f"{package}=={peer.version}"])


@dataclass(frozen=True, slots=True)
class Job:
    """One segment of a case, asked in one way; `timed` names what its speed is of."""

    case: Case
    segment: RunHistory
    way: str
    timed: str = ""

    def line(self) -> str:
        """As peers.py reads it."""
        said = {"way": self.way, "log": str(self.case.log or ""), "times": TIMES if self.timed else 1}
        return json.dumps(said | {"rows": rows(self.segment), "settings": settings(self.segment)})


def jobs(cases: Sequence[Case], ways: Iterable[str], reads: Sequence[str]) -> list[Job]:
    """Every segment in every way; a file is opened once, however many segments ours sees in it."""
    found = []
    for way in ways:
        for case in cases:
            if way != ITS_OWN:
                found += [Job(case, segment, way) for segment in case.segments if rows(segment)]
            elif case.log is not None and (case.log.suffix in reads or "tfevents" in case.log.name):
                found += [Job(case, segment, way) for segment in case.segments[:1]]
            elif case.log is not None:  # a format that it does not read
                found += [Job(case, segment, FINISHED) for segment in case.segments if rows(segment)]
    return found


def timed_jobs(ways: Iterable[str]) -> list[Job]:
    """What the speed is measured on; only what looks at each row alone is asked to follow a long run."""
    short = [healthy(source, 0) for source in (table_planted.GRPO + table_planted.PPO)[:TIMED]]
    run, _ = table_planted.recorded(table_planted.GRPO[0])
    long = Case("long", Label((), frozenset(), None, healthy=True), (planted.healthy(run, LONG, 0),))
    found = []
    for way in ways:
        found += [Job(case, case.segments[0], way, f"{table_planted.LENGTH} rows") for case in short]
        if way == FINISHED or FINISHED not in ways:
            found.append(Job(long, long.segments[0], way, f"{LONG:,} rows"))
    return found


def answers(python: Path, tool: str, asked: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Who answers, and an answer to each job; of a job that the tool died of, why."""
    with TemporaryDirectory() as folder:
        path, errors = Path(folder) / "jobs.jsonl", Path(folder) / "errors"
        path.write_text("".join(f"{job.line()}\n" for job in asked), encoding="utf-8")
        answered = 0
        while True:
            with errors.open("w") as stderr:
                command = [str(python), "-P", str(ADAPTER), tool, str(path), str(answered)]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=folder)
            lines = done.stdout.splitlines()
            if not lines:
                raise SystemExit(f"{tool} does not start:\n{errors.read_text(encoding='utf-8')}")
            if answered == 0:
                yield json.loads(lines[0])
            yield from map(json.loads, lines[1:])
            answered += len(lines) - 1
            if answered == len(asked):
                return
            why = errors.read_text(encoding="utf-8").strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            yield {"said": [], "seconds": [], "broken": f"died: {why[0]}"}
            answered += 1
            if answered == len(asked):
                return


def peer(python: Path, tool: str, corpora: Mapping[str, Sequence[Case]]) -> tuple[str, dict[str, dict[str, Heard]]]:
    """Who `tool` is, and by corpus and way what it said of it."""
    known = PEERS[tool]
    asked: list[tuple[str, str, Job]] = []
    for corpus, cases in corpora.items():
        for way in known.ways:
            asked += [(corpus, way, job) for job in jobs(cases, [way], known.reads)]
    timed = [("", job.way, job) for job in timed_jobs([way for way in known.ways if way != ITS_OWN])]
    said = answers(python, tool, [job for *_, job in [*timed, *asked]])
    who = next(said)
    heard: dict[str, dict[str, Heard]] = defaultdict(dict)
    seconds: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for (corpus, way, job), answer in zip([*timed, *asked], said, strict=True):
        into = heard[corpus].setdefault(way, Heard(tool, way, known.claims))
        if job.timed and answer["seconds"]:
            seconds[way, job.timed].append((len(rows(job.segment)), statistics.median(answer["seconds"])))
        into.alarms[job.case.name] += [
            Alarm(detector, known.codes[detector], Severity(severity), step, job.segment.segment)
            for detector, severity, step in answer["said"]
        ]
        if answer["broken"]:
            into.broken[job.case.name] = answer["broken"]
    for (way, what), taken in seconds.items():
        heard[""][way].speed[what] = sum(n for n, _ in taken) / sum(s for _, s in taken)
    return f"{tool} {who['version']} (Python {who['python']})", heard


def ours(corpora: Mapping[str, Sequence[Case]]) -> dict[str, dict[str, Heard]]:
    """What ours says, read whole; live it is the same."""
    claims = frozenset({**all_rules(), **all_lints()})
    heard = {}
    for corpus, cases in corpora.items():
        into = Heard(OURS, FINISHED, claims)
        for case in cases:
            into.alarms[case.name] = [
                Alarm(f.code, frozenset({f.code}), f.severity, f.raised_at, f.segment)
                for f in (diagnose(case.segments).raised if case.segments else ())
            ]
        heard[corpus] = {FINISHED: into}
    heard[""] = {way: Heard(OURS, way, claims) for way in (FINISHED, LIVE)}
    seconds: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for job in timed_jobs([FINISHED]):
        for way in FINISHED, LIVE:
            taken = statistics.median(_seconds(job.segment, way) for _ in range(TIMES))
            seconds[way, job.timed].append((len(rows(job.segment)), taken))
    for (way, what), both in seconds.items():
        heard[""][way].speed[what] = sum(n for n, _ in both) / sum(s for _, s in both)
    return heard


def _seconds(run: RunHistory, way: str) -> float:
    logged: dict[int, dict[str, float]] = defaultdict(dict)
    for name, series in run.series.items():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            logged[step][name] = value
    begin = time.process_time()
    if way == FINISHED:
        diagnose(run)
    else:
        watch = Watch(settings=run.settings, reward_bounds=run.reward_bounds)
        for step in sorted(logged):
            watch.add(step, logged[step])
        watch.close()
    return time.process_time() - begin
