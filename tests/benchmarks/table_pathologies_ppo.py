"""PPO made sick, found live, and repaired: python tests/benchmarks/table_pathologies_ppo.py --out DIR

The recorded pathologies of PPO made again with our trainer (pathologies_ppo.toml has their settings, beside those of
their healthy twins). `--part runs`: three seeds each, as trials of a study, which a FATAL finding ends. Found is what
was raised while the run went on, at WARNING or above: of each labelled group of codes any, of the twins nothing at
ERROR. `--part studies`: a study of 8 trials from the sick settings, in a space of the five knobs. It has repaired what
it recommends where that ran on every seed without an ERROR and without the labelled findings, those aside that its
healthy twin may have as well, and ends with a validation reward not more than two standard deviations between seeds
below the twin's. Where none of the five knobs repairs it, the study has to say so, and what is wanted instead, in its
output and in its journal.

Runs that lie in DIR are not run again; one that broke off is, a study goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

from autotune.launch.local import LocalLauncher, LocalTrial
from diagnostics.events import EVENTS_FILE, FindingRaised, Outcome
from diagnostics.finding import Finding, Severity
from studies import trial, words
from studies.log import is_study, read
from studies.record import StudyRecord, TrialRecord
from studies.trial import Knob, TrialSpec
from studies.trial_log import TrialLog

SCENARIOS = Path(__file__).with_name("pathologies_ppo.toml")
OBJECTIVE = "validation_reward"
TRIALS = 8
NOISE = 2.0  # standard deviations between the twin's seeds
SAID = ("which the space does not have", "what no knob changes")  # how a study says what it cannot do

SPACE: Mapping[str, Mapping[str, Any]] = {
    "learning_rate": {"low": 1e-6, "high": 1e-2, "log": True},
    "kl_coef": {"low": 1e-3, "high": 2.0, "log": True},
    "update_epochs": {"low": 1, "high": 16, "log": True, "integer": True},
    "temperature": {"low": 0.5, "high": 1.5},
    "num_generations": {"choices": [1, 2, 4, 8]},
}
FROM_NONE = {"kl_coef": {"low": 0.0, "high": 0.5}}  # for one that starts at 0
FROM_FAR = {"learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}  # for one that starts above the usual space


@dataclass(frozen=True, slots=True)
class Scenario:
    """A run of pathologies_ppo.toml, which says what the fields mean."""

    name: str
    task: str
    steps: int
    knobs: Mapping[str, Knob]
    trl: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    max_completion_length: int = 32
    twin: str = ""
    found: Sequence[Sequence[str]] = ()
    maybe: Sequence[str] = ()
    outside: str = ""
    advice: str = ""

    @property
    def completions(self) -> int:
        """Of the whole run: those of a rollout last for `update_epochs` times the mini-batches steps."""
        return self.batch_size * self.steps // (int(self.knobs["update_epochs"]) * self.trl.get("num_mini_batches", 1))

    def spec(self, seed: int) -> TrialSpec:
        """As a trial."""
        return TrialSpec(
            algorithm="ppo",
            task=self.task,
            knobs=self.knobs,
            seed=seed,
            completions=self.completions,
            batch_size=self.batch_size,
            max_completion_length=self.max_completion_length,
            save_model=False,
            trl=self.trl,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a trial: everything that was raised while it went on, and its objective at the end."""

    raised: Sequence[Finding]
    value: float
    steps: int
    max_steps: int

    def codes(self, least: Severity = Severity.WARNING) -> dict[str, Finding]:
        """The first finding of each code at `least` or above."""
        loud: dict[str, Finding] = {}
        for finding in self.raised:
            if finding.severity >= least:
                loud.setdefault(finding.code, finding)
        return loud


def scenarios() -> tuple[dict[str, Scenario], dict[str, Scenario]]:
    """The twins and the sick runs by name; a sick run has what its twin has unless it says otherwise."""
    data = tomllib.loads(SCENARIOS.read_text(encoding="utf-8"))
    twins = {name: Scenario(name, **table) for name, table in data["twins"].items()}
    sick = {}
    for name, table in data["sick"].items():
        twin = twins[table["twin"]]
        sick[name] = replace(twin, **{"name": name, "trl": {}, "maybe": (), **table})
    return twins, sick


# ---- runs


def has_ended(folder: Path) -> bool:
    """Whether the trial in `folder` has run to its end, or to where a finding ended it."""
    log = TrialLog(folder, OBJECTIVE)
    log.poll()
    log.close()
    return log.ended is not None and log.ended.outcome in (Outcome.FINISHED, Outcome.STOPPED)


