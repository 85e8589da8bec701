"""What the monitor may have to show: studies and logs in every state, and what its headline says of each."""

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diagnostics.events import FindingRaised, MetricsLogged, Outcome, RunEnded
from diagnostics.finding import Confidence, Evidence, Finding, Severity
from diagnostics.sources import Found, find
from studies.log import STUDY_FILE
from studies.record import Judgement, Origin, Proposal, State, Verdict
from tui.app import MonitorApp
from tui.feed import Loop

from .pilots import HOSTILE

DATA = Path(__file__).parents[1] / "data"
LONG = "a_metric_whose_name_tells_all_that_there_is_to_tell_and_then_goes_on_for_as_long_as_it_likes"


@dataclass(frozen=True)
class Scene:
    """A state: its name, what the headline says of it, and how an app in it is made, where the Stage is `st`.

    `first` says that only the first screen differs from what other states show.
    """

    name: str
    says: str
    make: Callable[..., MonitorApp]
    first: bool = False


def study(says: str, *, first: bool = False) -> Callable[[Callable], Scene]:
    """A state of a study, from what brings a Stage to it."""

    def scene(build: Callable) -> Scene:
        def make(stage) -> MonitorApp:
            given = build(stage)
            return MonitorApp(Path("st"), given if isinstance(given, Loop) else None, clock=stage.clock)

        return Scene(build.__name__, says, make, first)

    return scene


def logs(says: str, *, first: bool = False) -> Callable[[Callable], Scene]:
    """A state of logs, from what writes them into the current folder and returns the path, and seconds since."""

    def scene(build: Callable) -> Scene:
        def make(stage) -> MonitorApp:
            path, later = build()
            for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
                os.utime(each, (stage.clock.now, stage.clock.now))
            stage.clock.now += later
            return MonitorApp(path, found=find(path), clock=stage.clock)

        return Scene(build.__name__, says, make, first)

    return scene


# ---- studies


@study("WAITING")
def waiting(stage) -> None:
    """The file is there, its first line is not."""


@study("EMPTY")
def empty(stage) -> None:
    stage.begin()


@study("RUNNING")
def running(stage) -> None:
    stage.running()


@study("STALE")
def stale(stage) -> None:
    stage.running()
    stage.clock.now += 240


@study("PAUSED", first=True)
def paused(stage) -> None:
    stage.running()
    stage.log.paused(2)


@study("WAITS FOR YOU", first=True)
def asking(stage) -> None:
    """A proposal waits for a person."""
    stage.begin()
    stage.log.reviewed(on=True)
    stage.sick_trial()
    stage.log.proposed(1, 1, stage.cure(), waits=True)


@study("FINISHED")
def finished(stage) -> None:
    stage.finished()


@study("INTERRUPTED", first=True)
def interrupted(stage) -> None:
    stage.running()
    stage.log.finished("interrupted")


@study("KILLED", first=True)
def killed(stage) -> None:
    stage.running()
    stage.log.close()


@study("FAILED", first=True)
def failed(stage) -> Loop:
    """The loop died before its first line."""
    stage.log.close()
    Path("loop.log").write_text("Traceback\n\nautotune: error: no space left on \x1b[31mthe disk\n")
    return Loop(lambda: False, Path("loop.log"))


@study("RUNNING")
def many(stage) -> None:
    """200 trials."""
    stage.begin(200)
    for number in range(199):
        knobs = {"learning_rate": 3e-3 / (number + 1), "kl_coef": 0.04, "temperature": 1.0}
        why = "trial 0 is the best so far; nothing below it was tried"
        parent = {"parent": 0, "knob": "learning_rate"} if number else {}
        events = stage.propose(number, Proposal(knobs, Origin.BRACKET if number else Origin.START, why, **parent))
        stage.steps(events, 0, 3, sick=number % 3 == 0)
        events.emit(RunEnded(3, Outcome.FINISHED))
        events.close()
        stage.log.ended(number, State.COMPLETE, "ran to its end", -0.5 + number % 7 / 10, 2.0)
    stage.steps(stage.propose(199, Proposal({"learning_rate": 1e-6}, Origin.BRACKET, why, 0)), 0, 3, sick=False)


