"""Is the first cause of a run the one that it was recorded with? python tests/corpus/table_causes.py

The recorded pathologies twice, as their logs are and with the settings that lie beside them, and our own runs. How
often the first cause is right at each confidence stands below.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from labels import DATA, OURS, PATHOLOGIES, Run, runs

from diagnostics.cause import Cause
from diagnostics.engine import diagnose
from diagnostics.finding import Confidence, Severity
from diagnostics.series import RunHistory
from diagnostics.vocabulary import LAST, vocabulary

WITH_SETTINGS = f"{PATHOLOGIES}, settings known"
NEWEST = tuple(part - 1 for part in LAST)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first cause that was told of a run, and those that are right; none are where it is healthy."""

    run: str
    right: tuple[str, ...]
    told: Cause | None
    loud: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether the first cause is one of those it may be, or a healthy run has none."""
        return self.told.name in self.right if self.told is not None else not self.right


def corpora() -> Mapping[str, Sequence[Verdict]]:
    """The verdicts on all runs, corpus by corpus."""
    truth = tomllib.loads((DATA / "causes.toml").read_text(encoding="utf-8"))
    ours, made = truth["runs"], truth["pathologies"]
    return {
        PATHOLOGIES: [_verdict(run, made.get(_scenario(run), ())) for run in runs(PATHOLOGIES)],
        WITH_SETTINGS: [_verdict(run, made.get(_scenario(run), ())) for run in _with_settings()],
        OURS: [_verdict(run, ours.get(run.name, ())) for run in runs(OURS)],
    }


def _scenario(run: Run) -> str:
    return run.name.rpartition("/")[0]


def _verdict(run: Run, right: Sequence[str]) -> Verdict:
    report = diagnose(run.segments)
    loud = tuple(finding.code for finding in report.findings if finding.severity >= Severity.WARNING)
    return Verdict(run.name, tuple(right), next(iter(report.causes), None), loud)


def _with_settings() -> Iterator[Run]:
    for run in runs(PATHOLOGIES):
        (segment,) = run.segments
        yield replace(run, segments=(replace(segment, settings=_settings(_scenario(run), segment)),))


@cache
def _config(scenario: str) -> Mapping[str, Any]:
    config: Mapping[str, Any] = json.loads(
        (DATA / "pathologies" / scenario / "config.json").read_text(encoding="utf-8")
    )
    return config


def _settings(scenario: str, run: RunHistory) -> Mapping[str, Any]:
    config = _config(scenario)
    known = vocabulary(run.framework).canonical_settings(config["cfg"], NEWEST)
    return {**known, "dataset_size": config["n_prompts"]} if "n_prompts" in config else known


def main() -> None:
    """Print the table."""
    for corpus, verdicts in corpora().items():
        sick = [verdict for verdict in verdicts if verdict.right]
        right = sum(verdict.is_right for verdict in sick)
        print(f"\n{corpus}: the first cause of {right} of {len(sick)} sick runs is right\n")
        for verdict in sick:
            told = f"{verdict.told.name}, {verdict.told.confidence.name.lower()}" if verdict.told else "none"
            mark = "right" if verdict.is_right else "WRONG"
            print(f"{mark}  {verdict.run:32} {' or '.join(verdict.right):45} {told}")
        tally = Counter((v.told.confidence, v.is_right) for v in sick if v.told is not None)
        for sure in reversed(Confidence):
            told_so = tally[sure, True] + tally[sure, False]
            print(f"{sure.name.lower():7} {tally[sure, True]} of {told_so} right")
        healthy = [verdict for verdict in verdicts if not verdict.right and verdict.told is not None]
        print(f"causes told of {len(healthy)} of {len(verdicts) - len(sick)} others:")
        for verdict in healthy:
            print(f"       {verdict.run:32} {verdict.told and verdict.told.name}, of {', '.join(verdict.loud)}")


if __name__ == "__main__":
    main()
