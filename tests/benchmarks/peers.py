"""Other tools that diagnose runs, and what is asked of them: python -P peers.py TOOL JOBS SKIP

`ask` runs in the tool's own environment, with nothing of ours but this file. JOBS has one JSON object a line: a run as
rows under TRL's names, its settings under TRL's names, and the way to ask. The first line of the output says what was
found of the tool, each further one answers a job, in order; SKIP jobs have been answered before. A tool may die of a
run: whoever started it begins anew after that job.

Each tool gets the best input it takes, at its default thresholds: rl-doctor TRL's log itself, rlprobe and rlwatch the
fields of their own logging calls, also those that their adapters for TRL never fill.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

INFO, WARNING, ERROR = range(3)  # as in diagnostics.finding.Severity
# Ways to ask: a finished run at once, a run that grows, checked as often as the tool does by default and at its end,
# and the file that a stranger's run was logged to, under its own names.
FINISHED, LIVE, ITS_OWN = "finished", "live", "its own reading"
EVERY = 25  # rows between two looks of rl-doctor (LiveMonitor.check_every) and rlprobe (diagnose_every) at a live run


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: its package as pip knows it, and the codes that each of its detectors may stand for, any of them."""

    package: str
    version: str
    ways: tuple[str, ...]
    codes: Mapping[str, frozenset[str]]
    extra: str = ""
    reads: tuple[str, ...] = ()  # endings of files it opens itself

    @property
    def claims(self) -> frozenset[str]:
        """Every code that it has a detector for."""
        return frozenset().union(*self.codes.values())


def _codes(**detectors: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(codes.split()) for name, codes in detectors.items()}


# Read generously: a detector stands for all that its documentation or its message says it may be.
PEERS = {
    "rl-doctor": Peer(
        "rldoctor", "0.2.0", (FINISHED, LIVE, ITS_OWN), extra="tensorboard", reads=(".json", ".jsonl", ".csv"),
        codes=_codes(
            advantage_collapse="RWD001 RWD005",
            entropy_collapse="ENT001 DIV001",
            reward_hacking="RWD009 GEN001 GEN002",
            length_pathology="LEN001 LEN003 LEN004 RWD009",
            clip_saturation="UPD002 UPD004",
            kl_drift="KL002 KL004 KL005",
            gradient_pathology="GRD001 GRD002 NUM001 RWD001",
            reward_composition="RWD006",
            plateau=(plateau := "RWD004 RWD005 RWD002 RWD003 RWD008 GEN002"),
            plateau_declining=plateau,  # the same detector, which says the one or the other
        ),
    ),
    "rlprobe": Peer(
        "rlprobe", "0.1.0", (FINISHED, LIVE),
        codes=_codes(
            KL_BLOWUP="KL002 KL005",
            ENTROPY_COLLAPSE="ENT001 DIV001",
            REWARD_HACK_LENGTH="LEN003 RWD009",
            FORMAT_GAMING="RWD006 RWD009",
            CLIP_SATURATION="UPD002 UPD004",
            DEGENERATE_GROUPS="RWD001 RWD005",
            ADV_COLLAPSE="RWD001 GRD002",
            VALUE_DIVERGENCE="VAL001 VAL002 VAL003",
            GRAD_PATHOLOGY="GRD001 NUM001",
            TRUNCATION_STARVE="LEN001 LEN004",
            REPETITION_SPIRAL="DIV001",
            REWARD_STD_DEATH="RWD001 RWD005",
            REF_POLICY_DRIFT_ASYMMETRY="KL005",
            THROUGHPUT_ROT="",  # always INFO
        ),
    ),
    "rlwatch": Peer(
        "rlwatch", "0.5.1", (LIVE,),
        codes=_codes(
            entropy_collapse="ENT001 DIV001",
            kl_explosion="KL002 KL005 KL006 UPD001",
            reward_hacking="RWD009 RWD010",
            advantage_variance="VAL001 VAL003 RWD010",
            loss_nan="NUM001",
            gradient_norm_spike="GRD001",
            reward_mean_drift="RWD002 RWD003 RWD008 RWD009",
        ),
    ),
}  # fmt: skip