@study("RUNNING")
def hostile(stage) -> None:
    """Names and words that are long, and that would move the cursor, colour the terminal or leave the monitor."""
    stage.begin(3)
    knobs = {LONG: 3e-3, HOSTILE: "also" + HOSTILE, "learning_rate": 1e-3}
    events = stage.propose(0, Proposal(knobs, Origin.START, f"{HOSTILE} {LONG * 3}"))
    stage.steps(events, 0, 30, sick=True)
    events.emit(MetricsLogged(31, {LONG: 1.0, HOSTILE: 2.0, f"{LONG}/{HOSTILE}": float("nan")}))
    evidence = (Evidence(LONG, 5, 31, "mean", 2.42, 0.5), Evidence(HOSTILE, 5, 31, "mean", 2.42, 0.5))
    told = f"{HOSTILE} {LONG}"
    found = Finding("BAD001", f"{HOSTILE}_{LONG}", Severity.ERROR, Confidence.HIGH, 5, 31, 31, told, evidence)
    events.emit(FindingRaised(31, found))
    events.emit(RunEnded(31, Outcome.FAILED, f"{HOSTILE} {LONG}"))
    events.close()
    stage.log.ended(0, State.FAILED, f"{HOSTILE} {LONG}", -0.9, 3.0)
    stage.log.noted(f"{HOSTILE} {LONG}", trial=0, by=HOSTILE)
    stage.log.judged(0, Verdict(Judgement.REFUTED, f"{HOSTILE} {LONG}"))
    events = stage.propose(1, Proposal({**knobs, LONG: 1e-3}, Origin.FINDING, LONG, 0, HOSTILE, LONG))
    stage.steps(events, 0, 5, sick=False)


@study("RUNNING")
def damaged(stage) -> None:
    """Lines that nobody can read, in the study's record and in a trial's events."""
    stage.running()
    with (stage.directory / STUDY_FILE).open("ab") as file:
        file.write(b'\xff\xfe\x00{"v": 1, "type": "trial_ended"\n{"v": 1}\nnot JSON\n')
    with (stage.directory / "trials/2/events.jsonl").open("ab") as file:
        file.write(b'{"v": 1, "type": "metrics", "step"\n\x00\x00\n[1, 2, 3]\n')


# ---- logs


def _sick_run(path: Path, rows: int = 10**6, **more: float) -> None:
    """What a recorded run of GRPO logged, whose KL explodes."""
    recorded = gzip.decompress((DATA / "pathologies/05_klexp_grpo_bad/0.jsonl.gz").read_bytes()).splitlines()[:rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({**json.loads(line), **more}) + "\n" for line in recorded), encoding="utf-8")


@logs("RUNNING")
def one_log() -> tuple[Path, float]:
    _sick_run(Path("run.jsonl"))
    return Path("run.jsonl"), 4


@logs("QUIET", first=True)
def quiet_log() -> tuple[Path, float]:
    _sick_run(Path("run.jsonl"))
    return Path("run.jsonl"), 3600


@logs("RUNNING")
def damaged_log() -> tuple[Path, float]:
    """One that was cut off in its middle, as by a full disk."""
    _sick_run(Path("run.jsonl"), 60)
    text = Path("run.jsonl").read_bytes()
    Path("run.jsonl").write_bytes(text[:9000] + b"\x00\xff\xfe\n" + text[9000:-300])
    return Path("run.jsonl"), 4


def _gone(stage) -> MonitorApp:
    """It was there when the monitor began."""
    app = one_log.make(stage)
    Path("run.jsonl").unlink()
    return app


gone_log = Scene("gone_log", "TROUBLE", _gone)


def _awaited(stage) -> MonitorApp:
    """No run has begun to write yet."""
    Path("logs").mkdir()
    Path("logs/notes.md").write_text("tomorrow")
    return MonitorApp(Path("logs"), found=Found(()), clock=stage.clock)


awaited_log = Scene("awaited_log", "WAITING", _awaited)


@logs("RUNNING")
def several_logs() -> tuple[Path, float]:
    """Two runs, one of them begun anew; one that cannot be read; one that has said nothing; a long name."""
    _sick_run(Path("logs/sick/run.jsonl"))
    _sick_run(Path(f"logs/{LONG}/run.jsonl"), 30)
    text = Path("logs/sick/run.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("logs/twice.jsonl").write_text("".join([*text[:40], *text[:30]]), encoding="utf-8")
    Path("logs/broken.csv").write_bytes(b"step,reward\n1,0.5\n2\x00\xff\xfe,,,,\n\n")
    Path("logs/empty.jsonl").write_text("")
    return Path("logs"), 4


@logs("RUNNING")
def hostile_log() -> tuple[Path, float]:
    """Names that are long, and that would move the cursor, colour the terminal or leave the monitor."""
    _sick_run(Path("logs/x.jsonl"), 60, **{LONG: 1.0, HOSTILE: 2.0, f"{LONG}/{HOSTILE}": 3.0})
    return Path("logs/x.jsonl"), 4


SCENES = [value for value in list(globals().values()) if isinstance(value, Scene)]
