"""Whether a rule says of its own examples what they say it does: of the finished run, and of the growing one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from diagnostics.engine import diagnose, rises
from diagnostics.finding import Finding
from diagnostics.rule import Failed, Lint, NotApplicable, Rule
from diagnostics.series import RunHistory
from diagnostics.watch import Watch


def misjudged(judge: Rule | Lint) -> Iterator[str]:
    """What `judge`, with its own thresholds, says wrongly of an example, as what follows its name in a sentence."""
    judge = replace(judge, tuning=None)
    if isinstance(judge, Lint):
        for kind, examples in (("fires", judge.fires), ("quiet", judge.quiet)):
            for number, settings in enumerate(examples, 1):
                report = diagnose(RunHistory({}, settings), {judge.code: judge})
                if report.skips or bool(report.findings) != (kind == "fires"):
                    found = "; ".join(skip.reason for skip in report.skips) or f"findings: {len(report.findings)}"
                    yield f"has another result on example {number} of {kind}=: {found}"
        return
    cases = [("fires", n, case.run, case.raises) for n, case in enumerate(judge.fires, 1)]
    for kind, number, run, expected in [*cases, *(("quiet", n, run, "") for n, run in enumerate(judge.quiet, 1))]:
        example = f"on example {number} of {kind}="
        try:
            whole, live = finished(judge, run), growing(judge, run)
        except Failed as fault:
            yield f"cannot be run {example}: {fault}"
            continue
        if whole != expected:
            yield f"raises {whole or 'nothing'} {example}, not {expected or 'nothing'}"
        elif live != whole:
            yield (
                f"raises {live or 'nothing'} {example} while it grows, {whole or 'nothing'} when it is whole: "
                "it looks at more than its warmup and lookback, or at points to come"
            )


def finished(rule: Rule, run: RunHistory) -> str:
    """What `rule` raises on `run`, as in `Case.raises`. Failed where one that is not ours has a fault."""
    try:
        return _said(rises(rule, run))
    except Failed:
        raise
    except NotApplicable:
        return ""


def growing(rule: Rule, run: RunHistory) -> str:
    """What `rule` raises on `run` step by step, shown no more than its `warmup` and `lookback`, as in `Case.raises`."""
    watch = Watch(
        settings=run.settings,
        reward_bounds=run.reward_bounds,
        segment=run.segment,
        went_back=run.went_back,
        rules={rule.code: rule},
    )
    points: dict[int, dict[str, float]] = {}
    for series in run.series.values():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            points.setdefault(step, {})[series.metric] = value
    for step in sorted(points):
        watch.add(step, points[step])
    watch.close()
    return _said(watch.raised)


def _said(findings: Iterable[Finding]) -> str:
    return " ".join(f"{f.severity.name.lower()}@{f.raised_at}" for f in findings)
