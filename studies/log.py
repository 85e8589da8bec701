"""`study.jsonl`: one line per decision of a study, written by the loop alone and followed by anyone.

The file is append-only. Everything else (what `study show` and the monitor show, the journal, what the next proposal
rests on) is derived from it and from the trials' `events.jsonl`, so that a kill at any moment loses nothing that was
decided. Whoever writes it holds a lock on it, which ends with the process however that ends.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from diagnostics.errors import UserError
from diagnostics.events import dumps
from diagnostics.finding import Finding
from studies.record import (
    Decision,
    Proposal,
    Search,
    State,
    StudyRecord,
    TrialRecord,
    Verdict,
    proposal_from_json,
    proposal_to_json,
    verdict_from_json,
    verdict_to_json,
)
from studies.spec import StudySpec
from studies.spec import from_json as spec_from_json
from studies.spec import to_json as spec_to_json
from studies.trial_log import TrialLog

VERSION = 1
STUDY_FILE = "study.jsonl"
UNBORN = "study.jsonl.new"  # the record while it has no first line: whoever sees a study can read which it is
TRIALS = "trials"
MOST_POINTS = 1 << 21  # of curves that are kept of a study: 32 MB
STRETCHES = 64  # of the steps of a trial whose curves are thinned
LOOKS, LOOK_SECONDS = 10, 0.05  # `is_running` holds the lock for an instant: a writer that meets it tries again


class StudyLog:
    """The one writer of `study.jsonl`.

    UserError where another process writes it, OSError where it cannot be written.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._unborn = directory, not is_study(directory)
        path = directory / (UNBORN if self._unborn else STUDY_FILE)
        self._file = path.open("a", encoding="utf-8", errors="surrogatepass", buffering=1)  # names of files may be odd
        ours = _locked(self._file)
        if not ours or (self._unborn and is_study(directory)):
            self._file.close()
            if ours:  # another has begun the study since we looked
                path.unlink(missing_ok=True)
            raise UserError(
                f"the study in {directory} is running in another process",
                f"Watch it with `autotune monitor {directory}`, or end it with `autotune study stop {directory}`.",
            )
        if self._unborn:
            self._file.truncate(0)  # what a start that was killed has left
        written = path.read_bytes()
        self._clock, self._seq = clock, written.count(b"\n")
        if written and written[-1:] != b"\n":  # a writer was killed in mid-line: its line is counted as unreadable
            self._file.write("\n")
            self._seq += 1

    def started(self, spec: StudySpec, search: Search) -> None:
        """The first line: everything the study is."""
        self._write("study_started", {"spec": spec_to_json(spec), "search": asdict(search)})

    def resumed(self, spec: StudySpec, search: Search) -> None:
        """The study goes on, with a budget that may have changed."""
        self._write("study_resumed", {"spec": spec_to_json(spec), "search": asdict(search)})

    def proposed(self, number: int, seed: int, proposal: Proposal, *, waits: bool = False) -> None:
        """A trial is about to begin, for this reason; one that `waits` once a person accepts it."""
        about = {"trial": number, "attempt": 1, "seed": seed, "waits": waits}
        self._write("trial_proposed", {**about, **proposal_to_json(proposal)})

    def accepted(self, number: int) -> None:
        """A trial that waited is about to begin."""
        self._write("trial_accepted", {"trial": number})

    def paused(self, number: int) -> None:
        """A trial stands still once its step is over."""
        self._write("trial_paused", {"trial": number})

    def continued(self, number: int, seconds: float) -> None:
        """A trial goes on that has stood still for `seconds`."""
        self._write("trial_continued", {"trial": number, "seconds": round(seconds, 3)})

    def retried(self, number: int, attempt: int, reason: str) -> None:
        """A trial that broke off is about to begin again, or to go on from its last checkpoint."""
        self._write("trial_retried", {"trial": number, "attempt": attempt, "reason": reason})

    def stopped(self, number: int, reason: str, finding: Finding | None = None) -> None:
        """A trial is ended early, by a finding or for another reason."""
        about = {"code": finding.code, "raised_at": finding.raised_at} if finding else {}
        self._write("trial_stopped", {"trial": number, "reason": reason, **about})

    def ended(self, number: int, state: State, reason: str, value: float | None, seconds: float) -> None:
        """A trial ended and Optuna was told."""
        self._write(
            "trial_ended",
            {"trial": number, "state": str(state), "reason": reason, "value": value, "seconds": round(seconds, 3)},
        )

    def judged(self, number: int, verdict: Verdict) -> None:
        """What a trial says of its hypothesis; a later line, with more seeds, takes the place of an earlier one."""
        self._write("trial_judged", {"trial": number, **verdict_to_json(verdict)})

    def reviewed(self, *, on: bool) -> None:
        """From now on proposals wait for a person, or no more."""
        self._write("review_set", {"on": on})

    def ending(self) -> None:
        """No new trial begins, and the study ends with those that run."""
        self._write("study_ending", {})

    def answered(
        self,
        request: str,
        action: str,
        answer: str,
        *,
        trial: int | None = None,
        by: str = "",
        done: bool = True,
        proposal: Proposal | None = None,
    ) -> None:
        """What became of a request of a person's, and whether it was done.

        `proposal` is what a person's own settings come to: they are tried next.
        """
        about = {"request": request, "action": action, "answer": answer, "done": done, "by": by, "trial": trial}
        self._write("request_answered", about | ({"proposal": proposal_to_json(proposal)} if proposal else {}))

    def noted(self, text: str, *, trial: int | None = None, by: str | None = None, request: str = "") -> None:
        """Something a person should know of this study; `by` is the person who says it, None where the study does."""
        told = {} if by is None else {"by": by, "request": request}
        self._write("noted", {"text": text, "trial": trial, **told})

    def finished(self, outcome: str) -> None:
        """The last line of a study that was not killed."""
        self._write("study_ended", {"outcome": outcome})

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._file.close()

    def _write(self, kind: str, payload: Mapping[str, Any]) -> None:
        head = {"v": VERSION, "type": kind, "seq": self._seq, "time": round(self._clock(), 3)}
        self._file.write(dumps({**head, **payload}) + "\n")
        self._seq += 1
        if self._unborn:
            (self._directory / UNBORN).rename(self._directory / STUDY_FILE)
            self._unborn = False


