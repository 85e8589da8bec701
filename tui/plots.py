"""The curves of a run as plots: what belongs to each, in which order and groups, and which of them a search leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from diagnostics.axes import Clock
from diagnostics.finding import Finding
from diagnostics.metrics import Group, metric_of
from diagnostics.plot import NONE, Curve, reach
from tui.look import Reach
from tui.watched import RunView

UNNAMED = "Names without a meaning"
FOUND = "!"  # a search for what findings rest on


@dataclass(frozen=True, slots=True)
class Plot:
    """One metric of a run; `before` is the same metric of the run beneath it.

    `first` and `last` are the steps at which plots of this run begin and end, `newest` the newest step of any metric.
    `logged` is the metric's name in the log, where it is another, `unit` and `group` what is known of it. `equal` says
    that the two runs are drawn as equals. `clock` and `before_clock` say when steps were logged.
    """

    metric: str
    curve: Curve
    before: Curve = NONE
    findings: tuple[Finding, ...] = ()
    last: int = 0
    first: int = 0
    logged: str = ""
    newest: int = 0
    group: str = UNNAMED
    unit: str = ""
    clock: Clock | None = None
    before_clock: Clock | None = None
    knobs: tuple[tuple[int, str, float], ...] = ()
    equal: bool = False

    @property
    def reach(self) -> Reach:
        """The steps that there are to show, those of this curve and the one beneath included."""
        newest = reach([self.curve], self.newest)
        return Reach(self.first, newest, reach([self.before], max(self.last, newest)))


def plots(run: RunView, beneath: RunView | None = None) -> tuple[Plot, ...]:
    """The plots of `run` in the order in which a person needs them, names without a meaning last."""
    steps = reach_of(run, beneath)

    def plot(metric: str, curve: Curve, before: Curve, findings: tuple[Finding, ...] = ()) -> Plot:
        known = metric_of(metric)
        return Plot(
            metric,
            curve,
            before,
            findings,
            steps.last,
            steps.first,
            run.names.get(metric, ""),
            steps.newest,
            known.group if known else UNNAMED,
            known.unit if known else "",
            run.clock,
            beneath.clock if beneath else None,
            run.knobs,
        )

    found = {m: tuple(f for f in run.findings if any(e.metric == m for e in f.evidence)) for m in run.metrics}
    earlier = beneath.metrics if beneath else {}
    known = sorted(run.metrics, key=lambda m: rank(m, run.findings, run.objective))
    understood = [plot(m, run.metrics[m], earlier.get(m, NONE), found[m]) for m in known]
    earlier = beneath.others if beneath else {}
    return (*understood, *(plot(n, c, earlier.get(n, NONE)) for n, c in run.others.items()))


def reach_of(run: RunView, beneath: RunView | None = None) -> Reach:
    """The steps of `run`, planned ones included, and of the one beneath it."""
    newest = reach([*run.metrics.values(), *run.others.values()])
    last = max(run.last, newest, beneath.last if beneath else 0)
    return Reach(min(run.first, beneath.first) if beneath else run.first, newest, last)


def rank(metric: str, findings: Sequence[Finding], objective: str = "") -> tuple[int, int, int, str]:
    """Where a metric stands among the others; `findings` are those of its run, the worst first.

    After the objective and what findings rest on come the first quantities of each group, then the second, ...
    """
    if metric == objective:
        return 0, 0, 0, metric
    for i, found in enumerate(findings):
        if any(e.metric == metric for e in found.evidence):
            return 1, i, 0, metric
    known = metric_of(metric)
    return (2, known.place, list(Group).index(known.group), metric) if known else (3, 0, 0, metric)


def grouped(shown: Sequence[Plot]) -> list[tuple[str, tuple[Plot, ...]]]:
    """The plots by what they tell, each group with its name; within a group the order stays."""
    order = [*Group, UNNAMED]
    ordered = sorted(shown, key=lambda plot: order.index(plot.group))
    return [(name, tuple(plots)) for name, plots in groupby(ordered, key=lambda plot: str(plot.group))]


def matching(shown: Sequence[Plot], search: str) -> tuple[Plot, ...]:
    """The plots in which each word of `search` occurs: in a name, the group, or the code or name of a finding.

    The word "!" asks for those that a finding rests on.
    """
    words = search.lower().split()
    return tuple(plot for plot in shown if all(_has(plot, word) for word in words))


def _has(plot: Plot, word: str) -> bool:
    if word.startswith(FOUND):
        return bool(plot.findings) and _has(plot, word.removeprefix(FOUND))
    told = (plot.metric, plot.logged, plot.group, *(text for f in plot.findings for text in (f.code, f.name)))
    return any(word in text.lower() for text in told)
