"""Faults planted in healthy runs, found or not: python tests/corpus/table_planted.py [--runs N] [--healthy N]

Recall at each strength as a curve, the delay from onset to alarm at six units, and the false alarms of healthy runs of
2,000 steps and of those that look ill. What one unit of each fault is was declared beforehand: tests/corpus/planted.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import Pool
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import labels
import planted

from diagnostics.engine import diagnose
from diagnostics.finding import Finding, Severity
from diagnostics.readers import events
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.vocabulary import frameworks

STRENGTHS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
AT = 6.0  # units at which the rules are held to their recall and their delay
LENGTH, ONSET = 600, 400  # rows of a run with a fault, and the first with it
HEALTHY = 2_000
CADENCES = (1, 5, 10)  # steps between the rows of a log
RUNS = Path(__file__).parents[1] / "data" / "runs"
# Healthy and still below the top of what their task allows, where a flat end would be learned by right; of PPO those
# with a critic that explains something.
GRPO, PPO = ("good-0", "good-1", "good-fast", "query-slow"), ("09_negev_fix/0", "09_negev_fix/1", "09_negev_fix/2")
WARM_UP = 15  # first rows of these critics, worse than a constant; drawn out they would be a fault
BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Job:
    """One run to diagnose: a fault (by its place in FAULTS, -1 for none) in a run made from a recorded one.

    Its log has `length` rows, one every `cadence` steps, under the metrics of `framework` where one is named.
    """

    source: str
    seed: int
    fault: int = -1
    strength: float = 0.0
    length: int = LENGTH
    cadence: int = 1
    framework: str = ""
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said of one run: loud codes with the step of their alarm, and for hard cases what it was."""

    job: Job
    said: tuple[tuple[str, int], ...]
    name: str = ""


@cache
def recorded(source: str) -> tuple[RunHistory, frozenset[str]]:
    """A recorded healthy run, and the codes that may be raised on it."""
    if "/" not in source:
        return events.read(RUNS / source), frozenset()
    run = next(run for run in labels.runs(labels.PATHOLOGIES) if run.name == source)
    explained = run.segments[0]["explained_variance"]
    values = explained.values.copy()
    values[:WARM_UP] = values[WARM_UP : 2 * WARM_UP][::-1]
    warm = MetricSeries(explained.metric, explained.steps, values)
    return run.segments[0].with_series({**run.segments[0].series, warm.metric: warm}), run.label.maybe - {"VAL002"}


def judged(job: Job) -> list[Outcome]:
    """Make the run of `job` and diagnose it; of a hard one all its cases."""
    source, may = recorded(job.source)
    run = planted.every(planted.healthy(source, job.length * job.cadence, job.seed), job.cadence)
    cases = planted.hard_cases(run, job.seed) if job.hard else [("", run)]
    found = []
    for name, case in cases:
        if job.fault >= 0:
            case = planted.plant(case, planted.FAULTS[job.fault], ONSET, job.strength)
        if job.framework:
            case = planted.as_logged(case, job.framework)
        loud = [f for f in diagnose(case).raised if f.severity >= Severity.WARNING]
        found.append(Outcome(job, tuple(_first(f) for f in loud if f.code not in may or job.fault >= 0), name))
    return found


def _first(finding: Finding) -> tuple[str, int]:
    return finding.code, finding.raised_at


def can_have(fault: planted.Fault, source: str, framework: str = "") -> bool:
    """Whether a run made from `source` logs what `fault` changes, under the metrics of `framework` if one is named.

    A change in absolute units is asked for where these are those of the log.
    """
    run, _ = recorded(source)
    if not framework:
        return fault.shows(run.series.keys())
    origins = planted.origins(run, framework).items()
    return fault.shows({origin for name, origin in origins if not fault.absolute or planted.same_unit(name, origin)})