# TRL's names to the fields of rlprobe's StepRecord and the arguments of rlwatch's log_step; of several for one, the
# first that a row has.
RLPROBE = {
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "zero_variance_group_frac",
    "kl": "kl_mean",
    "objective/kl": "kl_mean",
    "entropy": "entropy_mean",
    "clip_ratio/region_mean": "clip_fraction",
    "advantages_std": "adv_std",
    "loss/value_avg": "value_loss",
    "critic/vf_explained_var": "value_explained_variance",
    "loss": "loss",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "completions/mean_length": "completion_len_mean",
    "completions/max_length": "completion_len_max",
    "completions/clipped_ratio": "truncation_rate",
}
RLWATCH = {
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "entropy": "entropy",
    "kl": "kl_divergence",
    "objective/kl": "kl_divergence",
    "policy/approxkl_avg": "kl_divergence",
    "advantages_std": "advantage_std",
    "loss": "loss",
    "loss/policy_avg": "loss",
    "grad_norm": "grad_norm",
}

Row = Mapping[str, float]
Job = Mapping[str, Any]


class Said(NamedTuple):
    """A finding: which detector, how bad, and the step at which it was first known."""

    detector: str
    severity: int
    step: int


class Answer(NamedTuple):
    """What was said of a run, the seconds that finding it took, and what broke within the tool."""

    said: list[Said]
    seconds: float
    broken: str


def fields(row: Row, names: Mapping[str, str]) -> dict[str, float]:
    """The values of `row` under the names of a tool."""
    found: dict[str, float] = {}
    for ours, theirs in names.items():
        if ours in row:
            found.setdefault(theirs, row[ours])
    return found


def rl_doctor(job: Job) -> Answer:
    from rl_doctor.detectors.base import Severity  # type: ignore[import-not-found]
    from rl_doctor.diagnosis import diagnose  # type: ignore[import-not-found]
    from rl_doctor.ingest.base import load_run, run_from_records  # type: ignore[import-not-found]
    from rl_doctor.live import LiveMonitor  # type: ignore[import-not-found]

    severities = {Severity.INFO: INFO, Severity.WARNING: WARNING, Severity.CRITICAL: ERROR}

    def finding(found: Any, step: int) -> Said:
        declines = found.detector == "plateau" and "*declining*" in found.summary
        return Said("plateau_declining" if declines else found.detector, severities[found.severity], step)

    last = job["rows"][-1]["step"] if job["rows"] else 0
    said: list[Said] = []
    if job["way"] == LIVE:
        monitor = LiveMonitor(job["settings"], alert_at=Severity.INFO, on_finding=lambda found: None)
        begin = time.process_time()
        for row in job["rows"]:
            said += [finding(found, row["step"]) for found in monitor.log(row)]
        said += [finding(found, last) for found in monitor.check()]
        seconds, diagnosis = time.process_time() - begin, monitor.latest
    else:
        path = Path(job["log"])
        if job["way"] == ITS_OWN:
            run = load_run(str(path if path.suffix in PEERS["rl-doctor"].reads else path.parent))
        else:
            run = run_from_records(job["rows"], config=job["settings"])
        begin = time.process_time()
        diagnosis = diagnose(run)
        seconds = time.process_time() - begin
        said = [finding(found, last) for found in diagnosis.problems]
    if diagnosis is None:  # the monitor was switched off by a fault of its own
        return Answer(said, seconds, "live monitoring disabled after an internal error")
    raised = [f"{f.detector}: {f.summary}" for f in diagnosis.findings if f.summary.startswith("detector raised")]
    return Answer(said, seconds, "; ".join(raised))