def train(wanted: Mapping[Path, TrialSpec], jobs: int) -> None:
    """Run the trials that have not ended yet, `jobs` at a time; RuntimeError for one that fails."""
    waiting = [folder for folder in wanted if not has_ended(folder)]
    running: list[LocalTrial] = []
    with LocalLauncher(parallel=jobs) as launcher:
        while waiting or running:
            while waiting and len(running) < jobs:
                folder = waiting.pop(0)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / EVENTS_FILE).unlink(missing_ok=True)
                trial.write(wanted[folder], folder)
                running.append(launcher.start(folder))
            for one in [t for t in running if t.poll() is not None]:
                running.remove(one)
                if one.poll() and not has_ended(one.directory):
                    raise RuntimeError(f"{one.directory}: {one.last_words()}")
            time.sleep(0.1)


def run_of(folder: Path) -> Run:
    """What the events of a trial say."""
    log = TrialLog(folder, OBJECTIVE)
    raised = [event.finding for event in log.poll() if isinstance(event, FindingRaised)]
    log.close()
    return Run(raised, log.evaluations[-1].value, log.step, log.max_steps)


def told(findings: Mapping[str, Finding], codes: Sequence[str] | None = None) -> str:
    """Codes with their severity and the step they were raised at."""
    shown = [f for code, f in findings.items() if codes is None or code in codes]
    return ", ".join(f"{f.code} {f.severity.name.lower()}@{f.raised_at}" for f in shown)


def twin_row(twin: Scenario, runs: Sequence[Run]) -> str:
    """One line of the table of twins."""
    quiet = all(not run.codes(Severity.ERROR) for run in runs)
    beyond = [{code: f for code, f in run.codes().items() if code not in twin.maybe} for run in runs]
    said = "; ".join(f"seed {seed}: {told(found)}" for seed, found in enumerate(beyond) if found)
    may = sorted({code for run in runs for code in run.codes() if code in twin.maybe})
    rewards = spread([run.value for run in runs])
    return f"| {twin.name} | {rewards} | {'yes' if quiet else '**no**'} | {said or 'nothing'} | {', '.join(may)} |"


def sick_row(sick: Scenario, runs: Sequence[Run]) -> str:
    """One line of the table of sick runs."""
    groups = []
    for codes in sick.found:
        hits = [told(run.codes(), codes) for run in runs]
        n = sum(map(bool, hits))
        mark = f"{n}/{len(runs)}" if n == len(runs) else f"**{n}/{len(runs)}**"
        groups.append(f"{' or '.join(codes)}: {mark} ({'; '.join(hit or 'no' for hit in hits)})")
    fine = {*sick.maybe, *(code for codes in sick.found for code in codes)}
    other = sorted({code for run in runs for code in run.codes() if code not in fine})
    ran = ", ".join(f"{run.steps}/{run.max_steps}" for run in runs)
    rewards = spread([run.value for run in runs])
    return f"| {sick.name} | {rewards} | {ran} | {'<br>'.join(groups) or '-'} | {', '.join(other) or 'nothing'} |"


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


# ---- studies


def write_study(sick: Scenario, twin: Scenario, path: Path) -> None:
    """The study from the sick settings as a file for `autotune study start`: JSON's scalars and lists are TOML's, too.

    It may spend what its twin spends.
    """
    spec = trial.to_json(sick.spec(0))
    unsaid = ("v", "knobs", "seed", "trl")  # and what has no value, which TOML cannot say
    plain = {key: value for key, value in spec.items() if key not in unsaid and value is not None}
    rate, kl = (float(sick.knobs[knob]) for knob in ("learning_rate", "kl_coef"))
    space = {**SPACE, **(FROM_NONE if kl == 0 else {}), **(FROM_FAR if rate > SPACE["learning_rate"]["high"] else {})}
    tables = {
        "": {"name": sick.name, "objective": OBJECTIVE},
        "trial": plain | {"completions": twin.completions},
        "trial.trl": sick.trl,
        "space": space,
        "start": sick.knobs,
    }
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def study(sick: Scenario, twin: Scenario, out: Path, seed: int, trials: int) -> tuple[StudyRecord, str]:
    """The finished study of a scenario and what it printed."""
    out.mkdir(parents=True, exist_ok=True)
    folder, file, printed = out / f"study-seed{seed}", out / "study.toml", out / f"study-seed{seed}.out"
    if not is_study(folder):
        write_study(sick, twin, file)
        how = ("--plain", "--trials", str(trials), "--seed", str(seed))
        _autotune(printed, "start", str(file), "--dir", str(folder), *how)
    elif not (record := read(folder)).ended or len(record.trials) < trials:
        _autotune(printed, "resume", str(folder), "--plain", "--trials", str(trials))
    return read(folder), printed.read_text(encoding="utf-8")


