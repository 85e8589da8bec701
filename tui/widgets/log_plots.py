"""The plots of a log: what its findings rest on first, what else is understood, then names without a meaning."""

from __future__ import annotations

from tui.log_status import Run
from tui.widgets.curves import Plot, rank


def plots(run: Run) -> tuple[Plot, ...]:
    """The plots of `run` in the order in which a person needs them; all begin and end at the same steps."""
    segment, report = run.segment, run.log.report
    if segment is None or report is None:
        return ()
    understood = [
        Plot(
            metric,
            curve,
            findings=tuple(f for f in run.findings if any(e.metric == metric for e in f.evidence)),
            first=segment.first,
            last=segment.last,
            logged=logged if (logged := report.names.get(metric, metric)) != metric else "",
        )
        for metric, curve in sorted(segment.metrics.items(), key=lambda item: rank(item[0], run.findings))
    ]
    others = [Plot(name, curve, first=segment.first, last=segment.last) for name, curve in segment.others.items()]
    return (*understood, *others)
