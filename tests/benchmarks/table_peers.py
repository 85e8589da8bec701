"""Ours beside other tools that diagnose runs: python tests/benchmarks/table_peers.py --environments DIR [--runs N]

rl-doctor, rlprobe and rlwatch, each from the registry in an environment of its own below DIR (made where it is not
there), are asked of the same runs as ours: recorded pathologies, our own runs, faults planted at six units in healthy
runs, and where `AUTOTUNE_CORPUS` says, runs of other people. What one gets and what its detectors may stand for is
declared in tests/benchmarks/peers.py.

Counted as tests/corpus/judge.py counts, at WARNING and above, with the benefit of the doubt for the others: a detector
that may stand for several codes stands for the one that is right. What a run with a planted fault raises at the same
step without it is no finding of the fault. A tool that dies of a run has found nothing in it, and that is said.

Rows a second of the processor are of the detectors alone, on one thread, with the run in memory in the tool's own form,
the median of three times: ours looks at every row of a live run, rl-doctor and rlprobe at the whole run every 25 rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported, here and in the tools' environments
sys.path.append(str(Path(__file__).parents[1] / "corpus"))

import labels
import planted
from judge import by_code, judged
from labels import Label
from peer_answers import OURS, Alarm, Heard, environment, ours, peer
from peer_runs import PLANTED, Case, planted_at, planted_cases, recorded, rows
from peers import FINISHED, PEERS

from diagnostics.finding import Confidence, Finding


@dataclass(slots=True)
class Count:
    """What a tool's alarms come to over many cases."""

    found: int = 0
    missed: int = 0
    unclaimed: int = 0  # of those missed: what the tool has no detector for
    false: Counter[str] = field(default_factory=Counter)  # by detector
    healthy: int = 0
    alarmed: int = 0
    errors: int = 0  # healthy runs with an ERROR
    delays: list[int] = field(default_factory=list)


def counted(cases: Sequence[Case], heard: Heard) -> Count:
    """As tests/corpus/judge.py counts."""
    count = Count()
    for case in cases:
        before = set(heard.alarms.get(case.twin, ()))
        alarms = [alarm for alarm in heard.alarms.get(case.name, ()) if alarm not in before]
        verdict = judged(case.label, by_code(finding for alarm in alarms for finding in stands_for(alarm, case.label)))
        count.found += len(verdict.found)
        count.missed += len(verdict.missed)
        count.unclaimed += sum(not wanted.codes & heard.claims for wanted in verdict.missed)
        count.false.update(finding.name for finding in verdict.false)
        count.healthy += case.label.healthy
        count.alarmed += case.label.healthy and bool(verdict.false)
        count.errors += bool(verdict.errors)
        if case.twin and verdict.found:
            ((_, right),) = verdict.found
            count.delays.append(min(finding.raised_at for finding in right) - planted_at(case))
    return count


def stands_for(alarm: Alarm, label: Label) -> list[Finding]:
    """The alarm as findings of ours: of every code that is right, else of one that may be, else of one at all."""
    right = alarm.codes & frozenset().union(*(wanted.codes for wanted in label.present))
    may = alarm.codes & label.maybe or alarm.codes - (label.absent or frozenset())
    codes = sorted(right) or sorted(may or alarm.codes)[:1]
    return [
        Finding(code, alarm.detector, alarm.severity, Confidence.HIGH, alarm.step, alarm.step, alarm.step, "", (),
                segment=alarm.segment)
        for code in codes
    ]  # fmt: skip


# ---- the tables