def _locked(file: IO[str]) -> bool:
    """Take the lock of a writer; False where another has it for longer than one who only looks would."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
        else:
            return True
    return False


class StudyFollower:
    """Follows a study in its folder, while it runs or afterwards; reads files and writes none.

    At most about `points` points of curves are kept: `logs` of trials that are over are thinned, the earliest first,
    and read anew when they are wanted. `news` are the trials of which the last look told something.

    UserError where the folder is no study, or one that a newer version wrote. A torn last line means "not yet".
    """

    def __init__(self, directory: Path, points: int = MOST_POINTS) -> None:
        self.directory = directory
        try:
            self._file = (directory / STUDY_FILE).open("rb")  # bytes: a letter may be written in two parts
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{directory} is no study: it has no {STUDY_FILE}", "See `autotune study list`.") from None
        self._rest = b""
        self._record: StudyRecord | None = None
        self._trials: dict[int, TrialRecord] = {}
        self._decisions: list[Decision] = []
        self._unreadable = 0
        self.logs: dict[int, TrialLog] = {}
        self.news: set[int] = set()
        self._most, self._points = points, dict[int, int]()  # that are kept of each trial
        self._wanted: frozenset[int] = frozenset()

    def want(self, trials: Iterable[int]) -> None:
        """Have all points of these trials from the next look on."""
        self._wanted = frozenset(trials)

    def poll(self) -> bool:
        """Read what is new, in the study's record and in its trials' events; whether there was anything."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            if line.strip():
                self._take(line)
        if self._record is None:
            if lines:
                raise UserError(
                    f"{self.directory / STUDY_FILE} does not say which study it is",
                    "Its first line is damaged: start the study anew in another folder.",
                )
            return False
        self.news = set()
        for number, trial in self._trials.items():
            log = self.logs.get(number)
            if log is None or not (log.whole or self._may_be_thin(number)):
                if log is not None:
                    log.close()
                log = self.logs[number] = TrialLog(trial_directory(self.directory, number), self._record.spec.objective)
            if log.poll():
                self.news.add(number)
                self._trials[number] = trial.with_log(log)
                self._make_room(number)
        return bool(lines or self.news)

    def _may_be_thin(self, number: int) -> bool:
        return number not in self._wanted and self._trials[number].state not in (State.RUNNING, State.WAITING)

    def _make_room(self, number: int) -> None:
        """Thin what nobody looks at, where the trial of that number brought more than is to be kept."""
        self._points[number] = self.logs[number].points
        for other, log in self.logs.items():
            if sum(self._points.values()) <= self._most:
                return
            if log.whole and self._may_be_thin(other):
                log.thin(STRETCHES)
                self._points[other] = log.points
                self.news.add(other)

    def record(self) -> StudyRecord | None:
        """The study as far as read, None while its first line is not there yet."""
        if self._record is None:
            return None
        return replace(
            self._record,
            trials=tuple(self._trials[number] for number in sorted(self._trials)),
            unreadable=self._unreadable + sum(log.unreadable for log in self.logs.values()),
            decisions=tuple(self._decisions),
        )

    def close(self) -> None:
        """Stop following."""
        self._file.close()
        for log in self.logs.values():
            log.close()

    def _take(self, line: bytes) -> None:
        try:
            data = json.loads(line)
            version, kind = data["v"], data["type"]
            if version == VERSION:
                self._apply(kind, data)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._unreadable += 1
            return
        if version != VERSION:
            raise UserError(
                f"{self.directory / STUDY_FILE} has version {version}, this autotune reads version {VERSION}",
                "Upgrade autotune-rl, or use the version that wrote it.",
            )

    def _apply(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind in ("study_started", "study_resumed"):
            spec = spec_from_json(data["spec"], str(self.directory / STUDY_FILE))
            search = Search(**data["search"])
            before = self._record or StudyRecord(self.directory, spec, started=data["time"])
            self._record = replace(before, spec=spec, search=search, ended="", ending=False)
        elif self._record is None:
            return  # the first line is damaged, which is said once all is read
        elif kind == "trial_proposed":
            proposal, state = proposal_from_json(data), State.WAITING if data.get("waits") else State.RUNNING
            self._trials[data["trial"]] = TrialRecord(data["trial"], data["attempt"], data["seed"], proposal, state)
        elif kind == "study_ended":
            self._record = replace(self._record, ended=data["outcome"])
        elif kind == "study_ending":
            self._record = replace(self._record, ending=True)
        elif kind == "request_answered":
            if "proposal" in data:
                wanted = {data["request"]: proposal_from_json(data["proposal"])}
                self._record = replace(self._record, tries={**self._record.tries, **wanted})
        elif kind == "review_set":
            self._record = replace(self._record, search=replace(self._record.search, review=bool(data["on"])))
        elif kind in _OF_A_TRIAL:
            self._trials[data["trial"]] = _OF_A_TRIAL[kind](self._trials[data["trial"]], data)
        self._decisions.append(Decision(data["time"], kind, data.get("trial"), data))


def _accepted(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, state=State.RUNNING)


def _retried(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, attempt=data["attempt"], state=State.RUNNING, reason="", seconds=0.0, paused=False)


def _paused(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, paused=True)


def _continued(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, paused=False, paused_seconds=trial.paused_seconds + data["seconds"])


def _stopped(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, paused=False)


def _ended(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, state=State(data["state"]), reason=data["reason"], seconds=data["seconds"], paused=False)


def _judged(trial: TrialRecord, data: Mapping[str, Any]) -> TrialRecord:
    return replace(trial, verdict=verdict_from_json(data))


_OF_A_TRIAL: Mapping[str, Callable[[TrialRecord, Mapping[str, Any]], TrialRecord]] = {
    "trial_accepted": _accepted,
    "trial_retried": _retried,
    "trial_paused": _paused,
    "trial_continued": _continued,
    "trial_stopped": _stopped,
    "trial_ended": _ended,
    "trial_judged": _judged,
}


def read(directory: Path) -> StudyRecord:
    """The study in `directory` as it stands now.

    UserError where it is no study, or one that a newer version wrote.
    """
    follower = StudyFollower(directory)
    follower.poll()
    follower.close()
    record = follower.record()
    if record is None:
        raise UserError(
            f"{directory / STUDY_FILE} does not say which study it is",
            "Its first line is damaged: start the study anew in another folder.",
        )
    return record


def is_study(directory: Path) -> bool:
    """Whether `directory` holds the record of a study."""
    return (directory / STUDY_FILE).is_file()


def is_running(directory: Path) -> bool:
    """Whether some process writes the record of the study in `directory` now."""
    with (directory / STUDY_FILE).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def claim(directory: Path) -> Path:
    """Make `directory`, or take it where it is empty; returns it. UserError where it holds anything."""
    directory.mkdir(parents=True, exist_ok=True)
    if is_study(directory):
        raise UserError(
            f"{directory} already holds a study", f"Give another --dir, or go on: `autotune study resume {directory}`."
        )
    if any(file.name != UNBORN for file in directory.iterdir()):  # a start that was killed has left nothing to keep
        raise UserError(f"{directory} is not empty", "Give another --dir: nothing in it shall be overwritten.")
    return directory


def trial_directory(study: Path, number: int) -> Path:
    """Where the trial `number` of a study writes."""
    return study / TRIALS / str(number)
