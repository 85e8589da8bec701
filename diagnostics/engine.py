"""Runs the rules over a finished run. `diagnostics.watch` does over a growing one, step by step, with the same result.

A finding is raised at the first step at which its condition holds, and again where its severity rises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diagnostics.excerpt import excerpt
from diagnostics.explaining import explained
from diagnostics.finding import Finding, Report, Skip
from diagnostics.judging import Judges, judgeable, linted, rises_after
from diagnostics.reasoning import causes
from diagnostics.rule import Catalogue, NotApplicable, Rule
from diagnostics.series import RunHistory


def rises(rule: Rule, run: RunHistory, **thresholds: Any) -> tuple[Finding, ...]:
    """What `rule` raises on `run`, each rise of severity once, in the order of the steps.

    Raises NotApplicable where the rule says it cannot judge this run, Failed where one that is not ours has a fault.
    """
    return rises_after(rule, run, thresholds, after=-1, above=None)


def diagnose(runs: RunHistory | Sequence[RunHistory], rules: Catalogue | None = None) -> Report:
    """Every finding of a finished run, or of all segments of one log, and every rule that could not judge it.

    `rules` are all that it is judged by; without them it is what comes with autotune.
    """
    segments = [runs] if isinstance(runs, RunHistory) else runs
    judges = Judges.of(rules)
    return _with_suggestions(merged([_diagnosed(run, judges) for run in segments]))


def merged(reports: Sequence[Report]) -> Report:
    """The reports on the segments of one log as one; at least one is needed.

    What is said of the log as a whole, such as its notes, is taken from the last one.
    """
    if len(reports) == 1:
        return reports[0]
    skipped = [{skip.code for skip in report.skips} for report in reports]
    everywhere = set.intersection(*skipped)
    longest = max(reports, key=lambda report: report.steps)
    return replace(
        reports[-1],
        findings=tuple(sorted((f for report in reports for f in report.findings), key=_worst_first)),
        raised=tuple(f for report in reports for f in report.raised),
        skips=tuple(skip for skip in longest.skips if skip.code in everywhere),
        segments=len(reports),
        excerpts=tuple(shown for report in reports for shown in report.excerpts),
        causes=tuple(sorted((c for report in reports for c in report.causes), key=lambda cause: -cause.confidence)),
        explained=tuple(e for report in reports for e in report.explained),
    )


def _with_suggestions(report: Report) -> Report:
    """`report` with what names that nobody knows may mean, of the metrics that no other name was read as."""
    if not report.unmapped:
        return report
    from diagnostics.suggest import suggest  # reads every vocabulary

    likely = {name: [metric for metric in suggest(name) if metric not in report.names] for name in report.unmapped}
    return replace(report, suggestions={name: tuple(metrics) for name, metrics in likely.items() if metrics})


def _diagnosed(run: RunHistory, judges: Judges) -> Report:
    run = judgeable(run)
    raised, skips = linted(run, judges.lints)
    for rule in judges.rules:
        reason = rule.missing(run)
        found: tuple[Finding, ...] = ()
        try:
            found = rises(rule, run) if rule.logged(run) else ()
        except NotApplicable as why:
            reason = reason or str(why)
        raised += found
        if reason and not found:
            skips.append(Skip(rule.code, reason))
    return report_on(run, judges, raised, skips)


def _worst_first(finding: Finding) -> tuple[int, int, int, str]:
    return (-finding.severity, finding.segment, finding.raised_at, finding.code)


def order(finding: Finding) -> tuple[float, str, int]:
    """The key by which findings are sorted as they were raised."""
    return (finding.raised_at, finding.code, finding.severity)


@np.errstate(all="ignore")  # causes and explanations read the same numbers as the rules
def report_on(run: RunHistory, judges: Judges, raised: Iterable[Finding], skips: Iterable[Skip]) -> Report:
    """The report on one run, of what was raised on it, in any order, and what could not judge it."""
    ordered = sorted(raised, key=order)
    worst: dict[str, Finding] = {}
    for finding in ordered:  # severity only rises, so the last of a code is its worst
        worst[finding.code] = finding
    findings = tuple(sorted(worst.values(), key=_worst_first))
    return Report(
        source=run.source,
        framework=run.framework,
        steps=run.last_step,
        findings=findings,
        raised=tuple(ordered),
        skips=tuple(sorted((*skips, *judges.ignored), key=lambda s: s.code)),
        unmapped=run.unmapped,
        notes=(*run.notes, *judges.notes),
        format=run.format,
        version=run.version,
        recognised=run.recognised,
        names=run.names,
        rules=len(judges),
        excerpts=tuple(shown for finding in worst.values() if (shown := excerpt(finding, run)) is not None),
        causes=causes(findings, run),
        explained=explained(findings, run),
    )