HEAD = """
| tool | found | missed | false | precision | recall | recall where it has a detector | healthy runs alarmed | {} |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def line(name: str, count: Count, last: str) -> str:
    """A row of the table."""
    false = sum(count.false.values())
    claimed = _share(count.found, count.missed - count.unclaimed)
    counts = f"{count.found} | {count.missed} | {false}"
    shares = f"{_share(count.found, false)} | {_share(count.found, count.missed)} | {claimed}"
    return f"| {name} | {counts} | {shares} | {count.alarmed} of {count.healthy} | {last} |"


def _share(some: int, others: int) -> str:
    return f"{some / (some + others):.3f}" if some + others else ""


def corpus_table(corpus: str, cases: Sequence[Case], everyone: Sequence[Heard]) -> Iterator[str]:
    """One corpus: a row for each tool and way, what its false alarms are, and what it could not answer."""
    steps = corpus == PLANTED
    yield f"\n## {corpus}: {len(cases)} runs\n{HEAD.format('median delay in steps' if steps else 'healthy with ERROR')}"
    counts = {heard.name: counted(cases, heard) for heard in everyone}
    for heard in everyone:
        count = counts[heard.name]
        late = f"{statistics.median(count.delays):.0f}" if count.delays and heard.way != FINISHED else ""
        if heard.tool == OURS and count.delays:
            late = f"{statistics.median(count.delays):.0f}"
        yield line(heard.name, count, late if steps else str(count.errors))
    yield ""
    for heard in everyone:
        if false := counts[heard.name].false.most_common():
            yield f"- false, {heard.name}: " + ", ".join(f"{name} {n}" for name, n in false)
    for heard in everyone:
        for name, why in heard.broken.items():
            yield f"- BROKEN, {heard.name}: {name}: {why}"
    for case in cases:
        if not any(rows(segment) for segment in case.segments):
            yield f"- {case.name}: has nothing that TRL has a name for, and the others were not asked"


def fault_table(cases: Sequence[Case], everyone: Sequence[Heard]) -> Iterator[str]:
    """Recall of each planted fault; a dash where the tool has no detector for it."""
    yield "\n| planted fault | " + " | ".join(heard.name for heard in everyone) + " |"
    yield "|---|" + "---:|" * len(everyone)
    for fault in planted.FAULTS:
        mine = [case for case in cases if case.twin and case.name.startswith(f"{fault.name}, ")]
        cells = []
        for heard in everyone:
            count = counted(mine, heard)
            claims = bool(fault.codes & heard.claims)
            cells.append(f"{count.found / len(mine):.2f}" if claims else "-")
        yield f"| {fault.name} | {' | '.join(cells)} |"


def speed_table(everyone: Sequence[Heard]) -> Iterator[str]:
    """Rows a second."""
    what = list(dict.fromkeys(name for heard in everyone for name in heard.speed))
    yield "\n## Rows a second of the processor, detectors alone\n"
    yield f"| tool | {' | '.join(what)} |\n|---|{'---:|' * len(what)}"
    for heard in everyone:
        cells = [f"{heard.speed[name]:,.0f}" if name in heard.speed else "" for name in what]
        yield f"| {heard.tool}, {heard.way} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True, help="folder with an environment for each tool")
    parser.add_argument("--runs", type=int, default=10, help="runs for each planted fault")
    arguments = parser.parse_args()
    if labels.SHARED not in labels.corpora():
        print("AUTOTUNE_CORPUS is not set: the folder with the shared real runs. They are left out.")
    corpora = {corpus: recorded(corpus) for corpus in labels.corpora()} | {PLANTED: planted_cases(arguments.runs)}
    who, heard = [f"{OURS} {version('autotune-rl')}"], [ours(corpora)]
    for tool in PEERS:
        try:
            python = environment(arguments.environments, tool)
        except subprocess.CalledProcessError as error:
            print(f"{tool} cannot be installed, and is left out: {error}")
            continue
        name, said = peer(python, tool, corpora)
        who.append(name)
        heard.append(said)
    print(", ".join(who))
    for corpus, cases in corpora.items():
        everyone = [one for said in heard for one in said[corpus].values()]
        print(*corpus_table(corpus, cases, everyone), sep="\n")
        if corpus == PLANTED:
            print(*fault_table(cases, everyone), sep="\n")
    print(*speed_table([one for said in heard for one in said[""].values()]), sep="\n")


if __name__ == "__main__":
    main()