def rlprobe(job: Job) -> Answer:
    from rlprobe.doctor.engine import diagnose_view  # type: ignore[import-not-found]
    from rlprobe.doctor.runview import RunView  # type: ignore[import-not-found]
    from rlprobe.schemas import RunManifest, StepRecord  # type: ignore[import-not-found]

    severities = {"info": INFO, "warn": WARNING, "critical": ERROR}
    manifest = RunManifest(run_id="", created_at="", algorithm=job["settings"]["algorithm"])
    records = [StepRecord(**_record(row)) for row in job["rows"]]
    looks = [*range(EVERY, len(records), EVERY)] if job["way"] == LIVE else []
    said: dict[tuple[str, int], Said] = {}
    begin = time.process_time()
    for rows in [*looks, len(records)]:
        for f in diagnose_view(RunView(manifest, records[:rows])):
            now = Said(f.signature_id, severities[f.severity], records[rows - 1].step)
            said.setdefault(now[:2], now)
    return Answer([*said.values()], time.process_time() - begin, "")


def _record(row: Row) -> dict[str, Any]:
    """A StepRecord: what is not finite is counted, as its recorder is told to, and left out, as its adapter does."""
    values = fields(row, RLPROBE)
    optimised = [values[name] for name in ("loss", "grad_norm") if name in values]
    parts = {name.split("/")[1]: v for name, v in row.items() if name.startswith("rewards/") and math.isfinite(v)}
    return {
        "step": row["step"],
        "reward_components": parts,
        "nan_count": sum(math.isnan(value) for value in optimised),
        "inf_count": sum(math.isinf(value) for value in optimised),
    } | {name: value for name, value in values.items() if math.isfinite(value)}


def rlwatch(job: Job) -> Answer:
    from rlwatch.alerts import AlertManager  # type: ignore[import-not-found]
    from rlwatch.config import RLWatchConfig  # type: ignore[import-not-found]
    from rlwatch.detectors import DetectorSuite  # type: ignore[import-not-found]

    severities = {"warning": WARNING, "critical": ERROR}
    config = RLWatchConfig()
    suite, alerts = DetectorSuite(config), AlertManager(config.alerts)
    said, seconds = [], 0.0
    for row in job["rows"]:
        values = fields(row, RLWATCH)
        begin = time.process_time()
        found = suite.check_step(row["step"], **values)
        seconds += time.process_time() - begin  # without its database and its messages
        said += [Said(a.detector, severities[a.severity], a.step) for a in found if alerts.send(a)]
    return Answer(said, seconds, "")


def detectors(tool: str) -> list[str]:
    """The names of all detectors that the installed tool has, where it can tell."""
    if tool == "rl-doctor":
        from rl_doctor.detectors import available  # type: ignore[import-not-found]

        return list(available())
    if tool == "rlprobe":
        from rlprobe.doctor import detectors as _  # type: ignore[import-not-found]  # noqa: F401
        from rlprobe.doctor.base import REGISTRY  # type: ignore[import-not-found]

        return [detector.id for detector in REGISTRY]
    return []


ASK: Mapping[str, Callable[[Job], Answer]] = {"rl-doctor": rl_doctor, "rlprobe": rlprobe, "rlwatch": rlwatch}


def ask(tool: str, jobs: Path, skip: int) -> Iterator[dict[str, Any]]:
    """Who answers, and an answer to each job but the first `skip`; a job is done as often as it says, to be timed."""
    installed = version(PEERS[tool].package)
    yield {"version": installed, "python": platform.python_version(), "detectors": detectors(tool)}
    with jobs.open(encoding="utf-8") as lines:
        for i, line in enumerate(lines):
            if i >= skip:
                job = json.loads(line)
                answers = [ASK[tool](job) for _ in range(job["times"])]
                yield {**answers[0]._asdict(), "seconds": [answer.seconds for answer in answers]}


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # what a tool prints is no answer
    for line in ask(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps(line), file=out, flush=True)
