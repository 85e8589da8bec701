"""How right the rules are on recorded runs with labels: python tests/corpus/table.py

For each corpus, a row for each rule and one for all: what was found, missed and false, precision and recall, the median
distance of the onset from the beginning of its label as a share of the run, and how many onsets lie within the labelled
range or a tenth of the run from it. A thing that any of several codes may say counts for each of them that says it, as
missed for each where none does, and once in the total. Then each miss and each false alarm by name, what thresholds are
worth on repositories that they were not chosen on, and how often what is said with some confidence is right.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from judge import Said, Score, Verdict, by_rule, onset_of, total, verdicts_on
from labels import SHARED, WE, Run, Wanted, corpora, ranges, runs
from leave_out import edges, house_defaults, left_out, said_by_default
from reliability import Right, claims, reliability

from diagnostics.finding import Confidence
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-sample", action="store_true", help="without choosing thresholds anew")
    args = parser.parse_args()
    if SHARED not in corpora():
        print("AUTOTUNE_CORPUS is not set: the folder with the shared real runs. They are left out.")
    everything: list[Run] = []
    said: Mapping[str, Said] = {}
    for corpus in corpora():
        begin = time.perf_counter()
        recorded = runs(corpus)
        read = time.perf_counter()
        said = {**said, **said_by_default(recorded)}
        seconds = f"read in {read - begin:.1f} s, diagnosed in {time.perf_counter() - read:.1f} s"
        print(f"\n## {corpus}: {len(recorded)} runs, {seconds}\n\n{HEAD}")
        verdicts = verdicts_on(recorded, said)
        for code, score in by_rule(verdicts, recorded).items():
            print(row(called(code), score))
        print(row("all", total(verdicts, recorded)))
        print(*remarks(recorded, verdicts), sep="\n")
        everything += recorded
    if not args.in_sample:
        print(*changes(everything, said), sep="\n")
        said = without_one(everything, said)
    print(*confidences(everything, said, "" if args.in_sample else ", with thresholds chosen on others"), sep="\n")


def called(code: str) -> str:
    """A code with its name; a label can name one that no rule has."""
    judges = {**all_rules(), **all_lints()}
    return f"{code} {judges[code].name}" if code in judges else code


def without_one(recorded: Sequence[Run], said: Mapping[str, Said]) -> Mapping[str, Said]:
    """Print what thresholds are worth on a repository that they were not chosen on; what is said with those."""
    begin = time.perf_counter()
    anew, moves = left_out(recorded, said, all_rules())
    seconds = time.perf_counter() - begin
    print(f"\n## Thresholds chosen anew without one repository, in {seconds:.0f} s\n")
    print("| left out | runs | found | missed | false | chosen without it: found | missed | false |")
    print("|---|" + "---:|" * 7)
    inside, outside = verdicts_on(recorded, said), verdicts_on(recorded, anew)
    for repository in dict.fromkeys(run.repository for run in recorded):
        mine = [run for run in recorded if run.repository == repository]
        scores = [total(verdicts, mine) for verdicts in (inside, outside)]
        counts = " | ".join(f"{score.found} | {score.missed} | {score.false}" for score in scores)
        print(f"| {repository} | {len(mine)} | {counts} |")
    others = [run for run in recorded if run.repository != WE]
    for who, mine in ("All repositories", [*recorded]), ("Those of other people", others):
        before, after = total(inside, mine), total(outside, mine)
        print(
            f"\n{who}: precision {before.precision:.3f}, recall {before.recall:.3f}; "
            f"left out {after.precision:.3f}, {after.recall:.3f}."
        )
    free = sum(len(house_defaults(rule)) for rule in all_rules().values())
    print(f"\nOf {free} thresholds without a published source these ever moved:\n")
    for (code, name, default), moved in groupby(moves, lambda move: (move.code, move.threshold, move.default)):
        to = ", ".join(f"{move.value:g} without {move.left_out}" for move in moved)
        print(f"- {called(code)} `{name}` = {default:g}: {to}")
    if not moves:
        print("- none")
    return anew


def changes(recorded: Sequence[Run], said: Mapping[str, Said]) -> Iterator[str]:
    """What another value of a threshold does in sample."""
    begin = time.perf_counter()
    near = edges(recorded, said, all_rules())
    yield f"\n## One threshold changed, all repositories, in {time.perf_counter() - begin:.0f} s\n"
    yield "| | threshold | default | changed to | found | false |\n|---|---|" + "---:|" * 4
    for e in near:
        counts = f"{e.found:+d} | {e.false:+d}"
        yield f"| {called(e.code)} | `{e.threshold}` | {e.default:g} | {e.value:g} | {counts} |"


def confidences(recorded: Sequence[Run], said: Mapping[str, Said], how: str) -> Iterator[str]:
    """How often what is said with some confidence is right."""
    counted = reliability(recorded, said)
    yield f"\n## Confidence: how often it is right{how}\n"
    yield (
        "| | confidence | present | may be | false | not labelled | right | claims |\n|---|---|" + "---:|" * 5 + "---|"
    )
    for (code, confidence), right in counted.items():
        yield _line(called(code), confidence, right)
    for confidence in reversed(Confidence):
        yield _line("all", confidence, sum((r for (_, c), r in counted.items() if c == confidence), Right()))


def _line(name: str, confidence: Confidence, right: Right) -> str:
    counts = f"{right.present} | {right.maybe} | {right.wrong} | {right.unknown}"
    said = f"{_number(right.share, '.2f')} | {claims(confidence, right)}"
    return f"| {name} | {confidence.name.lower()} | {counts} | {said} |"


def remarks(recorded: Sequence[Run], verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """What is wrong, run by run, and what could not be judged."""
    present = [wanted for run in recorded for wanted in run.label.present]
    unclear = sum(not ranges(wanted.steps) for wanted in present)
    yield f"\nOnsets: {unclear} of {len(present)} labels do not say where, or not clearly."
    for run in recorded:
        verdict = verdicts[run.name]
        if run.unread:
            yield f"- {run.name}: UNREAD {run.unread}"
        for missed in verdict.missed:
            yield f"- {run.name}: MISSED {missed}{_why(missed)}"
        for wanted, findings in verdict.found:
            onset = onset_of(run, wanted, findings)
            if onset is not None and not onset.right:
                said = ", ".join(f"{f.code} from {f.first_step}, raised at {f.raised_at}" for f in findings)
                yield f"- {run.name}: ONSET of {wanted}{_why(wanted)}: {said}"
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
