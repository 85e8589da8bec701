"""How right the rules are on recorded runs with labels: python tests/corpus/table.py

For each corpus, a row for each rule and one for all: what was found, missed and false, precision and recall, the median
distance of the onset from the beginning of its label as a share of the run, and how many onsets lie within the labelled
range or a tenth of the run from it. A thing that any of several codes may say counts for each of them that says it, as
missed for each where none does, and once in the total. Then each miss and each false alarm by name.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence

from judge import Score, Verdict, by_rule, judged, total
from labels import Run, Wanted, corpora, ranges, runs

from diagnostics.engine import diagnose
from diagnostics.rule import all_lints, all_rules

HEAD = "| | found | missed | false | precision | recall | onset error | onsets right |\n|---|" + "---:|" * 7


def row(name: str, score: Score) -> str:
    """A line of the table."""
    shares = " | ".join(_number(value, ".3f") for value in (score.precision, score.recall))
    onsets = f"{score.near} of {len(score.onsets)}" if score.onsets else ""
    counts = f"{score.found} | {score.missed} | {score.false}"
    return f"| {name} | {counts} | {shares} | {_number(score.onset_error, '.0%')} | {onsets} |"


def _number(value: float, spec: str) -> str:
    return "" if math.isnan(value) else format(value, spec)


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if "AUTOTUNE_CORPUS" not in os.environ:
        print("AUTOTUNE_CORPUS is not set: the folder with the shared real runs. They are left out.")
    names = {code: rule.name for code, rule in {**all_rules(), **all_lints()}.items()}
    for corpus in corpora():
        begin = time.perf_counter()
        recorded = runs(corpus)
        read = time.perf_counter()
        verdicts = {
            run.name: judged(run.label, diagnose(run.segments).raised if run.segments else ()) for run in recorded
        }
        seconds = f"read in {read - begin:.1f} s, diagnosed in {time.perf_counter() - read:.1f} s"
        print(f"\n## {corpus}: {len(recorded)} runs, {seconds}\n\n{HEAD}")
        for code, score in by_rule(verdicts, recorded).items():
            print(row(f"{code} {names.get(code, '')}".rstrip(), score))
        print(row("all", total(verdicts, recorded)))
        print(*remarks(recorded, verdicts), sep="\n")


def remarks(recorded: Sequence[Run], verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """What is wrong, run by run, and what could not be judged."""
    wanted = [wanted for run in recorded for wanted in run.label.present]
    unclear = sum(not ranges(w.steps) for w in wanted)
    yield f"\nOnsets: {unclear} of {len(wanted)} labels do not say where, or not clearly."
    for run in recorded:
        verdict = verdicts[run.name]
        if run.unread:
            yield f"- {run.name}: UNREAD {run.unread}"
        for missed in verdict.missed:
            yield f"- {run.name}: MISSED {missed}{_why(missed)}"
        for false in verdict.false:
            at = f"{false.severity.name.lower()}@{false.raised_at}"
            kind = "healthy" if run.label.healthy else "labelled absent" if run.label.absent else "not labelled"
            yield f"- {run.name}: FALSE {false.code} {at} ({kind}): {false.message}"
        for error in verdict.errors:
            yield f"- {run.name}: HEALTHY, and {error.severity.name} {error.code} at step {error.raised_at}"


def _why(wanted: Wanted) -> str:
    said = ": ".join(part for part in (wanted.steps, wanted.evidence) if part)
    return f" ({said})" if said else ""


if __name__ == "__main__":
    main()