def _autotune(printed: Path, *arguments: str) -> None:
    with printed.open("a", encoding="utf-8") as out:
        command = [sys.executable, "-P", "-m", "autotune", "study", *arguments]
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    if status:
        raise RuntimeError(f"{' '.join(command)}: {printed}")


def study_row(sick: Scenario, twin: Scenario, record: StudyRecord, printed: str, healthy: Sequence[float]) -> str:
    """One line of the table of studies."""
    best = record.best()
    values = record.values(best) if best is not None else ()
    least = statistics.mean(healthy) - NOISE * statistics.stdev(healthy) if len(healthy) > 1 else float("-inf")
    same = [t for t in record.trials if best is not None and t.proposal.knobs == best.proposal.knobs]
    loud = {f.code for t in same for f in t.findings if f.severity >= Severity.WARNING}
    labelled = {code for codes in sick.found for code in codes} - {*twin.maybe}
    left = sorted(loud & labelled)
    if sick.outside:
        journal = (record.directory / "journal.md").read_text(encoding="utf-8")
        said = [
            [line for line in text.splitlines() if sick.advice in line and any(how in line for how in SAID)]
            for text in (printed, journal)
        ]
        came = said[0][-1] if all(said) else "**not said**"
    elif best is None:
        came = "**no**: nothing is recommended"
    else:
        wrong = [f"{code} is left ({until(same, code)})" for code in left]
        wrong += [f"below {least:.3f}"] * (statistics.mean(values) < least)
        came = f"**no**: {', '.join(wrong)}" if wrong else "yes"
    changed = []
    if best is not None:
        changed = [
            f"{k} {sick.knobs[k]} → {words.number(v)}" for k, v in best.proposal.knobs.items() if v != sick.knobs[k]
        ]
    reached = f"{spread(values)} ({len(values)})" if values else "-"
    cells = (
        sick.name,
        sick.outside or "the five knobs",
        f"trial {best.number}: {', '.join(changed) or 'as it began'}" if best is not None else "none",
        reached,
        spread(healthy),
        ", ".join(sorted(loud - labelled)) or "nothing",
        came,
    )
    return f"| {' | '.join(cells)} |"


def until(trials: Sequence[TrialRecord], code: str) -> str:
    """The gravest that a finding became on any of the seeds, and the last step at which it was so."""
    found = [f for t in trials for f in t.findings if f.code == code]
    return f"{max(f.severity for f in found).name.lower()}, last at step {max(f.last_step for f in found)}"


# ---- the tables


def lines(args: argparse.Namespace) -> Iterator[str]:
    """Run what is missing; the tables line by line."""
    twins, sick = scenarios()
    sick = {
        name: one for name, one in sick.items() if not args.only or any(name.startswith(only) for only in args.only)
    }
    twins = {name: twin for name, twin in twins.items() if any(one.twin == name for one in sick.values())}
    seeds = range(args.seeds)
    folders = {name: [args.out / name / f"seed{seed}" for seed in seeds] for name in (*sick, *twins)}
    needed = {**sick, **twins} if "runs" in args.part else twins
    train(
        {folder: one.spec(seed) for name, one in needed.items() for seed, folder in enumerate(folders[name])}, args.jobs
    )
    runs = {name: [run_of(folder) for folder in folders[name]] for name in needed}
    if "runs" in args.part:
        yield f"| healthy | {OBJECTIVE} | quiet at ERROR | beyond what may be | what may be |"
        yield "|---|---:|---|---|---|"
        yield from (twin_row(twin, runs[name]) for name, twin in twins.items())
        yield ""
        yield f"| sick | {OBJECTIVE} | steps run | found at WARNING or above, by seed | beyond what may be |"
        yield "|---|---:|---|---|---|"
        yield from (sick_row(one, runs[name]) for name, one in sick.items())
        yield ""
    if "studies" in args.part:
        with ThreadPoolExecutor(args.jobs) as pool:
            studied = list(
                pool.map(
                    lambda one: study(one, twins[one.twin], args.out / one.name, args.study_seed, args.trials),
                    sick.values(),
                )
            )
        yield "| study from | repaired by | recommended | reached (seeds) | twin | also raised | repaired, or said |"
        yield "|---|---|---|---:|---:|---|---|"
        for one, (record, printed) in zip(sick.values(), studied, strict=True):
            yield study_row(one, twins[one.twin], record, printed, [run.value for run in runs[one.twin]])


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="sick runs whose names begin so")
    parser.add_argument("--part", nargs="+", default=("runs", "studies"), choices=("runs", "studies"))
    parser.add_argument("--seeds", type=int, default=3, help="of each run")
    parser.add_argument("--study-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each study")
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time, and studies")
    for line in lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