def jobs(runs: int, healthy: int) -> list[Job]:
    """Every fault at every strength in `runs` runs, logged less often at six units, and the healthy ones."""
    found = []
    for i, fault in enumerate(planted.FAULTS):
        sources = [s for s in (PPO if fault.ppo else GRPO + PPO) if can_have(fault, s)]
        for seed in range(runs):
            source = sources[seed % len(sources)]
            found += [Job(source, seed, i, strength) for strength in STRENGTHS]
            found += [Job(source, seed, i, AT, cadence=c) for c in CADENCES[1:]]
        for framework in frameworks():
            named = [s for s in sources if can_have(fault, s, framework)]
            found += [Job(named[s % len(named)], s, i, AT, framework=framework) for s in range(runs // 5) if named]
    for seed in range(healthy):
        source = (GRPO + PPO)[seed % len(GRPO + PPO)]
        cadence = CADENCES[seed % 3] if seed % 2 else 1
        found.append(Job(source, 1_000 + seed, length=HEALTHY // cadence, cadence=cadence))
        found.append(Job(source, 1_000 + seed, length=HEALTHY // 4, framework=frameworks()[seed % len(frameworks())]))
        if seed % 4 == 0:
            found.append(Job(source, 2_000 + seed, length=HEALTHY // 4, hard=True))
    return found


def delay(outcome: Outcome) -> int | None:
    """Rows from the onset of the fault to its first alarm, None where there is none."""
    codes, cadence = planted.FAULTS[outcome.job.fault].codes, outcome.job.cadence
    alarms = [step // cadence - ONSET for code, step in outcome.said if code in codes and step > ONSET * cadence]
    return min(alarms, default=None)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="runs for each fault and strength")
    parser.add_argument("--healthy", type=int, default=200, help="healthy runs of 2,000 steps")
    arguments = parser.parse_args()
    began, work = time.perf_counter(), jobs(arguments.runs, arguments.healthy)
    with Pool(2) as pool:
        outcomes = [outcome for found in pool.imap_unordered(judged, work, chunksize=16) for outcome in found]
    _faults([o for o in outcomes if o.job.fault >= 0])
    _healthy([o for o in outcomes if o.job.fault < 0])
    print(f"\n{len(outcomes)} runs diagnosed in {time.perf_counter() - began:.0f} s")


def _faults(outcomes: Sequence[Outcome]) -> None:
    strengths = " ".join(f"{s:>4g}" for s in STRENGTHS)
    print(
        f"recall at so many units, and the median delay in steps at {AT:g}\n\n{'fault':38} {strengths}  curve    delay"
    )
    whole: Counter[float] = Counter()
    counted: Counter[float] = Counter()
    delays_at = []
    for i, fault in enumerate(planted.FAULTS):
        mine = [o for o in outcomes if o.job.fault == i and o.job.cadence == 1 and not o.job.framework]
        recall = {}
        for strength in STRENGTHS:
            delays = [delay(o) for o in mine if o.job.strength == strength]
            found = [d for d in delays if d is not None]
            recall[strength] = len(found) / len(delays)
            whole[strength] += len(found)
            counted[strength] += len(delays)
            if strength == AT:
                at = found
        delays_at += at
        median = f"{statistics.median(at):5.0f}" if at else "    -"
        print(f"{fault.name:38} {_numbers(recall.values())}  {_curve(recall.values())}  {median}")
    recall = {s: whole[s] / counted[s] for s in STRENGTHS}
    print(f"{'all':38} {_numbers(recall.values())}  {_curve(recall.values())}  {statistics.median(delays_at):5.0f}")
    for cadence in CADENCES[1:]:
        thinned = [delay(o) is not None for o in outcomes if o.job.cadence == cadence]
        print(f"a row every {cadence} steps: recall {sum(thinned) / len(thinned):.3f} at {AT:g} units")
    print(f"\nunder the names of each framework: recall at {AT:g} units, and what is missed")
    for framework in frameworks():
        mine = [o for o in outcomes if o.job.framework == framework]
        missed = Counter(planted.FAULTS[o.job.fault].name for o in mine if delay(o) is None)
        share = f"{1 - missed.total() / len(mine):.2f} of {len(mine):3}" if mine else "   -"
        print(f"  {framework:20} {share}  {dict(missed.most_common()) or ''}")
    print(f"\n{_plot([recall[s] for s in STRENGTHS])}")


def _healthy(outcomes: Sequence[Outcome]) -> None:
    long = [o for o in outcomes if not o.job.hard and not o.job.framework]
    named = [o for o in outcomes if o.job.framework]
    for what, mine in ((f"healthy runs of {HEALTHY} steps", long), ("as other frameworks log them", named)):
        alarmed = [o for o in mine if o.said]
        codes = Counter(code for o in mine for code in {code for code, _ in o.said})
        share = len(alarmed) / len(mine)
        print(f"\n{what}: {len(alarmed)} of {len(mine)} with a false alarm ({share:.1%})  {dict(codes.most_common())}")
    for name in dict.fromkeys(o.name for o in outcomes if o.job.hard):
        mine = [o for o in outcomes if o.name == name]
        codes = Counter(code for o in mine for code in {code for code, _ in o.said})
        print(f"  {name:48} {sum(bool(o.said) for o in mine):3} of {len(mine)}  {dict(codes.most_common()) or ''}")


def _numbers(shares: Iterable[float]) -> str:
    return " ".join(f"{share:4.2f}" for share in shares)


def _curve(shares: Iterable[float]) -> str:
    return "".join(BARS[round(share * (len(BARS) - 1))] for share in shares)


def _plot(shares: Sequence[float], rows: int = 10, wide: int = 8) -> str:
    """Recall of all faults against strength, a column for each."""
    lines = []
    for row in range(rows, 0, -1):
        cells = "".join(("█" * 3 if share * rows >= row - 0.5 else "   ").center(wide) for share in shares)
        lines.append(f"{row / rows:5.0%} │{cells}")
    lines.append("      └" + "─" * wide * len(shares))
    lines.append("       " + "".join(f"{s:g}".center(wide) for s in STRENGTHS) + " units")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
